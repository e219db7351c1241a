"""Stage ``nodes``: wait until the pool's nodes take work, and do something for those that do not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.errors import from_dict
from golden_pools.operators.base import StateStore, now, pulled
from golden_pools.operators.replacement import ReplacingOperator
from golden_pools.operators.stage_pool import stage_pool
from golden_pools.operators.tending import CHART, Ward
from golden_pools.rules.facts import AllocationState, Pool, PoolNodes
from golden_pools.rules.family import is_deleting
from golden_pools.rules.resize import headcount
from golden_pools.rules.resize.chart import Chart
from golden_pools.rules.resize.clinic import ClinicKind, ClinicStep

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch_work import BatchWorkHook


class ReadyNodesOperator(ReplacingOperator):
    """Wait until the pool's nodes are ready: ``idle`` or ``running``. Reboot or replace those that do not become so.

    What is done for whom is :func:`~golden_pools.rules.resize.clinic.clinic_step`, within ``resize.clinic`` of the
    spec. The XCom is ``{"pool": id, "dedicated": n, "spot": n, "rebooted": [node ids], "replaced": n}`` with the nodes
    that are ready.

    :param pool_task_id: task whose XCom names the pool, see :func:`~golden_pools.operators.stage_pool.stage_pool`

    :raises ResizeGaveUpError: too few nodes became ready, with the cause and whether it speaks against the image
    :raises OwnershipError: somebody else resized the pool meanwhile
    """

    ui_color = "#e3f1ee"

    def __init__(self, *, pool_task_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_task_id = pool_task_id

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Begin; a try that finds the time of an earlier one over gets its own."""
        plan = self.plan_for_writing(context)
        with self.work(plan) as hook:
            ward = self._ward(context, hook)
            self.begin(ward.site)
            ward.keep(ward.chart.with_time(timedelta(minutes=plan.spec.resize.ready_minutes), now()))
        return self.turn(context)

    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Look at the nodes and do what follows."""
        with self.work(self.plan_for_writing(context)) as hook:
            ward = self._ward(context, hook)
            pool = hook.pool(*ward.where)
            if pool is None or is_deleting(pool):
                from golden_pools.triggers.pool import pool_gone

                ward.fail(pool_gone(ward.resource))
            if ward.chart.replacing:
                self.replace_nodes(ward, pool)
            return self._treat(ward, pool)

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait: what follows depends on what is seen now."""
        event = event or {}
        self.note_samples(context, event)
        if "failure" in event or "verdict" in event:
            with self.work(self.plan(context)) as hook:
                ward = self._ward(context, hook)
                if ward.chart.replacing:
                    self.after_resize(ward.site, event)
                elif "failure" in event:
                    ward.fail(from_dict(event["failure"]))
        return self.turn(context)

    def _ward(self, context: Context, hook: BatchWorkHook) -> Ward:
        """Return the pool with its chart: as it is kept, as the stage before left it, or a new one."""
        plan = self.plan(context)
        pool = stage_pool(context, plan, hook, self.pool_task_id)
        store = StateStore(context, f"nodes of {pool.name}: {pool.targets.dedicated} and {pool.targets.spot}")
        if kept := store.read().get(CHART):
            return Ward(context, plan, hook, pool, store, Chart.from_dict(kept))
        before = (pulled(context, self.pool_task_id) or {}).get(CHART) if self.pool_task_id else None
        chart = Chart.from_dict(before).anew(now()) if before else Chart.opened(now())
        ward = Ward(context, plan, hook, pool, store, chart)
        ward.keep(chart)
        return ward

    def _treat(self, ward: Ward, pool: Pool) -> dict[str, Any] | None:
        at_rest = pool.allocation_state is AllocationState.STEADY
        ready = timedelta(minutes=ward.plan.spec.resize.ready_minutes)
        seen, bad, step = self.examine(ward, ready=ready, at_rest=at_rest)
        if step.kind is ClinicKind.REBOOT:
            self.reboot(ward, [node for node in bad if node.id in step.nodes])
            self._wait(ward, seen, step)
        elif step.kind is ClinicKind.REPLACE:
            self.tell(ward, [node for node in bad if node.id in step.nodes], "are replaced")
            ward.keep(ward.chart.replacing_nodes(step.nodes))
            self.replace_nodes(ward, pool)
            return self.next_step(ward.context)
        elif step.kind is ClinicKind.WAIT:
            self._wait(ward, seen, step)
        elif step.kind is ClinicKind.GIVE_UP:
            self.give_up_nodes(ward, bad, step)
        if step.kind is ClinicKind.REACHED:
            self.log.info("%s: %s", ward.pool.name, headcount(pool, seen, ward.pool.targets))
        elif step.kind is ClinicKind.PARTIAL:
            self.log.warning("%s: enough nodes are ready, not all: %s. %s", ward.pool.name, step.reason, step.advice)
        return {**ward.result, "dedicated": seen.dedicated.ready, "spot": seen.spot.ready}

    def _wait(self, ward: Ward, seen: PoolNodes, step: ClinicStep) -> None:
        from golden_pools.triggers.clinic import ClinicTrigger

        settings, targets = ward.plan.spec.resize, ward.pool.targets
        self.defer_for_pool(
            ClinicTrigger,
            ward.plan,
            pool=ward.pool.name,
            within=max(ward.chart.deadline(timedelta(minutes=settings.ready_minutes)) - now(), timedelta(0)),
            targets=targets.model_dump(),
            shares=settings.smallest_acceptable_share.model_dump(),
            others=step.others,
            result=ward.result,
            **self.watch(ward, seen, step),
        )
