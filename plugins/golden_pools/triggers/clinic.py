"""Waits of the node clinic: until nodes are ready or need a worker, and until removed nodes are gone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from golden_pools.errors import ResizeGaveUpError
from golden_pools.rules.facts import AllocationState, Pool, PoolNodes
from golden_pools.rules.resize import VerdictKind, duration, headcount, judge_nodes
from golden_pools.rules.resize.allocation import UNSEEN_LIMIT
from golden_pools.rules.resize.clinic import bad_counts, on_their_way
from golden_pools.spec.model import Shares
from golden_pools.triggers.pool import AccountTrigger, NodesTrigger, failed, pool_gone


class ClinicTrigger(NodesTrigger):
    """Wait until all nodes are ready, or until a worker has to look at those that are not.

    Ready nodes end the task here. The other event is ``{"look": why}``.

    :param known: bad nodes, by state, that a worker has looked at
    :param until: when it wants to look at them again, ISO 8601, UTC
    :param others: whether it wants to look as soon as no node is on its way
    :param alarm: more bad nodes than this are looked at at once, fewer when a poll has brought no more
    :param result: the task's XCom, which the ready nodes are added to
    """

    def __init__(
        self,
        *,
        known: dict[str, int],
        until: str | None,
        others: bool,
        alarm: int,
        result: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.known = known
        self.until = until
        self.others = others
        self.alarm = alarm
        self.result = result
        self._last: dict[str, int] = {}

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of this trigger beside the base's."""
        return {
            **super().own_arguments(),
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
        self.say(headcount(pool, nodes, self.targets))
        counts = nodes or PoolNodes(pool=self.pool)
        verdict = judge_nodes(
            nodes,
            self.targets,
            shares=Shares(dedicated=self.share, spot=self.spot_share),
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
        bad = bad_counts(counts)
        last, self._last = self._last, bad
        if any(count > self.known.get(state, 0) for state, count in bad.items()):
            no_more = all(count <= last.get(state, 0) for state, count in bad.items())
            return "nodes have failed" if no_more or sum(bad.values()) > self.alarm else ""
        if bad and self.until and datetime.now(tz=UTC) >= datetime.fromisoformat(self.until):
            return "failed nodes have not recovered"
        return "no other node is on its way" if self.others and not on_their_way(counts) else ""


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
            self.say(f"{pool.allocation_state}, {pool.current_total} nodes")
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
