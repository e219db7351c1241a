"""Stage ``snapshot``: the golden VM's disks become a snapshot set, which is one unit: all of it, or nothing.

All snapshots of a set are begun together, so that they show one moment where the VM is at rest. Where one fails, or a
worker dies before the last is begun, the others go, and the next try makes the whole set anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from golden_pools.errors import AzureBusyError, AzureRefusedError, GoldenPoolsError, OwnershipError, from_dict
from golden_pools.failures import note_failure
from golden_pools.links.portal import GoldenVmLink, SnapshotsLink
from golden_pools.operators.base import StateStore, run_link
from golden_pools.operators.clone import machines
from golden_pools.operators.golden_vm import ImageStageOperator, check_is_at_rest, check_is_ours
from golden_pools.rules.capture import COPIED_LATER, consistency_of
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.provenance import provenance
from golden_pools.rules.restore_point import restored_disk_id
from golden_pools.spec.source import Capture
from golden_pools.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.machines import MachinesHook
    from golden_pools.hooks.operations import PendingOperation
    from golden_pools.rules.facts import Disk, GoldenVm, Snapshot

SNAPSHOT_TIME = timedelta(hours=2)
"""Longest wait for a snapshot set; seconds to minutes are usual."""

COPY_TIME = timedelta(hours=24)
"""The same where Azure copies disks in the background."""

REMOVAL_TIME = timedelta(hours=1)
"""Longest wait for snapshots to go; seconds are usual."""


class SnapshotGoldenVmOperator(ImageStageOperator):
    """Make the snapshot set: OS disk and all data disks, started side by side, one name per disk and run.

    :raises AzureRefusedError: a disk could not be copied, so there is no set; with the disk and what Azure answered
    """

    ui_color = "#dfeaf5"
    operator_extra_links = (GoldenVmLink(), SnapshotsLink())

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Adopt the set that this run has made or begun, or make it; returns it as JSON."""
        plan = self.plan_for_building(context)
        store = StateStore(context, plan.stem)
        if store.read().get("failure"):  # of an earlier try
            store.keep(failure=None)
        return self._go_on(context, plan, store)

    def _go_on(self, context: Context, plan: RunPlan, store: StateStore) -> dict[str, Any] | None:
        """Look at the set, and do what is to be done next."""
        with machines(plan) as hook:
            vm = hook.golden_vm(plan.golden_vm.resource_group, plan.golden_vm.name)
            there = snapshots_of(hook, plan, vm)
            if there and not is_whole(vm, there):
                self._remove(context, hook, plan, store, there)
            failure = store.read().get("failure")
            if failure and not there:
                raise note_failure(context, from_dict(failure), blames_image=False)
            if there:
                pending, failure = self._adopt(store, vm, there), None
            else:
                pending, failure = self._begin(hook, plan, store, vm)
        if failure:
            return self._fail(context, plan, store, failure)
        seen = store.read().get("consistency") or consistency_of(plan.golden_vm.capture, vm.power_state, len(there))
        result = snapshot_set(plan, vm, seen)
        if not pending:
            self.log.info("The snapshot set is there: %s", counted(len(vm.disks), "snapshot"))
            return result
        within = COPY_TIME if any(operation.copies for operation in pending) else SNAPSHOT_TIME
        self.wait_for_operations(plan, pending, within=within, result=result, on_failure="set_failed")
        return None

    def _adopt(self, store: StateStore, vm: GoldenVm, there: Mapping[int | None, Snapshot]) -> list[PendingOperation]:
        """Return what is still to be waited for of a set that is whole."""
        kept = store.read().get("operations") or {}
        return [waiting(there[disk.lun], disk, kept) for disk in vm.disks if not there[disk.lun].is_complete]

    def _begin(
        self, hook: MachinesHook, plan: RunPlan, store: StateStore, vm: GoldenVm
    ) -> tuple[list[PendingOperation], dict[str, str] | None]:
        """Begin all snapshots of the set; returns what is to be waited for, and the error that broke it off."""
        check_is_at_rest(plan, vm)
        check_was_restored(hook, plan, vm)
        store.keep(consistency=consistency_of(plan.golden_vm.capture, vm.power_state, len(vm.disks)), operations={})
        tags = provenance(plan, link=run_link(plan))
        begun: dict[str, PendingOperation] = {}
        for disk in vm.disks:
            name, source = plan.snapshot_name(disk.lun), source_of(plan, disk)
            self.log.info("Snapshot %s of disk %s (%s GiB) begins", name, disk.name, disk.size_gib or "?")
            try:
                made = hook.begin_snapshot(
                    plan.image_group, name, location=vm.location, source_id=source, tags=tags, disk=disk.name
                )
            except GoldenPoolsError as error:
                if not begun:
                    raise
                return [], error.to_dict()
            begun[name] = replace(made, copies=disk.sku in COPIED_LATER)
            store.keep(operations={name: operation.to_dict() for name, operation in begun.items()})
        return list(begun.values()), None

    def set_failed(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """Remove what there is of the set, and fail with the disk that failed first."""
        plan = self.plan(context)
        return self._fail(context, plan, StateStore(context, plan.stem), event["failure"])

    def _fail(
        self, context: Context, plan: RunPlan, store: StateStore, failure: Mapping[str, str]
    ) -> dict[str, Any] | None:
        self.log.error("%s: the snapshot set is one unit, so what there is of it goes", failure["what"])
        store.keep(failure=store.read().get("failure") or dict(failure), operations={})
        return self._go_on(context, plan, store)

    def _remove(
        self,
        context: Context,
        hook: MachinesHook,
        plan: RunPlan,
        store: StateStore,
        there: Mapping[int | None, Snapshot],
    ) -> NoReturn:
        """Delete what there is of a set that is not whole; what is being made has to end first."""
        check_nothing_is_made_of_it(hook, plan)
        making = [one for one in there.values() if not one.is_over]
        if making:
            operations = [waiting(one) for one in making]
            self.wait_for_operations(plan, operations, within=SNAPSHOT_TIME, method_name="making_ended")
        try:
            operations = [self._removal(hook, one) for one in there.values()]
        except GoldenPoolsError as error:
            raise note_failure(context, not_removed(store, error), blames_image=False) from error
        self.wait_for_operations(plan, operations, within=REMOVAL_TIME, method_name="set_removed")
        raise AssertionError("a deferral does not return")  # pragma: no cover

    def _removal(self, hook: MachinesHook, snapshot: Snapshot) -> PendingOperation:
        from golden_pools.hooks.operations import PendingOperation

        if snapshot.provisioning_state == "Deleting":
            return PendingOperation(what=f"delete {snapshot.name}", resource_id=snapshot.id, removes=True)
        self.log.info("Snapshot %s goes: the set of this run is not whole", snapshot.name)
        return hook.begin_delete(snapshot.id)

    def making_ended(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Look again, however it has ended."""
        plan = self.plan(context)
        return self._go_on(context, plan, StateStore(context, plan.stem))

    def set_removed(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Fail with what made the set fail; where a killed try left it in pieces, make it anew."""
        plan = self.plan(context)
        store = StateStore(context, plan.stem)
        if event and "failure" in event:
            raise note_failure(context, not_removed(store, from_dict(event["failure"])), blames_image=False)
        return self._go_on(context, plan, store)


def snapshots_of(hook: MachinesHook, plan: RunPlan, vm: GoldenVm) -> dict[int | None, Snapshot]:
    """Return what there is of this run's set, by LUN.

    :raises OwnershipError: somebody else's snapshot has one of its names
    """
    found = {}
    for disk in vm.disks:
        snapshot = hook.snapshot(plan.image_group, plan.snapshot_name(disk.lun))
        if snapshot is not None:
            check_snapshot_is_ours(plan, disk, snapshot)
            found[disk.lun] = snapshot
    return found


def is_whole(vm: GoldenVm, there: Mapping[int | None, Snapshot]) -> bool:
    """Return whether every disk has its snapshot, or will have it."""
    return all(
        disk.lun in there and not there[disk.lun].has_failed and there[disk.lun].provisioning_state != "Deleting"
        for disk in vm.disks
    )


def waiting(snapshot: Snapshot, disk: Disk | None = None, kept: Mapping[str, Any] | None = None) -> PendingOperation:
    """Return the operation that ends when a snapshot is there, and complete where ``disk`` is told.

    :param kept: operations that are known, by the name of the snapshot
    """
    from golden_pools.hooks.operations import PendingOperation

    if kept and snapshot.name in kept:
        return PendingOperation.from_dict(kept[snapshot.name])
    of_disk = f" of disk {disk.name}" if disk else ""
    return PendingOperation(
        what=f"make snapshot {snapshot.name}{of_disk}", resource_id=snapshot.id, copies=disk is not None
    )


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


def source_of(plan: RunPlan, disk: Disk) -> str:
    """Return the ARM id of what a disk's snapshot is made from: the disk, or the one from the restore point."""
    if plan.golden_vm.capture is Capture.RESTORE_POINT:
        return restored_disk_id(plan, disk.lun)
    assert disk.id is not None, "preflight refuses unmanaged disks"
    return disk.id


def check_was_restored(hook: MachinesHook, plan: RunPlan, vm: GoldenVm) -> None:
    """Refuse to begin where the disks from the restore point are gone: the teardown has removed them.

    :raises OwnershipError: one is missing
    """
    if plan.golden_vm.capture is not Capture.RESTORE_POINT:
        return
    for disk in vm.disks:
        if hook.disk(plan.image_group, plan.snapshot_name(disk.lun)) is None:
            raise OwnershipError(
                "There is no disk from the restore point to make a snapshot of",
                resource=restored_disk_id(plan, disk.lun),
                answer=f"it showed disk {disk.name}",
                advice="clear the task restore_point with what follows it: it takes another restore point",
            )


def check_nothing_is_made_of_it(hook: MachinesHook, plan: RunPlan) -> None:
    """Refuse to remove the rest of a set from which the run has made an image: nodes may need it.

    :raises OwnershipError: there is a managed image or a version of this run
    """
    image = hook.managed_image(plan.image_group, plan.managed_image_name)
    version = hook.image_version(plan.version_id) if plan.is_versioned else None
    for made in (image, version):
        if made is not None and made.provisioning_state != "Failed":
            raise OwnershipError(
                "The snapshot set of this run is not whole any more, but an image was made from it",
                resource=made.id,
                answer=f"provisioningState {made.provisioning_state}",
                advice="nothing is removed or made again under an image that may be in use: trigger a new run",
            )


def check_snapshot_is_ours(plan: RunPlan, disk: Disk, snapshot: Snapshot) -> None:
    """Refuse a snapshot under our name that this run did not make, or not of this disk.

    :raises OwnershipError: naming both owners
    """
    check_is_ours(plan, "snapshot", snapshot.id, snapshot.tags)
    source = source_of(plan, disk)
    if (snapshot.source_id or "").lower() != source.lower():
        raise OwnershipError(
            "This run's snapshot shows another disk than the golden VM has now",
            resource=snapshot.id,
            answer=f"it was made from {snapshot.source_id}, the golden VM has {source}",
            advice="the golden VM's disk was swapped in mid-run: trigger a new run",
        )


def not_removed(store: StateStore, error: GoldenPoolsError) -> GoldenPoolsError:
    """Return the error of a removal, with what made it necessary; busy ones are retried, and so go on."""
    failure = store.read().get("failure")
    if not failure:
        return error
    kind = AzureBusyError if isinstance(error, AzureBusyError) else AzureRefusedError
    return kind(
        failure["what"],
        resource=failure["resource"],
        answer=f"{failure['answer']}; then the rest of the set could not be removed: {error.what}: {error.answer}",
        advice=f"{failure['advice']}; for the rest of the set: {error.advice}. The next try goes on with it",
    )
