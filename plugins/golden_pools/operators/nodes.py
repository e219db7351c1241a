"""Stage ``nodes``: wait until the pool's nodes take work, and do something for those that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.errors import AzureRefusedError, ResizeGaveUpError, from_dict
from golden_pools.operators.bad_nodes import log_bad_nodes
from golden_pools.operators.base import StateStore, now
from golden_pools.operators.replacement import ReplacingOperator, Ward
from golden_pools.operators.stage_pool import stage_pool
from golden_pools.rules.facts import AllocationState, Node, Pool, PoolNodes
from golden_pools.rules.family import is_deleting
from golden_pools.rules.resize import wanted
from golden_pools.rules.resize.chart import Chart
from golden_pools.rules.resize.clinic import ClinicKind, ClinicStep, bad_counts, clinic_step

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch_work import BatchWorkHook

CONFLICT, NOT_FOUND = 409, 404


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
            if ward.chart.deadline(timedelta(minutes=plan.spec.resize.ready_minutes)) <= now():
                ward.keep(ward.chart.anew(now()))
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
        if "failure" in event or "verdict" in event:
            with self.work(self.plan(context)) as hook:
                ward = self._ward(context, hook)
                if ward.chart.replacing:
                    self.after_resize(ward.site, event)
                elif "failure" in event:
                    ward.fail(from_dict(event["failure"]))
        return self.turn(context)

    def _ward(self, context: Context, hook: BatchWorkHook) -> Ward:
        plan = self.plan(context)
        pool = stage_pool(context, plan, hook, self.pool_task_id)
        store = StateStore(context, f"nodes of {pool.name}: {pool.targets.dedicated} and {pool.targets.spot}")
        kept = store.read().get("chart")
        ward = Ward(context, plan, hook, pool, store, Chart.from_dict(kept) if kept else Chart.opened(now()))
        if not kept:
            ward.keep(ward.chart)
        return ward

    def _treat(self, ward: Ward, pool: Pool) -> dict[str, Any] | None:
        group, account, name = ward.where
        counts = {seen.lower(): nodes for seen, nodes in ward.hook.node_counts(group, account).items()}
        seen = counts.get(name.lower()) or PoolNodes(pool=name)
        bad = ward.hook.nodes(*ward.where, bad_only=True) if bad_counts(seen) else []
        ward.keep(ward.chart.watching(bad, now()))
        settings = ward.plan.spec.resize
        step = clinic_step(
            seen,
            bad,
            ward.pool.targets,
            ward.chart,
            shares=settings.smallest_acceptable_share,
            settings=settings.clinic,
            ready=timedelta(minutes=settings.ready_minutes),
            now=now(),
            at_rest=pool.allocation_state is AllocationState.STEADY,
        )
        if step.kind is ClinicKind.REBOOT:
            self._reboot(ward, [node for node in bad if node.id in step.nodes])
            self._wait(ward, {}, step)
        elif step.kind is ClinicKind.REPLACE:
            self._tell(ward, [node for node in bad if node.id in step.nodes], "are replaced")
            ward.keep(ward.chart.replacing_nodes(step.nodes))
            self.replace_nodes(ward, pool)
            return self.next_step(ward.context)
        elif step.kind is ClinicKind.WAIT:
            self._wait(ward, bad_counts(seen), step)
        elif step.kind is ClinicKind.GIVE_UP:
            self._tell(ward, bad, "are given up")
            what = "The pool's nodes did not become ready"
            error = ResizeGaveUpError(what, resource=ward.resource, answer=step.reason, advice=step.advice)
            ward.fail(error, blames_image=step.blames_image)
        if step.kind is ClinicKind.PARTIAL:
            self.log.warning("%s: enough nodes are ready, not all: %s. %s", name, step.reason, step.advice)
        return {**ward.result, "dedicated": seen.dedicated.ready, "spot": seen.spot.ready}

    def _wait(self, ward: Ward, known: Mapping[str, int], step: ClinicStep) -> None:
        from golden_pools.triggers.clinic import ClinicTrigger

        settings, targets = ward.plan.spec.resize, ward.pool.targets
        self.defer_for_pool(
            ClinicTrigger,
            ward.plan,
            pool=ward.pool.name,
            within=max(ward.chart.deadline(timedelta(minutes=settings.ready_minutes)) - now(), timedelta(0)),
            targets=targets.model_dump(),
            shares=settings.smallest_acceptable_share.model_dump(),
            known=dict(known),
            until=step.until.isoformat() if step.until else None,
            others=step.others,
            alarm=wanted(targets.total, settings.clinic.largest_bad_share),
            result=ward.result,
        )

    def _tell(self, ward: Ward, nodes: Sequence[Node], what: str) -> None:
        group, account, pool = ward.where
        if nodes:
            self.log.warning("%s: %d bad node(s) %s", pool, len(nodes), what)
            log_bad_nodes(self.log, ward.hook, group=group, account=account, pool=pool, nodes=nodes)

    def _reboot(self, ward: Ward, nodes: Sequence[Node]) -> None:
        """Reboot nodes; Azure does not take every state, and a node may have left meanwhile."""
        self._tell(ward, nodes, "are rebooted")
        ward.keep(ward.chart.rebooting(nodes))
        chart = ward.chart
        for node in nodes:
            try:
                ward.hook.reboot_node(*ward.where, node.id)
            except AzureRefusedError as refusal:
                if refusal.status not in (CONFLICT, NOT_FOUND):
                    raise
                self.log.warning("Azure does not reboot node %s: %s", node.id, refusal.answer)
                chart = chart.rebooted(node.id, now(), refused=True)
            else:
                chart = chart.rebooted(node.id, now())
        ward.keep(chart)
