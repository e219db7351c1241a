"""Wait until the nodes of a pool are ready, or need a worker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from golden_pools.rules.facts import AllocationState, Pool, PoolNodes
from golden_pools.rules.resize import VerdictKind, headcount, judge_nodes
from golden_pools.rules.resize.clinic import Watch, bad_counts, on_their_way
from golden_pools.spec.model import Shares, Targets
from golden_pools.triggers.pool import AccountTrigger, failed, pool_gone


class ClinicTrigger(AccountTrigger):
    """Wait until all nodes of a pool are ready, or until a worker has to look at those that are not.

    Ready nodes end the task here. The other event is ``{"look": why}``.

    :param targets: nodes wanted: ``{"dedicated": n, "spot": n}``
    :param shares: shares of them that are enough at the deadline, by the same keys
    :param known: bad nodes, by state, that a worker has looked at
    :param until: when it wants to look at them again, ISO 8601, UTC
    :param others: whether it wants to look as soon as no node is on its way
    :param alarm: more bad nodes than this are looked at at once, fewer when a poll has brought no more
    :param result: the task's XCom, which the ready nodes are added to
    """

    def __init__(
        self,
        *,
        targets: dict[str, int],
        shares: dict[str, float],
        known: dict[str, int],
        until: str | None,
        others: bool,
        alarm: int,
        result: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.targets = targets
        self.shares = shares
        self.known = known
        self.until = until
        self.others = others
        self.alarm = alarm
        self.result = result
        self._watch = Watch.from_dict({"known": known, "until": until, "alarm": alarm})

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of this trigger beside the base's."""
        return {
            "targets": self.targets,
            "shares": self.shares,
            "known": self.known,
            "until": self.until,
            "others": self.others,
            "alarm": self.alarm,
            "result": self.result,
        }

    def look(self, pool: Pool | None, nodes: PoolNodes | None) -> TriggerEvent | None:
        """Return an event when the nodes are ready, or a worker has to look."""
        if self.is_gone(pool):
            return failed(pool_gone(pool.id if pool else self.pool))
        if pool is None:
            return None
        targets, counts = Targets(**self.targets), nodes or PoolNodes(pool=self.pool)
        self.say(headcount(pool, nodes, targets))
        verdict = judge_nodes(
            nodes,
            targets,
            shares=Shares(**self.shares),
            waited=self.elapsed(),
            allowed=self.allowed(),
            at_rest=pool.allocation_state is AllocationState.STEADY,
            failed=(0, 0),  # the worker's matter
        )
        if verdict.kind is VerdictKind.REACHED:
            ready = {"dedicated": counts.dedicated.ready, "spot": counts.spot.ready}
            return TaskSuccessEvent(xcoms={"return_value": {**self.result, **ready}})
        why = self._why(counts) if verdict.kind is VerdictKind.WAIT else verdict.reason
        return TriggerEvent({"look": why}) if why else None

    def _why(self, counts: PoolNodes) -> str:
        """Return why a worker has to look, or nothing."""
        if why := self._watch.why(bad_counts(counts), datetime.now(tz=UTC)):
            return why
        return "no other node is on its way" if self.others and not on_their_way(counts) else ""
