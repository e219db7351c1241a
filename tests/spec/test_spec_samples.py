"""The sample specs are the simulator's sample world: whoever starts both sees a run that succeeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from golden_pools.spec.loader import load_pools
from golden_pools.spec.model import PoolSpec

INCLUDE = Path(__file__).parents[2] / "include"
SAMPLES = load_pools(INCLUDE / "pools").specs


@pytest.fixture(scope="module")
def world() -> Any:
    return yaml.safe_load((INCLUDE / "azure_simulator" / "world.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("spec", SAMPLES.values(), ids=SAMPLES.keys())
def test_everything_that_a_sample_names_stands_in_the_sample_world(spec: PoolSpec, world: Any) -> None:
    (subscription,) = [known for known in world["subscriptions"] if known["id"] == spec.subscription]
    groups = {group["name"] for group in subscription["resource_groups"]}
    assert {spec.golden_vm.resource_group, spec.image.resource_group, spec.pool.resource_group} <= groups
    compute = world["compute"]
    machines = {(machine["resource_group"], machine["name"]) for machine in compute["virtual_machines"]}
    assert (spec.golden_vm.resource_group, spec.golden_vm.name) in machines
    galleries = {(gallery["resource_group"], gallery["name"]) for gallery in compute["galleries"]}
    assert (spec.image.resource_group, spec.image.gallery) in galleries
    accounts = {(account["resource_group"], account["name"]) for account in world["batch"]["accounts"]}
    assert (spec.pool.resource_group, spec.pool.account) in accounts
    assert spec.pool.vm_size in {size["name"] for size in compute["vm_sizes"]}
    assert {region.name for region in spec.image.target_regions} <= {region["name"] for region in world["regions"]}


@pytest.mark.parametrize("spec", SAMPLES.values(), ids=SAMPLES.keys())
def test_a_sample_s_nodes_are_within_the_quota_of_the_sample_account(spec: PoolSpec, world: Any) -> None:
    (size,) = [size for size in world["compute"]["vm_sizes"] if size["name"] == spec.pool.vm_size]
    (account,) = [account for account in world["batch"]["accounts"] if account["name"] == spec.pool.account]
    targets = spec.pool.targets
    assert targets.dedicated * size["vcpus"] <= account["dedicated_core_quota"]
    assert targets.spot * size["vcpus"] <= account["low_priority_core_quota"]


@pytest.mark.parametrize("spec", SAMPLES.values(), ids=SAMPLES.keys())
def test_a_sample_s_node_agent_fits_the_golden_vm_s_system(spec: PoolSpec, world: Any) -> None:
    (machine,) = [machine for machine in world["compute"]["virtual_machines"] if machine["name"] == spec.golden_vm.name]
    system, release = machine["image"]["offer"].split("-")[:2]
    assert spec.pool.node_agent_sku == f"batch.node.{system} {release.replace('_', '.')}"
