"""Stages ``stop_golden_vm``, ``snapshot`` and ``start_golden_vm``: the golden VM's disks become a snapshot set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import OwnershipError
from golden_pools.operators.base import PREFLIGHT_TASK_ID, StageOperator, StateStore, pulled, run_link
from golden_pools.rules.capture import consistency_of
from golden_pools.rules.facts import PowerState
from golden_pools.rules.plan import RunPlan, made_by, owner_of
from golden_pools.rules.provenance import provenance
from golden_pools.spec.source import Capture

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.compute import ComputeHook
    from golden_pools.hooks.operations import PendingOperation
    from golden_pools.rules.facts import Disk, GoldenVm, Snapshot

POWER_TIME = timedelta(minutes=30)
"""Longest wait for a VM to stop or start; minutes are usual."""

SNAPSHOT_TIME = timedelta(hours=2)
"""Longest wait for a snapshot set; seconds to minutes are usual."""


class ImageStageOperator(StageOperator):
    """A stage of the image group: skipped when the run uses a version that is there."""

    def plan_for_building(self, context: Context) -> RunPlan:
        """Return the run plan, or skip."""
        plan = self.plan_for_writing(context)
        if not plan.builds_image:
            why = f": {plan.source.reason}" if plan.source else ""
            raise AirflowSkipException(f"the run uses the existing version {plan.version_id}{why}")
        return plan


class StopGoldenVmOperator(ImageStageOperator):
    """Deallocate the golden VM where the spec says ``capture: deallocated`` and it is not at rest already."""

    ui_color = "#e8f0e4"

    def execute(self, context: Context) -> None:
        """Stop the VM and wait for it; do nothing where nothing is to be stopped."""
        from golden_pools.hooks.operations import PendingOperation

        plan = self.plan_for_building(context)
        vm = plan.golden_vm
        if vm.capture is not Capture.DEALLOCATED:
            self.log.info("Golden VM %s stays as it is (capture: %s)", vm.name, vm.capture)
            return
        with self.compute(plan) as hook:
            seen = hook.golden_vm(vm.resource_group, vm.name)
            self.log.info("Golden VM %s is %s", vm.name, seen.power_state)
            if seen.power_state is PowerState.DEALLOCATED:
                return
            if seen.power_state is PowerState.DEALLOCATING:
                operation = PendingOperation(what=f"stop VM {vm.name}", resource_id=seen.id)
            else:
                operation = hook.begin_deallocate(vm.resource_group, vm.name)
        self.wait_for_operations(plan, [operation], within=POWER_TIME)


class StartGoldenVmOperator(StageOperator):
    """Teardown: bring the golden VM back to the power state in which preflight found it, whatever happened since."""

    ui_color = "#e8f0e4"

    def execute(self, context: Context) -> None:
        """Start the VM if it ran before the run and does not now."""
        from golden_pools.hooks.operations import PendingOperation

        seen_before = pulled(context, PREFLIGHT_TASK_ID)
        if not seen_before or not seen_before["golden_vm_was_running"]:
            raise AirflowSkipException("the golden VM was not running before this run, or the run did not get that far")
        plan = self.plan_for_writing(context)
        vm = plan.golden_vm
        if vm.capture is not Capture.DEALLOCATED:
            raise AirflowSkipException(f"this run does not stop the golden VM (capture: {vm.capture})")
        with self.compute(plan) as hook:
            seen = hook.golden_vm(vm.resource_group, vm.name)
            self.log.info("Golden VM %s is %s", vm.name, seen.power_state)
            if seen.power_state is PowerState.RUNNING:
                return
            if seen.power_state is PowerState.STARTING:
                operation = PendingOperation(what=f"start VM {vm.name}", resource_id=seen.id)
            else:
                operation = hook.begin_start(vm.resource_group, vm.name)
        self.wait_for_operations(plan, [operation], within=POWER_TIME)


class SnapshotGoldenVmOperator(ImageStageOperator):
    """Make the snapshot set: OS disk and all data disks, started side by side, one name per disk and run."""

    ui_color = "#dfeaf5"

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Start what is missing, adopt what this run made before, and wait for all of it."""
        plan = self.plan_for_building(context)
        store = StateStore(context, plan.stem)
        with self.compute(plan) as hook:
            vm = hook.golden_vm(plan.golden_vm.resource_group, plan.golden_vm.name)
            kept = store.read()
            if "consistency" not in kept:
                seen = consistency_of(plan.golden_vm.capture, vm.power_state, len(vm.disks))
                kept = store.keep(consistency=seen)
            tokens = kept
            pending = []
            for disk in vm.disks:
                operation = self._start_or_adopt(hook, plan, vm, disk, tokens)
                if operation is not None:
                    pending.append(operation)
                    tokens = store.keep(**{plan.snapshot_name(disk.lun): operation.to_dict()})
        result = snapshot_set(plan, vm, kept["consistency"])
        if not pending:
            self.log.info("All %d snapshots are there", len(vm.disks))
            return result
        self.wait_for_operations(plan, pending, within=SNAPSHOT_TIME, result=result)
        return None

    def _start_or_adopt(
        self, hook: ComputeHook, plan: RunPlan, vm: GoldenVm, disk: Disk, tokens: Mapping[str, Any]
    ) -> PendingOperation | None:
        from golden_pools.hooks.operations import PendingOperation

        group, name = plan.image_group, plan.snapshot_name(disk.lun)
        there = hook.snapshot(group, name)
        if there is not None:
            check_snapshot_is_ours(plan, disk, there)
            if there.provisioning_state == "Succeeded":
                self.log.info("Snapshot %s of disk %s is there already", name, disk.name)
                return None
            if there.provisioning_state != "Failed":
                self.log.info("Snapshot %s is %s: waiting for it", name, there.provisioning_state)
                kept = tokens.get(name) or {"what": f"make snapshot {name}", "resource_id": there.id, "token": None}
                return PendingOperation.from_dict(kept)
        check_is_at_rest(plan, vm)
        self.log.info("Snapshot %s of disk %s (%s GiB) begins", name, disk.name, disk.size_gib or "?")
        assert disk.id is not None  # preflight refuses unmanaged disks
        tags = provenance(plan, link=run_link(plan))
        begun = hook.begin_snapshot(group, name, location=vm.location, source_id=disk.id, tags=tags)
        return replace(begun, what=f"{begun.what} of disk {disk.name}")


