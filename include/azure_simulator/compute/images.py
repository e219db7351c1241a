"""Managed images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field, JsonValue

from include.azure_simulator.compute.disks import Disk, DiskContent
from include.azure_simulator.compute.guests import Guest
from include.azure_simulator.compute.machines import VirtualMachine
from include.azure_simulator.compute.sizes import Generation
from include.azure_simulator.compute.store import (
    ENTITY_NAME,
    EnvelopeBody,
    ProvisioningState,
    Reference,
    RequestBody,
    Resource,
    Store,
    Written,
    begin_change,
    begin_delete,
    check_name,
    checked_location,
    concurrent_request,
    invalid_parameter,
    not_allowed,
    not_found,
    property_change,
)
from include.azure_simulator.compute.vhds import Vhd, find_vhd
from include.azure_simulator.errors import ArmError
from include.azure_simulator.operations import Operation, OperationFamily
from include.azure_simulator.resources import JsonObject, ResourceId

if TYPE_CHECKING:
    from include.azure_simulator.world import World

IMAGE_TYPE = "Microsoft.Compute/images"

Caching = Literal["None", "ReadOnly", "ReadWrite"]

_GENERATION_OF_BLOBS_SINCE = "2019-03-01"
"""From this api-version on the generation has to be given for a blob; before it was V1."""


class _Source(NamedTuple):
    """A source of one disk: the id of a snapshot or disk, or the URI of a VHD."""

    id: str
    content: DiskContent
    vhd: Vhd | None = None


class _Facts(NamedTuple):
    """What an image takes from its sources."""

    os_type: str
    os_state: str
    generation: Generation
    os_disk_gib: int
    data_disks: dict[int, int]
    source_ids: list[str]
    boots: bool = True


@dataclass(slots=True)
class ManagedImage(Resource):
    """A managed image.

    ``source_ids`` are the snapshots, disks or the VM that it was made from, or the URIs of VHDs; ``data_disks`` are
    sizes in GiB by LUN; ``boots`` is false when the OS type or the generation is not what the VHD holds; ``guest`` is
    the system on it, where the sources told.
    """

    os_type: str
    os_state: str
    hyper_v_generation: Generation
    os_disk_gib: int
    data_disks: dict[int, int]
    source_ids: list[str]
    properties: JsonObject
    boots: bool = True
    guest: Guest | None = None

    @property
    def data_disk_luns(self) -> list[int]:
        """The LUNs of the data disks, in the order given."""
        return list(self.data_disks)

    def render(self) -> JsonObject:
        """The image as ARM shows it."""
        body = self.envelope()
        body["properties"] = {
            **self.properties,
            "hyperVGeneration": self.hyper_v_generation,
            "provisioningState": self.provisioning_state.value,
        }
        return body


class ImageDiskBody(RequestBody):
    """A disk of an image; exactly one of ``snapshot``, ``managedDisk`` and ``blobUri`` is its source."""

    snapshot: Reference | None = None
    managed_disk: Reference | None = None
    blob_uri: str | None = None
    caching: Caching | None = None
    disk_size_gb: int | None = Field(default=None, alias="diskSizeGB", ge=1)
    storage_account_type: str | None = None
    disk_encryption_set: JsonValue = None


class ImageOsDiskBody(ImageDiskBody):
    """The OS disk of an image."""

    os_type: Literal["Linux", "Windows"]
    os_state: Literal["Generalized", "Specialized"]


class ImageDataDiskBody(ImageDiskBody):
    """A data disk of an image."""

    lun: int = Field(ge=0, le=63)


class ImageStorageBody(RequestBody):
    """The disks of an image."""

    os_disk: ImageOsDiskBody | None = None
    data_disks: list[ImageDataDiskBody] = Field(default_factory=list)
    zone_resilient: bool | None = None


class ImagePropertiesBody(RequestBody):
    """The properties of an image in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState"})

    source_virtual_machine: Reference | None = None
    storage_profile: ImageStorageBody | None = None
    hyper_v_generation: Generation | None = Field(default=None, alias="hyperVGeneration")


class ImageBody(EnvelopeBody):
    """An image in a PUT."""

    properties: ImagePropertiesBody
    extended_location: JsonValue = None


