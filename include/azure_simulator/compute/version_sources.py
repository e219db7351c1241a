"""What an image version is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, NoReturn

from pydantic import Field, JsonValue

from include.azure_simulator.compute.disks import Disk, DiskContent
from include.azure_simulator.compute.galleries import ImageDefinition
from include.azure_simulator.compute.image_bodies import Caching
from include.azure_simulator.compute.store import (
    ProvisioningState,
    RequestBody,
    Resource,
    invalid_parameter,
    not_allowed,
)
from include.azure_simulator.compute.version_fit import STORAGE_PROFILE, SourceContent, check_fits, check_sizes
from include.azure_simulator.compute.vhds import Vhd, find_vhd
from include.azure_simulator.resources import JsonObject

if TYPE_CHECKING:
    from include.azure_simulator.world import World

_VM_SOURCE_SINCE = "2023-07-03"


class FullSourceBody(RequestBody):
    """A source that holds all disks: a managed image, another version, or a VM."""

    id: str | None = None
    community_gallery_image_id: str | None = None
    virtual_machine_id: str | None = None


class DiskSourceBody(RequestBody):
    """The source of one disk: a disk or a snapshot, or a VHD by its URI.

    Older clients name the storage account of a VHD in ``id``, newer ones in ``storageAccountId``.
    """

    id: str | None = None
    uri: str | None = None
    storage_account_id: str | None = None

    @property
    def key(self) -> str | None:
        """What names the source: the URI of a VHD, otherwise the id."""
        return self.uri or self.id


class OsDiskImageBody(RequestBody):
    """The OS disk of a version."""

    read_only: ClassVar[frozenset[str]] = frozenset({"sizeInGB"})

    source: DiskSourceBody | None = None
    host_caching: Caching | None = None


class DataDiskImageBody(OsDiskImageBody):
    """A data disk of a version."""

    lun: int = Field(ge=0, le=63)


class VersionStorageBody(RequestBody):
    """The source of a version; exactly one style."""

    source: FullSourceBody | None = None
    os_disk_image: OsDiskImageBody | None = None
    data_disk_images: list[DataDiskImageBody] | None = None

    def source_ids(self) -> list[str]:
        """The ids or URIs of all sources, the OS disk first. Disks of an answer for a full source do not count."""
        if self.source is not None:
            return [source for source in (self.source.id or self.source.virtual_machine_id,) if source]
        disks = [self.os_disk_image, *(self.data_disk_images or [])]
        return [disk.source.key for disk in disks if disk is not None and disk.source is not None and disk.source.key]


@dataclass(frozen=True, slots=True)
class VersionSource:
    """A source that exists and fits: sizes in GiB, data disks by LUN, and the storage profile as ARM shows it.

    ``boots`` is false when a VHD behind it holds something else than the definition says.
    """

    source_ids: list[str]
    os_disk_gib: int
    data_disks: dict[int, int]
    storage_profile: JsonObject
    boots: bool


class _DiskSource(NamedTuple):
    """The source of one disk."""

    id: str
    content: DiskContent
    vhd: Vhd | None = None


def resolve_source(
    world: World, definition: ImageDefinition, body: VersionStorageBody, location: str, api_version: str
) -> VersionSource:
    """The source of a new version.

    :raises ArmError: 400 ``InvalidParameter``, 404 or 409, as Azure refuses.
    """
    has_disks = body.os_disk_image is not None and body.os_disk_image.source is not None
    if (body.source is not None) == has_disks:
        text = f"Exactly one of '{STORAGE_PROFILE}.source' and '{STORAGE_PROFILE}.osDiskImage' must be given."
        raise invalid_parameter(text, STORAGE_PROFILE)
    if body.source is not None:
        content = _full_source(world, body.source, location, api_version)
    else:
        content = _disk_sources(world, definition, body, location)
    check_fits(definition, content, body.source_ids()[0])
    check_sizes(world, content)
    profile = _storage_profile(body, content)
    return VersionSource(body.source_ids(), content.os_disk_gib, content.data_disks, profile, content.boots)


def _full_source(world: World, body: FullSourceBody, location: str, api_version: str) -> SourceContent:
    given = [source for source in (body.id, body.virtual_machine_id, body.community_gallery_image_id) if source]
    if len(given) != 1:
        raise invalid_parameter(
            f"Exactly one source must be given in '{STORAGE_PROFILE}.source'.", f"{STORAGE_PROFILE}.source"
        )
    if body.virtual_machine_id is not None:
        if api_version[:10] < _VM_SOURCE_SINCE:
            text = "Could not find member 'virtualMachineId' on object of type 'GalleryArtifactVersionFullSource'."
            raise invalid_parameter(text, f"{STORAGE_PROFILE}.source.virtualMachineId")
        return _vm_content(world, body.virtual_machine_id, location)
    source_id = given[0]
    image = world.compute.images.find(source_id)
    if image is not None:
        _check_source(image, location)
        return SourceContent(
            image.os_type,
            image.os_state,
            image.hyper_v_generation,
            "x64",
            image.os_disk_gib,
            image.data_disks,
            kind="image",
            boots=image.boots,
        )
    version = world.compute.versions.find(source_id)
    if version is None:
        _refuse_missing(source_id, location)
    _check_source(version, location)
    return SourceContent(
        version.os_type,
        version.os_state,
        version.hyper_v_generation,
        version.architecture,
        version.os_disk_gib,
        version.data_disks,
        security_type=version.security_type,
        kind="version",
        boots=version.boots,
    )


def _vm_content(world: World, vm_id: str, location: str) -> SourceContent:
    machine = world.compute.machines.find(vm_id)
    if machine is None:
        _refuse_missing(vm_id, location)
    _check_source(machine, location)
    section = machine.section
    disks = [section.os_disk, *section.data_disks]
    ultra = [disk.name for disk in disks if disk.sku == "UltraSSD_LRS"]
    problem = None
    if section.ephemeral_os_disk:
        problem = "cannot contain an ephemeral OS disk"
    elif section.encrypted:
        problem = "cannot contain an encrypted disk"
    elif any(disk.vhd_uri is not None for disk in disks):
        problem = "must be created from Managed Disks"
    elif ultra:
        problem = f"cannot contain disk ['{ultra[0]}'] stored in an UltraSSD account type"
    if problem is not None:
        raise invalid_parameter(f"Source virtual machine {machine.id} {problem}.", f"{STORAGE_PROFILE}.source")
    return SourceContent(
        section.os_type,
        "Generalized" if machine.generalized else "Specialized",
        section.generation,
        section.architecture,
        section.os_disk.size_gib,
        {disk.lun: disk.size_gib for disk in section.data_disks},
        security_type=None if section.security_type == "Standard" else section.security_type,
        purchase_plan={**section.plan.model_dump()} if section.plan else None,
        kind="vm",
    )


def _disk_sources(world: World, definition: ImageDefinition, body: VersionStorageBody, location: str) -> SourceContent:
    assert body.os_disk_image is not None
    target = f"{STORAGE_PROFILE}.dataDiskImages"
    data = body.data_disk_images or []
    luns = [disk.lun for disk in data]
    if len(set(luns)) != len(luns):
        raise invalid_parameter(f"The LUNs of '{target}' must be unique.", f"{target}.lun")
    subscription = definition.rid.subscription
    os_disk = _disk(world, body.os_disk_image, subscription, location, f"{STORAGE_PROFILE}.osDiskImage")
    data_disks = [_disk(world, disk, subscription, location, target) for disk in data]
    keys = [os_disk.id.lower(), *(disk.id.lower() for disk in data_disks)]
    if len(set(keys)) != len(keys):
        raise invalid_parameter(f"The sources of '{STORAGE_PROFILE}' must be unique.", target)
    content = os_disk.content
    if os_disk.vhd is not None:
        return SourceContent(
            None,
            None,
            None,
            None,
            content.size_gib,
            {lun: disk.content.size_gib for lun, disk in zip(luns, data_disks, strict=True)},
            kind="vhd",
            boots=os_disk.vhd.holds(definition.os_type, definition.hyper_v_generation),
        )
    return SourceContent(
        content.os_type,
        None,
        content.generation,
        content.architecture,
        content.size_gib,
        {lun: disk.content.size_gib for lun, disk in zip(luns, data_disks, strict=True)},
        security_type=content.security_type,
        purchase_plan=content.purchase_plan,
    )


def _disk(world: World, body: OsDiskImageBody, subscription: str, location: str, target: str) -> _DiskSource:
    source = body.source
    if source is None or source.key is None:
        raise invalid_parameter(f"One of 'id' and 'uri' must be given in '{target}.source'.", f"{target}.source")
    if source.uri is not None:
        return _vhd(world, source.uri, source.storage_account_id or source.id, location, f"{target}.source")
    found: Disk | None = world.compute.snapshots.find(source.key) or world.compute.disks.find(source.key)
    if found is None:
        _refuse_missing(source.key, location)
    _check_source(found, location)
    found.check_copied(world.clock.now())
    if found.content.encryption_set_id is not None and found.rid.subscription.lower() != subscription.lower():
        text = (
            f"Encrypted source: '{found.id}' is in a different subscription ID than the current gallery image version "
            f"subscription '{subscription}'. Please retry with an unencrypted source(s) or use the source's "
            f"subscription '{found.rid.subscription}' to create the gallery image version."
        )
        raise invalid_parameter(text, target)
    if found.sku == "UltraSSD_LRS":
        raise invalid_parameter(f"The disk type UltraSSD_LRS of source '{found.id}' is not supported.", target)
    return _DiskSource(found.id, found.content)


def _vhd(world: World, uri: str, account_id: str | None, location: str, target: str) -> _DiskSource:
    if account_id is None:
        text = f"Required parameter '{target}.storageAccountId' is missing (null)."
        raise invalid_parameter(text, f"{target}.storageAccountId")
    vhd = find_vhd(world, uri, f"{target}.uri")
    if vhd.account.rid.key != account_id.lower():
        text = f"The blob {uri} is not in the storage account '{account_id}'."
        raise invalid_parameter(text, f"{target}.storageAccountId")
    if vhd.account.location != location:
        _refuse_missing(uri, location)
    return _DiskSource(uri, vhd.content, vhd)


def _check_source(source: Resource, location: str) -> None:
    if source.location != location:
        _refuse_missing(source.id, location)
    if source.provisioning_state is not ProvisioningState.SUCCEEDED:
        raise not_allowed(
            f"The source '{source.id}' is in state {source.provisioning_state}.", target=f"{STORAGE_PROFILE}.source"
        )


def _refuse_missing(source_id: str, location: str) -> NoReturn:
    text = f"Source '{source_id}' is not found. Please make sure that it exists and is in the same region '{location}'."
    raise invalid_parameter(text, f"{STORAGE_PROFILE}.source")


def _storage_profile(body: VersionStorageBody, content: SourceContent) -> JsonObject:
    profile = body.to_json()
    asked: list[JsonObject] = [disk.to_json() for disk in body.data_disk_images or []]
    by_lun = {disk["lun"]: disk for disk in asked}
    os_disk = body.os_disk_image.to_json() if body.os_disk_image else {}
    profile["osDiskImage"] = {"hostCaching": "ReadWrite", **os_disk, "sizeInGB": content.os_disk_gib}
    data: list[JsonValue] = [
        {"lun": lun, "hostCaching": "ReadOnly", **by_lun.get(lun, {}), "sizeInGB": size}
        for lun, size in content.data_disks.items()
    ]
    if data:
        profile["dataDiskImages"] = data
    return profile
