"""Where the image comes from: ``golden_vm``, and ``image.source`` for everything else.

Rules: "Create a legacy managed image of a generalized VM in Azure" (what can become a managed image), "Trusted Launch
for Azure virtual machines" (what cannot), "Create an image definition and an image version" (sources of a version).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StrictBool, StrictInt, StringConstraints, ValidationInfo, field_validator

from golden_pools.spec import names
from golden_pools.spec.part import Part, RegionName, ResourceGroupName

VmName = Annotated[str, StringConstraints(pattern=names.VM_NAME)]


class SourceKind(StrEnum):
    """What an image is made from."""

    GOLDEN_VM = "golden_vm"
    GENERALIZED_VM = "generalized_vm"
    VHD = "vhd"
    PACKER = "packer"
    IMAGE_VERSION = "image_version"
    FOLLOW = "follow"

    @property
    def has_vm(self) -> bool:
        """Whether a VM of the spec is captured."""
        return self in (SourceKind.GOLDEN_VM, SourceKind.GENERALIZED_VM)

    @property
    def makes_images(self) -> bool:
        """Whether runs make images of their own; else the pool runs on versions that somebody else made."""
        return self not in (SourceKind.IMAGE_VERSION, SourceKind.FOLLOW)


class Capture(StrEnum):
    """In which state the golden VM's disks are copied."""

    DEALLOCATED = "deallocated"
    STOPPED = "stopped"
    RUNNING = "running"
    RESTORE_POINT = "restore_point"

    @property
    def stops(self) -> bool:
        """Whether a VM that runs is brought to rest for it."""
        return self in (Capture.DEALLOCATED, Capture.STOPPED)


class Route(StrEnum):
    """How the golden VM's snapshots get into the gallery."""

    AUTO = "auto"
    MANAGED_IMAGE = "managed_image"
    SNAPSHOTS = "snapshots"


class Generalize(StrEnum):
    """How the guest in the image gets generalized; the golden VM itself never is."""

    AS_IS = "as_is"
    CLONE = "clone"


class Clone(Part):
    """The throwaway VM that is generalized in the golden VM's place."""

    subnet_id: Annotated[str, StringConstraints(pattern=names.SUBNET_ID)] = Field(
        description="Full ARM id of the subnet of its network card, in the golden VM's region."
    )
    vm_size: Annotated[str, StringConstraints(pattern=names.VM_SIZE)] | None = Field(
        default=None, description="Its size; the golden VM's own if absent.", examples=["Standard_D2s_v5"]
    )
    command: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Script that generalizes the guest; if absent `waagent -deprovision+user -force`, or sysprep on Windows."
        ),
    )
    minutes: Annotated[StrictInt, Field(ge=5, le=240)] = Field(
        default=30, description="Time for the throwaway VM to start and for the script to end, each."
    )


class GoldenVm(Part):
    """The VM whose disks become the image."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"generalize": {"const": "clone"}}, "required": ["generalize"]},
            "then": {"properties": {"clone": {"type": "object"}}, "required": ["clone"]},
            "else": {"properties": {"clone": {"type": "null"}}},
        }
    )

    resource_group: ResourceGroupName = Field(description="Resource group of the VM.", examples=["golden"])
    name: VmName = Field(description="Name of the VM.", examples=["golden-vm"])
    generalized: StrictBool = Field(
        default=False,
        description=(
            "You assert that the guest is generalized (sysprep, waagent -deprovision+user). ARM cannot see it; without "
            "this, Azure's own flag, the tag `golden.generalized=true` on the VM or `generalize: clone`, preflight "
            "refuses."
        ),
    )
    capture: Capture = Field(
        default=Capture.DEALLOCATED,
        description=(
            "`deallocated` and `stopped` bring a running VM to rest for the snapshots and start it again: all disks "
            "show one moment. `stopped` only powers it off: it keeps its machine, which Azure goes on billing. "
            "`running` leaves it alone: each disk is crash-consistent by itself only. `restore_point` leaves it alone, "
            "too, and copies all disks as they were at one moment, where VM size and caching allow a crash-consistent "
            "VM restore point."
        ),
    )
    route: Route = Field(
        default=Route.AUTO,
        description=(
            "From the snapshots to the gallery: by a `managed_image`, or from the `snapshots` themselves; `auto` takes "
            "the snapshots where Azure makes no managed image: Trusted Launch, Arm64, NVMe."
        ),
    )
    generalize: Generalize = Field(
        default=Generalize.AS_IS,
        description=(
            "`as_is`: the guest is generalized already. `clone`: a throwaway VM is made from the snapshots, "
            "generalized and captured."
        ),
    )
    clone: Clone | None = Field(
        default=None, validate_default=True, description="Needed with `generalize: clone`: the throwaway VM."
    )
    allowed_extensions: tuple[str, ...] = Field(
        default=(),
        description="Names of VM extensions that preflight tolerates; Batch may clash with any.",
        examples=[["AzureMonitorLinuxAgent"]],
    )

    @field_validator("clone")
    @classmethod
    def _clone_is_meant(cls, clone: Clone | None, info: ValidationInfo) -> Clone | None:
        wanted = info.data.get("generalize") is Generalize.CLONE
        if wanted and clone is None:
            raise ValueError("a mapping with at least subnet_id; generalize: clone needs it")
        if clone is not None and not wanted:
            raise ValueError("nothing, or generalize: clone")
        return clone


class GeneralizedVm(Part):
    """A VM that Azure has flagged as generalized; it is captured as it is."""

    resource_group: ResourceGroupName = Field(description="Resource group of the VM.", examples=["golden"])
    name: VmName = Field(description="Name of the VM.", examples=["build-vm"])


class VhdDataDisk(Part):
    """A data disk as a page blob."""

    lun: Annotated[StrictInt, Field(ge=0, le=63)] = Field(description="LUN of the disk.")
    uri: Annotated[str, StringConstraints(pattern=names.VHD_URI)] = Field(description="Address of its page blob.")


class Vhd(Part):
    """Page blobs in a storage account of the spec's subscription, from a machine elsewhere or from Packer."""

    os_disk: Annotated[str, StringConstraints(pattern=names.VHD_URI)] = Field(
        description="Address of the OS disk's page blob, without a signature.",
        examples=["https://goldenvhds.blob.core.windows.net/vhds/golden.vhd"],
    )
    data_disks: tuple[VhdDataDisk, ...] = Field(default=(), description="Page blobs of the data disks.")
    region: RegionName = Field(
        description="Region of the storage account, where the image is made too.", examples=["westeurope"]
    )
    os_type: Literal["Linux", "Windows"] = Field(description="System on the OS disk, which must be generalized.")
    generation: Literal["V1", "V2"] = Field(description="Generation that the OS disk boots in; a blob does not tell.")

    @field_validator("data_disks")
    @classmethod
    def _luns_once(cls, disks: tuple[VhdDataDisk, ...]) -> tuple[VhdDataDisk, ...]:
        luns = [disk.lun for disk in disks]
        if twice := sorted({lun for lun in luns if luns.count(lun) > 1}):
            raise ValueError(f"each LUN once, but {', '.join(map(str, twice))} stands more than once")
        return disks


