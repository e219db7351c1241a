"""Managed images as a PUT holds them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from include.azure_simulator.compute.sizes import Generation
from include.azure_simulator.compute.store import EnvelopeBody, Reference, RequestBody

Caching = Literal["None", "ReadOnly", "ReadWrite"]


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
