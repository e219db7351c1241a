"""All compute resources of the simulated world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from include.azure_simulator.compute.galleries import ImageVersion
from include.azure_simulator.compute.images import ManagedImage
from include.azure_simulator.compute.sizes import VmSize
from include.azure_simulator.resources import normalise_region

if TYPE_CHECKING:
    from include.azure_simulator.world import World


class ComputeSection(BaseModel):
    """The compute part of a world file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vm_sizes: list[VmSize]


class ComputeWorld:
    """Compute resources, by lower-case resource id."""

    def __init__(self, world: World, vm_sizes: list[VmSize]) -> None:
        self._world = world
        self._vm_sizes = vm_sizes
        self._images: dict[str, ManagedImage] = {}
        self._versions: dict[str, ImageVersion] = {}

    @classmethod
    def from_section(cls, section: ComputeSection, world: World) -> ComputeWorld:
        """Compute resources as a world file describes them."""
        return cls(world, section.vm_sizes)

    def image_version(self, resource_id: str) -> ImageVersion | None:
        """The image version with this full id, ignoring case."""
        return self._versions.get(resource_id.lower())

    def managed_image(self, resource_id: str) -> ManagedImage | None:
        """The managed image with this id, ignoring case."""
        return self._images.get(resource_id.lower())

    def vm_sizes(self, location: str) -> Mapping[str, VmSize]:
        """The VM sizes of a region, by lower-case name."""
        region = normalise_region(location)
        return {size.name.lower(): size for size in self._vm_sizes if not size.regions or region in size.regions}
