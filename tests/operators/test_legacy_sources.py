"""Every source by the legacy switch: whole DAGs up to pools on managed images, where Azure still takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from golden_pools.spec.model import PoolSpec

from tests.operators.dag_run import DagRun, State
from tests.operators.test_clone import cloned, throwaways
from tests.operators.test_sources import BUILD_VM, VHD, Nights
from tests.operators.test_sources import nights as nights
from tests.rules.test_packer import build, manifest

DIRECT = {"publish": "managed_image", "legacy_direct_pool": True, "gallery": None, "definition": None}


@pytest.fixture(autouse=True)
def azure_of_before(nights: Nights) -> None:
    nights.cloud.configure(batch={"legacy_managed_image_pools": True})


def direct(spec: PoolSpec) -> PoolSpec:
    """Return the spec with the legacy switch."""
    whole = spec.model_dump(mode="json")
    whole["image"] |= {**DIRECT, "target_regions": []}
    return PoolSpec.model_validate(whole)


def image_of_nodes(nights: Nights, night: DagRun) -> str:
    """Return the managed image that all nodes run on, and that the passport names."""
    assert night.succeeded, night.errors
    (image,) = set(nights.cloud.node_images())
    assert "/galleries/" not in image
    assert nights.made("versions") == []
    passport = night.run.xcom("pool.record")
    assert passport["image"] == image
    return image


@pytest.mark.parametrize("source", [None, {"generalized_vm": BUILD_VM}, {"vhd": VHD}])
def test_a_source_that_becomes_a_managed_image(nights: Nights, source: dict[str, Any] | None) -> None:
    nights.make_vm(generalized=True)
    night = nights.night(direct(nights.spec(source=source)))
    assert image_of_nodes(nights, night) == night.run.plan.managed_image_id


def test_a_clone(nights: Nights) -> None:
    night = nights.night(direct(cloned(nights)))
    assert image_of_nodes(nights, night) == night.run.plan.managed_image_id
    assert throwaways(nights.cloud) == []


def test_a_vhd_of_packers(nights: Nights, tmp_path: Path) -> None:
    path = tmp_path / "packer-manifest.json"
    path.write_text(manifest(build(VHD["os_disk"])), encoding="utf-8")
    facts = {"region": "West Europe", "os_type": "Linux", "generation": "V2", "data_disks": 0}
    night = nights.night(direct(nights.spec(source={"packer": {"manifest": str(path), "vhd": facts}})))
    assert image_of_nodes(nights, night) == night.run.plan.managed_image_id


def test_a_managed_image_of_packers_where_pools_lie_in_the_own_subscription(nights: Nights, tmp_path: Path) -> None:
    account = nights.cloud.world.batch.account("goldenbatch")
    assert account is not None
    account.facts = account.facts.model_copy(update={"pool_allocation_mode": "UserSubscription"})
    image = nights.cloud.make_managed_image("packer-1")
    path = tmp_path / "packer-manifest.json"
    path.write_text(manifest(build(image)), encoding="utf-8")
    night = nights.night(direct(nights.spec(source={"packer": {"manifest": str(path)}})))
    assert image_of_nodes(nights, night).casefold() == image.casefold()
    assert night.states["image.managed_image"] is State.SKIPPED
