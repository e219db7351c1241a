"""The restore point of a run with ``capture: restore_point``: its names, its tags, and what it can be taken of.

Restore points are crash-consistent here, always: the other kind is made by an extension in the guest, which then stays
there, and Batch may clash with any. A collection has one name for each pool and VM; restore points have no tags, so
their collection and their name tell whose they are.

Rules: "Overview of Virtual Machine restore points", "Support matrix for VM restore points".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from golden_pools.rules.capture import COPIED_LATER
from golden_pools.rules.clone import THROWAWAY_TAG
from golden_pools.rules.facts import Disk, GoldenVm
from golden_pools.rules.plan import RunPlan

LONGEST_NAME = 80

_SIZE = re.compile(r"Standard_(?P<series>[A-Z]+)\d+(-\d+)?(?P<features>[a-z]*)_v(?P<version>\d+)", re.IGNORECASE)
_OF_A_RUN = r"-\d{8}T\d{6}"
_INTEL_BOOST, _AMD_BOOST = 6, 7


def collection_name(plan: RunPlan) -> str:
    """Return the name of the collection, the same in every run."""
    return f"{_base(plan)}-{plan.golden_vm.name}"[:LONGEST_NAME].rstrip("-.")


def point_id(plan: RunPlan) -> str:
    """Return the ARM id of the run's restore point."""
    return f"{plan.compute_id('restorePointCollections', collection_name(plan))}/restorePoints/{plan.stem}"


def restored_disk_id(plan: RunPlan, lun: int | None) -> str:
    """Return the ARM id of the disk that is made from the restore point of a disk, and named as its snapshot."""
    return plan.compute_id("disks", plan.snapshot_name(lun))


def restored_tags(plan: RunPlan) -> dict[str, str]:
    """Return the tags of the collection and of the disks."""
    return {**plan.tags, THROWAWAY_TAG: "restore_point"}


def is_restored(plan: RunPlan, tags: Mapping[str, str]) -> bool:
    """Return whether a run of this DAG, this one or an earlier one, made a collection or a disk."""
    return tags.get(THROWAWAY_TAG) == "restore_point" and tags.get("golden-pools-dag") == plan.dag_id


def is_of_a_run(plan: RunPlan, point: str) -> bool:
    """Return whether the name of a restore point in the collection is one that runs of the pool give."""
    return re.fullmatch(re.escape(_base(plan)) + _OF_A_RUN, point, re.IGNORECASE) is not None


def _base(plan: RunPlan) -> str:
    return plan.spec.image.name or plan.pool


def why_not_taken(disk: Disk) -> tuple[str, str] | None:
    """Return why a disk is not caught at the moment of a crash-consistent restore point, and the way out."""
    if disk.sku in COPIED_LATER:
        return f"it is of kind {disk.sku}", "move its content to a Premium or Standard SSD"
    if disk.max_shares > 1:
        return f"{disk.max_shares} VMs may share it", "set its maxShares to 1"
    if disk.write_accelerator:
        return "its writes are accelerated", "switch the Write Accelerator off"
    if (disk.caching or "").casefold() == "readwrite":
        return (
            "the host caches its writes (caching ReadWrite), so some may be missing",
            "set its caching to ReadOnly or None (az vm update; it restarts the VM where it is the OS disk)",
        )
    return None


def why_disks_differ(vm: GoldenVm) -> str:
    """Return why the disks of a VM of this size are not caught at one moment; empty where they are."""
    size = _SIZE.fullmatch(vm.vm_size or "")
    if size is None or len(vm.data_disks) < 2 or "p" in size["features"].casefold():
        return ""
    boosted_since = _AMD_BOOST if "a" in size["features"].casefold() else _INTEL_BOOST
    if int(size["version"]) < boosted_since:
        return ""
    return f"size {vm.vm_size} with {len(vm.data_disks)} data disks: they might not be consistent with one another"
