"""Stages ``restore_point`` and ``remove_restore_point``: all disks of the golden VM at one moment while it runs.

Neither snapshots nor images can be made from a restore point: disks are made from it, and snapshots from those.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.errors import AzureBusyError, OwnershipError
from golden_pools.links.portal import GoldenVmLink, RestorePointLink
from golden_pools.operators.base import GRACE, StageOperator, StateStore, now
from golden_pools.operators.golden_vm import ImageStageOperator, check_is_ours
from golden_pools.operators.snapshots import is_whole, snapshots_of
from golden_pools.rules.facts import folded
from golden_pools.rules.plan import RunPlan, made_by, owner_of
from golden_pools.rules.restore_point import collection_name, is_of_a_run, is_restored, point_id, restored_tags
from golden_pools.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.operations import PendingOperation
    from golden_pools.hooks.restore_points import RestorePointHook
    from golden_pools.rules.facts import GoldenVm, RestorePoint, RestorePointCollection

POINT_TIME = timedelta(hours=1)
"""Longest wait for a restore point, for its disks, and for what is removed; minutes are usual."""

BUSY_TIME = timedelta(hours=2)
"""How long it is waited for that Azure takes one more restore point of the VM: it takes three an hour."""


def restore_points(plan: RunPlan) -> RestorePointHook:
    """Return the hook of restore points."""
    from golden_pools.hooks.restore_points import RestorePointHook

    return RestorePointHook(plan.spec.connection, plan.spec.subscription, read_only=plan.plan_only)


class RestorePointOperator(ImageStageOperator):
    """Take a restore point of the golden VM, and make a disk of every disk in it.

    :raises AzureBusyError: the VM has had too many restore points within the hour, and more than two hours long
    :raises OwnershipError: the collection is not this DAG's, or of another VM
    """

    ui_color = "#e8f0e4"
    operator_extra_links = (GoldenVmLink(), RestorePointLink())

    def execute(self, context: Context) -> str | None:
        """Make what is missing, adopt what this run made before; returns the ARM id of the restore point."""
        plan = self.plan_for_building(context)
        StateStore(context, plan.stem).keep(deadline=(now() + BUSY_TIME).isoformat())
        return self._go_on(context, plan)

    def went_on(self, context: Context, event: Mapping[str, Any] | None = None) -> str | None:
        """Take the next step."""
        self.raise_failure(context, event)
        return self._go_on(context, self.plan(context))

    def _go_on(self, context: Context, plan: RunPlan) -> str | None:
        store = StateStore(context, plan.stem)
        with restore_points(plan) as hook:
            vm = hook.golden_vm(plan.golden_vm.resource_group, plan.golden_vm.name)
            if is_whole(vm, snapshots_of(hook, plan, vm)):
                self.log.info("The snapshot set of this run is there: it needs no restore point any more")
                return point_id(plan)
            point = self._point(hook, plan, store, vm)
            pending = self._disks(hook, plan, store, vm, point)
        if not pending:
            return point_id(plan)
        self.wait_for_operations(plan, pending, within=POINT_TIME, result=point_id(plan))
        return None

    def _point(self, hook: RestorePointHook, plan: RunPlan, store: StateStore, vm: GoldenVm) -> RestorePoint:
        """Return the run's restore point; as long as it is not there, wait."""
        group, collection = plan.image_group, collection_name(plan)
        there = hook.collection(group, collection)
        check_collection_is_ours(plan, vm, there)
        if there is None or not made_by(plan, there.tags):
            hook.put_collection(group, collection, location=vm.location, vm_id=vm.id, tags=restored_tags(plan))
        point = hook.point(group, collection, plan.stem)
        if point is not None and point.provisioning_state == "Succeeded":
            return point
        operation = self._begun(hook, plan, store, vm) if point is None else self._unready(hook, store, point)
        self.wait_for_operations(plan, [operation], within=POINT_TIME, method_name="went_on")
        raise AssertionError("a deferral does not return")  # pragma: no cover

    def _begun(self, hook: RestorePointHook, plan: RunPlan, store: StateStore, vm: GoldenVm) -> PendingOperation:
        self.log.info("Restore point %s of VM %s begins, with %s", plan.stem, vm.name, counted(len(vm.disks), "disk"))
        try:
            operation = hook.begin_point(plan.image_group, collection_name(plan), plan.stem)
        except AzureBusyError as busy:
            self._wait_for_room(store, busy)
            raise
        store.keep(point=operation.to_dict())
        return operation

    def _wait_for_room(self, store: StateStore, busy: AzureBusyError) -> None:
        """Wait as long as Azure asks for; return where it does not say how long, or it would take too long."""
        from golden_pools.triggers.soak import SoakTrigger

        pause = timedelta(seconds=busy.retry_after_seconds or 0)
        if not pause or now() + pause > datetime.fromisoformat(store.read()["deadline"]):
            return
        self.log.warning("Azure takes no restore point of the VM for now; it is asked again in %s: %s", pause, busy)
        self.defer(
            trigger=SoakTrigger(until=(now() + pause).isoformat()), method_name="room_again", timeout=pause + GRACE
        )

    def room_again(self, context: Context, event: Mapping[str, Any] | None = None) -> str | None:
        """Ask again."""
        return self._go_on(context, self.plan(context))

    def _unready(self, hook: RestorePointHook, store: StateStore, point: RestorePoint) -> PendingOperation:
        """Return what brings a restore point on that is there and not ready: its end, or its removal."""
        from golden_pools.hooks.operations import PendingOperation

        if point.provisioning_state == "Failed":
            self.log.info("Restore point %s has failed and goes, before another is taken", point.name)
            store.keep(point=None)
            return hook.begin_delete(point.id)
        if point.provisioning_state == "Deleting":
            return PendingOperation(what=f"delete {point.name}", resource_id=point.id, removes=True)
        watch = {"what": f"take restore point {point.name}", "resource_id": point.id}
        return PendingOperation.from_dict(store.read().get("point") or watch)

    def _disks(
        self, hook: RestorePointHook, plan: RunPlan, store: StateStore, vm: GoldenVm, point: RestorePoint
    ) -> list[PendingOperation]:
        """Return the operations of the disks that are not ready, all of them begun."""
        from golden_pools.hooks.operations import PendingOperation

        group, pending, failed = plan.image_group, [], []
        for disk in vm.disks:
            name, source = plan.snapshot_name(disk.lun), point.disks.get(folded(disk.id or ""))
            if source is None:
                raise not_in_it(point, disk.name)
            there = hook.disk(group, name)
            if there is None:
                self.log.info("Disk %s begins, as disk %s was at the restore point", name, disk.name)
                begun = hook.begin_restored_disk(
                    group, name, location=vm.location, sku=disk.sku, source_id=source, tags=restored_tags(plan)
                )
                store.keep(**{name: begun.to_dict()})
                pending.append(begun)
                continue
            check_is_ours(plan, "disk", there.id, there.tags)
            if there.provisioning_state == "Failed":
                failed.append(hook.begin_delete(there.id))
                store.keep(**{name: None})
            elif there.provisioning_state != "Succeeded":
                watch = {"what": f"make disk {name}", "resource_id": there.id}
                pending.append(PendingOperation.from_dict(store.read().get(name) or watch))
        if failed:
            self.wait_for_operations(plan, failed, within=POINT_TIME, method_name="went_on")
        return pending


