"""A virtual machine as clients send it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from include.azure_simulator.compute.image_bodies import Caching
from include.azure_simulator.compute.store import EnvelopeBody, Reference, RequestBody
from include.azure_simulator.resources import JsonObject

DeleteOption = Literal["Detach", "Delete"]
CreateOption = Literal["Attach", "FromImage", "Empty", "Copy", "Restore"]

_KEPT = (
    "diagnosticsProfile",
    "additionalCapabilities",
    "applicationProfile",
    "billingProfile",
    "evictionPolicy",
    "extensionsTimeBudget",
    "licenseType",
    "priority",
    "scheduledEventsPolicy",
    "scheduledEventsProfile",
)
"""Properties that mean nothing here and are shown as they were sent."""


class ManagedDiskBody(RequestBody):
    """The managed disk of a VM."""

    id: str | None = None
    storage_account_type: JsonValue = None
    disk_encryption_set: JsonValue = None
    security_profile: JsonValue = None


class VmDiskBody(RequestBody):
    """A disk of a VM."""

    read_only: ClassVar[frozenset[str]] = frozenset({"diskIOPSReadWrite", "diskMBpsReadWrite"})

    create_option: CreateOption
    managed_disk: ManagedDiskBody | None = None
    name: str | None = None
    caching: Caching | None = None
    delete_option: DeleteOption | None = None
    disk_size_gb: int | None = Field(default=None, alias="diskSizeGB", ge=1)
    write_accelerator_enabled: JsonValue = None
    vhd: JsonValue = None
    image: JsonValue = None

    @property
    def disk_id(self) -> str | None:
        """The id of the managed disk."""
        return self.managed_disk.id if self.managed_disk is not None else None


class OsDiskBody(VmDiskBody):
    """The OS disk of a VM."""

    os_type: Literal["Linux", "Windows"] | None = None
    diff_disk_settings: JsonValue = None
    encryption_settings: JsonValue = None


class DataDiskBody(VmDiskBody):
    """A data disk of a VM."""

    lun: int = Field(ge=0, le=63)
    to_be_detached: bool | None = None
    detach_option: JsonValue = None


class StorageBody(RequestBody):
    """The disks of a VM."""

    image_reference: JsonObject | None = None
    os_disk: OsDiskBody | None = None
    data_disks: list[DataDiskBody] | None = None
    disk_controller_type: Literal["SCSI", "NVMe"] | None = None

    @property
    def kept_disks(self) -> list[DataDiskBody] | None:
        """The managed data disks that shall not be detached; ``None`` when the request does not speak of any."""
        if self.data_disks is None:
            return None
        return [disk for disk in self.data_disks if not disk.to_be_detached and disk.vhd is None]


class HardwareBody(RequestBody):
    """The size of a VM."""

    vm_size: str
    vm_size_properties: JsonValue = None


class InterfaceReferencePropertiesBody(RequestBody):
    """How a VM uses a network interface."""

    primary: bool | None = None
    delete_option: DeleteOption | None = None


class InterfaceReferenceBody(RequestBody):
    """A network interface of a VM."""

    id: str
    properties: InterfaceReferencePropertiesBody = InterfaceReferencePropertiesBody()


class NetworkProfileBody(RequestBody):
    """The network interfaces of a VM."""

    network_interfaces: list[InterfaceReferenceBody] = Field(default_factory=list)


class VmSecurityBody(RequestBody):
    """The security profile of a VM."""

    security_type: Literal["Standard", "TrustedLaunch", "ConfidentialVM"] | None = None
    uefi_settings: JsonValue = None
    encryption_at_host: bool | None = None
    proxy_agent_settings: JsonValue = None


class VmPropertiesBody(RequestBody):
    """The properties of a VM in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "instanceView", "vmId", "timeCreated"})

    hardware_profile: HardwareBody | None = None
    storage_profile: StorageBody | None = None
    os_profile: JsonObject | None = None
    network_profile: NetworkProfileBody | None = None
    security_profile: VmSecurityBody | None = None
    availability_set: Reference | None = None
    capacity_reservation: JsonValue = None
    host: Reference | None = None
    host_group: Reference | None = None
    proximity_placement_group: Reference | None = None
    virtual_machine_scale_set: Reference | None = None
    diagnostics_profile: JsonValue = None
    additional_capabilities: JsonValue = None
    application_profile: JsonValue = None
    billing_profile: JsonValue = None
    eviction_policy: JsonValue = None
    extensions_time_budget: JsonValue = None
    license_type: JsonValue = None
    priority: Literal["Regular", "Low", "Spot"] | None = None
    scheduled_events_policy: JsonValue = None
    scheduled_events_profile: JsonValue = None
    user_data: JsonValue = None

    @property
    def kept(self) -> JsonObject:
        """The properties that are shown as they were sent."""
        return {name: value for name, value in self.to_json().items() if name in _KEPT}

    @property
    def elsewhere(self) -> list[str]:
        """Ids of resources that this world has none of."""
        named = (
            self.availability_set,
            self.host,
            self.host_group,
            self.proximity_placement_group,
            self.virtual_machine_scale_set,
        )
        return [reference.id for reference in named if reference is not None]


class VirtualMachineBody(EnvelopeBody):
    """A VM in a PUT."""

    read_only: ClassVar[frozenset[str]] = EnvelopeBody.read_only | {"resources", "identity"}

    properties: VmPropertiesBody
    zones: list[str] | None = None
    plan: JsonObject | None = None
