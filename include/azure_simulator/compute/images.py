"""Managed images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.azure_simulator.compute.guests import Guest
from include.azure_simulator.compute.image_bodies import ImageBody
from include.azure_simulator.compute.image_sources import image_facts
from include.azure_simulator.compute.sizes import Generation
from include.azure_simulator.compute.store import (
    ENTITY_NAME,
    ProvisioningState,
    Resource,
    Store,
    Written,
    begin_change,
    begin_delete,
    check_name,
    checked_location,
    concurrent_request,
    not_allowed,
    property_change,
)
from include.azure_simulator.operations import Operation, OperationFamily
from include.azure_simulator.resources import JsonObject, ResourceId

if TYPE_CHECKING:
    from include.azure_simulator.world import World

IMAGE_TYPE = "Microsoft.Compute/images"


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
        facts = image_facts(self._world, body.properties, location, api_version)
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
