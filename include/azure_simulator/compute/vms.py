"""What may be done to virtual machines, and how long it takes."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import JsonValue

from include.azure_simulator.compute.disks import Disk, DiskContent
from include.azure_simulator.compute.machines import VM_TYPE, PowerState, VirtualMachine
from include.azure_simulator.compute.store import (
    ProvisioningState,
    RequestBody,
    Store,
    TagsBody,
    compute_id,
    concurrent_request,
    not_allowed,
)
from include.azure_simulator.compute.vm_section import DiskSection, VirtualMachineSection
from include.azure_simulator.operations import Operation, OperationFamily
from include.azure_simulator.resources import JsonObject, ResourceId, normalise_region

if TYPE_CHECKING:
    from include.azure_simulator.world import World


class RunCommandBody(RequestBody):
    """A run command."""

    command_id: str
    script: list[str] | None = None
    parameters: list[dict[str, JsonValue]] | None = None


class VirtualMachines(Store[VirtualMachine]):
    """The virtual machines of the world."""

    def __init__(self, world: World) -> None:
        super().__init__(VM_TYPE)
        self._world = world

    def add_section(self, section: VirtualMachineSection) -> None:
        """Add a VM of a world file together with its managed disks.

        :raises ArmError: when its subscription or resource group is not in the world.
        """
        subscription = section.subscription or next(iter(self._world.subscriptions.values())).id
        group = self._world.require_group(subscription, section.resource_group)
        rid = compute_id(self._world.require_subscription(subscription).id, group.name, "virtualMachines", section.name)
        machine = VirtualMachine(
            rid,
            normalise_region(section.location),
            dict(section.tags),
            ProvisioningState.SUCCEEDED,
            section=section,
            disk_ids={},
            power_state=PowerState(section.power_state),
            generalized=section.generalized,
            time_created=self._world.clock.now() - timedelta(days=30),
        )
        self.add(machine)
        if not section.ephemeral_os_disk:
            self._add_disk(machine, section.os_disk, None)
        for disk in section.data_disks:
            self._add_disk(machine, disk, disk.lun)

    def patch(self, rid: ResourceId, body: TagsBody) -> tuple[VirtualMachine, Operation]:
        """Change tags; other properties are not simulated.

        :raises ArmError: 404, 409 ``Conflict`` while something is being done to the VM,
            409 ``PropertyChangeNotAllowed`` for anything but tags.
        """
        if self._world.operations.running_on(self.require(rid).id) is not None:
            raise concurrent_request()
        machine = self.patch_tags(rid, body)
        return machine, self._begin(machine, self._world.settings.compute.vm_update, None, machine.power_state)

    def start(self, rid: ResourceId) -> Operation:
        """Start a VM.

        :raises ArmError: 404; 409 ``OperationNotAllowed`` when the VM is generalized; 409 ``Conflict``.
        """
        machine = self.require(rid)
        if machine.generalized:
            raise not_allowed(f"Operation 'start' is not allowed on VM '{rid.name}' since the VM is generalized.")
        return self._power(machine, self._world.settings.compute.vm_start, PowerState.STARTING, PowerState.RUNNING)

    def deallocate(self, rid: ResourceId) -> Operation:
        """Stop a VM and give its cores back.

        :raises ArmError: 404; 409 ``OperationNotAllowed`` with an ephemeral OS disk; 409 ``Conflict``.
        """
        machine = self.require(rid)
        if machine.section.ephemeral_os_disk:
            raise not_allowed("The operation 'deallocate' is not supported for VMs with an ephemeral OS disk.")
        duration = self._world.settings.compute.vm_deallocate
        return self._power(machine, duration, PowerState.DEALLOCATING, PowerState.DEALLOCATED)

    def power_off(self, rid: ResourceId) -> Operation:
        """Stop a VM and keep its cores; a deallocated VM stays deallocated.

        :raises ArmError: 404; 409 ``Conflict``.
        """
        machine = self.require(rid)
        if machine.power_state is PowerState.DEALLOCATED:
            return self._begin(machine, timedelta(0), None, PowerState.DEALLOCATED)
        duration = self._world.settings.compute.vm_power_off
        return self._power(machine, duration, PowerState.STOPPING, PowerState.STOPPED)

    def generalize(self, rid: ResourceId) -> None:
        """Flag a VM as generalized; nothing looks into the guest, and there is no way back.

        :raises ArmError: 404; 409 ``OperationNotAllowed`` while the VM runs.
        """
        machine = self.require(rid)
        if not machine.power_state.quiescent:
            raise not_allowed(f"The VM '{rid.name}' must be powered off or deallocated before it can be generalized.")
        machine.generalized = True

    def run_command(self, rid: ResourceId, body: RunCommandBody) -> Operation:
        """Run a script in the guest; its output is what the world file says.

        :raises ArmError: 404; 409 ``OperationNotAllowed`` unless the VM runs; 409 ``Conflict``.
        """
        machine = self.require(rid)
        if machine.power_state is not PowerState.RUNNING:
            raise not_allowed("Cannot modify extensions in the VM when the VM is not running.")
        if self._world.operations.running_on(machine.id) is not None:
            raise concurrent_request()
        output = _output(machine, "\n".join(body.script or []))
        return self._world.operations.start(
            family=OperationFamily.COMPUTE,
            location=machine.location,
            subscription=rid.subscription,
            duration=self._world.settings.compute.run_command,
            resource_id=machine.id,
            result=lambda: output,
        )

    def _power(
        self, machine: VirtualMachine, duration: timedelta, meanwhile: PowerState, final: PowerState
    ) -> Operation:
        running = self._world.operations.running_on(machine.id)
        if running is not None:
            if machine.power_state is not meanwhile:
                raise concurrent_request()
            return running
        return self._begin(machine, timedelta(0) if machine.power_state is final else duration, meanwhile, final)

    def _begin(
        self, machine: VirtualMachine, duration: timedelta, meanwhile: PowerState | None, final: PowerState
    ) -> Operation:
        before = machine.power_state

        def end(power_state: PowerState, state: ProvisioningState) -> None:
            machine.power_state, machine.provisioning_state = power_state, state

        if duration > timedelta(0):
            machine.power_state = meanwhile or machine.power_state
            machine.provisioning_state = ProvisioningState.UPDATING
        return self._world.operations.start(
            family=OperationFamily.COMPUTE,
            location=machine.location,
            subscription=machine.rid.subscription,
            duration=duration,
            resource_id=machine.id,
            on_success=lambda: end(final, ProvisioningState.SUCCEEDED),
            on_failure=lambda: end(before, ProvisioningState.FAILED),
        )

    def _add_disk(self, machine: VirtualMachine, section: DiskSection, lun: int | None) -> None:
        if section.vhd_uri is not None:
            return
        rid = compute_id(machine.rid.subscription, machine.rid.group, "disks", machine.disk_name(section, lun))
        disk = Disk(
            rid,
            machine.location,
            {},
            ProvisioningState.SUCCEEDED,
            sku=section.sku,
            content=_content(machine.section, section, lun),
            creation_data=_creation_data(machine, lun),
            time_created=machine.time_created,
            attached_to=machine.id,
            zones=list(machine.section.zones[:1]),
        )
        machine.disk_ids[lun] = rid
        self._world.compute.disks.add(disk)


def _content(vm: VirtualMachineSection, disk: DiskSection, lun: int | None) -> DiskContent:
    if lun is not None:
        return DiskContent(
            disk.size_gib, encryption_type=disk.encryption_type, encryption_set_id=disk.encryption_set_id
        )
    security = {"Standard": None, "TrustedLaunch": "TrustedLaunch"}.get(
        vm.security_type, "ConfidentialVM_VMGuestStateOnlyEncryptedWithPlatformKey"
    )
    plan: JsonObject | None = None if vm.plan is None else {**vm.plan.model_dump()}
    return DiskContent(
        disk.size_gib,
        os_type=vm.os_type,
        generation=vm.generation,
        architecture=vm.architecture,
        controller_types="SCSI, NVME" if vm.disk_controller == "NVMe" else "SCSI",
        security_type=security,
        purchase_plan=plan,
        encryption_settings=vm.encrypted,
        encryption_type=disk.encryption_type,
        encryption_set_id=disk.encryption_set_id,
    )


def _creation_data(machine: VirtualMachine, lun: int | None) -> JsonObject:
    image = machine.section.image
    if lun is not None or image is None:
        return {"createOption": "Empty"}
    subscription = machine.rid.subscription
    artifact = (
        f"/Subscriptions/{subscription}/Providers/Microsoft.Compute/Locations/{machine.location}/Publishers/{image.publisher}"
        f"/ArtifactTypes/VMImage/Offers/{image.offer}/Skus/{image.sku}/Versions/{image.exact_version or image.version}"
    )
    return {"createOption": "FromImage", "imageReference": {"id": artifact}}


def _output(machine: VirtualMachine, script: str) -> JsonValue:
    known = next((entry for entry in machine.section.run_commands if re.search(entry.matches, script)), None)
    stdout, stderr = (known.stdout, known.stderr) if known else ("", "")
    if machine.section.os_type == "Windows":
        return {
            "value": [
                {
                    "code": f"ComponentStatus/{stream}/succeeded",
                    "level": "Info",
                    "displayStatus": "Provisioning succeeded",
                    "message": text,
                }
                for stream, text in (("StdOut", stdout), ("StdErr", stderr))
            ]
        }
    return {
        "value": [
            {
                "code": "ProvisioningState/succeeded",
                "level": "Info",
                "displayStatus": "Provisioning succeeded",
                "message": f"Enable succeeded: \n[stdout]\n{stdout}\n[stderr]\n{stderr}\n",
            }
        ]
    }
