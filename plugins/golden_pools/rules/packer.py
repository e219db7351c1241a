"""What Packer built last, by the file that its ``manifest`` post-processor keeps.

Sources: "manifest post-processor" (the file), and the builder ``azure-arm``, whose artifact has one id: of the managed
image, else of the gallery version, else the address of the OS disk's VHD. A build that leaves its OS disk behind has
the address of that disk for an id, and one that leaves nothing ``UNKNOWN ID``.

Data disks (``disk_additional_size``) get VHDs of their own that stand nowhere in the manifest: the artifact has one id
and no files (``builder/azure/arm/artifact.go`` of packer-plugin-azure; hashicorp/packer#4350). Their names follow from
the OS disk's, by the id of the build's VM or, since packer-plugin-azure#522, by the temporary names of the disks.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import BaseModel, ValidationError

from golden_pools.spec import names
from golden_pools.words import counted

_MANAGED_IMAGE = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/images/[^/]+", re.IGNORECASE
)
_OS_DISK_BY_VM = re.compile(r"(?P<path>.*)-osDisk\.(?P<vm>[0-9a-f-]{36})\.vhd")
_OS_DISK_BY_NAME = re.compile(r"(?P<path>.*?)os(?P<random>(?<=pkros)[a-z0-9]{10}|(?<!pkros)[a-z0-9]{5})\.vhd")
_VERSION = re.compile(names.VERSION_OR_DEFINITION_ID.removesuffix("?$") + "$", re.IGNORECASE)


class ManifestError(ValueError):
    """The manifest does not name an image.

    :param advice: what to do
    """

    def __init__(self, what: str, *, advice: str) -> None:
        super().__init__(what)
        self.advice = advice


class ArtifactKind(StrEnum):
    """What a build has left."""

    MANAGED_IMAGE = "managed image"
    VERSION = "gallery version"
    VHD = "VHD"


class Build(BaseModel):
    """One build of a manifest; what else stands there does not matter."""

    name: str = ""
    builder_type: str = ""
    build_time: int = 0  # seconds since 1970; absent with strip_time
    artifact_id: str = ""
    packer_run_uuid: str = ""

    @property
    def kind(self) -> ArtifactKind | None:
        """What the artifact is; None where it is no image of Azure."""
        if _MANAGED_IMAGE.fullmatch(self.artifact_id):
            return ArtifactKind.MANAGED_IMAGE
        if _VERSION.fullmatch(self.artifact_id):
            return ArtifactKind.VERSION
        return ArtifactKind.VHD if re.fullmatch(names.VHD_URI, self.artifact_id) else None

    def __str__(self) -> str:
        when = f" of {datetime.fromtimestamp(self.build_time, tz=UTC):%Y-%m-%d %H:%M} UTC" if self.build_time else ""
        return f"Packer build {self.name or self.builder_type or 'without a name'}{when}"


class _Manifest(BaseModel):
    builds: list[Build]


def newest_build(text: str, name: str | None) -> Build:
    """Return the newest build of a manifest that left an image; of builds without a time, the last in the file.

    :param text: the file
    :param name: name of the build, as the spec says; None takes any of Azure's
    :raises ManifestError: it has none
    """
    try:
        builds = _Manifest.model_validate_json(text).builds
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ManifestError(
            f"it is no manifest of Packer: {where}: {first['msg']}",
            advice='write it with Packer: post-processor "manifest" {}',
        ) from None
    named = [build for build in builds if build.name == name] if name else _of_azure(builds)
    if not named:
        raise ManifestError(
            (f"it has no build {name}" if name else "it has no build of Azure's") + f"; its builds: {_list(builds)}",
            advice="correct image.source.packer.build, or run Packer again with the azure-arm builder",
        )
    newest = max(enumerate(named), key=lambda pair: (pair[1].build_time, pair[0]))[1]
    if newest.kind is None:
        raise ManifestError(
            f"the artifact of {newest} is {newest.artifact_id or 'nothing'}, which is no managed image, no gallery "
            "version and no VHD",
            advice="let Packer publish with shared_image_gallery_destination or to a managed image, without "
            "keep_os_disk, which puts the disk in the image's place",
        )
    return newest


def data_disks(os_disk: str, count: int) -> dict[int, str]:
    """Return the addresses of the VHDs of a build's data disks, by LUN.

    :param os_disk: address of the VHD of its OS disk
    :raises ManifestError: Packer did not choose that name, so those of the data disks do not follow from it
    """
    if not count:
        return {}
    if by_vm := _OS_DISK_BY_VM.fullmatch(os_disk):
        return {lun: f"{by_vm['path']}-datadisk-{lun + 1}.{by_vm['vm']}.vhd" for lun in range(count)}
    if by_name := _OS_DISK_BY_NAME.fullmatch(os_disk):
        return {lun: f"{by_name['path']}dd{by_name['random']}-{lun + 1}.vhd" for lun in range(count)}
    raise ManifestError(
        f"the names of its {counted(count, 'data disk')} do not follow from that of the OS disk, {os_disk}",
        advice="leave the names of temporary resources to Packer, or let it publish to a gallery, with all disks",
    )


def _of_azure(builds: list[Build]) -> list[Build]:
    return [build for build in builds if build.builder_type.startswith("azure")]


def _list(builds: list[Build]) -> str:
    return ", ".join(f"{build.name or 'without a name'} ({build.builder_type})" for build in builds[-10:]) or "none"
