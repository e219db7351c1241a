"""The managed image and the gallery version that runs make, when they make them and how long they are kept."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from golden_pools.spec import names
from golden_pools.spec.part import Part, RegionName, ResourceGroupName, normal_region
from golden_pools.spec.source import Source

Replicas = Literal["auto"] | Annotated[StrictInt, Field(ge=1, le=100)]
Price = Annotated[StrictFloat, Field(ge=0, le=1_000_000)]


def _by_vm_size(prices: dict[str, float]) -> dict[str, float]:
    if wrong := [size for size in prices if not re.fullmatch(names.VM_SIZE, size)]:
        raise ValueError(f"VM sizes, such as Standard_D4s_v5, as keys, but there is {', '.join(wrong)}")
    compared = [size.casefold() for size in prices]
    if twice := sorted({size for size in compared if compared.count(size) > 1}):
        raise ValueError(f"each VM size once, but {', '.join(twice)} stands more than once")
    return prices


NodePrices = Annotated[dict[str, Price], AfterValidator(_by_vm_size)]
_BY_VM_SIZE: dict[str, JsonValue] = {"propertyNames": {"pattern": names.VM_SIZE}}


class Publish(StrEnum):
    """Where the pool takes its image from."""

    GALLERY = "gallery"
    MANAGED_IMAGE = "managed_image"


class TargetRegion(Part):
    """One region that gets replicas of the image version."""

    name: RegionName = Field(description="Name of the region.", examples=["northeurope"])
    replicas: Replicas = Field(
        default="auto",
        description="Replicas in this region; `auto` is one per 300 nodes of the pools that use the image there.",
    )


class BuildWhen(StrEnum):
    """When a scheduled run builds an image."""

    CHANGED = "changed"
    ALWAYS = "always"


class Build(Part):
    """When a run builds an image; the schedule only says when it looks."""

    when: BuildWhen = Field(
        default=BuildWhen.CHANGED,
        description=(
            "`changed`: only when the source has changed since the newest good version; a golden VM that runs counts "
            "as changed, since ARM does not see what happens inside. `always`: in every run."
        ),
    )
    max_age_days: Annotated[StrictInt, Field(ge=1, le=3650)] | None = Field(
        default=None, description="A version older than this is built anew though nothing has changed.", examples=[30]
    )
    stop_after_failures: Annotated[StrictInt, Field(ge=0, le=100)] = Field(
        default=3,
        description=(
            "After so many failed builds in a row scheduled runs build no more until one that is triggered by hand "
            "succeeds; 0 never stops."
        ),
    )


class Passports(Part):
    """Where the passports of image versions are kept as files."""

    path: Annotated[str, StringConstraints(pattern=names.STORE)] = Field(
        description=(
            "Path or URL, as Airflow's ObjectStoragePath takes it; each version has a folder of its own below. One "
            "place may serve all pools."
        ),
        examples=["abfs://passports@teamstorage/pools"],
    )
    connection: Annotated[str, StringConstraints(pattern=names.CONNECTION)] | None = Field(
        default=None, description="Airflow connection of the object storage; none for a path."
    )


class Image(Part):
    """The managed image and the gallery version made from it."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {
                "properties": {
                    "source": {
                        "anyOf": [
                            {"required": [kind], "properties": {kind: {"type": "object"}}}
                            for kind in ("image_version", "follow")
                        ]
                    }
                },
                "required": ["source"],
            },
            "then": {
                "properties": {
                    "publish": {"const": "gallery"},
                    "legacy_direct_pool": {"const": False},
                    "gallery": {"type": "null"},
                    "definition": {"type": "null"},
                }
            },
            "else": {
                "properties": {"resource_group": {"type": "string"}},
                "required": ["resource_group"],
                "if": {"properties": {"publish": {"const": "managed_image"}}, "required": ["publish"]},
                "then": {"properties": {"legacy_direct_pool": {"const": True}}, "required": ["legacy_direct_pool"]},
                "else": {
                    "properties": {
                        "gallery": {"type": "string"},
                        "definition": {"type": "string"},
                        "legacy_direct_pool": {"const": False},
                    },
                    "required": ["gallery", "definition"],
                },
            },
        }
    )

    source: Source = Field(default=Source(), description="Where the image comes from, if not from `golden_vm`.")
    resource_group: ResourceGroupName | None = Field(
        default=None,
        validate_default=True,
        description=(
            "Resource group of the snapshots, the managed image and the gallery. Needed where runs make images, as "
            "are gallery and definition."
        ),
        examples=["images"],
    )
    name: Annotated[str, StringConstraints(pattern=names.IMAGE_STEM)] | None = Field(
        default=None,
        description="Stem of the snapshots' and managed images' names; the pool's name if absent.",
        examples=["render-farm"],
    )
    publish: Publish = Field(
        default=Publish.GALLERY,
        description="`gallery`, or `managed_image`: the direct pool that Azure retired on 2026-03-31.",
    )
    legacy_direct_pool: StrictBool = Field(
        default=False,
        validate_default=True,
        description="Must be true for `publish: managed_image`, so that nobody takes that road unawares.",
    )
    gallery: Annotated[str, StringConstraints(pattern=names.GALLERY)] | None = Field(
        default=None,
        validate_default=True,
        description="Azure Compute Gallery; it must exist. Needed with `publish: gallery`.",
        examples=["golden_gallery"],
    )
    definition: Annotated[str, StringConstraints(pattern=names.DEFINITION)] | None = Field(
        default=None,
        validate_default=True,
        description=(
            "Image definition; made with explicit generation and security type if missing. "
            "Needed with `publish: gallery`."
        ),
        examples=["render-farm"],
    )
    publisher: Annotated[str, StringConstraints(pattern=names.PUBLISHER)] = Field(
        default="GoldenPools", description="Publisher of a definition that has to be made."
    )
    target_regions: tuple[TargetRegion, ...] = Field(
        default=(), description="Regions besides the source's own, which always gets replicas."
    )
    replicas: Replicas = Field(
        default="auto",
        description="Replicas in the source's own region; `auto` is one per 300 nodes of the pools that use the image.",
    )
    build: Build = Field(default=Build(), description="When a run builds an image.")
    passports: Passports | None = Field(
        default=None,
        description="Where the passports of the versions are kept as files; if absent, in Airflow and in tags alone.",
    )

    @field_validator("resource_group")
    @classmethod
    def _group_where_images_are_made(cls, group: str | None, info: ValidationInfo) -> str | None:
        source = info.data.get("source")
        if group is None and source is not None and source.kind.makes_images:
            raise ValueError("a name; the images that the runs make lie there")
        return group

    @field_validator("publish")
    @classmethod
    def _others_versions_come_from_galleries(cls, publish: Publish, info: ValidationInfo) -> Publish:
        source = info.data.get("source")
        if publish is Publish.MANAGED_IMAGE and source is not None and not source.kind.makes_images:
            raise ValueError(f"gallery: image.source.{source.kind} is a version of a gallery")
        return publish

    @field_validator("legacy_direct_pool")
    @classmethod
    def _legacy_is_deliberate(cls, legacy: bool, info: ValidationInfo) -> bool:
        publish = info.data.get("publish")
        if publish is Publish.MANAGED_IMAGE and not legacy:
            raise ValueError(
                "true with publish: managed_image, if your account still takes the pools that Azure retired on "
                "2026-03-31; otherwise use publish: gallery"
            )
        if publish is Publish.GALLERY and legacy:
            raise ValueError("true only with publish: managed_image")
        return legacy

    @field_validator("gallery", "definition")
    @classmethod
    def _gallery_is_complete(cls, name: str | None, info: ValidationInfo) -> str | None:
        source = info.data.get("source", Source())
        if name is None and info.data.get("publish") is Publish.GALLERY and source.kind.makes_images:
            raise ValueError("a name; publish: gallery needs gallery and definition")
        if name is not None and not source.kind.makes_images:
            raise ValueError(f"nothing: image.source.{source.kind} says which definition it is")
        return name

    @field_validator("target_regions")
    @classmethod
    def _regions_once(cls, regions: tuple[TargetRegion, ...]) -> tuple[TargetRegion, ...]:
        compared = [normal_region(region.name) for region in regions]
        if twice := sorted({name for name in compared if compared.count(name) > 1}):
            raise ValueError(f"each region once, but {', '.join(twice)} stands more than once")
        return regions