class Images(Store[ManagedImage]):
    """The managed images of the world."""

    def __init__(self, world: World) -> None:
        super().__init__(IMAGE_TYPE)
        self._world = world

    def put(self, rid: ResourceId, body: ImageBody, *, api_version: str) -> Written[ManagedImage]:
        """Create an image, or change the tags of one with the same sources.

        :param api_version: version of the call; newer ones want the generation of a VHD.
        :raises ArmError: as Azure refuses.
        """
        check_name(rid.name, ENTITY_NAME, "imageName")
        existing = self.find(rid)
        location = checked_location(self._world, rid, body.location, existing)
        if existing is not None and existing.busy:
            raise concurrent_request()
        facts = self._facts(body.properties, location, api_version)
        if existing is not None and existing.provisioning_state is not ProvisioningState.FAILED:
            if [source.lower() for source in existing.source_ids] != [source.lower() for source in facts.source_ids]:
                raise property_change("storageProfile")
            existing.tags = dict(body.tags or {})
            return Written(existing, None)
        image = ManagedImage(
            rid,
            location,
            dict(body.tags or {}),
            ProvisioningState.CREATING,
            os_type=facts.os_type,
            os_state=facts.os_state,
            hyper_v_generation=facts.generation,
            os_disk_gib=facts.os_disk_gib,
            data_disks=facts.data_disks,
            source_ids=facts.source_ids,
            properties=body.properties.to_json(),
            boots=facts.boots,
            guest=self._world.compute.guest(facts.source_ids[0]),
        )
        self.add(image)
        duration = self._world.settings.compute.image_create
        operation = begin_change(self._world, image, ProvisioningState.CREATING, OperationFamily.COMPUTE, duration)
        return Written(image, operation, created=True)

    def delete(self, rid: ResourceId) -> Operation | None:
        """Delete an image; ``None`` when there is none. Pools that use it do not keep it alive, as in Azure.

        :raises ArmError: 409 ``OperationNotAllowed`` while a version is being made from it.
        """
        self._world.require_group(rid.subscription, rid.group)
        image = self.find(rid)
        if image is None:
            return None
        reader = self._world.compute.being_made_from(rid)
        if reader is not None:
            raise not_allowed(f"Image '{rid.name}' cannot be deleted while '{reader}' is being created from it.")
        duration = self._world.settings.compute.image_delete
        return begin_delete(self._world, self, image, OperationFamily.COMPUTE, duration)

    def _facts(self, body: ImagePropertiesBody, location: str, api_version: str) -> _Facts:
        storage = body.storage_profile
        if body.source_virtual_machine is not None:
            if storage is not None and (storage.os_disk is not None or storage.data_disks):
                text = "Only one of 'sourceVirtualMachine' and the disks of 'storageProfile' may be given."
                raise invalid_parameter(text, "image.sourceVirtualMachine")
            return self._facts_of_vm(body.source_virtual_machine.id, location)
        if storage is None or storage.os_disk is None:
            text = "Required parameter 'image.storageProfile.osDisk' is missing (null)."
            raise invalid_parameter(text, "image.storageProfile.osDisk")
        from_blob = storage.os_disk.blob_uri is not None
        if from_blob and body.hyper_v_generation is None and api_version[:10] >= _GENERATION_OF_BLOBS_SINCE:
            raise invalid_parameter("Required parameter 'hyperVGeneration' is missing (null).", "hyperVGeneration")
        return self._facts_of_disks(body, storage, storage.os_disk, location)

    def _facts_of_disks(
        self, body: ImagePropertiesBody, storage: ImageStorageBody, os_body: ImageOsDiskBody, location: str
    ) -> _Facts:
        if os_body.os_state != "Generalized":
            text = "The value 'Specialized' of parameter 'osDisk.osState' is invalid. Managed images are generalized."
            raise invalid_parameter(text, "image.storageProfile.osDisk.osState")
        luns = [disk.lun for disk in storage.data_disks]
        if len(set(luns)) != len(luns):
            repeated = next(lun for lun in luns if luns.count(lun) > 1)
            text = f"The value '{repeated}' of parameter 'dataDisk.lun' is invalid: each LUN can be used once only."
            raise invalid_parameter(text, "dataDisk.lun")
        os_disk = self._source(os_body, location, "image.storageProfile.osDisk")
        self._check_os_disk(os_disk, os_body, body.hyper_v_generation)
        data = [self._source(disk, location, "image.storageProfile.dataDisks") for disk in storage.data_disks]
        sources = [os_disk.id, *(disk.id for disk in data)]
        if len({source.lower() for source in sources}) != len(sources):
            raise invalid_parameter(
                "A source can be used by one disk of the image only.", "image.storageProfile.dataDisks"
            )
        sizes = {
            disk.lun: disk.disk_size_gb or source.content.size_gib
            for disk, source in zip(storage.data_disks, data, strict=True)
        }
        generation = body.hyper_v_generation or os_disk.content.generation or "V1"
        size = os_body.disk_size_gb or os_disk.content.size_gib
        boots = os_disk.vhd is None or os_disk.vhd.holds(os_body.os_type, generation)
        return _Facts(os_body.os_type, os_body.os_state, generation, size, sizes, sources, boots)

    def _check_os_disk(self, disk: _Source, body: ImageOsDiskBody, generation: Generation | None) -> None:
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
        limit = self._world.settings.compute.managed_image_os_disk_limit_gib
        if (body.disk_size_gb or content.size_gib) > limit:
            raise invalid_parameter(f"The OS disk of an image cannot be larger than {limit} GB.", "osDisk.diskSizeGB")

    def _source(self, body: ImageDiskBody, location: str, target: str) -> _Source:
        given = [source for source in (body.snapshot, body.managed_disk, body.blob_uri) if source is not None]
        if len(given) != 1:
            text = f"Exactly one of 'snapshot', 'managedDisk' and 'blobUri' must be given for '{target}'."
            raise invalid_parameter(text, target)
        if body.blob_uri is not None:
            vhd = find_vhd(self._world, body.blob_uri, "disk.blobUri")
            if vhd.account.location != location:
                text = f"The source blob {vhd.uri} does not belong to the same region as the disk."
                raise ArmError(400, "BadRequest", text)
            return _Source(vhd.uri, vhd.content, vhd)
        compute = self._world.compute
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
        found.check_copied(self._world.clock.now())
        return _Source(found.id, found.content)

    def _facts_of_vm(self, vm_id: str, location: str) -> _Facts:
        machine = self._world.compute.machines.find(vm_id)
        if machine is None:
            raise _missing(vm_id, "image.sourceVirtualMachine")
        self._check_vm(machine, location)
        section = machine.section
        return _Facts(
            section.os_type,
            "Generalized",
            section.generation,
            section.os_disk.size_gib,
            {disk.lun: disk.size_gib for disk in section.data_disks},
            [machine.id],
        )

    def _check_vm(self, machine: VirtualMachine, location: str) -> None:
        if machine.location != location:
            text = (
                f"The virtual machine {machine.id} is in region {machine.location}; the image is in region {location}."
            )
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
