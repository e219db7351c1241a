"""Stage ``resize``: bring the pool to its targets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.operators.base import StateStore, now
from golden_pools.operators.pool_stage import failure_of
from golden_pools.operators.resizing import Site, outcome
from golden_pools.operators.stage_pool import StagePool, stage_pool
from golden_pools.operators.tending import CHART, TendingOperator, Ward
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.resize import VerdictKind, wanted
from golden_pools.rules.resize.chart import Chart
from golden_pools.rules.resize.clinic import ClinicKind

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch_work import BatchWorkHook

WHILE_IT_GROWS = timedelta(days=1)
"""More than any resize takes: the time for nodes to become ready begins when all are there."""

WATCH = "watch"
"""Key of the stage's store: what a wait is to look out for, see :class:`~golden_pools.rules.resize.clinic.Watch`."""


class ResizePoolOperator(TendingOperator):
    """Resize the pool, judge the outcome, resize again: until it has its targets, or nothing more helps.

    The XCom is ``{"pool": id, "targets": {"dedicated": n, "spot": n}, "verdict": "reached" or "partial",
    "reason": text, "resizes": n, "dedicated": n, "spot": n}`` with the nodes that are allocated, and with ``vm_size``
    where the tactic ``other_vm_sizes`` took another one. The targets are those that the pool was brought to: with the
    tactic ``spot_to_dedicated`` others than the spec's, of the same sum. Where bad nodes were looked after, ``chart``
    is the :class:`~golden_pools.rules.resize.chart.Chart` that the next stage goes on with.

    :param pool_task_id: task whose XCom names the pool, see :func:`~golden_pools.operators.stage_pool.stage_pool`
    :param even_partly: ask for what the quotas let through where the targets can never fit, instead of failing at once
    :param tend_nodes: reboot nodes that fail while others still come, and end with the first look at too many of them:
        where :class:`~golden_pools.operators.nodes.ReadyNodesOperator` follows, which would do so later

    :raises ResizeGaveUpError: with verdict, cause and advice
    :raises NeverFitsError: the targets do not fit into the account's quotas
    :raises FullNowError: other pools held the quota for longer than the spec waits
    :raises OwnershipError: somebody else resized the pool meanwhile
    """

    ui_color = "#e3f1ee"

    def __init__(
        self,
        *,
        pool_task_id: str | None = None,
        even_partly: bool = False,
        tend_nodes: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_task_id = pool_task_id
        self.even_partly = even_partly
        self.tend_nodes = tend_nodes

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Begin; what an earlier try asked for is adopted, unless somebody else has resized the pool since."""
        plan = self.plan_for_writing(context)
        with self.work(plan) as hook:
            site = self.site(context, plan, hook)
            self.begin(site)
            site.store.keep(**{WATCH: None})
        return self.turn(context)

    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Ask for a resize, or adopt the one that an earlier try asked for, and wait for it."""
        plan = self.plan_for_writing(context)
        with self.work(plan) as hook:
            site = self.site(context, plan, hook)
            chart = site.store.read().get(CHART)
            result = {"pool": site.pool, **({CHART: chart} if chart else {})}
            verdict, course = self.bring_to_targets(site, result=result)
            if verdict.kind is VerdictKind.GIVE_UP:
                error = failure_of(verdict, plan, "The pool did not reach its targets", resource=site.resource)
                site.fail(error, blames_image=verdict.blames_image, tried=course)
            pool = hook.pool(*site.where)
            self.log.info("Pool %s: %s", site.pool, verdict.reason)
            return {
                **result,
                **outcome(course),
                "verdict": verdict.kind.value,
                "reason": verdict.reason,
                "dedicated": pool.current_dedicated if pool else 0,
                "spot": pool.current_spot if pool else 0,
            }

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait: what follows depends on what is seen now."""
        self.note_samples(context, event or {})
        plan = self.plan(context)
        with self.work(plan) as hook:
            site = self.site(context, plan, hook)
            self.after_resize(site, event or {})
            if event and "look" in event:
                self._tend(hook, site)
        return self.turn(context)

    def _tend(self, hook: BatchWorkHook, site: Site) -> None:
        """Reboot nodes that have failed while others still come, or stop the resize and fail."""
        kept = site.store.read().get(CHART)
        chart = (Chart.from_dict(kept) if kept else Chart.opened(now())).with_time(WHILE_IT_GROWS, now())
        ward = Ward(site.context, site.plan, hook, StagePool(site.pool, site.course().goal), site.store, chart)
        seen, bad, step = self.examine(ward, ready=WHILE_IT_GROWS, at_rest=False)
        if step.kind is ClinicKind.REBOOT:
            self.reboot(ward, [node for node in bad if node.id in step.nodes])
        elif step.kind is ClinicKind.GIVE_UP:
            self.stop_growth(site, step.reason)
            self.give_up_nodes(ward, bad, step)
        site.store.keep(**{WATCH: self.watch(ward, seen, step)})

    def site(self, context: Context, plan: RunPlan, hook: BatchWorkHook) -> Site:
        """Return the pool that is to be brought to its targets."""
        pool = stage_pool(context, plan, hook, self.pool_task_id)
        store = StateStore(context, f"resize {pool.name} to {pool.targets.dedicated} and {pool.targets.spot}")
        alarm = wanted(pool.targets.total, plan.spec.resize.clinic.largest_bad_share)
        watch = store.read().get(WATCH) or {"known": {}, "until": None, "alarm": alarm}
        return Site(
            context=context,
            plan=plan,
            hook=hook,
            pool=pool.name,
            targets=pool.targets,
            store=store,
            even_partly=self.even_partly,
            watch=watch if self.tend_nodes else None,
        )
