"""Virtual machines: state, and how ARM shows it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue

from include.azure_simulator.compute.guests import Guest
from include.azure_simulator.compute.store import Resource
from include.azure_simulator.compute.vm_section import (
    DataDiskSection,
    DiskSection,
    ExtensionSection,
    VirtualMachineSection,
)
from include.azure_simulator.resources import JsonObject, ResourceId, timestamp

VM_TYPE = "Microsoft.Compute/virtualMachines"


class PowerState(StrEnum):
    """Power state of a VM."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DEALLOCATING = "deallocating"
    DEALLOCATED = "deallocated"

    @property
    def display(self) -> str:
        """The text of the portal."""
        return f"VM {self.value}"

    @property
    def quiescent(self) -> bool:
        """Whether nothing runs in the VM."""
        return self in (PowerState.STOPPED, PowerState.DEALLOCATED)


@dataclass(frozen=True, slots=True)
class InterfaceReference:
    """A network interface of a VM, and what becomes of it when the VM is deleted."""

    id: str
    primary: bool | None = None
    delete_option: str | None = None

    def render(self) -> JsonObject:
        """The reference as ARM shows it."""
        properties: JsonObject = {"primary": self.primary, "deleteOption": self.delete_option}
        given: JsonObject = {name: value for name, value in properties.items() if value is not None}
        return {"id": self.id, "properties": given} if given else {"id": self.id}