class Retention(Part):
    """What ``retire_images`` keeps of the images that this spec's runs have made."""

    keep: Annotated[StrictInt, Field(ge=1, le=1000)] = Field(default=3, description="Newest good versions that stay.")
    keep_days: Annotated[StrictInt, Field(ge=0, le=3650)] = Field(
        default=14, description="Everything younger than this stays."
    )
    rollback_depth: Annotated[StrictInt, Field(ge=0, le=100)] = Field(
        default=1, description="Versions that stay for each pool on the image, older than the one it is on."
    )
    delete: StrictBool = Field(
        default=False, description="Really delete; otherwise the DAG only reports what would go, and why."
    )
    grace_days: Annotated[StrictInt, Field(ge=0, le=365)] = Field(
        default=7,
        description="Days between marking a version (end of life, excluded from latest) and deleting it.",
    )
    accounts: tuple[Annotated[str, StringConstraints(pattern=names.BATCH_ACCOUNT_ID)], ...] = Field(
        default=(),
        description="Full ARM ids of further Batch accounts whose pools may use the images; those of all specs count.",
    )


class Prices(Part):
    """What things cost, for reports; what has no price is reported without."""

    currency: Annotated[str, StringConstraints(pattern=names.CURRENCY)] = Field(
        default="EUR", description="Currency of the prices."
    )
    snapshot_gib_month: Price | None = Field(default=None, description="A GiB of a snapshot for a month.")
    image_gib_month: Price | None = Field(default=None, description="A GiB of a managed image for a month.")
    replica_gib_month: Price | None = Field(
        default=None, description="A GiB of one replica of an image version for a month."
    )
    node_hour: NodePrices = Field(
        default_factory=dict,
        description="An hour of a dedicated node, or of another VM, by VM size.",
        examples=[{"Standard_D4s_v5": 0.23}],
        json_schema_extra=_BY_VM_SIZE,
    )
    spot_node_hour: NodePrices = Field(
        default_factory=dict,
        description="An hour of a Spot node, by VM size.",
        examples=[{"Standard_D4s_v5": 0.05}],
        json_schema_extra=_BY_VM_SIZE,
    )

    def of_node(self, vm_size: str, *, spot: bool) -> float | None:
        """Return what an hour of a node costs; None where the spec does not say. Azure compares sizes without case."""
        prices = self.spot_node_hour if spot else self.node_hour
        return next((price for size, price in prices.items() if size.casefold() == vm_size.casefold()), None)
