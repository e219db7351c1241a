"""Wait for a pool to become empty, or for one of our resizes to zero to end otherwise."""

from __future__ import annotations

from typing import Any

from airflow.triggers.base import TriggerEvent

from golden_pools.rules.drain import Drain, DrainState, drain_state
from golden_pools.rules.facts import Pool, PoolNodes
from golden_pools.triggers.pool import AccountTrigger
from golden_pools.words import counted


class DrainTrigger(AccountTrigger):
    """Wait for the end of a resize to zero; the task then looks at the pool itself.

    :param drain: :class:`~golden_pools.rules.drain.Drain` as JSON
    """

    def __init__(self, *, drain: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.drain = drain
        self._drain = Drain.from_dict(drain)
        self._unseen = 0

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of this trigger beside the base's."""
        return {"drain": self.drain}

    def look(self, pool: Pool | None, nodes: PoolNodes | None) -> TriggerEvent | None:
        """Return an event with the :class:`~golden_pools.rules.drain.DrainState`, also at the deadline."""
        state = drain_state(pool, self._drain, unseen=self._unseen)
        self._unseen = self._unseen + 1 if state is DrainState.NOT_SEEN_YET else 0
        if pool is not None:
            self.say(f"{state}: {counted(pool.current_total, 'node')} left")
        if state in (DrainState.GOING_ON, DrainState.NOT_SEEN_YET) and not self.is_late():
            return None
        return TriggerEvent({"drained": state.value})
