"""What the stages share that change a pool: finding it, waiting for it, resizing it, and how a verdict fails."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperatorLink
from airflow.sdk.exceptions import TaskDeferred

from golden_pools.errors import ConflictError, GoldenPoolsError, OwnershipError, ResizeGaveUpError
from golden_pools.failures import note_failure, noted_failure
from golden_pools.links.portal import BatchPoolLink
from golden_pools.operators.base import GRACE, StageOperator, now
from golden_pools.rules.facts import AllocationState
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.resize import Verdict, VerdictKind

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.rules.facts import Pool
    from golden_pools.triggers.pool import AccountTrigger

SETTLE_TIME = timedelta(hours=2)
"""Longest wait for somebody else's resize or deletion of the pool to end."""

SLACK = timedelta(minutes=15)
"""What a resize may take above its own timeout until Azure says how it ended."""


class PoolStageOperator(StageOperator):
    """What the stages that change the pool share."""

    operator_extra_links: Collection[BaseOperatorLink] = (BatchPoolLink(),)

    def defer_for_pool(
        self,
        trigger: str | type[AccountTrigger],
        plan: RunPlan,
        *,
        pool: str | None = None,
        within: timedelta,
        **arguments: Any,
    ) -> NoReturn:
        """Defer on the shared poll of the pool's Batch account.

        :param trigger: class, or the name of one in :mod:`golden_pools.triggers.pool`
        :param pool: id of the pool to wait for; the alias if absent
        :param within: longest wait
        """
        from golden_pools.triggers import pool as triggers

        started, where = now(), plan.spec.pool
        raise TaskDeferred(
            trigger=(getattr(triggers, trigger) if isinstance(trigger, str) else trigger)(
                connection=plan.spec.connection,
                subscription=plan.spec.subscription,
                resource_group=where.resource_group,
                account=where.account,
                pool=pool or plan.pool,
                started=started.isoformat(),
                deadline=(started + within).isoformat(),
                **arguments,
            ),
            method_name="go_on",
            timeout=within + GRACE,
        )

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Begin, or begin again after a retry or a clear."""
        return self.turn(context)

    def turn(self, context: Context) -> dict[str, Any] | None:
        """Take the next step.

        The first conflict makes the task look again, since it may be our own change whose answer was lost; only the
        second one is believed.
        """
        try:
            try:
                return self.next_step(context)
            except ConflictError as conflict:
                self.log.warning("Looking again after a conflict: %s", conflict)
                return self.next_step(context)
        except GoldenPoolsError as error:
            if noted_failure(context, self.task_id) is None:
                note_failure(context, error, blames_image=False)
            raise

    @abstractmethod
    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Look at the pool and do what follows: write, defer, or return the stage's result."""

    def settle(self, plan: RunPlan, pool: Pool, *, pause: timedelta = timedelta(0)) -> NoReturn:
        """Defer until the pool rests, whoever moves it, and at least for ``pause``."""
        if pool.allocation_state is not AllocationState.STEADY:
            self.log.info("Pool %s is %s: waiting until it rests", pool.name, pool.allocation_state)
        not_before = (now() + pause).isoformat() if pause else None
        self.defer_for_pool("SettleTrigger", plan, pool=pool.name, within=SETTLE_TIME + pause, not_before=not_before)


def failure_of(verdict: Verdict, plan: RunPlan, what: str, *, resource: str | None = None) -> GoldenPoolsError:
    """Return the error of a verdict that ends the stage.

    :param what: what did not succeed, one sentence without a full stop at the end
    :param resource: ARM id of the pool; that of the alias if absent
    """
    named = resource or plan.pool_id
    if verdict.kind is VerdictKind.OWNED_BY_OTHER:
        return OwnershipError(
            "Somebody else resized the pool", resource=named, answer=verdict.reason, advice=verdict.advice
        )
    return ResizeGaveUpError(what, resource=named, answer=f"{verdict.code}: {verdict.reason}", advice=verdict.advice)
