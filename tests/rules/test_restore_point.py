"""What a crash-consistent restore point catches at one moment, and what its names are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from golden_pools.rules.restore_point import (
    collection_name,
    is_of_a_run,
    point_id,
    restored_disk_id,
    why_disks_differ,
    why_not_taken,
)

from tests.rules.build import COMPUTE, disk, golden_vm, plan

AZURES_NAME = re.compile(r"[^_\W][\w\-._]{0,79}(?<![-.])", re.ASCII)


@pytest.mark.parametrize(
    ("changes", "why", "advice"),
    [
        ({"caching": "ReadWrite"}, "caching ReadWrite", "set its caching to ReadOnly or None"),
        ({"sku": "PremiumV2_LRS"}, "PremiumV2_LRS", "Premium or Standard SSD"),
        ({"sku": "UltraSSD_LRS"}, "UltraSSD_LRS", "Premium or Standard SSD"),
        ({"max_shares": 2}, "2 VMs may share it", "maxShares to 1"),
        ({"write_accelerator": True}, "accelerated", "switch the Write Accelerator off"),
    ],
)
def test_disks_that_it_does_not_catch(changes: dict[str, Any], why: str, advice: str) -> None:
    found = why_not_taken(disk(lun=0, **changes))
    assert found is not None
    assert why in found[0]
    assert advice in found[1]


@pytest.mark.parametrize("caching", ["None", "ReadOnly", None])
def test_disks_that_it_catches(caching: str | None) -> None:
    assert why_not_taken(disk(lun=0, caching=caching, sku="Premium_LRS")) is None


@pytest.mark.parametrize(
    ("size", "disks", "differ"),
    [
        ("Standard_D4s_v5", 2, False),
        ("Standard_D4s_v6", 1, False),
        ("Standard_D4s_v6", 2, True),
        ("Standard_E96-24ds_v6", 2, True),
        ("Standard_D4as_v6", 2, False),
        ("Standard_D4as_v7", 2, True),
        ("Standard_D4ps_v6", 2, False),
        ("Standard_F8", 2, False),
        (None, 2, False),
    ],
)
def test_sizes_whose_disks_are_not_caught_together(size: str | None, disks: int, differ: bool) -> None:
    vm = golden_vm(vm_size=size, data_disks=tuple(disk(lun=lun) for lun in range(disks)))
    assert bool(why_disks_differ(vm)) is differ


def test_the_disks_are_named_as_their_snapshots_and_lie_with_them() -> None:
    run = plan(golden_vm={"capture": "restore_point"})
    assert restored_disk_id(run, 3) == f"{COMPUTE}/disks/small-20261122T041500-data-3"
    assert point_id(run) == f"{COMPUTE}/restorePointCollections/small-golden-vm/restorePoints/small-20261122T041500"


def test_the_longest_names_are_names_still() -> None:
    name = collection_name(plan(image={"name": "i" * 56}, golden_vm={"name": f"{'v' * 22}.{'v' * 41}"}))
    assert AZURES_NAME.fullmatch(name)


def test_points_of_runs_are_told_from_others() -> None:
    run = plan(image={"name": "base"})
    assert is_of_a_run(run, "base-20261121T041500")
    assert not is_of_a_run(run, "base-20261121T041500-mine")
    assert not is_of_a_run(run, "other-20261121T041500")
    assert not is_of_a_run(run, "before-the-update")
