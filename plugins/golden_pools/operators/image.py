"""Stage ``managed_image``: the snapshot set becomes a managed image."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.operators.base import StateStore, pulled
from golden_pools.operators.golden_vm import ImageStageOperator, check_is_ours

if TYPE_CHECKING:
    from airflow.sdk import Context

IMAGE_TIME = timedelta(hours=2)
"""Longest wait for a managed image; one to ten minutes are usual."""


class CreateManagedImageOperator(ImageStageOperator):
    """Make the managed image from the snapshot set.

    :param snapshot_task_id: task whose XCom is the snapshot set
    """

    ui_color = "#dfeaf5"

    def __init__(self, *, snapshot_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.snapshot_task_id = snapshot_task_id

    def execute(self, context: Context) -> str | None:
        """Start the image, or adopt what this run began before, and wait for it. Returns its ARM id."""
        from golden_pools.hooks.operations import PendingOperation

        plan = self.plan_for_building(context)
        snapshots = pulled(context, self.snapshot_task_id)
        group, name = plan.image_group, plan.managed_image_name
        store = StateStore(context, plan.stem)
        with self.compute(plan) as hook:
            there = hook.managed_image(group, name)
            if there is not None:
                check_is_ours(plan, "managed image", there.id, there.tags)
                if there.provisioning_state == "Succeeded":
                    self.log.info("Managed image %s is there already", name)
                    return there.id
            if there is not None and there.provisioning_state != "Failed":
                watch = {"what": f"make managed image {name}", "resource_id": there.id, "token": None}
                operation = PendingOperation.from_dict(store.read().get("operation", watch))
            else:
                self.log.info("Managed image %s begins, from %d snapshots", name, 1 + len(snapshots["data"]))
                operation = hook.begin_managed_image(
                    group,
                    name,
                    location=plan.system.location,
                    os_type=plan.system.os_type,
                    generation=plan.system.generation,
                    os_snapshot_id=snapshots["os"]["snapshot"],
                    data_snapshots={data["lun"]: data["snapshot"] for data in snapshots["data"]},
                    tags=plan.tags,
                )
                store.keep(operation=operation.to_dict())
        self.wait_for_operations(plan, [operation], within=IMAGE_TIME, result=plan.managed_image_id)
        return None