class RemoveRestorePointOperator(StageOperator):
    """Teardown: remove the disks and the restore point of this run, and what killed runs of this DAG have left.

    The collection goes with the last point in it: an empty one is of no use, and a VM with restore points cannot be
    moved. It stays where somebody else has put a point there.
    """

    ui_color = "#e8f0e4"
    operator_extra_links = (RestorePointLink(),)

    def execute(self, context: Context, event: Mapping[str, Any] | None = None) -> None:
        """Delete what is left, disks first, and wait until it is gone."""
        from golden_pools.hooks.inventory import InventoryHook

        self.raise_failure(context, event)
        plan = self.plan_for_writing(context)
        lists = InventoryHook(plan.spec.connection, plan.spec.subscription, read_only=True)
        with restore_points(plan) as hook, lists:
            left = [disk for disk in lists.disks(plan.image_group) if is_restored(plan, disk.tags)]
            for disk in left:
                self.log.info("Disk %s of %s goes", disk.name, owner_of(disk.tags))
            operations = [hook.begin_delete(disk.id) for disk in left] or self._points(hook, plan)
        if operations:
            self.wait_for_operations(plan, operations, within=POINT_TIME, method_name="execute")
        self.log.info("Nothing is left of a restore point")

    def _points(self, hook: RestorePointHook, plan: RunPlan) -> list[PendingOperation]:
        """Begin to delete the points of runs, or the collection when there are no others in it."""
        collection = hook.collection(plan.image_group, collection_name(plan))
        if collection is None or not is_restored(plan, collection.tags):
            return []
        ours = [name for name in collection.points if is_of_a_run(plan, name)]
        if ours:
            self.log.info("Restore points go: %s", ", ".join(ours))
            return [hook.begin_delete(f"{collection.id}/restorePoints/{name}") for name in ours]
        if collection.points:
            self.log.warning("Collection %s stays, since runs did not make %s", collection.name, collection.points)
            return []
        return [hook.begin_delete(collection.id)]


def check_collection_is_ours(plan: RunPlan, vm: GoldenVm, collection: RestorePointCollection | None) -> None:
    """Refuse a collection under the run's name that is somebody else's, or of another VM.

    :raises OwnershipError: naming both owners, or both VMs
    """
    if collection is None:
        return
    if not is_restored(plan, collection.tags):
        raise OwnershipError(
            "There is already a restore point collection under the name that this run needs",
            resource=collection.id,
            answer=f"it belongs to {owner_of(collection.tags)}, not to DAG {plan.dag_id}",
            advice="delete the collection if nobody needs it, or give the images another image.name",
        )
    if folded(collection.vm_id) != folded(vm.id):
        raise OwnershipError(
            "The restore point collection of this pool is of another VM",
            resource=collection.id,
            answer=f"it is of {collection.vm_id}, the golden VM is {vm.id}",
            advice="delete the collection: a run makes it anew",
        )


def not_in_it(point: RestorePoint, disk: str) -> OwnershipError:
    """Return the error of a disk that the golden VM has and the restore point has not."""
    return OwnershipError(
        "The restore point of this run has not all disks that the golden VM has now",
        resource=point.id,
        answer=f"disk {disk} is not in it",
        advice="the disk was attached in mid-run: trigger a new run",
    )
