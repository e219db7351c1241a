"""World files."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from include.azure_simulator.clock import Clock
from include.azure_simulator.errors import ArmError
from include.azure_simulator.world import SAMPLE_WORLD, World, WorldFile


@pytest.fixture
def content() -> dict[str, Any]:
    """The sample world as data."""
    loaded: dict[str, Any] = yaml.safe_load(SAMPLE_WORLD.read_text(encoding="utf-8"))
    return loaded


def test_the_sample_world_holds_what_a_first_run_needs(world: World) -> None:
    machine = next(iter(world.compute.machines))
    assert (machine.rid.name, machine.power_state, machine.section.security_type) == (
        "golden-vm",
        "running",
        "Standard",
    )
    assert [disk.content.size_gib for disk in world.compute.disks] == [64, 128, 256]
    assert [gallery.rid.name for gallery in world.compute.galleries] == ["golden_gallery"]
    assert list(world.compute.definitions) == []
    assert list(world.regions) == ["westeurope", "northeurope"]


def test_sizes_are_found_in_any_case_and_any_spelling_of_the_region(world: World) -> None:
    assert world.compute.vm_sizes("West Europe")["standard_d4s_v5"].vcpus == 4


def test_a_size_can_be_missing_in_a_region(content: dict[str, Any], clock: Clock) -> None:
    content["compute"]["vm_sizes"][1]["regions"] = ["northeurope"]
    world = World(WorldFile.model_validate(content), clock=clock)
    assert "standard_d2s_v5" not in world.compute.vm_sizes("westeurope")
    assert "standard_d2s_v5" in world.compute.vm_sizes("northeurope")


def test_a_region_that_does_not_exist_is_refused(content: dict[str, Any]) -> None:
    content["compute"]["virtual_machines"][0]["location"] = "moonbase"
    with pytest.raises(ValidationError, match="golden-vm: no region 'moonbase'"):
        WorldFile.model_validate(content)


def test_a_size_that_does_not_exist_is_refused(content: dict[str, Any]) -> None:
    content["compute"]["virtual_machines"][0]["size"] = "Standard_Z9"
    with pytest.raises(ValidationError, match="golden-vm: no VM size 'Standard_Z9'"):
        WorldFile.model_validate(content)


def test_a_resource_group_that_does_not_exist_is_refused(content: dict[str, Any], clock: Clock) -> None:
    content["compute"]["virtual_machines"][0]["resource_group"] = "nowhere"
    with pytest.raises(ArmError, match="ResourceGroupNotFound"):
        World(WorldFile.model_validate(content), clock=clock)


def test_an_unknown_key_is_refused(content: dict[str, Any]) -> None:
    content["compute"]["virtual_machines"][0]["colour"] = "gold"
    with pytest.raises(ValidationError, match="colour"):
        WorldFile.model_validate(content)
