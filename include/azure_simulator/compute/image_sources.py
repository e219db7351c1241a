"""What a managed image can be made from, and what it takes from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from include.azure_simulator.compute.disks import Disk, DiskContent
from include.azure_simulator.compute.image_bodies import (
    ImageDiskBody,
    ImageOsDiskBody,
    ImagePropertiesBody,
    ImageStorageBody,
)
from include.azure_simulator.compute.machines import VirtualMachine
from include.azure_simulator.compute.sizes import Generation
from include.azure_simulator.compute.store import ProvisioningState, invalid_parameter, not_allowed, not_found
from include.azure_simulator.compute.vhds import Vhd, find_vhd
from include.azure_simulator.errors import ArmError
from include.azure_simulator.resources import ResourceId

if TYPE_CHECKING:
    from include.azure_simulator.world import World

_GENERATION_OF_BLOBS_SINCE = "2019-03-01"
"""From this api-version on the generation has to be given for a blob; before it was V1."""


class _Source(NamedTuple):
    """A source of one disk: the id of a snapshot or disk, or the URI of a VHD."""

    id: str
    content: DiskContent
    vhd: Vhd | None = None


class ImageFacts(NamedTuple):
    """What an image takes from its sources."""

    os_type: str
    os_state: str
    generation: Generation
    os_disk_gib: int
    data_disks: dict[int, int]
    source_ids: list[str]
    boots: bool = True


def image_facts(world: World, body: ImagePropertiesBody, location: str, api_version: str) -> ImageFacts:
    """Return what a new image takes from its sources.

    :raises ArmError: 400 ``InvalidParameter``, 404 or 409, as Azure refuses.
    """
    storage = body.storage_profile
    if body.source_virtual_machine is not None:
        if storage is not None and (storage.os_disk is not None or storage.data_disks):
            text = "Only one of 'sourceVirtualMachine' and the disks of 'storageProfile' may be given."
            raise invalid_parameter(text, "image.sourceVirtualMachine")
        return _facts_of_vm(world, body.source_virtual_machine.id, location)
    if storage is None or storage.os_disk is None:
        text = "Required parameter 'image.storageProfile.osDisk' is missing (null)."
        raise invalid_parameter(text, "image.storageProfile.osDisk")
    from_blob = storage.os_disk.blob_uri is not None
    if from_blob and body.hyper_v_generation is None and api_version[:10] >= _GENERATION_OF_BLOBS_SINCE:
        raise invalid_parameter("Required parameter 'hyperVGeneration' is missing (null).", "hyperVGeneration")
    return _facts_of_disks(world, body, storage, storage.os_disk, location)


def _facts_of_disks(
    world: World, body: ImagePropertiesBody, storage: ImageStorageBody, os_body: ImageOsDiskBody, location: str
) -> ImageFacts:
    if os_body.os_state != "Generalized":
        text = "The value 'Specialized' of parameter 'osDisk.osState' is invalid. Managed images are generalized."
        raise invalid_parameter(text, "image.storageProfile.osDisk.osState")
    luns = [disk.lun for disk in storage.data_disks]
    if len(set(luns)) != len(luns):
        repeated = next(lun for lun in luns if luns.count(lun) > 1)
        text = f"The value '{repeated}' of parameter 'dataDisk.lun' is invalid: each LUN can be used once only."
        raise invalid_parameter(text, "dataDisk.lun")
    os_disk = _source(world, os_body, location, "image.storageProfile.osDisk")
    _check_os_disk(world, os_disk, os_body, body.hyper_v_generation)
    data = [_source(world, disk, location, "image.storageProfile.dataDisks") for disk in storage.data_disks]
    sources = [os_disk.id, *(disk.id for disk in data)]
    if len({source.lower() for source in sources}) != len(sources):
        raise invalid_parameter("A source can be used by one disk of the image only.", "image.storageProfile.dataDisks")
    sizes = {
        disk.lun: disk.disk_size_gb or source.content.size_gib
        for disk, source in zip(storage.data_disks, data, strict=True)
    }
    generation = body.hyper_v_generation or os_disk.content.generation or "V1"
    size = os_body.disk_size_gb or os_disk.content.size_gib
    boots = os_disk.vhd is None or os_disk.vhd.holds(os_body.os_type, generation)
    return ImageFacts(os_body.os_type, os_body.os_state, generation, size, sizes, sources, boots)


def _check_os_disk(world: World, disk: _Source, body: ImageOsDiskBody, generation: Generation | None) -> None:
    content = disk.content
    _check_capturable(content.security_type, content.architecture)
    if content.os_type is not None and content.os_type != body.os_type:
        text = f"The value '{body.os_type}' of 'osDisk.osType' does not match the source: '{content.os_type}'."
        raise invalid_parameter(text, "image.storageProfile.osDisk.osType")
    if generation is not None and content.generation is not None and generation != content.generation:
        text = (
            f"The value '{generation}' of parameter 'hyperVGeneration' does not match "
            f"'{content.generation}' of the source {disk.id}."
        )
        raise invalid_parameter(text, "hyperVGeneration")
    limit = world.settings.compute.managed_image_os_disk_limit_gib
    if (body.disk_size_gb or content.size_gib) > limit:
        raise invalid_parameter(f"The OS disk of an image cannot be larger than {limit} GB.", "osDisk.diskSizeGB")


def _source(world: World, body: ImageDiskBody, location: str, target: str) -> _Source:
    given = [source for source in (body.snapshot, body.managed_disk, body.blob_uri) if source is not None]
    if len(given) != 1:
        text = f"Exactly one of 'snapshot', 'managedDisk' and 'blobUri' must be given for '{target}'."
        raise invalid_parameter(text, target)
    if body.blob_uri is not None:
        vhd = find_vhd(world, body.blob_uri, "disk.blobUri")
        if vhd.account.location != location:
            text = f"The source blob {vhd.uri} does not belong to the same region as the disk."
            raise ArmError(400, "BadRequest", text)
        return _Source(vhd.uri, vhd.content, vhd)
    compute = world.compute
    if body.snapshot is not None:
        found: Disk | None = compute.snapshots.find(body.snapshot.id)
        reference = body.snapshot.id
    else:
        reference = body.managed_disk.id if body.managed_disk else ""
        found = compute.disks.find(reference)
    if found is None:
        raise _missing(reference, target)
    if found.location != location:
        text = f"The source {reference} is in region {found.location}; the image is in region {location}."
        raise invalid_parameter(text, target)
    if found.provisioning_state is not ProvisioningState.SUCCEEDED:
        raise not_allowed(f"The source {reference} is in state {found.provisioning_state}.", target=target)
    found.check_copied(world.clock.now())
    return _Source(found.id, found.content)


def _facts_of_vm(world: World, vm_id: str, location: str) -> ImageFacts:
    machine = world.compute.machines.find(vm_id)
    if machine is None:
        raise _missing(vm_id, "image.sourceVirtualMachine")
    _check_vm(world, machine, location)
    section = machine.section
    return ImageFacts(
        section.os_type,
        "Generalized",
        section.generation,
        section.os_disk.size_gib,
        {disk.lun: disk.size_gib for disk in section.data_disks},
        [machine.id],
    )


def _check_vm(world: World, machine: VirtualMachine, location: str) -> None:
    if machine.location != location:
        text = f"The virtual machine {machine.id} is in region {machine.location}; the image is in region {location}."
        raise invalid_parameter(text, "image.sourceVirtualMachine")
    security = machine.section.security_type
    _check_capturable(None if security == "Standard" else security, machine.section.architecture)
    if not machine.generalized:
        text = f"The virtual machine '{machine.rid.name}' must be generalized before an image can be made from it."
        raise not_allowed(text, target="image.sourceVirtualMachine")


def _check_capturable(security_type: str | None, architecture: str) -> None:
    if security_type is not None:
        kind = "TrustedLaunch" if security_type == "TrustedLaunch" else "ConfidentialVM"
        raise not_allowed(
            f"Creation of managed images are not supported for virtual machine with {kind} security type."
        )
    if architecture == "Arm64":
        raise not_allowed("Creation of managed images are not supported for Arm64 architecture.")


def _missing(reference: str, target: str) -> Exception:
    try:
        return not_found(ResourceId.parse(reference))
    except ValueError:
        return invalid_parameter(f"The value '{reference}' of parameter '{target}' is not a valid resource id.", target)
