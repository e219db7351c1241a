"""What a managed image or an image version is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from golden_pools.rules.plan import RunPlan
from golden_pools.rules.source import Road


@dataclass(frozen=True, kw_only=True)
class DiskSource:
    """What one disk of an image is made from.

    :param lun: None: the OS disk
    :param id: ARM id of a snapshot, or address of a page blob
    :param caching: host caching of the disk; None: Azure's default
    """

    lun: int | None
    id: str
    caching: str | None = None

    @property
    def is_blob(self) -> bool:
        """Whether it is a page blob."""
        return not self.id.startswith("/")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What an image is made from: one of these.

    :param disks: the OS disk first
    :param vm_id: ARM id of a VM that is flagged generalized
    :param image_id: ARM id of a managed image, for versions only
    """

    disks: tuple[DiskSource, ...] = ()
    vm_id: str | None = None
    image_id: str | None = None

    def __str__(self) -> str:
        if self.disks:
            return f"{len(self.disks)} {'page blob' if self.disks[0].is_blob else 'snapshot'}(s)"
        return "VM " + self.vm_id.rpartition("/")[2] if self.vm_id else f"managed image {self.image_id}"


def image_origin(plan: RunPlan, *, snapshots: Mapping[str, Any] | None, clone_id: str | None) -> Origin:
    """Return what the run captures.

    :param snapshots: the snapshot set, where the run makes one
    :param clone_id: ARM id of the generalized clone, where the run makes one
    """
    assert plan.source is not None, "asked before the source was looked at"
    if clone_id is not None:
        return Origin(vm_id=clone_id)
    if snapshots is not None:
        data = (DiskSource(lun=disk["lun"], id=disk["snapshot"], caching=disk["caching"]) for disk in snapshots["data"])
        return Origin(disks=(DiskSource(lun=None, id=snapshots["os"]["snapshot"]), *data))
    if plan.vm is not None:
        return Origin(vm_id=plan.source.resource_id)
    assert plan.source.resource_id is not None, "preflight refuses a source that cannot be read"
    more = (DiskSource(lun=lun, id=uri) for lun, uri in plan.source.data_blobs.items())
    return Origin(disks=(DiskSource(lun=None, id=plan.source.resource_id), *more))


def version_origin(
    plan: RunPlan, *, snapshots: Mapping[str, Any] | None, clone_id: str | None, managed_image: str | None
) -> Origin:
    """Return what the run's version is made from.

    :param managed_image: ARM id of the managed image, where there is one
    """
    if plan.road is Road.MANAGED_IMAGE:
        return Origin(image_id=managed_image)
    return image_origin(plan, snapshots=snapshots, clone_id=clone_id)
