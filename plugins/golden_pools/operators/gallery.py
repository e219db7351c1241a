"""Stage ``publish``: what was captured becomes a version in an Azure Compute Gallery."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.operators.base import GRACE, PREFLIGHT_TASK_ID, StateStore, pulled
from golden_pools.operators.golden_vm import ImageStageOperator, check_is_ours
from golden_pools.rules.origin import version_origin
from golden_pools.rules.passport import new_passport
from golden_pools.rules.plan import RunPlan
from golden_pools.spec.image import Publish

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.compute import ComputeHook
    from golden_pools.hooks.operations import PendingOperation

VERSION_TIME = timedelta(hours=12)
"""Longest wait for a version: Microsoft speaks of hours, and waits up to six itself; giving up early wastes a build."""


class PublishImageVersionOperator(ImageStageOperator):
    """Make a gallery version of the managed image, the snapshot set or the VM, replicated to the spec's regions.

    It is excluded from ``latest`` until a pool runs on it: who follows ``latest`` gets no version that is not tried.

    :param image_task_id: task whose XCom is the managed image's ARM id, if one was made
    :param snapshot_task_id: task whose XCom is the snapshot set, where the source has one
    :param clone_task_id: task whose XCom is the ARM id of the generalized clone, where one is made
    """

    ui_color = "#dfeaf5"

    def __init__(
        self,
        *,
        image_task_id: str,
        snapshot_task_id: str | None = None,
        clone_task_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_task_id = image_task_id
        self.snapshot_task_id = snapshot_task_id
        self.clone_task_id = clone_task_id

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Make definition (if missing) and version, or adopt what this run began before, and wait for replication."""
        plan = self.plan_for_building(context)
        if plan.spec.image.publish is Publish.MANAGED_IMAGE:
            self.log.warning("Legacy route: the pool takes the managed image itself, nothing is published")
            return self.published(context)
        with self.compute(plan) as hook:
            if hook.definition(plan.definition_id) is None:
                self._make_definition(hook, plan)
            operation = self._start_or_adopt(context, hook, plan)
        if operation is None:
            return self.published(context)
        self._wait_for_replication(plan, operation)
        return None

    def _make_definition(self, hook: ComputeHook, plan: RunPlan) -> None:
        self.log.info("Image definition %s begins", plan.definition_id)
        image = plan.spec.image
        assert image.definition is not None  # the spec asks for it with publish: gallery
        operation = hook.begin_definition(
            plan.definition_id,
            system=plan.system,
            publisher=image.publisher,
            offer=image.definition[:64],  # Azure's limit
            sku="golden",
            tags={"golden-pools-pool": plan.pool},
        )
        self.wait_for_operations(plan, [operation], within=timedelta(minutes=30), method_name="definition_made")

    def definition_made(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Go on with the version."""
        self.raise_failure(context, event)
        return self.execute(context)

    def _start_or_adopt(self, context: Context, hook: ComputeHook, plan: RunPlan) -> PendingOperation | None:
        """Return the operation to wait for, or None where the version is complete."""
        from golden_pools.hooks.operations import PendingOperation

        store = StateStore(context, plan.version_id)
        there = hook.image_version(plan.version_id)
        if there is not None:
            check_is_ours(plan, "image version", there.id, there.tags)
            if there.provisioning_state == "Succeeded" and there.aggregated_state == "Completed":
                self.log.info("Image version %s is there already", plan.version_name)
                return None
            if there.provisioning_state != "Failed" and there.aggregated_state != "Failed":
                watch = {"what": f"publish version {there.name}", "resource_id": there.id, "token": None}
                return PendingOperation.from_dict(store.read().get("operation", watch))
        replicas = plan.replicas(plan.system.location)
        origin = version_origin(
            plan,
            snapshots=pulled(context, self.snapshot_task_id),
            clone_id=pulled(context, self.clone_task_id),
            managed_image=self._managed_image(context, plan),
        )
        self.log.info(
            "Image version %s begins, from %s, replicas: %s",
            plan.version_name,
            origin,
            ", ".join(f"{region} {count}" for region, count in replicas.items()),
        )
        operation = hook.begin_image_version(
            plan.version_id,
            location=plan.system.location,
            origin=origin,
            target_regions=replicas,
            tags=plan.tags,
            exclude_from_latest=True,
        )
        store.keep(operation=operation.to_dict())
        return operation

    def _wait_for_replication(self, plan: RunPlan, operation: PendingOperation) -> None:
        from golden_pools.triggers.replication import ReplicationTrigger

        self.defer(
            trigger=ReplicationTrigger(
                connection=plan.spec.connection,
                subscription=plan.spec.subscription,
                version_id=plan.version_id,
                operation=operation.to_dict(),
            ),
            method_name="published",
            timeout=VERSION_TIME + GRACE,
        )

    def published(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the passport of the version."""
        self.raise_failure(context, event)
        plan = self.plan(context)
        passport = new_passport(
            plan,
            snapshots=pulled(context, self.snapshot_task_id),
            managed_image=self._managed_image(context, plan),
            findings=pulled(context, PREFLIGHT_TASK_ID)["findings"],
        )
        self.log.info("Published %s", plan.image_id)
        return passport

    def _managed_image(self, context: Context, plan: RunPlan) -> str | None:
        """Return the ARM id of the managed image, if there is one."""
        return plan.given_image_id or pulled(context, self.image_task_id)
