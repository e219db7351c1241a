"""What may be done to virtual machines, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import JsonValue

from include.azure_simulator.compute.disks import Disk
from include.azure_simulator.compute.guests import Guest, stops_vm
from include.azure_simulator.compute.machines import VM_TYPE, PowerState, VirtualMachine
from include.azure_simulator.compute.store import (
    ProvisioningState,
    RequestBody,
    Store,
    TagsBody,
    concurrent_request,
    not_allowed,
)
from include.azure_simulator.compute.usages import check_quota
from include.azure_simulator.errors import ArmError
from include.azure_simulator.operations import Operation, OperationFamily
from include.azure_simulator.resources import ResourceId

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

    def disks(self, machine: VirtualMachine) -> list[Disk]:
        """The managed disks of a VM, the OS disk first."""
        found = (self._world.compute.disks.find(rid) for rid in machine.disk_ids.values())
        return [disk for disk in found if disk is not None]

    def os_disk(self, machine: VirtualMachine) -> Disk | None:
        """The managed OS disk of a VM, or ``None``."""
        rid = machine.disk_ids.get(None)
        return None if rid is None else self._world.compute.disks.find(rid)

    def guest(self, machine: VirtualMachine) -> Guest:
        """The system of a VM."""
        disk = self.os_disk(machine)
        return machine.local_guest if disk is None else disk.content.guest or Guest()

    def patch(self, rid: ResourceId, body: TagsBody) -> tuple[VirtualMachine, Operation]:
        """Change tags; other properties are not simulated.

        :raises ArmError: 404, 409 ``Conflict`` while something is being done to the VM,
            409 ``PropertyChangeNotAllowed`` for anything but tags.
        """
        if self._world.operations.running_on(self.require(rid).id) is not None:
            raise concurrent_request()
        machine = self.patch_tags(rid, body)
        return machine, self.begin(machine, self._world.settings.compute.vm_update, None, machine.power_state)

    def start(self, rid: ResourceId) -> Operation:
        """Start a VM.

        :raises ArmError: 404; 409 ``OperationNotAllowed`` when the VM is generalized, or beyond the quota of cores;
            409 ``Conflict``.
        """
        machine = self.require(rid)
        if machine.generalized:
            raise not_allowed(f"Operation 'start' is not allowed on VM '{rid.name}' since the VM is generalized.")
        size = self._world.compute.vm_sizes(machine.location).get(machine.section.size.lower())
        if machine.power_state is PowerState.DEALLOCATED and size is not None:
            check_quota(self._world, rid.subscription, machine.location, size, spot=machine.spot)
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
            return self.begin(machine, timedelta(0), None, PowerState.DEALLOCATED)
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

        :raises ArmError: 404; 409 ``OperationNotAllowed`` unless the VM runs; 409 ``Conflict``, also while another
            run command runs.
        """
        machine = self.require(rid)
        if machine.power_state is not PowerState.RUNNING:
            raise not_allowed("Cannot modify extensions in the VM when the VM is not running.")
        running = self._world.operations.running_on(machine.id)
        if running is not None and running.result is not None:
            text = (
                "Run command extension execution is in progress. Please wait for completion before invoking a run "
                "command."
            )
            raise ArmError(409, "Conflict", text)
        if running is not None:
            raise concurrent_request()
        script = "\n".join(body.script or [])
        output = self.guest(machine).output(script, machine.section.os_type)
        return self._world.operations.start(
            family=OperationFamily.COMPUTE,
            location=machine.location,
            subscription=rid.subscription,
            duration=self._world.settings.compute.run_command,
            resource_id=machine.id,
            on_success=lambda: self._apply(machine, script),
            result=lambda: output,
        )

    def begin(
        self,
        machine: VirtualMachine,
        duration: timedelta,
        meanwhile: PowerState | None,
        final: PowerState,
        *,
        state: ProvisioningState = ProvisioningState.UPDATING,
        then: Callable[[], None] = lambda: None,
    ) -> Operation:
        """Start an operation on a VM that ends in a power state.

        :param meanwhile: power state while it runs; ``None`` is the one before.
        :param state: provisioning state while it runs.
        :param then: done when it has ended well.
        """
        before = machine.power_state

        def end(power_state: PowerState, provisioning_state: ProvisioningState) -> None:
            if machine.provisioning_state is not ProvisioningState.DELETING:
                machine.power_state, machine.provisioning_state = power_state, provisioning_state
                machine.state_changed = self._world.clock.now()

        def succeed() -> None:
            end(final, ProvisioningState.SUCCEEDED)
            then()

        if duration > timedelta(0):
            machine.power_state = meanwhile or machine.power_state
            machine.provisioning_state = state
            machine.state_changed = self._world.clock.now()
        return self._world.operations.start(
            family=OperationFamily.COMPUTE,
            location=machine.location,
            subscription=machine.rid.subscription,
            duration=duration,
            resource_id=machine.id,
            on_success=succeed,
            on_failure=lambda: end(before, ProvisioningState.FAILED),
        )

    def _power(
        self, machine: VirtualMachine, duration: timedelta, meanwhile: PowerState, final: PowerState
    ) -> Operation:
        running = self._world.operations.running_on(machine.id)
        if running is not None:
            if machine.power_state is not meanwhile:
                raise concurrent_request()
            return running
        if machine.power_state is final:
            return self.begin(machine, timedelta(0), meanwhile, final)
        moves = final in (PowerState.RUNNING, PowerState.DEALLOCATED)
        return self.begin(machine, duration, meanwhile, final, then=lambda: self._own(machine) if moves else None)

    def _own(self, machine: VirtualMachine) -> None:
        """Start and deallocation move the ownership of the disks; a mere stop does not."""
        for disk in self.disks(machine):
            disk.ownership_changed = self._world.clock.now()

    def _apply(self, machine: VirtualMachine, script: str) -> None:
        """What a script leaves behind in a VM; one that fails leaves nothing."""
        if self.guest(machine).fails(script):
            return
        guest = self.guest(machine).after(script)
        disk = self.os_disk(machine)
        if disk is None:
            machine.local_guest = guest
        else:
            disk.content = replace(disk.content, guest=guest)
        if stops_vm(script) and machine.power_state is PowerState.RUNNING:
            machine.power_state = PowerState.STOPPED
