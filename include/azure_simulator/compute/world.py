"""All compute resources of the simulated world."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from include.azure_simulator.compute.definitions import Definitions, Galleries
from include.azure_simulator.compute.disks import Disks
from include.azure_simulator.compute.galleries import ImageVersion
from include.azure_simulator.compute.guests import Guest
from include.azure_simulator.compute.images import Images, ManagedImage
from include.azure_simulator.compute.machines import PowerState
from include.azure_simulator.compute.restore_point_writes import RestorePoints
from include.azure_simulator.compute.sections import GallerySection, ImageSection, SnapshotSection, TopLevelSection
from include.azure_simulator.compute.seeding import add_gallery, add_image, add_snapshot
from include.azure_simulator.compute.sizes import VmSize
from include.azure_simulator.compute.snapshots import Snapshots
from include.azure_simulator.compute.store import ProvisioningState
from include.azure_simulator.compute.versions import Versions
from include.azure_simulator.compute.vm_populate import add_machine
from include.azure_simulator.compute.vm_section import VirtualMachineSection
from include.azure_simulator.compute.vms import VirtualMachines
from include.azure_simulator.resources import ResourceId, normalise_region

if TYPE_CHECKING:
    from include.azure_simulator.world import World


_COUNTED = re.compile(
    r"/microsoft\.compute/(snapshots/[^/]+|images/[^/]+|galleries/[^/]+/images/[^/]+/versions/[^/]+)$"
)
"""Lower-case ids of snapshots and images."""


class ComputeSection(BaseModel):
    """The compute part of a world file. ``core_quotas`` are limits by VM family, ``cores`` the limit in a region."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vm_sizes: list[VmSize]
    core_quotas: dict[str, int] = Field(default_factory=lambda: {"cores": 100})
    virtual_machines: list[VirtualMachineSection] = Field(default_factory=list)
    snapshots: list[SnapshotSection] = Field(default_factory=list)
    images: list[ImageSection] = Field(default_factory=list)
    galleries: list[GallerySection] = Field(default_factory=list)

    def places(self) -> list[tuple[str, str]]:
        """The name and the region of everything that is somewhere."""
        tops: list[TopLevelSection | VirtualMachineSection] = [
            *self.virtual_machines,
            *self.snapshots,
            *self.images,
            *self.galleries,
        ]
        versions = [
            version
            for gallery in self.galleries
            for definition in gallery.definitions
            for version in definition.versions
        ]
        replicas = [(version.name, normalise_region(region.name)) for version in versions for region in version.regions]
        return [(top.name, top.location) for top in tops] + replicas


class ComputeWorld:
    """Compute resources, each type in a store of its own."""

    def __init__(self, world: World, section: ComputeSection) -> None:
        self.section = section
        self.disks = Disks(world)
        self.machines = VirtualMachines(world)
        self.restore_points = RestorePoints(world)
        self.snapshots = Snapshots(world)
        self.images = Images(world)
        self.galleries = Galleries(world)
        self.definitions = Definitions(world)
        self.versions = Versions(world)

    @classmethod
    def from_section(cls, section: ComputeSection, world: World) -> ComputeWorld:
        """An empty compute world; :meth:`populate` fills it."""
        return cls(world, section)

    def populate(self, world: World) -> None:
        """Add what the world file describes. The VMs need ``world.compute``, so this comes after it is set.

        :raises ArmError: when a subscription or resource group does not exist.
        """
        for machine in self.section.virtual_machines:
            add_machine(world, machine)
        for snapshot in self.section.snapshots:
            add_snapshot(world, snapshot)
        for image in self.section.images:
            add_image(world, image)
        for gallery in self.section.galleries:
            add_gallery(world, gallery)

    def image_version(self, resource_id: str) -> ImageVersion | None:
        """The image version with this full id, ignoring case."""
        return self.versions.find(resource_id)

    def latest_version(self, definition_id: str, region: str | None = None) -> ImageVersion | None:
        """The version that a reference to a definition alone means, in a region if one is named."""
        try:
            return self.versions.latest(ResourceId.parse(definition_id), region)
        except ValueError:
            return None

    def managed_image(self, resource_id: str) -> ManagedImage | None:
        """The managed image with this id, ignoring case."""
        return self.images.find(resource_id)

    def vm_sizes(self, location: str) -> Mapping[str, VmSize]:
        """The VM sizes of a region, by lower-case name."""
        region = normalise_region(location)
        sizes = self.section.vm_sizes
        return {size.name.lower(): size for size in sizes if not size.regions or region in size.regions}

    def being_made_from(self, source: ResourceId) -> str | None:
        """The name of an image or a version that is being made from ``source`` now, or ``None``."""
        made: list[ManagedImage | ImageVersion] = [*self.images, *self.versions]
        for resource in made:
            making = resource.busy and resource.provisioning_state is not ProvisioningState.DELETING
            if making and source.key in (source_id.lower() for source_id in resource.source_ids):
                return resource.rid.name
        return None

    def base_image(self, source_id: str) -> tuple[str, str, str] | None:
        """Publisher, offer and SKU of the marketplace image behind a source; disks and their copies carry it along."""
        if (version := self.versions.find(source_id)) is not None:
            return version.base_image
        guest = self.guest(source_id)
        base = guest.image if guest is not None else None
        return None if base is None else (base.publisher.lower(), base.offer.lower(), base.sku.lower())

    def guest_generalized(self, source_id: str) -> bool:
        """Whether the system on a source was deprovisioned; of one that nobody knows it is taken for granted."""
        if (version := self.versions.find(source_id)) is not None:
            return version.guest_generalized
        guest = self.guest(source_id)
        return guest is None or guest.generalized

    def guest(self, source_id: str) -> Guest | None:
        """The system on an image, a VM, a disk or a snapshot; those of the world file have that of their source."""
        if (image := self.images.find(source_id)) is not None:
            return image.guest or (self.guest(image.source_ids[0]) if image.source_ids else None)
        if (machine := self.machines.find(source_id)) is not None:
            return self.machines.guest(machine)
        copied = self.snapshots.find(source_id) or self.disks.find(source_id)
        if copied is None or copied.content.guest is not None:
            return copied.content.guest if copied is not None else None
        parent = copied.creation_data.get("sourceResourceId")
        return self.guest(parent) if isinstance(parent, str) else None

    def origins(self, resource_id: str) -> frozenset[str]:
        """An image with the images and versions that it was made from, down to their snapshots; ids in lower case.

        Images with an origin in common count together where Batch limits the nodes of one image. What lies behind a
        snapshot does not count: disks and VMs change, and every night has a snapshot of its own.
        """
        key = resource_id.lower()
        if (version := self.versions.find(key)) is not None:
            return version.origins | {key}
        sources = image.source_ids if (image := self.images.find(key)) is not None else []
        return frozenset(found for found in (key, *map(str.lower, sources)) if _COUNTED.search(found))

    def is_deallocated(self, vm_id: str | None) -> bool:
        """Whether the VM with this id exists and is deallocated."""
        machine = self.machines.find(vm_id) if vm_id else None
        return machine is not None and machine.power_state is PowerState.DEALLOCATED