@dataclass(slots=True)
class VirtualMachine(Resource):
    """A VM, described as in a world file; a change replaces the ``section``.

    ``disk_ids`` are managed disks by LUN, ``None`` the OS disk; ``deleted_with_vm`` are those that go with the VM.
    ``attached`` is a VM that was made from an OS disk that existed: it has no OS profile. ``came_up`` is false until it
    has started for the first time. ``state_changed`` is when the provisioning state changed last, ``local_guest`` the
    system of a VM without a managed OS disk.
    """

    section: VirtualMachineSection
    disk_ids: dict[int | None, ResourceId]
    power_state: PowerState
    generalized: bool
    time_created: datetime
    state_changed: datetime
    interfaces: list[InterfaceReference]
    local_guest: Guest = field(default_factory=Guest)
    attached: bool = False
    deleted_with_vm: set[int | None] = field(default_factory=set)
    came_up: bool = True
    kept: JsonObject = field(default_factory=dict)
    uefi_settings: JsonValue = None
    vm_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def spot(self) -> bool:
        """Whether the VM runs on spare capacity."""
        return self.kept.get("priority") in ("Low", "Spot")

    def render(self, *, now: datetime, expand: str | None) -> JsonObject:
        """The VM as ARM shows it.

        :param now: simulated time, which the instance view carries.
        :param expand: ``instanceView`` adds the instance view.
        """
        section = self.section
        properties: JsonObject = {
            **self.kept,
            "vmId": self.vm_id,
            "provisioningState": self.provisioning_state.value,
            "timeCreated": timestamp(self.time_created),
            "hardwareProfile": {"vmSize": section.size},
            "storageProfile": self.storage_profile(),
            "networkProfile": {"networkInterfaces": [interface.render() for interface in self.interfaces]},
        }
        if not self.attached:
            properties["osProfile"] = self.os_profile()
        if (security := self.security_profile()) is not None:
            properties["securityProfile"] = security
        if expand is not None and expand.lower() == "instanceview":
            properties["instanceView"] = self.instance_view(now)
        body = self.envelope()
        body["properties"] = properties
        if section.plan is not None:
            body["plan"] = section.plan.model_dump()
        if section.zones:
            body["zones"] = [*section.zones]
        if section.extensions:
            body["resources"] = [self.extension(extension) for extension in section.extensions]
        return body

    def instance_view(self, now: datetime) -> JsonObject:
        """The run-time state: provisioning, power, whether flagged as generalized."""
        section = self.section
        running = self.power_state is PowerState.RUNNING
        statuses: list[JsonValue] = [
            _status(
                f"ProvisioningState/{self.provisioning_state.lower()}",
                f"Provisioning {self.provisioning_state.lower()}",
                self.state_changed,
            )
        ]
        if self.generalized:
            statuses.append(_status("OSState/generalized", "VM generalized"))
        statuses.append(_status(f"PowerState/{self.power_state}", self.power_state.display))
        view: JsonObject = {
            "hyperVGeneration": section.generation,
            "statuses": statuses,
            "disks": self._disk_views(),
        }
        if running:
            view["computerName"] = section.name
            view["osName"] = "ubuntu" if section.os_type == "Linux" else "Windows Server 2022 Datacenter"
            view["osVersion"] = "24.04" if section.os_type == "Linux" else "10.0.20348"
            view["vmAgent"] = {
                "vmAgentVersion": "2.14.0.1",
                "statuses": [_status("ProvisioningState/succeeded", "Ready", now)],
            }
        if section.extensions:
            view["extensions"] = [
                {
                    "name": extension.name,
                    "type": f"{extension.publisher}.{extension.type}",
                    "typeHandlerVersion": extension.version,
                    "statuses": [_status("ProvisioningState/succeeded", "Provisioning succeeded")],
                }
                for extension in section.extensions
            ]
        return view

    def extension(self, extension: ExtensionSection) -> JsonObject:
        """One extension as ARM shows it."""
        rid = self.rid.child("extensions", extension.name)
        return {
            "id": str(rid),
            "name": extension.name,
            "type": rid.type,
            "location": self.location,
            "properties": {
                "publisher": extension.publisher,
                "type": extension.type,
                "typeHandlerVersion": extension.version,
                "autoUpgradeMinorVersion": True,
                "provisioningState": "Succeeded",
            },
        }

    def storage_profile(self) -> JsonObject:
        """The disks as ARM shows them."""
        section = self.section
        os_disk = self._disk(section.os_disk, None)
        os_disk["osType"] = section.os_type
        if section.ephemeral_os_disk:
            os_disk["diffDiskSettings"] = {"option": "Local", "placement": "ResourceDisk"}
        if section.encrypted:
            os_disk["encryptionSettings"] = {"enabled": True}
        profile: JsonObject = {
            "osDisk": os_disk,
            "dataDisks": [self._data_disk(disk) for disk in section.data_disks],
            "diskControllerType": section.disk_controller,
        }
        if section.image is not None:
            image = section.image
            profile["imageReference"] = {
                "publisher": image.publisher,
                "offer": image.offer,
                "sku": image.sku,
                "version": image.version,
                "exactVersion": image.exact_version or image.version,
            }
        return profile

    def _disk(self, disk: DiskSection, lun: int | None) -> JsonObject:
        body: JsonObject = {
            "name": self.disk_name(disk, lun),
            "createOption": "FromImage" if lun is None and not self.attached else "Attach",
            "caching": disk.caching,
            "deleteOption": "Delete" if lun in self.deleted_with_vm else "Detach",
            "diskSizeGB": disk.size_gib,
        }
        if disk.vhd_uri is not None:
            body["vhd"] = {"uri": disk.vhd_uri}
        elif lun in self.disk_ids:
            body["managedDisk"] = {"id": str(self.disk_ids[lun]), "storageAccountType": disk.sku}
        return body

    def _data_disk(self, disk: DataDiskSection) -> JsonObject:
        return {"lun": disk.lun, **self._disk(disk, disk.lun), "toBeDetached": False}

    def disk_name(self, disk: DiskSection, lun: int | None) -> str:
        """The name of a disk: the given one, or the VM's name with a suffix."""
        return disk.name or (f"{self.section.name}-os" if lun is None else f"{self.section.name}-data-{lun}")

    def _disk_views(self) -> list[JsonValue]:
        section = self.section
        names = [
            self.disk_name(section.os_disk, None),
            *(self.disk_name(disk, disk.lun) for disk in section.data_disks),
        ]
        status = _status("ProvisioningState/succeeded", "Provisioning succeeded", self.state_changed)
        return [{"name": name, "statuses": [status]} for name in names]

    def os_profile(self) -> JsonObject:
        """The settings of the system; a VM on an attached disk has none."""
        section = self.section
        profile: JsonObject = {
            "computerName": section.name,
            "adminUsername": "azureuser",
            "secrets": [],
            "allowExtensionOperations": True,
            "requireGuestProvisionSignal": True,
        }
        if section.os_type == "Linux":
            profile["linuxConfiguration"] = {"disablePasswordAuthentication": True, "provisionVMAgent": True}
        else:
            profile["windowsConfiguration"] = {"provisionVMAgent": True, "enableAutomaticUpdates": True}
        return profile

    def security_profile(self) -> JsonObject | None:
        """Security type and encryption at host; ``None`` for a plain VM."""
        section = self.section
        profile: JsonObject = {}
        if section.security_type != "Standard":
            profile["securityType"] = section.security_type
            profile["uefiSettings"] = self.uefi_settings or {"secureBootEnabled": True, "vTpmEnabled": True}
        if section.encryption_at_host:
            profile["encryptionAtHost"] = True
        return profile or None


def _status(code: str, display: str, time: datetime | None = None) -> JsonObject:
    status: JsonObject = {"code": code, "level": "Info", "displayStatus": display}
    if time is not None:
        status["time"] = timestamp(time)
    return status
