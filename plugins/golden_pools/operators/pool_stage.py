"""What the stages that look at pools and change them share: one turn after the other, with waits between."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.errors import OwnershipError
from golden_pools.operators.base import GRACE, StageOperator, now
from golden_pools.rules.plan import RunPlan

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.triggers.pool import AccountTrigger

SETTLE_TIME = timedelta(hours=2)
"""Longest wait for somebody else's resize or deletion of the pool to end."""

SLACK = timedelta(minutes=15)
"""What a resize may take above its own timeout until Azure says how it ended."""


class PoolStageOperator(StageOperator):
    """What the stages that change pools share."""

    def defer_for_pool(
        self,
        trigger: type[AccountTrigger],
        plan: RunPlan,
        *,
        pool: str,
        within: timedelta,
        pause: timedelta = timedelta(0),
        **arguments: Any,
    ) -> None:
        """Defer on the shared poll of the Batch account.

        :param pool: id of the pool to wait for
        :param within: longest wait
        :param pause: time beyond ``within`` that the trigger lets pass before another resize
        """
        started, where = now(), plan.spec.pool
        self.defer(
            trigger=trigger(
                connection=plan.spec.connection,
                subscription=plan.spec.subscription,
                resource_group=where.resource_group,
                account=where.account,
                pool=pool,
                started=started.isoformat(),
                deadline=(started + within).isoformat(),
                **arguments,
            ),
            method_name="go_on",
            timeout=within + pause + GRACE,
        )

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Begin, or begin again after a retry or a clear."""
        return self.turn(context)

    def turn(self, context: Context) -> dict[str, Any] | None:
        """Take the next step.

        Where the answer to a write of ours was lost, its repetition meets our own change and looks like somebody
        else's: so the first conflict makes the task look again, and only the second one is believed.
        """
        try:
            return self.next_step(context)
        except OwnershipError as conflict:
            self.log.warning("Looking again after a conflict: %s", conflict)
            return self.next_step(context)

    @abstractmethod
    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Look at the pools and do what follows: write, defer, or return the stage's result."""
