"""Stages ``clone_vm``, ``generalize_clone`` and ``remove_clone``: a throwaway VM is generalized for the golden VM.

The golden VM has no part in it: the clone is made from the snapshots, and only what carries the tag of a clone of this
very run is ever run in, flagged or deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.errors import AzureRefusedError, GoldenPoolsError, OwnershipError, from_dict
from golden_pools.failures import note_failure
from golden_pools.links.portal import CloneLink
from golden_pools.operators.base import GRACE, StageOperator, StateStore, pulled
from golden_pools.operators.golden_vm import POWER_TIME, ImageStageOperator, check_is_ours
from golden_pools.rules.clone import (
    THROWAWAY_TAG,
    clone_of,
    clone_tags,
    command,
    disk_name,
    is_throwaway,
    is_windows,
    script,
    script_failure,
)
from golden_pools.rules.facts import PowerState
from golden_pools.rules.plan import RunPlan, owner_of
from golden_pools.rules.source import Road

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.machines import MachinesHook
    from golden_pools.hooks.operations import PendingOperation
    from golden_pools.rules.facts import GoldenVm, Resource

DISK_TIME = timedelta(hours=1)
"""Longest wait for disks and a network card; seconds to minutes are usual."""


def machines(plan: RunPlan) -> MachinesHook:
    """Return the hook of throwaway VMs."""
    from golden_pools.hooks.machines import MachinesHook

    return MachinesHook(plan.spec.connection, plan.spec.subscription, read_only=plan.plan_only)


class CloneVmOperator(ImageStageOperator):
    """Make disks from the snapshot set and a network card, then a VM that boots from them.

    :param snapshot_task_id: task whose XCom is the snapshot set
    """

    ui_color = "#e8f0e4"
    operator_extra_links = (CloneLink(),)

    def __init__(self, *, snapshot_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.snapshot_task_id = snapshot_task_id

    def execute(self, context: Context) -> str | None:
        """Start what is missing, adopt what this run made before, and wait for it; returns the VM's ARM id."""
        plan = self.plan_for_building(context)
        store = StateStore(context, plan.clone_name)
        snapshots = pulled(context, self.snapshot_task_id)
        with machines(plan) as hook:
            vm = hook.machine(plan.image_group, plan.clone_name)
            if vm is None:
                parts = [part for part in self._parts(hook, plan, snapshots, store) if part is not None]
                if parts:
                    self.wait_for_operations(plan, parts, within=DISK_TIME, method_name="parts_made")
                operation = self._make(hook, plan, snapshots)
                store.keep(vm=operation.to_dict())
            else:
                check_is_ours(plan, "VM", vm.id, vm.tags)
                if vm.provisioning_state == "Succeeded":
                    self.log.info("VM %s is there already", vm.name)
                    return plan.clone_id
                operation = _kept(store, "vm", vm, f"make VM {vm.name}")
        within = timedelta(minutes=clone_of(plan).minutes)
        self.wait_for_operations(plan, [operation], within=within, result=plan.clone_id)
        return None

    def parts_made(self, context: Context, event: Mapping[str, Any] | None = None) -> str | None:
        """Go on with the VM."""
        self.raise_failure(context, event)
        return self.execute(context)

    def _parts(
        self, hook: MachinesHook, plan: RunPlan, snapshots: Mapping[str, Any], store: StateStore
    ) -> Iterator[PendingOperation | None]:
        """Yield the operations of disks and network card that are not there yet."""
        group, card = plan.image_group, f"{plan.clone_name}-nic"
        golden = hook.golden_vm(plan.golden_vm.resource_group, plan.golden_vm.name)
        skus = {disk.lun: disk.sku for disk in golden.disks}
        for lun, snapshot in _by_lun(snapshots).items():
            name = disk_name(plan, lun)
            there = hook.disk(group, name)
            if there is None or there.provisioning_state == "Failed":
                begun = hook.begin_disk(
                    group,
                    name,
                    location=plan.system.location,
                    sku=skus.get(lun),
                    source_id=snapshot,
                    tags=clone_tags(plan),
                )
                store.keep(**{name: begun.to_dict()})
                yield begun
            else:
                yield self._adopt(plan, store, "disk", there)
        there = hook.network_card(group, card)
        if there is None or there.provisioning_state == "Failed":
            begun = hook.begin_network_card(
                group, card, location=plan.system.location, subnet_id=clone_of(plan).subnet_id, tags=clone_tags(plan)
            )
            store.keep(**{card: begun.to_dict()})
            yield begun
        else:
            yield self._adopt(plan, store, "network card", there)

    def _adopt(self, plan: RunPlan, store: StateStore, what: str, there: Resource) -> PendingOperation | None:
        check_is_ours(plan, what, there.id, there.tags)
        if there.provisioning_state == "Succeeded":
            return None
        return _kept(store, there.name, there, f"make {what} {there.name}")

    def _make(self, hook: MachinesHook, plan: RunPlan, snapshots: Mapping[str, Any]) -> PendingOperation:
        golden = hook.golden_vm(plan.golden_vm.resource_group, plan.golden_vm.name)
        size = clone_of(plan).vm_size or golden.vm_size or ""
        self.log.info("Throwaway VM %s begins, %s", plan.clone_name, size)
        disks = plan.clone_id.replace("/virtualMachines/", "/disks/").rpartition("/")[0]
        return hook.begin_machine(
            plan.image_group,
            plan.clone_name,
            system=plan.system,
            vm_size=size,
            disks={lun: f"{disks}/{disk_name(plan, lun)}" for lun in _by_lun(snapshots)},
            tags=clone_tags(plan),
        )


