"""Stage ``record``: the version is good, and its passport goes out with the pool's asset event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from golden_pools.links.portal import BatchPoolLink, ImageLink
from golden_pools.operators.base import PREFLIGHT_TASK_ID, StateStore, now, pulled, run_link
from golden_pools.operators.marking import MarkingStageOperator
from golden_pools.operators.passport_files import keep_passport, note_move
from golden_pools.rules.passport import AnswerOf, new_passport, with_answer, with_pool, with_probes, with_run
from golden_pools.rules.plan import ImageVerdict, RunPlan, is_marked, verdict_tags
from golden_pools.rules.rollback import version_of

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context


class RecordPassportOperator(MarkingStageOperator):
    """Mark the version good, add probes and pool to its passport, keep that, and send it as the pool asset's event.

    Ends on a worker, because the asset's event is sent there.

    :param publish_task_id: task whose XCom is the passport of a version that this run built; None: it never builds
    :param refresh_task_id: task whose XCom says what happened to the pool
    :param nodes_task_id: task whose XCom counts the ready nodes
    :param asset: the pool's asset, an outlet of this task
    :param approve_task_id: task whose XCom is the answer of a person; None: nobody is asked
    :param probe_task_ids: tasks whose XComs are results of probes; one that was skipped has none
    """

    ui_color = "#eef2f7"
    operator_extra_links = (BatchPoolLink(), ImageLink())

    def __init__(
        self,
        *,
        publish_task_id: str | None,
        refresh_task_id: str,
        nodes_task_id: str,
        asset: Asset,
        approve_task_id: str | None = None,
        probe_task_ids: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.publish_task_id = publish_task_id
        self.refresh_task_id = refresh_task_id
        self.nodes_task_id = nodes_task_id
        self.asset = asset
        self.approve_task_id = approve_task_id
        self.probe_task_ids = tuple(probe_task_ids)

    def execute(self, context: Context) -> dict[str, Any]:
        """Mark the version, wait until Azure has done it, and return the passport."""
        plan = self.plan_for_writing(context)
        if plan.is_versioned:
            self._mark_good(context, plan)
        elif plan.builds_image:
            self._store(context, plan).keep(became_good=True)
        return self.record(context)

    def _store(self, context: Context, plan: RunPlan) -> StateStore:
        return StateStore(context, plan.image_id)

    def _since(self, context: Context, plan: RunPlan) -> str:
        """Return the moment of the first try that got so far: a retry and a clear say the same."""
        store = self._store(context, plan)
        return str(store.read().get("since") or store.keep(since=now().isoformat())["since"])

    def _mark_good(self, context: Context, plan: RunPlan) -> None:
        pool = pulled(context, self.refresh_task_id)["pool"]
        with self.compute(plan) as hook:
            version = hook.image_version(plan.version_id)
            if version is not None and is_marked(version.tags, ImageVerdict.GOOD):
                return
            self._store(context, plan).keep(became_good=True)
            self.log.info("Version %s is good", version_of(plan.version_id))
            self.mark(
                hook,
                plan,
                tags=verdict_tags(ImageVerdict.GOOD, f"pool {pool} runs on it"),
                unwritten=f"Version {plan.version_id} is good, but is not marked so: every run takes it for a new one, "
                "tries its canary again and tells followers of it",
            )

    def record(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send the event and return the passport."""
        self.raise_failure(context, event)
        plan = self.plan(context)
        passport = pulled(context, self.publish_task_id) or new_passport(
            plan,
            snapshots=None,
            managed_image=None,
            findings=pulled(context, PREFLIGHT_TASK_ID)["findings"],
        )
        if answer := pulled(context, self.approve_task_id):
            passport = with_answer(passport, AnswerOf.model_validate(answer))
        results = (pulled(context, task_id) for task_id in self.probe_task_ids)
        refresh, since = pulled(context, self.refresh_task_id), self._since(context, plan)
        passport = with_pool(
            with_probes(passport, [result for result in results if result]),
            plan,
            refresh=refresh,
            nodes=pulled(context, self.nodes_task_id),
            since=since,
        )
        passport = with_run(
            passport,
            link=run_link(plan),
            ended=context["ti"].get_task_breadcrumbs(plan.dag_id, plan.run_id),
            became_good=bool(self._store(context, plan).read().get("became_good")),
        )
        self.log.info("Pool %s is on %s", refresh["pool"], version_of(plan.image_id))
        keep_passport(plan, passport)
        note_move(plan, image_before=refresh["image_before"], when=since)
        context["outlet_events"][self.asset].extra = passport
        return passport
