"""Snapshots, images, galleries and image versions as a world file describes them: what was made long ago.

Nothing is checked against the sources, which may be gone by now. Times are those that Azure shows; a managed image has
none.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from include.azure_simulator.compute.galleries import OsState
from include.azure_simulator.compute.sizes import Architecture, Generation
from include.azure_simulator.resources import normalise_region

OsType = Literal["Linux", "Windows"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TopLevelSection(_Section):
    """What every resource of a resource group says."""

    name: str
    resource_group: str
    location: str
    subscription: str | None = Field(default=None, description="default: the first subscription of the file")
    tags: dict[str, str] = Field(default_factory=dict)


class SnapshotSection(TopLevelSection):
    """A snapshot; one without ``os_type`` is of a data disk. ``source`` is the id of its disk."""

    source: str
    created: AwareDatetime | None = Field(default=None, description="default: when the world begins")
    size_gib: int = Field(default=64, ge=1, le=65_536)
    sku: Literal["Standard_LRS", "Standard_ZRS", "Premium_LRS"] = "Standard_LRS"
    incremental: bool = True
    os_type: OsType | None = None
    generation: Generation | None = None
    architecture: Architecture = "x64"
    security_type: str | None = None


class ImageSection(TopLevelSection):
    """A managed image. ``sources`` are the ids of its snapshots or disks, the OS disk first, or of its VM."""

    sources: list[str] = Field(min_length=1)
    os_type: OsType = "Linux"
    generation: Generation = "V2"
    os_disk_gib: int = Field(default=64, ge=1)
    data_disk_gib: int = Field(default=64, ge=1)


class RegionSection(_Section):
    """A region that a version is replicated to."""

    name: str
    replicas: int = Field(default=1, ge=1)
    exclude_from_latest: bool = False


class VersionSection(_Section):
    """An image version. ``sources`` are the ids of an image, a version or a VM, or of snapshots, the OS disk first."""

    name: str = Field(pattern=r"^\d{1,10}\.\d{1,10}\.\d{1,10}$")
    sources: list[str] = Field(min_length=1)
    created: AwareDatetime | None = Field(default=None, description="default: when the world begins")
    state: Literal["Succeeded", "Failed"] = "Succeeded"
    regions: list[RegionSection] = Field(default_factory=list, description="default: the region of the gallery")
    exclude_from_latest: bool = False
    end_of_life: AwareDatetime | None = None
    block_deletion_before_end_of_life: bool = False
    os_disk_gib: int = Field(default=64, ge=1)
    data_disk_gib: int = Field(default=64, ge=1)
    tags: dict[str, str] = Field(default_factory=dict)


class DefinitionSection(_Section):
    """An image definition; publisher, offer and SKU default to ``simulator``, the gallery and the definition."""

    name: str
    os_type: OsType = "Linux"
    os_state: OsState = "Generalized"
    generation: Generation = "V2"
    architecture: Architecture = "x64"
    features: dict[str, str] = Field(default_factory=lambda: {"SecurityType": "Standard"})
    identifier: tuple[str, str, str] | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    properties: dict[str, JsonValue] = Field(default_factory=dict, description="purchasePlan, recommended, ...")
    versions: list[VersionSection] = Field(default_factory=list)


class GallerySection(TopLevelSection):
    """A gallery with its definitions."""

    definitions: list[DefinitionSection] = Field(default_factory=list)

    @model_validator(mode="after")
    def _versions_are_at_home(self) -> Self:
        for version in (version for definition in self.definitions for version in definition.versions):
            regions = {normalise_region(region.name) for region in version.regions}
            if regions and normalise_region(self.location) not in regions:
                raise ValueError(f"{version.name}: the regions must contain '{self.location}', that of the gallery")
        return self
