"""Each kind of drift, made in a simulator, is found by the watch with its level."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from golden_pools.operators import watch
from golden_pools.rules.watch import Kind, Level
from golden_pools.spec.model import PoolSpec

from include.azure_simulator.compute.vm_populate import add_machine
from include.azure_simulator.compute.vm_section import VirtualMachineSection
from include.azure_simulator.resources import timestamp
from tests.operators.conftest import ACCOUNT, COMPUTE, DEFINITION, HTTP, NEW, OLD, Cloud
from tests.operators.test_watch import GOOD, Watch

MADE_BY_A_RUN = {"golden-pools-run": "scheduled__1"}
STEM = "small-20261101T020005"


@pytest.fixture
def watcher(cloud: Cloud, spec: PoolSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A watch over the spec ``small``, whose image goes to one region."""
    cloud.freeze()
    monkeypatch.setenv("GOLDEN_POOLS_DIR", str(tmp_path))
    monkeypatch.setattr(watch, "now", lambda: cloud.world.clock.now())
    image = {**spec.model_dump(mode="json")["image"], "target_regions": []}
    return Watch(cloud, tmp_path, PoolSpec.model_validate({**spec.model_dump(mode="json"), "image": image}))


def good(cloud: Cloud) -> str:
    """Make the pool as its spec wants it; returns its version."""
    version = cloud.make_version(NEW, **GOOD)
    cloud.make_pool(version, dedicated=3)
    return version


def change_version(cloud: Cloud, name: str, **profile: Any) -> None:
    present = cloud.arm("GET", f"{DEFINITION}/versions/{name}")
    kept = {"targetRegions": present["properties"]["publishingProfile"]["targetRegions"]}
    properties = {"publishingProfile": {**kept, **profile}, "storageProfile": {}}
    cloud.arm("PATCH", f"{DEFINITION}/versions/{name}", {"tags": present["tags"], "properties": properties})
    cloud.advance(hours=8)


