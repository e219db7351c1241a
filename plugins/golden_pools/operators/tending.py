"""Looking after bad nodes: what the stages share that wait for nodes, whether these come or boot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.exceptions import TaskDeferred

from golden_pools.errors import AzureBusyError, AzureRefusedError, GoldenPoolsError, ResizeGaveUpError
from golden_pools.failures import note_failure
from golden_pools.operators.bad_nodes import log_bad_nodes
from golden_pools.operators.base import StateStore, now
from golden_pools.operators.resizing import COURSE, ResizingOperator, Site
from golden_pools.operators.stage_pool import StagePool
from golden_pools.rules.facts import Node, PoolNodes
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.resize import SAMPLES, wanted
from golden_pools.rules.resize.chart import Chart
from golden_pools.rules.resize.clinic import ClinicKind, ClinicStep, bad_counts, clinic_step
from golden_pools.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch_work import BatchWorkHook

CONFLICT, NOT_FOUND = 409, 404

CHART = "chart"
"""Key of a stage's store, and of its XCom for the next one: :class:`~golden_pools.rules.resize.chart.Chart` as JSON."""


@dataclass
class Ward:
    """The pool of the stage, and the clinic's chart, which is kept before each write."""

    context: Context
    plan: RunPlan
    hook: BatchWorkHook
    pool: StagePool
    store: StateStore
    chart: Chart

    @property
    def where(self) -> tuple[str, str, str]:
        """Resource group, account and pool, as hooks take them."""
        return self.plan.spec.pool.resource_group, self.plan.spec.pool.account, self.pool.name

    @property
    def resource(self) -> str:
        """ARM id of the pool."""
        return self.plan.id_of_pool(self.pool.name)

    @property
    def site(self) -> Site:
        """The pool, which gets back the nodes that are removed."""
        return Site(
            context=self.context,
            plan=self.plan,
            hook=self.hook,
            pool=self.pool.name,
            targets=self.pool.targets,
            store=self.store,
            even_partly=True,
        )

    @property
    def result(self) -> dict[str, Any]:
        """The task's XCom, but for the ready nodes."""
        return {
            "pool": self.pool.name,
            "rebooted": self.chart.nodes_rebooted,
            "replaced": self.chart.replaced,
        }

    def keep(self, chart: Chart) -> None:
        """Keep a new chart."""
        self.chart = chart
        self.store.keep(**{CHART: chart.to_dict()})

    def fail(self, error: GoldenPoolsError, *, blames_image: bool = False) -> NoReturn:
        """End the stage with an error; a clear of the task starts anew, a retry does not."""
        if not isinstance(error, AzureBusyError):
            self.store.keep(**{CHART: None, COURSE: None})
        counts = ((len(self.chart.nodes_rebooted), "rebooted"), (self.chart.replaced, "replaced"))
        done = ", ".join(f"{counted(count, 'node')} {what}" for count, what in counts if count)
        raise note_failure(self.context, error, blames_image=blames_image, done=done)


class TendingOperator(ResizingOperator):
    """A stage that reboots bad nodes, and says what they said before it gives them up.

    Its XCom ``samples`` is what its waits saw of the pool, however they ended, as
    :class:`~golden_pools.rules.resize.Curve` writes it; looks of earlier tries are part of it.
    """

    def begin(self, site: Site) -> None:
        """Begin a try, with what earlier ones saw: their XCom is gone."""
        super().begin(site)
        self.note_samples(site.context, {})

    def turn(self, context: Context) -> dict[str, Any] | None:
        """Take the next step; a wait goes on with what the stage has seen."""
        try:
            return super().turn(context)
        except TaskDeferred as wait:
            wait.trigger.samples = self._samples(context)
            raise

    def note_samples(self, context: Context, event: Mapping[str, Any]) -> None:
        """Keep what a wait saw, and leave it as XCom."""
        if SAMPLES in event:
            StateStore(context, SAMPLES).keep(points=event[SAMPLES])
        if samples := self._samples(context):
            context["ti"].xcom_push(key=SAMPLES, value=samples)

    def _samples(self, context: Context) -> list[list[Any]]:
        return list(StateStore(context, SAMPLES).read().get("points", ()))

    def examine(self, ward: Ward, *, ready: timedelta, at_rest: bool) -> tuple[PoolNodes, list[Node], ClinicStep]:
        """Return the pool's nodes, its bad ones, and what to do about these; the chart notes what was seen.

        :param ready: time for nodes to become ready
        :param at_rest: the pool does not grow at the moment
        """
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
            ready=ready,
            now=now(),
            at_rest=at_rest,
        )
        return seen, bad, step

    def watch(self, ward: Ward, seen: PoolNodes, step: ClinicStep) -> dict[str, Any]:
        """Return for which bad nodes a wait shall wake a worker after this step, as the arguments of a trigger."""
        targets, clinic = ward.pool.targets, ward.plan.spec.resize.clinic
        return {
            "known": {} if step.kind is ClinicKind.REBOOT else bad_counts(seen),
            "until": step.until.isoformat() if step.until else None,
            "alarm": wanted(targets.total, clinic.largest_bad_share),
        }

    def give_up_nodes(self, ward: Ward, bad: Sequence[Node], step: ClinicStep) -> NoReturn:
        """End the stage because of its nodes."""
        self.tell(ward, bad, "are given up")
        what = "The pool's nodes did not become ready"
        error = ResizeGaveUpError(what, resource=ward.resource, answer=step.reason, advice=step.advice)
        ward.fail(error, blames_image=step.blames_image)

    def tell(self, ward: Ward, nodes: Sequence[Node], what: str) -> None:
        """Say what is done with bad nodes, and what they said: a reboot or a removal takes that away."""
        group, account, pool = ward.where
        if nodes:
            self.log.warning("%s: %s %s", pool, counted(len(nodes), "bad node"), what)
            log_bad_nodes(self.log, ward.hook, group=group, account=account, pool=pool, nodes=nodes)

    def reboot(self, ward: Ward, nodes: Sequence[Node]) -> None:
        """Reboot nodes; Azure does not take every state, and a node may have left meanwhile."""
        self.tell(ward, nodes, "are rebooted")
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
