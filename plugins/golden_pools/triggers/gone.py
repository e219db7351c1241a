"""Wait until a deleted pool is gone, so that its id is free."""

from __future__ import annotations

from airflow.triggers.base import TriggerEvent

from golden_pools.errors import ResizeGaveUpError
from golden_pools.rules.facts import Pool, PoolNodes
from golden_pools.rules.resize import duration
from golden_pools.triggers.pool import AccountTrigger
from golden_pools.words import counted


class GoneTrigger(AccountTrigger):
    """Wait until the account's list of pools no longer has the pool."""

    def look(self, pool: Pool | None, nodes: PoolNodes | None) -> TriggerEvent | None:
        """Return an event as soon as the id is free, or a failure at the deadline."""
        if pool is None:
            return TriggerEvent({"gone": self.pool})
        self.say(f"{pool.provisioning_state}, {counted(pool.current_total, 'node')}")
        if not self.is_late():
            return None
        error = ResizeGaveUpError(
            "The pool was not gone in its time",
            resource=pool.id,
            answer=f"{pool.provisioning_state} for {duration(self.elapsed())}, {counted(pool.current_total, 'node')}",
            advice=(
                "look at what keeps the pool (a lock, a network security group in use, a missing role), remove it, "
                "then clear this task"
            ),
        )
        return TriggerEvent({"failure": error.to_dict()})
