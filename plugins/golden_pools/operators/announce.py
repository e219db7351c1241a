"""Stage ``announce``: the version is for everybody, and the event of the image's asset lets followers start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.links.portal import ImageLink
from golden_pools.operators.base import MARK_TIME, pulled
from golden_pools.operators.marking import MarkingStageOperator
from golden_pools.rules.plan import is_made_by_a_run

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from golden_pools.rules.plan import RunPlan


_UNWRITTEN = "Version {} stays excluded from latest: who follows latest does not get it until its maker lets it"


class AnnounceImageOperator(MarkingStageOperator):
    """Let ``latest`` mean a version that has proved good, and send the event of the image's asset with its passport.

    A version that somebody else made stays as excluded from ``latest`` as it is. A task of its own, since Airflow sends
    an event for every success of a task with the asset as outlet: a run on a version that was good before has nothing
    to announce.

    :param record_task_id: task whose XCom is the passport, and says whether the version became good in this run
    :param asset: the image's asset, an outlet of this task
    """

    ui_color = "#eef2f7"
    operator_extra_links = (ImageLink(),)

    def __init__(self, *, record_task_id: str, asset: Asset, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.record_task_id = record_task_id
        self.asset = asset

    def execute(self, context: Context) -> None:
        """Release the version, once Azure is done with what it does to it; then send the event, or skip."""
        plan = self.plan_for_writing(context)
        if plan.is_versioned:
            self._release(plan)
        self.announce(context)

    def _release(self, plan: RunPlan) -> None:
        with self.compute(plan) as hook:
            version = hook.image_version(plan.version_id)
            if version is None or not version.exclude_from_latest or not is_made_by_a_run(version.tags):
                return
            operation = self.mark(
                hook, plan, tags={}, unwritten=_UNWRITTEN.format(version.name), exclude_from_latest=False
            )
        if operation is not None:
            self.log.info("Version %s is no longer excluded from latest", version.name)
            self.wait_for_operations(plan, [operation], within=MARK_TIME, method_name="announce")

    def announce(self, context: Context, event: Mapping[str, Any] | None = None) -> None:
        """Send the event, or skip."""
        self.raise_failure(context, event)
        plan = self.plan(context)
        passport = pulled(context, self.record_task_id)
        if not passport["became_good"]:
            raise AirflowSkipException(f"{plan.image_id} was good before this run")
        context["outlet_events"][self.asset].extra = passport
        self.log.info("Followers of %s are told of %s", self.asset.name, plan.image_id)
