"""Stage ``managed_image``: what was captured becomes a managed image."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.links.portal import ManagedImageLink
from golden_pools.operators.base import StateStore, pulled, run_link
from golden_pools.operators.golden_vm import ImageStageOperator, check_is_ours
from golden_pools.rules.origin import image_origin
from golden_pools.rules.provenance import provenance
from golden_pools.rules.source import Road

if TYPE_CHECKING:
    from airflow.sdk import Context

IMAGE_TIME = timedelta(hours=2)
"""Longest wait for a managed image; one to ten minutes are usual."""


class CreateManagedImageOperator(ImageStageOperator):
    """Make the managed image of the snapshot set, of the VM that is captured, or of page blobs.

    Skipped where the version is made without one, or of one that is there.

    :param snapshot_task_id: task whose XCom is the snapshot set, where the source has one
    :param clone_task_id: task whose XCom is the ARM id of the generalized clone, where one is made
    """

    ui_color = "#dfeaf5"
    operator_extra_links = (ManagedImageLink(),)

    def __init__(self, *, snapshot_task_id: str | None = None, clone_task_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.snapshot_task_id = snapshot_task_id
        self.clone_task_id = clone_task_id

    def execute(self, context: Context) -> str | None:
        """Start the image, or adopt what this run began before, and wait for it. Returns its ARM id."""
        from golden_pools.hooks.operations import PendingOperation

        plan = self.plan_for_building(context)
        if plan.road is not Road.MANAGED_IMAGE:
            why = plan.system.why_no_managed_image or "the spec's route"
            raise AirflowSkipException(f"the version is made without a managed image ({why})")
        if plan.given_image_id:
            raise AirflowSkipException(f"the source is a managed image: {plan.given_image_id}")
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
                origin = image_origin(
                    plan,
                    snapshots=pulled(context, self.snapshot_task_id),
                    clone_id=pulled(context, self.clone_task_id),
                )
                self.log.info("Managed image %s begins, from %s", name, origin)
                tags = provenance(plan, link=run_link(plan))
                operation = hook.begin_managed_image(group, name, system=plan.system, origin=origin, tags=tags)
                store.keep(operation=operation.to_dict())
        self.wait_for_operations(plan, [operation], within=IMAGE_TIME, result=plan.managed_image_id)
        return None
