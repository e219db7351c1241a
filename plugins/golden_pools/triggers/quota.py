"""Wait until the other pools of a Batch account leave room for a pool's targets."""

from __future__ import annotations

from typing import Any

from airflow.triggers.base import TriggerEvent

from golden_pools.rules.facts import Pool, PoolNodes
from golden_pools.rules.quota import QuotaKind, QuotaQuestion
from golden_pools.rules.resize import duration
from golden_pools.triggers.pool import AccountTrigger, failed


class QuotaTrigger(AccountTrigger):
    """Wait until the targets fit into the account's quotas beside what other pools hold.

    The quotas are those that the task read before it began to wait: the shared poll asks for pools only. The event is
    ``{"fits": true}``; at the deadline it is a :class:`~golden_pools.errors.FullNowError` that names the holders.

    :param question: :class:`~golden_pools.rules.quota.QuotaQuestion` as JSON
    """

    def __init__(self, *, question: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.question = question
        self._question = QuotaQuestion.from_dict(question)

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of this trigger beside the base's."""
        return {"question": self.question}

    def look(self, pool: Pool | None, nodes: PoolNodes | None) -> TriggerEvent | None:
        """Return an event as soon as the targets fit, can never fit, or the time is up."""
        verdict = self._question.verdict(self.seen.pools.values())
        self.say(verdict.reason)
        error = verdict.error(pool.id if pool else self.pool, note=f"waited {duration(self.elapsed())}")
        if error is None:
            return TriggerEvent({"fits": True})
        return failed(error) if verdict.kind is QuotaKind.NEVER or self.is_late() else None
