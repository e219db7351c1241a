"""VHDs in storage accounts as sources of images and versions.

The codes are those of the article "Common error messages when you manage virtual machines in Azure" and of public
reports; which of them a managed image gets for a block blob is not published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from include.azure_simulator.compute.disks import DiskContent
from include.azure_simulator.compute.store import invalid_parameter
from include.azure_simulator.errors import ArmError
from include.azure_simulator.storage.accounts import BlobSection, StorageAccount

if TYPE_CHECKING:
    from include.azure_simulator.world import World

_BLOB_HOST = ".blob."


@dataclass(frozen=True, slots=True)
class Vhd:
    """A VHD that can be read: its URI, its account and its blob."""

    uri: str
    account: StorageAccount
    blob: BlobSection

    @property
    def content(self) -> DiskContent:
        """What Azure knows of the disk: its size. It does not look inside."""
        return DiskContent(size_gib=self.blob.size_gib)

    def holds(self, os_type: str, generation: str) -> bool:
        """Whether the VHD is what a caller says; nothing boots from an image that claims something else."""
        return (self.blob.os_type, self.blob.generation or "V1") == (os_type, generation)


def find_vhd(world: World, uri: str, target: str) -> Vhd:
    """The VHD with this URI.

    :param target: the property that names it.
    :raises ArmError: 400 for a URI that is none of a VHD, for a blob that is not there or not a page blob.
    """
    parts = urlsplit(uri)
    container, _, name = parts.path.removeprefix("/").partition("/")
    if parts.scheme not in ("http", "https") or _BLOB_HOST not in parts.netloc or not container or not name:
        raise invalid_parameter(f"The URI {uri} does not look to be correct blob URI.", target)
    if "/" in name:
        text = f"The blob name in URL {uri} contains a slash. This is presently not supported for disks."
        raise invalid_parameter(text, target)
    if not name.endswith(".vhd"):
        raise invalid_parameter(f"Blob name in URL {uri} must end with '.vhd' extension.", target)
    found = world.storage.locate(uri)
    if found is None:
        raise invalid_parameter(f"The source blob {uri} is not accessible.", target)
    account, blob = found
    if blob.type != "page":
        text = f"Disk blobs can only be of type page blob. Blob {uri} is of type '{blob.type.capitalize()}Blob'."
        raise ArmError(400, world.settings.compute.block_blob_code, text, target=target)
    return Vhd(uri, account, blob)