def managed_image(cloud: Cloud, name: str, **tags: str) -> str:
    source = f"/subscriptions/{cloud.subscription}/{COMPUTE}/snapshots/by-hand-{NEW}-os"
    disk = {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": source}}
    properties = {"hyperVGeneration": "V2", "storageProfile": {"osDisk": disk}}
    cloud.arm("PUT", f"{COMPUTE}/images/{name}", {"location": "westeurope", "tags": tags, "properties": properties})
    cloud.advance(hours=1)
    return f"/subscriptions/{cloud.subscription}/{COMPUTE}/images/{name}"


# -- how each drift comes about ----------------------------------------------------------------------------------------


def spec_faulty(cloud: Cloud, watcher: Watch) -> None:
    (watcher.directory / "large.yaml").write_text("pool: {}\n", encoding="utf-8")


def pool_missing(cloud: Cloud, watcher: Watch) -> None:
    cloud.delete_pool()
    cloud.advance(hours=1)


def pool_behind(cloud: Cloud, watcher: Watch) -> None:
    cloud.make_version("2026.1122.20005", **GOOD)


def pool_on_bad_version(cloud: Cloud, watcher: Watch) -> None:
    bad = cloud.make_version(OLD, **{"golden-pools-verdict": "bad", "golden-pools-why": "no licence"})
    cloud.make_pool(bad, name="stray")


def pool_image_gone(cloud: Cloud, watcher: Watch) -> None:
    cloud.arm("DELETE", f"{DEFINITION}/versions/{NEW}")
    cloud.advance(hours=2)


def pool_settings(cloud: Cloud, watcher: Watch) -> None:
    metadata = [{"name": "team", "value": "ops"}]
    cloud.arm("PATCH", f"{ACCOUNT}/pools/small", {"properties": {"metadata": metadata}})


def pool_without_spec(cloud: Cloud, watcher: Watch) -> None:
    cloud.make_pool(cloud.image_of(), name="stray")


def nodes_off_target(cloud: Cloud, watcher: Watch) -> None:
    cloud.resize(dedicated=1)
    cloud.advance(minutes=30)


def nodes_failed(cloud: Cloud, watcher: Watch) -> None:
    cloud.allocation(node_outcomes=[{"state": "unusable", "share": 1.0}])
    cloud.resize(dedicated=4)
    cloud.advance(hours=1)
    watcher.write("small", pool={**watcher.spec.model_dump(mode="json")["pool"], "targets": {"dedicated": 4}})


def replicas_too_few(cloud: Cloud, watcher: Watch) -> None:
    cloud.make_pool(cloud.image_of(), name="stray", dedicated=301)


def region_missing(cloud: Cloud, watcher: Watch) -> None:
    image = {**watcher.spec.model_dump(mode="json")["image"], "target_regions": [{"name": "northeurope"}]}
    watcher.write("small", image=image)


def replication_failed(cloud: Cloud, watcher: Watch) -> None:
    cloud.control("POST", "replications", {"version": "*", "region": "northeurope", "details": "no room"})
    regions = [{"name": name, "regionalReplicaCount": 1} for name in ("westeurope", "northeurope")]
    change_version(cloud, NEW, targetRegions=regions)


def version_past_end_of_life(cloud: Cloud, watcher: Watch) -> None:
    change_version(cloud, NEW, endOfLifeDate=timestamp(cloud.world.clock.now() + timedelta(hours=1)))


def managed_image_pool(cloud: Cloud, watcher: Watch) -> None:
    cloud.configure(batch={"legacy_managed_image_pools": True})
    cloud.make_pool(managed_image(cloud, "by-hand"), name="stray")


def spot_in_batch_service(cloud: Cloud, watcher: Watch) -> None:
    cloud.make_pool(cloud.image_of(), name="stray", spot=1)


def node_agent_ending(cloud: Cloud, watcher: Watch) -> None:
    machine = {"imageReference": {"id": cloud.image_of()}, "nodeAgentSkuId": "batch.node.ubuntu 22.04"}
    cloud.make_pool(cloud.image_of(), name="stray", deploymentConfiguration={"virtualMachineConfiguration": machine})


def vm_size_ending(cloud: Cloud, watcher: Watch) -> None:
    cloud.make_pool(cloud.image_of(), name="stray", vmSize="STANDARD_F4S_V2")


DRIFTS: dict[Kind, tuple[Callable[[Cloud, Watch], None], Level]] = {
    Kind.SPEC_FAULTY: (spec_faulty, Level.ERROR),
    Kind.POOL_MISSING: (pool_missing, Level.WARNING),
    Kind.POOL_BEHIND: (pool_behind, Level.WARNING),
    Kind.POOL_ON_BAD_VERSION: (pool_on_bad_version, Level.ERROR),
    Kind.POOL_IMAGE_GONE: (pool_image_gone, Level.ERROR),
    Kind.POOL_SETTINGS: (pool_settings, Level.WARNING),
    Kind.POOL_WITHOUT_SPEC: (pool_without_spec, Level.INFO),
    Kind.NODES_OFF_TARGET: (nodes_off_target, Level.WARNING),
    Kind.NODES_FAILED: (nodes_failed, Level.WARNING),
    Kind.REPLICAS_TOO_FEW: (replicas_too_few, Level.WARNING),
    Kind.REGION_MISSING: (region_missing, Level.WARNING),
    Kind.REPLICATION_FAILED: (replication_failed, Level.ERROR),
    Kind.VERSION_PAST_END_OF_LIFE: (version_past_end_of_life, Level.WARNING),
    Kind.MANAGED_IMAGE_POOL: (managed_image_pool, Level.ERROR),
    Kind.SPOT_IN_BATCH_SERVICE: (spot_in_batch_service, Level.WARNING),
    Kind.NODE_AGENT_ENDING: (node_agent_ending, Level.INFO),
    Kind.VM_SIZE_ENDING: (vm_size_ending, Level.INFO),
}
ALONGSIDE = {Kind.POOL_WITHOUT_SPEC}
"""What a second pool brings with it."""


@pytest.mark.parametrize("kind", DRIFTS)
def test_each_drift_is_found_and_told_once(cloud: Cloud, watcher: Watch, kind: Kind) -> None:
    good(cloud)
    assert watcher.run() == ([], [])
    drifts, level = DRIFTS[kind]
    drifts(cloud, watcher)
    new, gone = watcher.run()
    assert (set(new) - ALONGSIDE, gone) == ({kind} - ALONGSIDE, [])
    [finding] = [one for one in watcher.look_result["findings"] if one["check"] == kind]
    assert finding["level"] == level
    assert finding["advice"]
    assert finding["az"].startswith("az " if kind is not Kind.SPEC_FAULTY else "PYTHONPATH=plugins python -m ")
    assert watcher.run() == ([], [])


def test_every_kind_is_made_here() -> None:
    assert DRIFTS.keys() | {Kind.ORPHAN} == set(Kind)


# -- leftovers ---------------------------------------------------------------------------------------------------------


def left_snapshot(cloud: Cloud) -> str:
    copy = {"createOption": "Copy", "sourceResourceId": _disk(cloud)}
    body = {
        "location": "westeurope",
        "tags": MADE_BY_A_RUN,
        "properties": {"creationData": copy, "incremental": True},
    }
    cloud.arm("PUT", f"{COMPUTE}/snapshots/{STEM}-os", body)
    return f"{STEM}-os"


def left_image(cloud: Cloud) -> str:
    managed_image(cloud, STEM, **MADE_BY_A_RUN)
    return STEM


def left_disk(cloud: Cloud) -> str:
    copy = {"createOption": "Copy", "sourceResourceId": _disk(cloud)}
    body = {"location": "westeurope", "tags": MADE_BY_A_RUN, "properties": {"creationData": copy}}
    cloud.arm("PUT", f"{COMPUTE}/disks/clone-os", body)
    return "clone-os"


def left_vm(cloud: Cloud) -> str:
    section = {
        "resource_group": "images",
        "name": "clone",
        "location": "westeurope",
        "size": "Standard_D2s_v5",
        "tags": MADE_BY_A_RUN,
        "image": {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"},
        "os_disk": {"name": "clone-os", "size_gib": 32},
    }
    add_machine(cloud.world, VirtualMachineSection.model_validate(section))
    return "clone"


def left_card(cloud: Cloud) -> str:
    subnet = (
        f"/subscriptions/{cloud.subscription}/resourceGroups/golden/providers/Microsoft.Network"
        "/virtualNetworks/golden-net/subnets/builders"
    )
    name = "clone-20261101T020005-small-nic"
    address = {"name": "ip", "properties": {"subnet": {"id": subnet}}}
    HTTP.put(
        f"{cloud.url}/subscriptions/{cloud.subscription}/resourceGroups/images/providers/Microsoft.Network"
        f"/networkInterfaces/{name}",
        params={"api-version": "2024-05-01"},
        json={"location": "westeurope", "tags": MADE_BY_A_RUN, "properties": {"ipConfigurations": [address]}},
    ).raise_for_status()
    return name


def left_restore_point(cloud: Cloud) -> str:
    vm = f"/subscriptions/{cloud.subscription}/resourceGroups/golden/providers/Microsoft.Compute/virtualMachines"
    url = f"{cloud.url}/subscriptions/{cloud.subscription}/{COMPUTE}/restorePointCollections/small-golden-vm"
    tags = {**MADE_BY_A_RUN, "golden-pools-throwaway": "restore_point"}
    for path, body in (
        ("", {"location": "westeurope", "tags": tags, "properties": {"source": {"id": f"{vm}/golden-vm"}}}),
        (f"/restorePoints/{STEM}", {"properties": {"consistencyMode": "CrashConsistent"}}),
    ):
        HTTP.put(f"{url}{path}", params={"api-version": "2026-04-01"}, json=body).raise_for_status()
    return "small-golden-vm"


def left_canary(cloud: Cloud) -> str:
    cloud.make_pool(cloud.image_of(), name="canary-1")
    cloud.mark("canary-1", alias="small", role="canary", since="2026-11-01T00:00:00+00:00")
    return "canary-1"


@pytest.mark.parametrize(
    "leave", [left_snapshot, left_image, left_disk, left_vm, left_card, left_restore_point, left_canary]
)
def test_each_leftover_is_found_after_a_day(cloud: Cloud, watcher: Watch, leave: Callable[[Cloud], str]) -> None:
    good(cloud)
    watcher.run()
    name = leave(cloud)
    cloud.advance(days=2)
    assert watcher.run() == ([Kind.ORPHAN], [])
    [finding] = [one for one in watcher.look_result["findings"] if one["check"] == Kind.ORPHAN]
    assert finding["subject"].endswith(f"/{name}")
    assert watcher.run() == ([], [])


def test_a_version_in_a_gallery_that_no_spec_names_is_no_leftover_s_end(cloud: Cloud, watcher: Watch) -> None:
    good(cloud)
    left_snapshot(cloud)
    gallery = f"{COMPUTE}/galleries/newer"
    cloud.arm("PUT", gallery, {"location": "westeurope"})
    definition = cloud.arm("GET", DEFINITION)
    kept = ("osType", "osState", "hyperVGeneration", "identifier", "features")
    properties = {name: definition["properties"][name] for name in kept if name in definition["properties"]}
    cloud.advance(minutes=10)
    cloud.arm("PUT", f"{gallery}/images/other", {"location": "westeurope", "properties": properties})
    cloud.advance(minutes=10)
    snapshot = f"/subscriptions/{cloud.subscription}/{COMPUTE}/snapshots/{STEM}-os"
    regions = [{"name": "westeurope", "regionalReplicaCount": 1}]
    version = {
        "storageProfile": {"osDiskImage": {"source": {"id": snapshot}}},
        "publishingProfile": {"targetRegions": regions},
    }
    cloud.arm("PUT", f"{gallery}/images/other/versions/1.0.0", {"location": "westeurope", "properties": version})
    cloud.advance(days=2)
    assert watcher.run() == ([], [])


# -- nodes against the schedule ----------------------------------------------------------------------------------------


def test_nodes_are_held_against_the_scale_time_in_force(cloud: Cloud, watcher: Watch) -> None:
    good(cloud)
    at = cloud.world.clock.now()
    times = [
        {"cron": f"{at.minute} {(at.hour - 1) % 24} * * *", "dedicated": 2},
        {"cron": f"{at.minute} {(at.hour + 2) % 24} * * *", "dedicated": 3},
    ]
    watcher.write("small", scale=times)
    assert watcher.run() == (["nodes_off_target"], [])
    cloud.advance(hours=3)
    assert watcher.run() == ([], ["nodes_off_target"])


def _disk(cloud: Cloud) -> str:
    return f"/subscriptions/{cloud.subscription}/resourceGroups/golden/providers/Microsoft.Compute/disks/golden-vm-os"
