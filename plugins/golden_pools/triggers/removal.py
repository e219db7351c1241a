"""Wait until nodes that were removed from a pool are gone."""

from __future__ import annotations

from typing import Any

from airflow.triggers.base import TriggerEvent

from golden_pools.errors import ResizeGaveUpError
from golden_pools.rules.facts import AllocationState, Pool, PoolNodes
from golden_pools.rules.resize import duration
from golden_pools.rules.resize.allocation import UNSEEN_LIMIT
from golden_pools.triggers.pool import AccountTrigger, failed
from golden_pools.words import counted


class RemovalTrigger(AccountTrigger):
    """Wait until a removal of nodes is over. The event is ``{"settled": pool}``.

    :param started_before: start of the pool's last resize before the removal, ISO 8601, or None: whatever came after
        it is the removal, or later
    """

    def __init__(self, *, started_before: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.started_before = started_before
        self._unseen = 0

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of this trigger beside the base's."""
        return {"started_before": self.started_before}

    def look(self, pool: Pool | None, nodes: PoolNodes | None) -> TriggerEvent | None:
        """Return an event when the pool rests after the removal; one that never shows it has had none."""
        if pool is not None:
            self.say(f"{pool.allocation_state}, {counted(pool.current_total, 'node')}")
        if pool is None or pool.allocation_state is AllocationState.STEADY:
            self._unseen += 1
            if (pool and _start(pool) != self.started_before) or self._unseen > UNSEEN_LIMIT:
                return TriggerEvent({"settled": self.pool})
        if self.is_late():
            return failed(
                ResizeGaveUpError(
                    "The pool did not come to rest after nodes were removed",
                    resource=pool.id if pool else self.pool,
                    answer=f"{pool.allocation_state if pool else 'no pool'} for {duration(self.elapsed())}",
                    advice="find out who moves the pool; if it hangs, stop its resize, then clear this task",
                )
            )
        return None


def _start(pool: Pool) -> str | None:
    return pool.resize_started.isoformat() if pool.resize_started else None