def snapshot_set(plan: RunPlan, vm: GoldenVm, consistency: Mapping[str, str]) -> dict[str, Any]:
    """Return the snapshot set as JSON: ids of disks and snapshots by LUN, and what they are worth together."""
    return {
        "golden_vm": vm.id,
        "consistency": dict(consistency),
        "os": _copied(plan, vm.os_disk),
        "data": [{"lun": disk.lun, "caching": disk.caching, **_copied(plan, disk)} for disk in vm.disks[1:]],
    }


def _copied(plan: RunPlan, disk: Disk) -> dict[str, Any]:
    return {"disk": disk.id, "snapshot": plan.snapshot_id(disk.lun), "size_gib": disk.size_gib}


def check_is_at_rest(plan: RunPlan, vm: GoldenVm) -> None:
    """Refuse to copy the disks of a VM that was to be stopped for it and runs: they would not show one moment.

    :raises OwnershipError: somebody started it after this run had stopped it
    """
    if plan.golden_vm.capture is Capture.DEALLOCATED and vm.power_state is not PowerState.DEALLOCATED:
        raise OwnershipError(
            "The golden VM is not at rest any more",
            resource=vm.id,
            answer=f"it is {vm.power_state}",
            advice="a person or another pool's run started it; clear the task stop_golden_vm with what follows it, "
            "and let pools that share a golden VM start at different times",
        )


def check_snapshot_is_ours(plan: RunPlan, disk: Disk, snapshot: Snapshot) -> None:
    """Refuse a snapshot under our name that this run did not make, or not of this disk.

    :raises OwnershipError: naming both owners
    """
    check_is_ours(plan, "snapshot", snapshot.id, snapshot.tags)
    if (snapshot.source_id or "").lower() != (disk.id or "").lower():
        raise OwnershipError(
            "This run's snapshot shows another disk than the golden VM has now",
            resource=snapshot.id,
            answer=f"it was made from {snapshot.source_id}, the golden VM has {disk.id}",
            advice="the golden VM's disk was swapped in mid-run: trigger a new run",
        )


def check_is_ours(plan: RunPlan, what: str, resource_id: str, tags: Mapping[str, str]) -> None:
    """Refuse to adopt what another run or a person made under the name that this run needs.

    :raises OwnershipError: naming both owners
    """
    if not made_by(plan, tags):
        raise OwnershipError(
            f"There is already a {what} under the name that this run needs",
            resource=resource_id,
            answer=f"it belongs to {owner_of(tags)}, not to run {plan.run_id} of DAG {plan.dag_id}",
            advice="trigger a new run (it gets a name of its own), or delete the resource if nobody needs it",
        )
