"""Wait for the one node of a canary pool, on the shared poll of its Batch account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from golden_pools.errors import ResizeGaveUpError
from golden_pools.rules.canary import CanaryKind, judge_canary
from golden_pools.rules.facts import Pool, PoolNodes
from golden_pools.rules.family import is_deleting
from golden_pools.triggers.pool import REFUSALS, AccountTrigger, failed


class CanaryTrigger(AccountTrigger):
    """Wait until the node takes work, has failed, or cannot be had.

    :param result: XCom of the task, which ends here when the node takes work
    :param resize_before: start of an earlier resize of the pool, ISO 8601, whose errors are stale
    :param patient_until: an unusable node may recover until then, ISO 8601, UTC; None: it has failed
    """

    def __init__(
        self,
        *,
        result: dict[str, Any],
        resize_before: str | None = None,
        patient_until: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.result = result
        self.resize_before = resize_before
        self.patient_until = patient_until
        self._absent = 0

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of this trigger beside the base's."""
        return {
            "result": self.result,
            "resize_before": self.resize_before,
            "patient_until": self.patient_until,
        }

    def look(self, pool: Pool | None, nodes: PoolNodes | None) -> TriggerEvent | None:
        """Return an event as soon as there is nothing more to wait for; a bad one goes to a worker as ``canary``."""
        if pool is None or is_deleting(pool):
            self._absent += 1
            return self._gone(pool) if self._absent >= REFUSALS else None
        self._absent = 0
        verdict = judge_canary(
            pool,
            nodes,
            resize_before=_moment(self.resize_before),
            patient=self.patient_until is not None
            and datetime.now(tz=UTC) < datetime.fromisoformat(self.patient_until),
            late=self.is_late(),
        )
        self.say(verdict.reason)
        if verdict.kind is CanaryKind.WAIT:
            return None
        if verdict.kind is CanaryKind.READY:
            return TaskSuccessEvent(xcoms={"return_value": self.result})
        return TriggerEvent({"canary": verdict.to_dict()})

    def _gone(self, pool: Pool | None) -> TriggerEvent:
        return failed(
            ResizeGaveUpError(
                "The canary pool is being deleted, or does not exist",
                resource=pool.id if pool else self.pool,
                advice="find out who deleted it, then clear the tasks of the canary",
            )
        )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
