"""Moving jobs and job schedules from one pool to another: what the switch and its rollback share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from golden_pools.errors import AzureRefusedError, OwnershipError, ResizeGaveUpError
from golden_pools.operators.base import GRACE, StateStore, now
from golden_pools.operators.drain import DrainingOperator
from golden_pools.rules.drain import FORCED_TIME
from golden_pools.rules.facts import Job, JobState
from golden_pools.rules.moves import Move, MoveKind, moves
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.resize import duration
from golden_pools.spec.model import DrainFallback, MoveTasks
from golden_pools.words import counted, listed

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch_work import BatchWorkHook

DISABLED_KEY = "disabled"
"""XCom of a task that moves jobs: ids of the jobs that it has disabled and not enabled again."""

LOOKS = 5
"""Looks in a row at jobs that others change at the same moment."""

JOBS_NAMED = 5
"""Jobs that a message names; more are counted."""


@dataclass(frozen=True, kw_only=True)
class Moving:
    """What a task keeps of its moves over retries.

    :param disabled: jobs that were active before we came, and that we have not enabled again
    :param moved: jobs that we have moved
    :param schedules: job schedules that we have moved
    :param until: end of patience with running tasks, ISO 8601; None before a job was disabled
    :param forced: tasks go back into the queue now
    :param rounds: how often this try has found jobs on the old pool that had not been there before
    :param late: jobs whose tasks outlasted our patience; if there are any, all are enabled again where they are
    """

    disabled: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    until: str | None = None
    forced: bool = False
    rounds: int = 0
    late: tuple[str, ...] = ()

    @classmethod
    def read(cls, store: StateStore) -> Moving:
        """Return what was kept."""
        kept = store.read().get("moving") or {}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()
        }
        return cls(**values)

    def patience(self) -> timedelta:
        """Return how much patience is left, not below zero."""
        return max(datetime.fromisoformat(self.until) - now(), timedelta(0)) if self.until else timedelta(0)


class JobMovingOperator(DrainingOperator):
    """A stage that binds jobs to another pool: disable, wait for running tasks, bind, enable."""

    def begin_moving(self, context: Context, store: StateStore, *, disabled: tuple[str, ...] = ()) -> None:
        """Take up what an earlier try has kept; a deadline that is over begins anew, and so do the rounds.

        :param disabled: ids of jobs that an earlier stage has disabled and not enabled again
        """
        moving = replace(Moving.read(store), rounds=0)
        if not moving.late and not moving.patience():
            moving = replace(moving, until=None, forced=False)
        self._keep(context, store, replace(moving, disabled=_with(moving.disabled, *disabled)))

    def move_work(
        self,
        context: Context,
        hook: BatchWorkHook,
        plan: RunPlan,
        store: StateStore,
        *,
        source: str,
        target: str,
        rounds: int,
        when_late: DrainFallback,
    ) -> list[str]:
        """Bind all jobs and job schedules of a pool to another one, and defer while running tasks end.

        A job runs again as soon as it is moved itself. Jobs that get their own pool are none of ours.

        :param rounds: how often jobs may turn up on the pool that were not there before
        :param when_late: what happens to tasks that outlast ``drain_minutes``
        :returns: ids of the jobs that turned up after that and are left where they are
        :raises ResizeGaveUpError: tasks outlasted all patience; all jobs are enabled again where they are
        """
        where = plan.spec.pool.resource_group, plan.spec.pool.account
        if Moving.read(store).late:
            self._enable_where_they_are(context, hook, plan, store, source)
        self._move_schedules(context, hook, plan, store, source=source, target=target)
        conflicts = 0
        while True:
            moving = Moving.read(store)
            here = hook.jobs(*where, pool=target) if moving.disabled else []
            steps = moves(hook.jobs(*where, pool=source), here, disabled_by_us=moving.disabled)
            fresh = [step for step in steps if step.kind is MoveKind.DISABLE and step.job.id not in moving.disabled]
            left = fresh if moving.rounds >= rounds else []
            steps = [step for step in steps if step not in left]
            if not steps:
                self._keep(context, store, replace(moving, disabled=()))
                return [step.job.id for step in left]
            self._remember_moves(context, store, plan, [] if left else fresh)
            outcomes = [self._take_move(context, hook, plan, store, step, target, conflicts) for step in steps]
            conflicts += Outcome.CHANGED in outcomes
            if set(outcomes) == {Outcome.WAITS}:
                self._wait_or_force(context, hook, plan, store, source, [step.job for step in steps], when_late)

    def _remember_moves(self, context: Context, store: StateStore, plan: RunPlan, fresh: list[Move]) -> None:
        """Keep which jobs are about to be disabled, ahead of the first write, and until when their tasks may run."""
        moving, patience = Moving.read(store), timedelta(minutes=plan.spec.refresh.drain_minutes)
        self._keep(
            context,
            store,
            replace(
                moving,
                disabled=_with(moving.disabled, *(step.job.id for step in fresh)),
                until=moving.until or (now() + patience).isoformat(),
                rounds=moving.rounds + bool(fresh),
            ),
        )

    def _take_move(
        self,
        context: Context,
        hook: BatchWorkHook,
        plan: RunPlan,
        store: StateStore,
        step: Move,
        target: str,
        conflicts: int,
    ) -> Outcome:
        """Take a job's next step; a job that changes at that moment is looked at again."""
        moving, job = Moving.read(store), step.job
        where = plan.spec.pool.resource_group, plan.spec.pool.account
        if step.kind is MoveKind.WAIT:
            return Outcome.WAITS
        try:
            if step.kind is MoveKind.DISABLE:
                tasks = MoveTasks.REQUEUE if moving.forced else plan.spec.refresh.move_tasks
                self.log.info("Job %s is disabled, running tasks: %s", job.id, tasks)
                hook.disable_job(*where, job.id, tasks)
                return Outcome.WAITS
            if step.kind is MoveKind.MOVE:
                self.log.info("Job %s moves from pool %s to %s", job.id, job.pool, target)
                self._keep(context, store, replace(moving, moved=_with(moving.moved, job.id)))
                hook.move_job(*where, job, target)
            else:
                self.log.info("Job %s is enabled again, on pool %s", job.id, job.pool)
                hook.enable_job(*where, job.id)
                self._keep(context, store, replace(moving, disabled=_without(moving.disabled, job.id)))
        except (AzureRefusedError, OwnershipError) as refused:
            if job.state is JobState.DISABLING and step.kind is MoveKind.ENABLE:
                return Outcome.WAITS  # whether a job can be enabled before it is disabled is not documented
            if conflicts >= LOOKS or not _has_changed(job, hook.job(*where, job.id)):
                raise
            self.log.info("Job %s has changed meanwhile: %s", job.id, refused.answer)
            return Outcome.CHANGED
        return Outcome.DONE

    def _move_schedules(
        self, context: Context, hook: BatchWorkHook, plan: RunPlan, store: StateStore, *, source: str, target: str
    ) -> None:
        where = plan.spec.pool.resource_group, plan.spec.pool.account
        for schedule in hook.job_schedules(*where, pool=source):
            self.log.info("Job schedule %s makes its next jobs on pool %s", schedule.id, target)
            moving = Moving.read(store)
            self._keep(context, store, replace(moving, schedules=_with(moving.schedules, schedule.id)))
            hook.move_job_schedule(*where, schedule, target)

    def _wait_or_force(
        self,
        context: Context,
        hook: BatchWorkHook,
        plan: RunPlan,
        store: StateStore,
        source: str,
        jobs: list[Job],
        when_late: DrainFallback,
    ) -> None:
        """Defer until one of the jobs may go on; where patience ends, requeue their tasks, or give up."""
        moving = Moving.read(store)
        if not moving.patience():
            if moving.forced or when_late is DrainFallback.RESTORE:
                self._keep(context, store, replace(moving, late=tuple(job.id for job in jobs)))
                self._enable_where_they_are(context, hook, plan, store, source)
            self.log.warning(
                "Tasks of %s go back into the queue: %s", counted(len(jobs), "job"), named(job.id for job in jobs)
            )
            moving = replace(moving, forced=True, until=(now() + FORCED_TIME).isoformat())
            self._keep(context, store, moving)
            for job in jobs:
                if job.state is not JobState.ENABLING:
                    self._disable_again(hook, plan, job)
        self._wait(plan, source, jobs, moving.patience())

    def _disable_again(self, hook: BatchWorkHook, plan: RunPlan, job: Job) -> None:
        where = plan.spec.pool.resource_group, plan.spec.pool.account
        try:
            hook.disable_job(*where, job.id, MoveTasks.REQUEUE)
        except AzureRefusedError:
            if not _has_changed(job, hook.job(*where, job.id)):
                raise

    def _enable_where_they_are(
        self, context: Context, hook: BatchWorkHook, plan: RunPlan, store: StateStore, source: str
    ) -> None:
        """Enable every job that we have disabled, wherever it is, and fail."""
        where = plan.spec.pool.resource_group, plan.spec.pool.account
        unwilling: list[Job] = []
        for job_id in Moving.read(store).disabled:
            job = hook.job(*where, job_id)
            if job is not None and job.state in (JobState.DISABLED, JobState.DISABLING):
                step = Move(kind=MoveKind.ENABLE, job=job)
                if self._take_move(context, hook, plan, store, step, job.pool, 0) is not Outcome.DONE:
                    unwilling.append(job)
        moving = Moving.read(store)
        if unwilling and not moving.forced:
            moving = replace(moving, forced=True, until=(now() + FORCED_TIME).isoformat())
            self._keep(context, store, moving)
        if unwilling and moving.patience():
            self._wait(plan, source, unwilling, moving.patience())
        # The next try begins anew.
        self._keep(context, store, replace(moving, until=None, forced=False, late=()))
        still = f"; still disabled: {named(job.id for job in unwilling)}" if unwilling else ""
        raise ResizeGaveUpError(
            f"Running tasks of jobs that move outlasted the deadline; the jobs are enabled again{still}",
            resource=source,
            answer=(
                f"after {duration(timedelta(minutes=plan.spec.refresh.drain_minutes))} still being disabled: "
                f"{named(moving.late)}"
            ),
            advice=(
                "let the tasks end and clear this task, or write refresh.move_tasks: requeue or "
                "refresh.drain_fallback: requeue into the spec"
            ),
        )

    def _wait(self, plan: RunPlan, pool: str, jobs: list[Job], patience: timedelta) -> None:
        from golden_pools.triggers.jobs import JobsTrigger

        self.defer(
            trigger=JobsTrigger(
                connection=plan.spec.connection,
                subscription=plan.spec.subscription,
                resource_group=plan.spec.pool.resource_group,
                account=plan.spec.pool.account,
                pool=pool,
                jobs=[job.id for job in jobs],
                deadline=(now() + patience).isoformat(),
            ),
            method_name="go_on",
            timeout=patience + GRACE,
        )

    def _keep(self, context: Context, store: StateStore, moving: Moving) -> None:
        store.keep(moving=asdict(moving))
        context["ti"].xcom_push(key=DISABLED_KEY, value=list(moving.disabled))


class Outcome(StrEnum):
    """What became of a job's step."""

    DONE = "done"
    WAITS = "waits"
    CHANGED = "changed"


def named(jobs: Iterable[str]) -> str:
    """Return ids for a message."""
    return listed(jobs, JOBS_NAMED)


def _has_changed(job: Job, present: Job | None) -> bool:
    return present is None or (present.state, present.pool, present.etag) != (job.state, job.pool, job.etag)


def _with(ids: tuple[str, ...], *more: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*ids, *more)))


def _without(ids: tuple[str, ...], gone: str) -> tuple[str, ...]:
    return tuple(one for one in ids if one != gone)
