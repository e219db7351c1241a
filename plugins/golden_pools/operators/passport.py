"""Stage ``record``: the passport goes out with the pool's asset event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from golden_pools.operators.base import PREFLIGHT_TASK_ID, StageOperator, pulled
from golden_pools.rules.passport import new_passport, with_pool

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context


class RecordPassportOperator(StageOperator):
    """Add the pool to the image's passport and send it as the event of the pool's asset.

    :param publish_task_id: task whose XCom is the passport of a version that this run built
    :param refresh_task_id: task whose XCom says what happened to the pool
    :param nodes_task_id: task whose XCom counts the ready nodes
    :param asset: the pool's asset, an outlet of this task
    """

    ui_color = "#eef2f7"

    def __init__(
        self,
        *,
        publish_task_id: str,
        refresh_task_id: str,
        nodes_task_id: str,
        asset: Asset,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.publish_task_id = publish_task_id
        self.refresh_task_id = refresh_task_id
        self.nodes_task_id = nodes_task_id
        self.asset = asset

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the passport."""
        plan = self.plan_for_writing(context)
        passport = pulled(context, self.publish_task_id) or new_passport(
            plan,
            snapshots=None,
            managed_image=None,
            findings=pulled(context, PREFLIGHT_TASK_ID)["findings"],
        )
        passport = with_pool(
            passport,
            plan,
            refresh=pulled(context, self.refresh_task_id),
            nodes=pulled(context, self.nodes_task_id),
        )
        context["outlet_events"][self.asset].extra = passport
        self.log.info("Pool %s is on %s", plan.pool, passport["image"])
        return passport
