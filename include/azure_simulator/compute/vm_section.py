"""Virtual machines as a world file describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from include.azure_simulator.compute.sizes import Architecture, Generation

SecurityType = Literal["Standard", "TrustedLaunch", "ConfidentialVM"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageReferenceSection(_Section):
    """The marketplace image that a VM was made from."""

    publisher: str
    offer: str
    sku: str
    version: str = "latest"
    exact_version: str | None = None


class PlanSection(_Section):
    """The purchase plan of a marketplace image."""

    name: str
    publisher: str
    product: str


class ExtensionSection(_Section):
    """An extension on a VM."""

    name: str
    publisher: str
    type: str
    version: str = "1.0"


class DiskSection(_Section):
    """A disk of a VM. ``name`` defaults to the VM's name with a suffix; ``vhd_uri`` makes it an unmanaged disk."""

    name: str | None = None
    size_gib: int = Field(ge=1, le=65_536)
    sku: str = "Premium_LRS"
    caching: Literal["None", "ReadOnly", "ReadWrite"] = "ReadWrite"
    vhd_uri: str | None = None
    encryption_type: str = "EncryptionAtRestWithPlatformKey"
    encryption_set_id: str | None = None


class DataDiskSection(DiskSection):
    """A data disk of a VM."""

    lun: int = Field(ge=0, le=63)
    caching: Literal["None", "ReadOnly", "ReadWrite"] = "ReadOnly"


class RunCommandSection(_Section):
    """What a run command comes to whose script matches a regular expression."""

    matches: str = ""
    stdout: str = ""
    stderr: str = ""
    exit_code: int = Field(default=0, ge=0, le=255, description="anything but 0: the script changes nothing")


class VirtualMachineSection(_Section):
    """A VM with its disks.

    ``encrypted`` is Azure Disk Encryption of the OS disk; ``run_commands`` are tried in order. ``generalized`` is
    Azure's flag, ``guest_generalized`` whether the system was really deprovisioned. ``subnet`` is ``network/subnet``
    in the resource group of the VM.
    """

    name: str
    resource_group: str
    location: str
    subscription: str | None = Field(default=None, description="default: the first subscription of the file")
    size: str
    os_type: Literal["Linux", "Windows"] = "Linux"
    generation: Generation = "V2"
    architecture: Architecture = "x64"
    security_type: SecurityType = "Standard"
    power_state: Literal["running", "stopped", "deallocated"] = "running"
    generalized: bool = False
    guest_generalized: bool = True
    subnet: str | None = Field(default=None, pattern=r"^[^/]+/[^/]+$")
    ephemeral_os_disk: bool = False
    encrypted: bool = False
    encryption_at_host: bool = False
    disk_controller: Literal["SCSI", "NVMe"] = "SCSI"
    image: ImageReferenceSection | None = None
    plan: PlanSection | None = None
    os_disk: DiskSection
    data_disks: list[DataDiskSection] = Field(default_factory=list)
    extensions: list[ExtensionSection] = Field(default_factory=list)
    run_commands: list[RunCommandSection] = Field(default_factory=list)
    zones: list[str] = Field(default_factory=list)
    tags: dict[str, str] = Field(default_factory=dict)
