"""Stage ``publish``: what was captured becomes a version in an Azure Compute Gallery."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.links.portal import ImageLink
from golden_pools.operators.base import PREFLIGHT_TASK_ID, pulled, run_link
from golden_pools.operators.golden_vm import ImageStageOperator, check_is_ours
from golden_pools.operators.passport_files import keep_passport
from golden_pools.operators.replicate import RegionsStageOperator
from golden_pools.rules.origin import version_origin
from golden_pools.rules.passport import new_passport
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.provenance import version_provenance
from golden_pools.rules.replication import first_replicas
from golden_pools.spec.image import Publish

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.compute import ComputeHook
    from golden_pools.rules.facts import ImageVersion


class PublishImageVersionOperator(ImageStageOperator, RegionsStageOperator):
    """Make a gallery version of the managed image, the snapshot set or the VM, in its own region and the pool's.

    The spec's other regions are the matter of the stage ``replicate``: the pool does not wait for them. It is
    excluded from ``latest`` until a pool runs on it: who follows ``latest`` gets no version that is not tried.

    :param image_task_id: task whose XCom is the managed image's ARM id, if one was made
    :param snapshot_task_id: task whose XCom is the snapshot set, where the source has one
    :param clone_task_id: task whose XCom is the ARM id of the generalized clone, where one is made
    """

    ui_color = "#dfeaf5"
    operator_extra_links = (ImageLink(),)

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

    def execute(self, context: Context) -> Any:
        """Make definition (if missing) and version, or adopt what this run began before, and wait for it."""
        plan = self.plan_for_building(context)
        if plan.spec.image.publish is Publish.MANAGED_IMAGE:
            self.log.warning("Legacy route: the pool takes the managed image itself, nothing is published")
            return self.published(context, plan)
        with self.compute(plan) as hook:
            if hook.definition(plan.definition_id) is None:
                self._make_definition(hook, plan)
            there = hook.image_version(plan.version_id)
            if there is not None:
                check_is_ours(plan, "image version", there.id, there.tags)
            if there is None or _is_to_be_made(there):
                self._make_version(context, hook, plan, there)
        return self.go_on(context)

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

    def definition_made(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Go on with the version."""
        self.raise_failure(context, event)
        return self.execute(context)

    def _make_version(self, context: Context, hook: ComputeHook, plan: RunPlan, failed: ImageVersion | None) -> None:
        """Make it, or make it again where it failed; regions that it was in stay among its targets."""
        replicas = {**(failed.target_regions if failed else {}), **first_replicas(plan, plan.system.location)}
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
            tags=version_provenance(plan, link=run_link(plan)),
            exclude_from_latest=True,
        )
        home = plan.system.location
        before = {home: replicas[home]}
        self.regions_store(context, plan).keep(operation=operation.to_dict(), before=before, asked=1, paused=0)
        self.wait_for_replication(plan, operation.to_dict(), method_name="go_on", region=plan.pool_region)

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Return the passport once the pool can use the version; ask again for a region to which it did not get."""
        plan = self.plan_for_building(context)
        if event and "failure" in event:
            with self.compute(plan) as hook:
                version = hook.image_version(plan.version_id)
            if version is None or _is_to_be_made(version):
                self.raise_failure(context, event)
        self.bring_to(
            context, plan, lambda _: first_replicas(plan, plan.system.location), event, until=plan.pool_region
        )
        return self.published(context, plan)

    def published(self, context: Context, plan: RunPlan) -> dict[str, Any]:
        """Return the passport of the version."""
        passport = new_passport(
            plan,
            snapshots=pulled(context, self.snapshot_task_id),
            managed_image=self._managed_image(context, plan),
            findings=pulled(context, PREFLIGHT_TASK_ID)["findings"],
        )
        keep_passport(plan, passport)
        self.log.info("Published %s", plan.image_id)
        return passport

    def _managed_image(self, context: Context, plan: RunPlan) -> str | None:
        """Return the ARM id of the managed image, if there is one."""
        return plan.given_image_id or pulled(context, self.image_task_id)


def _is_to_be_made(version: ImageVersion) -> bool:
    """Return whether a version has to be made again: it failed before its own region had it."""
    return version.provisioning_state == "Failed" and not version.is_in(version.location)
