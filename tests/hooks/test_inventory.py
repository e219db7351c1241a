"""Whole lists with the real SDK against a live simulator that gives them page by page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

import pytest
from golden_pools.errors import AzureRefusedError
from golden_pools.hooks.inventory import InventoryHook

from .test_against_simulator import Cloud, publish, serve


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with serve() as served:
        yield served


@pytest.fixture
def inventory(cloud: Cloud) -> Iterator[InventoryHook]:
    with InventoryHook("azure_default", cloud.subscription, read_only=True, connection=cloud.connection) as hook:
        yield hook


def test_versions_are_listed_with_what_the_watch_looks_at(cloud: Cloud, inventory: InventoryHook) -> None:
    version_id = publish(cloud)
    [version] = inventory.versions(version_id.partition("/versions/")[0])
    assert version.id.casefold() == version_id.casefold()
    assert version.published is not None
    assert version.published.tzinfo is not None
    assert version.end_of_life is None
    assert version.source_id


def test_a_definition_that_nobody_made_has_no_versions(cloud: Cloud, inventory: InventoryHook) -> None:
    definition = publish(cloud).partition("/versions/")[0]
    assert inventory.versions(f"{definition}-other") == []


def test_every_page_is_read(cloud: Cloud, inventory: InventoryHook) -> None:
    whole = inventory.disks("golden")
    assert len(whole) > 1
    cloud.world.settings = cloud.world.settings.patched({"compute": {"list_page_size": 1}})
    assert inventory.disks("golden") == whole


def test_things_of_a_group_are_listed(cloud: Cloud, inventory: InventoryHook) -> None:
    publish(cloud)
    snapshot = inventory.snapshots("images")[0]
    assert snapshot.created is not None
    assert snapshot.created.tzinfo == UTC
    assert inventory.managed_images("images")
    assert [vm.name for vm in inventory.vms("golden")] == ["golden-vm"]
    assert "goldenbatch" in [account.name for account in inventory.accounts()]


def test_a_group_that_is_not_there_is_a_wrong_spec(inventory: InventoryHook) -> None:
    with pytest.raises(AzureRefusedError) as refused:
        inventory.snapshots("nowhere")
    assert refused.value.code == "ResourceGroupNotFound"
