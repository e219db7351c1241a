"""World files with what was made long ago: snapshots, images, definitions, versions and pools."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from arm_client import DEFINITION, IMAGES, VERSION, Arm, error_of
from batch_client import Batch, on_image
from pydantic import ValidationError
from starlette.testclient import TestClient

from include.azure_simulator.clock import Clock
from include.azure_simulator.errors import ArmError
from include.azure_simulator.server import build_app
from include.azure_simulator.world import SAMPLE_WORLD, World, WorldFile

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"
SUBSCRIPTION = "/subscriptions/51a51a51-0000-4000-8000-000000000003"
DISK = f"{SUBSCRIPTION}/resourceGroups/golden/providers/Microsoft.Compute/disks/golden-vm-os"
SNAPSHOT = f"{SUBSCRIPTION}/{IMAGES}/snapshots/night-os"
IMAGE = f"{SUBSCRIPTION}/{IMAGES}/images/night"
PLACE = {"resource_group": "images", "location": "westeurope"}
CREATED = datetime(2026, 6, 1, tzinfo=UTC)


def _world(clock: Clock, pools: list[dict[str, Any]] | None = None, **compute: Any) -> World:
    content = yaml.safe_load(SAMPLE_WORLD.read_text(encoding="utf-8"))
    content["compute"] |= compute
    content["batch"]["accounts"][0]["pools"] = pools or []
    return World(WorldFile.model_validate(content), clock=clock)


def _arm(world: World) -> Arm:
    return Arm(TestClient(build_app(world), base_url="http://localhost:8070"), world)


def _gallery(*versions: dict[str, Any], **definition: Any) -> list[dict[str, Any]]:
    described = {"name": "golden", "versions": list(versions)} | definition
    return [{"name": "golden_gallery", **PLACE, "definitions": [described]}]


def _snapshot(**changes: Any) -> dict[str, Any]:
    facts = {"name": "night-os", **PLACE, "source": DISK, "created": CREATED, "os_type": "Linux", "generation": "V2"}
    return facts | changes


def _image(**changes: Any) -> dict[str, Any]:
    return {"name": "night", **PLACE, "sources": [SNAPSHOT]} | changes


def test_a_snapshot_of_long_ago(clock: Clock) -> None:
    arm = _arm(_world(clock, snapshots=[_snapshot(tags={"run": "one"}, size_gib=30)]))
    shown = arm.get(f"{IMAGES}/snapshots/night-os").json()
    properties = shown["properties"]
    assert (shown["tags"], properties["provisioningState"]) == ({"run": "one"}, "Succeeded")
    assert properties["timeCreated"] == "2026-06-01T00:00:00.000000Z"
    assert properties["creationData"]["sourceResourceId"] == DISK
    assert (properties["diskSizeGB"], properties["osType"], properties["hyperVGeneration"]) == (30, "Linux", "V2")
    assert arm.put(f"{IMAGES}/images/new", arm.image_body(SNAPSHOT)).status_code == 201


def test_snapshots_of_long_ago_count_in_the_limit_of_their_disk(clock: Clock) -> None:
    world = _world(clock, snapshots=[_snapshot(name=f"s{number}") for number in range(3)])
    world.settings = world.settings.patched({"compute": {"incremental_snapshots_per_disk": 3}})
    arm = _arm(world)
    answer = arm.put(f"{IMAGES}/snapshots/one-more", arm.snapshot_body())
    assert error_of(answer) == (409, "OperationNotAllowed")


@pytest.mark.parametrize(
    ("sources", "profile"),
    [
        (
            [SNAPSHOT, f"{SNAPSHOT}-0"],
            {
                "storageProfile": {
                    "osDisk": {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": SNAPSHOT}},
                    "dataDisks": [{"lun": 0, "snapshot": {"id": f"{SNAPSHOT}-0"}}],
                }
            },
        ),
        (
            [DISK],
            {
                "storageProfile": {
                    "osDisk": {"osType": "Linux", "osState": "Generalized", "managedDisk": {"id": DISK}},
                    "dataDisks": [],
                }
            },
        ),
        (
            [f"{SUBSCRIPTION}/x/virtualMachines/vm"],
            {"sourceVirtualMachine": {"id": f"{SUBSCRIPTION}/x/virtualMachines/vm"}},
        ),
    ],
)
def test_an_image_of_long_ago(clock: Clock, sources: list[str], profile: dict[str, Any]) -> None:
    shown = _arm(_world(clock, images=[_image(sources=sources)])).get(f"{IMAGES}/images/night").json()
    state = {"hyperVGeneration": "V2", "provisioningState": "Succeeded"}
    assert shown["properties"] == profile | state


@pytest.mark.parametrize(
    ("sources", "profile"),
    [
        ([IMAGE], {"source": {"id": IMAGE}, "osDiskImage": {"hostCaching": "ReadWrite", "sizeInGB": 64}}),
        (
            [f"{SUBSCRIPTION}/x/virtualMachines/vm"],
            {
                "source": {"virtualMachineId": f"{SUBSCRIPTION}/x/virtualMachines/vm"},
                "osDiskImage": {"hostCaching": "ReadWrite", "sizeInGB": 64},
            },
        ),
        (
            [SNAPSHOT, f"{SNAPSHOT}-0"],
            {
                "osDiskImage": {"hostCaching": "ReadWrite", "sizeInGB": 64, "source": {"id": SNAPSHOT}},
                "dataDiskImages": [
                    {"lun": 0, "hostCaching": "ReadOnly", "sizeInGB": 64, "source": {"id": f"{SNAPSHOT}-0"}}
                ],
            },
        ),
    ],
)
def test_a_version_of_long_ago(clock: Clock, sources: list[str], profile: dict[str, Any]) -> None:
    regions = [{"name": "West Europe", "replicas": 4}, {"name": "northeurope", "exclude_from_latest": True}]
    version = {
        "name": "1.0.0",
        "sources": sources,
        "created": CREATED,
        "regions": regions,
        "tags": {"run": "one"},
        "exclude_from_latest": True,
        "end_of_life": CREATED + timedelta(days=365),
        "block_deletion_before_end_of_life": True,
    }
    arm = _arm(_world(clock, galleries=_gallery(version)))
    shown = arm.get(f"{VERSION}?$expand=ReplicationStatus").json()
    properties, publishing = shown["properties"], shown["properties"]["publishingProfile"]
    assert (shown["tags"], properties["provisioningState"]) == ({"run": "one"}, "Succeeded")
    assert properties["storageProfile"] == profile
    assert publishing["publishedDate"] == "2026-06-01T00:00:00.000000Z"
    assert publishing["excludeFromLatest"] is True
    assert [target["regionalReplicaCount"] for target in publishing["targetRegions"]] == [4, 1]
    assert properties["replicationStatus"]["aggregatedState"] == "Completed"
    assert error_of(arm.call("DELETE", VERSION)) == (409, "DeleteGalleryImageVersionBlockedBeforeEndOfLife")
    assert arm.done(arm.put(VERSION, shown))["status"] == "Succeeded"


def test_a_version_that_failed_long_ago_can_be_made_again(clock: Clock) -> None:
    """Pitfall 28: versions that failed must not count as good ones."""
    gallery = _gallery({"name": "1.0.0", "sources": [IMAGE], "state": "Failed"})
    arm = _arm(_world(clock, snapshots=[_snapshot()], images=[_image()], galleries=gallery))
    status = arm.get(f"{VERSION}?$expand=ReplicationStatus").json()["properties"]
    assert (status["provisioningState"], status["replicationStatus"]["aggregatedState"]) == ("Failed", "Failed")
    assert arm.done(arm.put(VERSION, arm.version_body(IMAGE)))["status"] == "Succeeded"


def test_a_definition_of_long_ago_takes_new_versions(clock: Clock) -> None:
    features = {"SecurityType": "Standard", "DiskControllerTypes": "SCSI, NVME"}
    identifier = ["team", "golden", "nightly"]
    gallery = _gallery(features=features, identifier=identifier, tags={"a": "b"}, properties={"description": "Nightly"})
    arm = _arm(_world(clock, snapshots=[_snapshot()], images=[_image()], galleries=gallery))
    shown = arm.get(DEFINITION).json()
    assert (shown["tags"], shown["properties"]["description"]) == ({"a": "b"}, "Nightly")
    assert shown["properties"]["identifier"] == {"publisher": "team", "offer": "golden", "sku": "nightly"}
    assert arm.done(arm.put(DEFINITION, shown))["status"] == "Succeeded"
    assert arm.done(arm.put(VERSION, arm.version_body(IMAGE)))["status"] == "Succeeded"


def test_nodes_of_a_pool_of_long_ago_run_on_the_version(clock: Clock) -> None:
    gallery = _gallery({"name": "1.0.0", "sources": [IMAGE]})
    version = f"{SUBSCRIPTION}/{VERSION}"
    pool = {"name": "nightly", "properties": on_image(version, 2, metadata=[{"name": "a", "value": "b"}])["properties"]}
    world = _world(clock, [pool], galleries=gallery)
    batch = Batch(TestClient(build_app(world), base_url="http://localhost:8070"), world)
    shown = batch.get("nightly")
    assert (shown["currentDedicatedNodes"], shown["metadata"]) == (2, [{"name": "a", "value": "b"}])
    images = {node["virtualMachineInfo"]["imageReference"]["virtualMachineImageId"] for node in batch.nodes("nightly")}
    assert images == {version}


def test_a_thousand_versions_and_two_hundred_pools(clock: Clock) -> None:
    names = [f"2026.{number}.0" for number in range(1_000)]
    versions = [{"name": name, "sources": [f"{SNAPSHOT}-{name}"], "created": CREATED} for name in names]
    snapshots = [_snapshot(name=f"night-os-{name}") for name in names]
    pools = [
        {"name": f"pool-{name}", "properties": on_image(f"{SUBSCRIPTION}/{DEFINITION}/versions/{name}")["properties"]}
        for name in names[:200]
    ]
    world = _world(clock, pools, snapshots=snapshots, galleries=_gallery(*versions))
    batch = Batch(TestClient(build_app(world), base_url="http://localhost:8070"), world)
    page, listed = batch.arm.get(f"{DEFINITION}/versions").json(), 0
    while "nextLink" in page:
        listed += len(page["value"])
        page = batch.client.get(page["nextLink"]).json()
    assert listed + len(page["value"]) == 1_000
    assert len(batch.call("GET", "/pools").json()["value"]) == 200


@pytest.mark.parametrize(
    "compute",
    [
        {"snapshots": [_snapshot(location="moonbase")]},
        {"snapshots": [_snapshot(created="2026-06-01T00:00:00")]},
        {"images": [_image(sources=[])]},
        {"images": [_image(created=CREATED)]},
        {"galleries": _gallery({"name": "v1", "sources": [IMAGE]})},
        {"galleries": _gallery({"name": "1.0.0", "sources": [IMAGE], "regions": [{"name": "northeurope"}]})},
        {
            "galleries": _gallery(
                {"name": "1.0.0", "sources": [IMAGE], "regions": [{"name": "westeurope"}, {"name": "moonbase"}]}
            )
        },
    ],
)
def test_what_makes_no_sense_is_refused(clock: Clock, compute: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _world(clock, **compute)


@pytest.mark.parametrize("compute", [{"snapshots": [_snapshot(resource_group="nowhere")]}])
def test_a_resource_group_must_exist(clock: Clock, compute: dict[str, Any]) -> None:
    with pytest.raises(ArmError, match="ResourceGroupNotFound"):
        _world(clock, **compute)


def test_the_example_of_the_page_is_a_world(clock: Clock) -> None:
    example = re.search(r"^```yaml\n(compute:.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert example is not None
    added = yaml.safe_load(example[1])
    world = _world(clock, added["batch"]["accounts"][0]["pools"], **added["compute"])
    assert [version.rid.name for version in world.compute.versions] == ["1.0.0"]
    assert [account.pools.keys() for account in world.batch.accounts.values()] == [{"nightly": None}.keys()]