class GeneralizeCloneOperator(ImageStageOperator):
    """Generalize the clone's guest by the spec's script, deallocate the clone, and flag it as generalized.

    :param clone_task_id: task whose XCom is the clone's ARM id
    :raises AzureRefusedError: the script failed; its output is in the log
    :raises OwnershipError: the VM of the clone's name is not this run's clone
    """

    ui_color = "#dfeaf5"
    operator_extra_links = (CloneLink(),)

    def __init__(self, *, clone_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.clone_task_id = clone_task_id

    def execute(self, context: Context) -> str | None:
        """Take the next step that the clone's state asks for; returns its ARM id when it is generalized."""
        plan = self.plan_for_building(context)
        store = StateStore(context, plan.clone_name)
        with machines(plan) as hook:
            vm = hook.golden_vm(plan.image_group, plan.clone_name)
            check_is_clone(plan, vm)
            if vm.flagged_generalized:
                return plan.clone_id
            kept = store.read()
            # A worker may have died after sending the script: then only the guest's own shutdown tells that it ran.
            shut_down = kept.get("sent") and is_windows(plan) and vm.power_state is PowerState.STOPPED
            if not kept.get("ran") and not shut_down:
                if not kept.get("script") and vm.power_state in (PowerState.STOPPED, PowerState.DEALLOCATED):
                    start = hook.begin_start(plan.image_group, plan.clone_name)
                    self.wait_for_operations(plan, [start], within=POWER_TIME, method_name="went_on")
                self._run_script(context, hook, plan, store)
            if vm.power_state is not PowerState.DEALLOCATED:
                operation = hook.begin_deallocate(plan.image_group, plan.clone_name)
                self.wait_for_operations(plan, [operation], within=POWER_TIME, method_name="went_on")
            self.log.info("VM %s is flagged as generalized", plan.clone_name)
            hook.generalize(plan.image_group, plan.clone_name)
        return plan.clone_id

    def went_on(self, context: Context, event: Mapping[str, Any] | None = None) -> str | None:
        """Take the next step."""
        self.raise_failure(context, event)
        return self.execute(context)

    def _run_script(self, context: Context, hook: MachinesHook, plan: RunPlan, store: StateStore) -> None:
        """Run the script, or wait for the one that an earlier try has started."""
        from golden_pools.triggers.guest import ScriptTrigger

        kept = store.read().get("script")
        if kept is None:
            self.log.info("VM %s runs: %s", plan.clone_name, command(plan))
            store.keep(sent=True)
            begun = hook.begin_script(plan.image_group, plan.clone_name, script=script(plan), windows=is_windows(plan))
            kept = store.keep(script=begun.to_dict())["script"]
        within = timedelta(minutes=clone_of(plan).minutes)
        self.defer(
            trigger=ScriptTrigger(
                connection=plan.spec.connection,
                subscription=plan.spec.subscription,
                operation=kept,
                shuts_down=is_windows(plan),
                seconds=within.total_seconds(),
            ),
            method_name="script_ended",
            timeout=within + GRACE,
        )

    def script_ended(self, context: Context, event: Mapping[str, Any]) -> str | None:
        """Judge the script, and go on with deallocating."""
        plan = self.plan(context)
        store = StateStore(context, plan.clone_name)
        for status in event.get("statuses") or []:
            self.log.info("%s\n%s", status.get("code"), status.get("message") or "(nothing)")
        if error := _script_error(plan, event):
            store.keep(script=None, sent=False)  # so that the next try runs the script again
            raise note_failure(context, error, blames_image=False)
        store.keep(ran=True)
        return self.execute(context)


class RemoveCloneOperator(StageOperator):
    """Teardown: remove VM, network card and disks of this run's clone, and what killed runs have left of theirs."""

    ui_color = "#e8f0e4"
    operator_extra_links = (CloneLink(),)

    def execute(self, context: Context, event: Mapping[str, Any] | None = None) -> None:
        """Delete what is left of clones, VMs first, and wait until it is gone."""
        from golden_pools.hooks.inventory import InventoryHook

        self.raise_failure(context, event)
        plan = self.plan_for_writing(context)
        lists = InventoryHook(plan.spec.connection, plan.spec.subscription, read_only=True)
        with machines(plan) as hook, lists:
            if self._is_being_copied(hook, plan):
                self.log.warning("The version is still being made from the clone, which stays: the next run removes it")
                return
            for kind, listed in (("VM", lists.vms), ("network card", lists.network_cards), ("disk", lists.disks)):
                ours = [one for one in listed(plan.image_group) if is_throwaway(plan, one.tags)]
                for one in ours:
                    self.log.info("%s %s of %s goes", kind, one.name, owner_of(one.tags))
                if operations := [hook.begin_delete(one.id) for one in ours]:
                    self.wait_for_operations(plan, operations, within=DISK_TIME, method_name="execute")
        self.log.info("Nothing is left of a clone")

    def _is_being_copied(self, hook: MachinesHook, plan: RunPlan) -> bool:
        """Return whether a version is being made from the clone itself, whether or not anybody waits for it."""
        if plan.source is None or plan.source.road is not Road.VM or not plan.builds_image:
            return False
        version = hook.image_version(plan.version_id)
        return version is not None and version.provisioning_state != "Failed" and version.is_busy


def check_is_clone(plan: RunPlan, vm: GoldenVm) -> None:
    """Refuse to touch anything but this run's clone, above all the golden VM.

    :raises OwnershipError: it is something else
    """
    check_is_ours(plan, "VM", vm.id, vm.tags)
    golden = f"/resourcegroups/{plan.golden_vm.resource_group}/providers/microsoft.compute/virtualmachines/"
    is_golden = vm.id.casefold().endswith(f"{golden}{plan.golden_vm.name}".casefold())
    if is_golden or vm.tags.get(THROWAWAY_TAG) != "clone":
        raise OwnershipError(
            "This VM is not a clone, so it is not generalized",
            resource=vm.id,
            answer=f"the tag {THROWAWAY_TAG} is {vm.tags.get(THROWAWAY_TAG)!r}",
            advice="find out who changed the VM's tags, and trigger a new run",
        )


def _by_lun(snapshots: Mapping[str, Any]) -> dict[int | None, str]:
    """Return the ids of the snapshots by LUN, the OS disk's under None."""
    return {None: snapshots["os"]["snapshot"], **{disk["lun"]: disk["snapshot"] for disk in snapshots["data"]}}


def _kept(store: StateStore, key: str, there: Resource, what: str) -> PendingOperation:
    from golden_pools.hooks.operations import PendingOperation

    return PendingOperation.from_dict(store.read().get(key) or {"what": what, "resource_id": there.id, "token": None})


def _script_error(plan: RunPlan, event: Mapping[str, Any]) -> GoldenPoolsError | None:
    """Return what went wrong with the script, by the event of its trigger."""
    at_rest = is_windows(plan) and event["at_rest"]
    if "failure" in event and not at_rest:  # a guest that shuts down, as Windows has to, may take the answer with it
        return from_dict(event["failure"])
    answer = script_failure(plan, event.get("statuses") or [])
    if not answer and is_windows(plan) and not at_rest:
        answer = f"the guest did not shut down within {clone_of(plan).minutes} minutes"
    if not answer:
        return None
    return AzureRefusedError(
        "The script that generalizes the clone failed",
        resource=plan.clone_id,
        answer=answer,
        advice="read its output above, correct golden_vm.clone.command or the golden VM, and run again",
        code="ScriptFailed",
    )