class PackerVhd(Part):
    """What a manifest does not tell of a VHD."""

    region: RegionName = Field(
        description="Region of the storage account, where the image is made too.", examples=["westeurope"]
    )
    os_type: Literal["Linux", "Windows"] = Field(description="System on the OS disk.")
    generation: Literal["V1", "V2"] = Field(description="Generation that the OS disk boots in.")
    data_disks: Annotated[StrictInt, Field(ge=0, le=64)] | None = Field(
        default=None,
        description="Number of data disks (`disk_additional_size`), which get VHDs of their own; absent: none, with a "
        "warning.",
    )


class Packer(Part):
    """What Packer built last, as its ``manifest`` post-processor wrote it down."""

    manifest: str = Field(
        min_length=1,
        description="Path or URL of the manifest, as Airflow's ObjectStoragePath takes it.",
        examples=["abfs://builds@teamstorage/packer-manifest.json"],
    )
    connection: Annotated[str, StringConstraints(pattern=names.CONNECTION)] | None = Field(
        default=None, description="Airflow connection of the object storage; none for a path."
    )
    build: str | None = Field(
        default=None, min_length=1, description="Name of the build in the manifest; the newest of any if absent."
    )
    vhd: PackerVhd | None = Field(
        default=None, description="Needed where the artifact is a VHD: what the manifest does not tell of it."
    )


class ExistingVersion(Part):
    """A version that somebody else makes, of this or another subscription or gallery."""

    id: Annotated[str, StringConstraints(pattern=names.VERSION_OR_DEFINITION_ID)] = Field(
        description="Full ARM id of a version; of a definition, its newest version that is not excluded from latest."
    )


class Follow(Part):
    """The image of another pool's spec: the DAG runs when that image has a new version that proved good."""

    pool: Annotated[str, StringConstraints(pattern=names.POOL_NAME_PATTERN)] = Field(
        description="Name of the pool whose spec makes the image.", examples=["render-farm"]
    )
    after: tuple[Annotated[str, StringConstraints(pattern=names.POOL_NAME_PATTERN)], ...] = Field(
        default=(),
        description=(
            "Followers of the same image that have to be on a version first: this pool waits for all of them, and "
            "where one fails it stays on the version that it has. Without any, it moves as soon as the version is good."
        ),
        examples=[["preview-farm"]],
    )
    pause_minutes: Annotated[StrictInt, Field(ge=0, le=10080)] = Field(
        default=0,
        description=(
            "Pause before this pool moves, from the moment that the version proved good, or that the last pool in "
            "`after` was on it; a version that is marked bad meanwhile is not taken. A run by hand does not pause."
        ),
    )

    @field_validator("after")
    @classmethod
    def _pools_once(cls, pools: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({pool for pool in pools if pools.count(pool) > 1}):
            raise ValueError(f"each pool once, but {', '.join(twice)} stands more than once")
        return pools


class Source(Part):
    """Where the image comes from, if not from ``golden_vm``: one of these at most."""

    model_config = ConfigDict(json_schema_extra={"maxProperties": 1})

    generalized_vm: GeneralizedVm | None = Field(
        default=None, description="A VM that is flagged generalized, captured as it is."
    )
    vhd: Vhd | None = Field(default=None, description="Page blobs in a storage account.")
    packer: Packer | None = Field(default=None, description="The newest artifact in a manifest that Packer wrote.")
    image_version: ExistingVersion | None = Field(default=None, description="A version that somebody else makes.")
    follow: Follow | None = Field(default=None, description="The image of another pool's spec, once it proved good.")

    @field_validator("vhd", "packer", "image_version", "follow")
    @classmethod
    def _one_source(cls, part: Part | None, info: ValidationInfo) -> Part | None:
        others = [name for name, value in info.data.items() if value is not None]
        if part is not None and others:
            raise ValueError(f"one source, but {', '.join(others)} stands there too")
        return part

    @property
    def kind(self) -> SourceKind:
        """Which source it is."""
        for kind in SourceKind:
            if kind is not SourceKind.GOLDEN_VM and getattr(self, kind) is not None:
                return kind
        return SourceKind.GOLDEN_VM
