"""Stage ``announce``: the event of the image's asset, which lets followers start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.operators.base import StageOperator, pulled

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context


class AnnounceImageOperator(StageOperator):
    """Send the event of the image's asset, with the passport in it, once a version has proved good.

    A task of its own, since Airflow sends an event for every success of a task with the asset as outlet: a run on a
    version that was good before has nothing to announce.

    :param record_task_id: task whose XCom is the passport, and says whether the version became good in this run
    :param asset: the image's asset, an outlet of this task
    """

    ui_color = "#eef2f7"

    def __init__(self, *, record_task_id: str, asset: Asset, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.record_task_id = record_task_id
        self.asset = asset

    def execute(self, context: Context) -> None:
        """Send it, or skip."""
        plan = self.plan_for_writing(context)
        passport = pulled(context, self.record_task_id)
        if not passport["became_good"]:
            raise AirflowSkipException(f"{plan.image_id} was good before this run")
        context["outlet_events"][self.asset].extra = passport
        self.log.info("Announced %s", plan.image_id)
