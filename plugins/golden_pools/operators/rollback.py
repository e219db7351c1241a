"""Rollback: put the pool back that a failed refresh has touched, and end the run as failed with one message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import GoldenPoolsError, OwnershipError, ResizeGaveUpError, RolledBackError
from golden_pools.operators.base import StageOperator, StateStore, now, pulled
from golden_pools.operators.drain import drain_of
from golden_pools.operators.give_back import counts
from golden_pools.operators.job_moves import DISABLED_KEY, JobMovingOperator, Moving, named
from golden_pools.operators.refresh import BEFORE_KEY
from golden_pools.rules.drain import is_shrinking_to_zero
from golden_pools.rules.facts import Pool, PoolStartTask
from golden_pools.rules.family import SINCE, Role, current_pool, family, moment_of_role, with_role
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.refresh import needs_empty_pool
from golden_pools.rules.rollback import (
    PoolBefore,
    RestoreKind,
    RestoreStep,
    restore_step,
    targets_of,
    version_of,
    was_touched,
)
from golden_pools.spec.model import DrainFallback, Network, StartTask, Targets

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch import PoolSettings
    from golden_pools.hooks.batch_work import BatchWorkHook

RESTORING_KEY = "restoring"
"""XCom of the restore task, as its result but pushed ahead of its first write: what it is about to bring back."""

ROUNDS, ROUNDS_AFTER = 5, 10
"""How often jobs may turn up on the second pool before the alias goes back, and all in all."""

WAITS = (RestoreKind.SETTLE, RestoreKind.GONE)


class RestorePoolOperator(JobMovingOperator):
    """Bring the alias back to the pool that it stood for, on the image that it had; its size is the next stage's matter.

    :param refresh_task_id: refresh task, whose XCom ``before`` says what there was
    :param switch_task_id: switch task, whose XCom ``disabled`` names jobs that it has not enabled again
    :param stage_task_ids: tasks whose failures are the reason
    :raises OwnershipError: somebody else steers the pool now: nothing is fought over
    :raises ResizeGaveUpError: the pool cannot be emptied, or what it was is gone
    :raises AzureRefusedError: Azure did not take the old settings
    """

    ui_color = "#fbe6e3"

    def __init__(
        self,
        *,
        refresh_task_id: str,
        switch_task_id: str | None = None,
        stage_task_ids: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.refresh_task_id = refresh_task_id
        self.switch_task_id = switch_task_id
        self.stage_task_ids = list(stage_task_ids)

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Begin, or skip where there is nothing to put back."""
        plan = self.plan_for_writing(context)
        if not plan.spec.refresh.rollback:
            raise AirflowSkipException("the spec says refresh.rollback: false, so the pool stays as it is")
        if self._before(context) is None:
            raise AirflowSkipException("the run has touched no pool that was there before")
        disabled = (
            context["ti"].xcom_pull(task_ids=self.switch_task_id, key=DISABLED_KEY) if self.switch_task_id else ()
        )
        self.begin_moving(context, self._store(context, plan), disabled=tuple(disabled or ()))
        return self.turn(context)

    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Return what the pool is again, and the node counts that it is to get back."""
        plan, before = self.plan_for_writing(context), self._before(context)
        assert before is not None, "execute skips without it"
        store = self._store(context, plan)
        with self.work(plan) as hook:
            while True:
                pools = hook.pools(plan.spec.pool.resource_group, plan.spec.pool.account)
                step = restore_step(before, pools, plan, work_to_move=self._has_work(hook, plan, store, before))
                there = next((pool for pool in pools if pool.name.casefold() == before.pool.casefold()), None)
                result = self._result(context, before, there)
                self._begin(context, store, before, step, there, result)
                self.log.info("Pool %s: %s (%s)", step.pool, step.kind, step.reason)
                for change in step.changes:
                    self.log.info("  %s", change)
                if step.kind is RestoreKind.DONE:
                    return result
                about = next((pool for pool in pools if pool.name.casefold() == step.pool.casefold()), None)
                self._take(context, hook, plan, store, before, step, about, pools)
                if step.kind in (RestoreKind.CREATE, RestoreKind.PATCH):
                    return result

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait: the next step follows from what is there now."""
        self.raise_failure(context, event)
        return self.turn(context)
