"""The later life of image versions: regions that fail or take longer, more replicas, what pools make of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from arm_client import DEFINITION, VERSION, Arm, error_of, message_of
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.compute import ComputeManagementClient
from batch_client import Batch, on_image, reasons, refusal
from starlette.testclient import TestClient
from test_compute_sdk import NoToken

from include.azure_simulator.world import World

BOTH = ("West Europe", "northeurope")
NO_LUCK = {"version": "*", "region": "North Europe", "details": "Failed with internal server error."}


@pytest.fixture
def batch(client: TestClient, world: World) -> Batch:
    """The account of the sample world, in West Europe."""
    return Batch(client, world)


@pytest.fixture
def image(arm: Arm) -> str:
    """The id of a managed image, beside its definition."""
    arm.make_definition()
    return arm.make_image()


def _script(client: TestClient, **script: object) -> dict[str, Any]:
    answer = client.post("/_simulator/replications", json=script)
    assert answer.status_code == 201, answer.text
    scripted: dict[str, Any] = answer.json()
    return scripted


def _set(world: World, **settings: object) -> None:
    world.settings = world.settings.patched({"compute": settings})


def _regions(arm: Arm, key: str = "state") -> dict[str, Any]:
    status = arm.get(f"{VERSION}?$expand=ReplicationStatus").json()["properties"]["replicationStatus"]
    return {"all": status["aggregatedState"]} | {entry["region"]: entry[key] for entry in status["summary"]}


def _state(arm: Arm) -> str:
    state: str = arm.get(VERSION).json()["properties"]["provisioningState"]
    return state


def _replicas(arm: Arm, image: str, west: int = 1, north: int = 1) -> dict[str, Any]:
    body = arm.version_body(image, BOTH)
    for region, count in zip(body["properties"]["publishingProfile"]["targetRegions"], (west, north), strict=True):
        region["regionalReplicaCount"] = count
    return body


def test_a_copy_that_fails_leaves_the_others(client: TestClient, arm: Arm, image: str) -> None:
    _script(client, **NO_LUCK)
    answer = arm.put(VERSION, arm.version_body(image, BOTH))
    error = arm.done(answer)["error"]
    assert error["code"] == "ReplicationJobsNotCompleted"
    assert "{region:northeurope, detail:Failed with internal server error.}" in error["message"]
    assert _state(arm) == "Failed"
    assert _regions(arm) == {"all": "Failed", "West Europe": "Completed", "North Europe": "Failed"}
    assert _regions(arm, "details")["North Europe"] == "Failed with internal server error."
    assert _regions(arm, "progress") == {"all": "Failed", "West Europe": 100, "North Europe": 0}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_region_that_failed_is_copied_again_by_the_next_write(
    client: TestClient, arm: Arm, image: str, method: str
) -> None:
    _script(client, **NO_LUCK)
    body = arm.version_body(image, BOTH)
    arm.done(arm.put(VERSION, body))
    if method == "PATCH":
        body = {"properties": {"storageProfile": {}, "publishingProfile": body["properties"]["publishingProfile"]}}
    answer = arm.call(method, VERSION, body)
    assert (answer.status_code, answer.json()["properties"]["provisioningState"]) == (200, "Updating")
    assert _regions(arm) == {"all": "InProgress", "West Europe": "Completed", "North Europe": "Replicating"}
    assert arm.done(answer)["status"] == "Succeeded"
    assert _regions(arm) == {"all": "Completed", "West Europe": "Completed", "North Europe": "Completed"}
    assert _regions(arm, "details")["North Europe"] == ""


def test_a_region_that_failed_can_be_given_up(client: TestClient, arm: Arm, image: str) -> None:
    _script(client, **NO_LUCK)
    body = arm.version_body(image, BOTH)
    body["properties"]["safetyProfile"] = {"allowDeletionOfReplicatedLocations": False}
    arm.done(arm.put(VERSION, body))
    assert arm.done(arm.put(VERSION, arm.version_body(image)))["status"] == "Succeeded"
    assert _regions(arm) == {"all": "Completed", "West Europe": "Completed"}


def test_a_version_whose_own_region_failed_is_made_again(client: TestClient, arm: Arm, image: str) -> None:
    _script(client, version="1.0.0", region="westeurope")
    body = arm.version_body(image, BOTH)
    arm.done(arm.put(VERSION, body))
    assert _regions(arm) == {"all": "Failed", "West Europe": "Failed", "North Europe": "Failed"}
    answer = arm.put(VERSION, body)
    assert answer.json()["properties"]["provisioningState"] == "Creating"
    assert arm.done(answer)["status"] == "Succeeded"


@pytest.mark.parametrize(
    ("version", "region", "meant"),
    [
        ("1.0.0", "northeurope", True),
        ("golden_gallery/golden/1.0.0", "*", True),
        ("GOLDEN_GALLERY/*", "North Europe", True),
        ("2.*", "*", False),
        ("other/golden/*", "*", False),
        ("*", "southeurope", False),
    ],
)
def test_a_script_names_the_copies_that_it_is_about(
    client: TestClient, arm: Arm, image: str, version: str, region: str, meant: bool
) -> None:
    _script(client, version=version, region=region)
    assert arm.done(arm.put(VERSION, arm.version_body(image, BOTH)))["status"] == ("Failed" if meant else "Succeeded")


def test_scripts_are_listed_used_up_and_forgotten(client: TestClient, arm: Arm, image: str) -> None:
    _script(client, **NO_LUCK, count=2)
    _script(client, version="9.*", region="*", count=None)
    arm.done(arm.put(VERSION, arm.version_body(image, BOTH)))
    assert [script["left"] for script in client.get("/_simulator/replications").json()] == [1, None]
    assert client.delete("/_simulator/replications").status_code == 204
    assert client.get("/_simulator/replications").json() == []


@pytest.mark.parametrize("change", [{"state": "Lost"}, {"count": 0}, {"colour": "gold"}, {"duration": -1}])
def test_a_script_that_makes_no_sense_is_refused(client: TestClient, change: dict[str, object]) -> None:
    assert client.post("/_simulator/replications", json={**NO_LUCK, **change}).status_code == 422


def test_a_copy_can_take_longer(client: TestClient, arm: Arm, image: str, world: World) -> None:
    """Pitfall 33: Azure still copies when a publisher with a fixed deadline gives up."""
    _script(client, version="*", region="northeurope", state="Completed", duration="PT6H")
    answer = arm.put(VERSION, arm.version_body(image, BOTH))
    world.clock.advance(timedelta(hours=6))
    assert _regions(arm) == {"all": "InProgress", "West Europe": "Completed", "North Europe": "Replicating"}
    assert _regions(arm, "progress")["North Europe"] == 97
    assert arm.done(answer)["status"] == "Succeeded"


def test_more_replicas_are_copied_while_the_old_ones_serve(arm: Arm, image: str, world: World) -> None:
    arm.done(arm.put(VERSION, _replicas(arm, image)))
    answer = arm.put(VERSION, _replicas(arm, image, north=3))
    version = world.compute.image_version(arm.id(VERSION))
    assert version is not None
    assert version.regions_ready == {"westeurope", "northeurope"}
    assert _regions(arm) == {"all": "InProgress", "West Europe": "Completed", "North Europe": "Replicating"}
    world.clock.advance(world.settings.compute.version_extra_region / 2)
    assert _regions(arm, "progress") == {"all": "InProgress", "West Europe": 100, "North Europe": 50}
    arm.done(answer)
    assert _regions(arm)["all"] == "Completed"
    targets = arm.get(VERSION).json()["properties"]["publishingProfile"]["targetRegions"]
    assert [target["regionalReplicaCount"] for target in targets] == [1, 3]


def test_more_replicas_that_fail_leave_the_old_ones(client: TestClient, arm: Arm, image: str, world: World) -> None:
    arm.done(arm.put(VERSION, _replicas(arm, image)))
    _script(client, **NO_LUCK)
    assert arm.done(arm.put(VERSION, _replicas(arm, image, north=3)))["status"] == "Failed"
    assert _regions(arm)["North Europe"] == "Failed"
    version = world.compute.image_version(arm.id(VERSION))
    assert version is not None
    assert version.regions_ready == {"westeurope", "northeurope"}
    assert arm.done(arm.put(VERSION, _replicas(arm, image, north=3)))["status"] == "Succeeded"


def test_fewer_replicas_need_no_copy(arm: Arm, image: str, world: World) -> None:
    arm.done(arm.put(VERSION, _replicas(arm, image, west=3)))
    started = world.clock.now()
    arm.done(arm.put(VERSION, _replicas(arm, image)))
    assert world.clock.now() - started == world.settings.compute.version_update
    assert _regions(arm)["all"] == "Completed"


def test_a_version_can_be_succeeded_before_its_regions(arm: Arm, image: str, world: World) -> None:
    """As AgentBaker saw it: pull request 8373."""
    _set(world, version_region_lag="PT10M")
    arm.done(arm.put(VERSION, arm.version_body(image, BOTH)))
    assert _state(arm) == "Succeeded"
    assert _regions(arm) == {"all": "InProgress", "West Europe": "Completed", "North Europe": "Replicating"}
    world.clock.advance(timedelta(minutes=10))
    assert _regions(arm)["all"] == "Completed"


def test_a_region_that_lags_can_fail_behind_a_version_that_succeeded(
    client: TestClient, arm: Arm, image: str, world: World
) -> None:
    _set(world, version_region_lag="PT10M")
    _script(client, **NO_LUCK)
    assert arm.done(arm.put(VERSION, arm.version_body(image, BOTH)))["status"] == "Succeeded"
    world.clock.advance(timedelta(minutes=10))
    assert (_state(arm), _regions(arm)["all"]) == ("Succeeded", "Failed")


@pytest.mark.parametrize("shown", [True, False])
def test_regions_of_a_version_that_is_being_made_are_shown_or_not(
    arm: Arm, image: str, world: World, shown: bool
) -> None:
    _set(world, region_states_while_creating=shown)
    answer = arm.put(VERSION, arm.version_body(image, BOTH))
    world.clock.advance(world.settings.compute.version_home_region)
    seen = {"West Europe": "Completed", "North Europe": "Replicating"}
    assert _state(arm) == "Creating"
    assert _regions(arm) == {"all": "InProgress"} | (seen if shown else {})
    arm.done(answer)
    assert _regions(arm)["West Europe"] == "Completed"


def test_the_code_of_a_failed_replication_can_be_chosen(client: TestClient, arm: Arm, image: str, world: World) -> None:
    _set(world, replication_failed_code="CrpPirReplicationJobsNotCompleted")
    _script(client, **NO_LUCK)
    error = arm.done(arm.put(VERSION, arm.version_body(image, BOTH)))["error"]
    assert error["code"] == "CrpPirReplicationJobsNotCompleted"


def test_a_version_that_is_being_updated_serves_pools(batch: Batch, image: str) -> None:
    arm = batch.arm
    arm.done(arm.put(VERSION, arm.version_body(image)))
    arm.put(VERSION, arm.version_body(image, BOTH))
    assert _state(arm) == "Updating"
    batch.make("nightly", on_image(arm.id(VERSION), 1))
    assert batch.counts("nightly") == {"idle": 1, "total": 1}


def test_a_version_that_is_being_updated_counts_as_latest(arm: Arm, image: str, world: World) -> None:
    arm.done(arm.put(VERSION, arm.version_body(image)))
    arm.put(VERSION, arm.version_body(image, BOTH))
    latest = world.compute.latest_version(arm.id(DEFINITION))
    assert latest is not None
    assert latest.rid.name == "1.0.0"


@pytest.mark.parametrize("serves", [True, False])
def test_a_version_that_failed_elsewhere_serves_pools_or_not(
    client: TestClient, batch: Batch, image: str, serves: bool
) -> None:
    batch.change(unfinished_versions_serve=serves)
    _script(client, **NO_LUCK)
    batch.arm.done(batch.arm.put(VERSION, batch.arm.version_body(image, BOTH)))
    answer = batch.put("nightly", on_image(batch.arm.id(VERSION)))
    if serves:
        assert answer.status_code == 200
    else:
        assert refusal(answer) == (400, "InvalidPropertyValue")
        assert "state Failed" in reasons(answer)["Reason"]


@pytest.mark.parametrize("serves", [True, False])
def test_a_version_in_the_making_serves_pools_where_it_is_complete_or_not(
    batch: Batch, image: str, serves: bool
) -> None:
    batch.change(unfinished_versions_serve=serves)
    batch.arm.put(VERSION, batch.arm.version_body(image, BOTH))
    assert batch.put("early", on_image(batch.arm.id(VERSION))).status_code == 400
    batch.world.clock.advance(batch.world.settings.compute.version_home_region)
    assert batch.put("nightly", on_image(batch.arm.id(VERSION))).status_code == (200 if serves else 400)


def test_a_version_that_is_being_deleted_cannot_be_updated(arm: Arm, image: str) -> None:
    arm.done(arm.put(VERSION, arm.version_body(image)))
    arm.call("DELETE", VERSION)
    answer = arm.put(VERSION, arm.version_body(image))
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert "marked for deletion" in message_of(answer)


def test_latest_of_a_region_leaves_out_what_is_excluded_there(arm: Arm, image: str, world: World) -> None:
    body = arm.version_body(image, BOTH)
    body["properties"]["publishingProfile"]["targetRegions"][1]["excludeFromLatest"] = True
    arm.done(arm.put(VERSION, body))
    assert world.compute.latest_version(arm.id(DEFINITION), "northeurope") is None
    assert world.compute.latest_version(arm.id(DEFINITION), "westeurope") is not None
    targets = arm.get(VERSION).json()["properties"]["publishingProfile"]["targetRegions"]
    assert [target.get("excludeFromLatest", False) for target in targets] == [False, True]


def test_the_protection_of_a_version_can_be_lifted(arm: Arm, image: str) -> None:
    body = arm.version_body(image, endOfLifeDate="2027-12-01T00:00:00Z")
    body["properties"]["safetyProfile"] = {"blockDeletionBeforeEndOfLife": True}
    arm.done(arm.put(VERSION, body))
    answer = arm.call("DELETE", VERSION)
    assert error_of(answer) == (409, "DeleteGalleryImageVersionBlockedBeforeEndOfLife")
    assert "endOfLifeDate has not reached yet" in message_of(answer)
    lift = {"storageProfile": {}, "safetyProfile": {"blockDeletionBeforeEndOfLife": False}}
    arm.done(arm.call("PATCH", VERSION, {"properties": lift}))
    assert arm.call("DELETE", VERSION).status_code == 202


def test_the_sdk_sees_a_region_fail_and_asks_again(
    client: TestClient, arm: Arm, image: str, world: World, live_simulator: str
) -> None:
    world.clock.set_speed(36_000)
    _script(client, **NO_LUCK)
    where = ("images", "golden_gallery", "golden", "1.0.0")
    options: dict[str, Any] = {"base_url": live_simulator, "authentication_policy": SansIOHTTPPolicy()}
    with ComputeManagementClient(NoToken(), arm.subscription, polling_interval=0, **options) as compute:
        versions = compute.gallery_image_versions
        with pytest.raises(HttpResponseError) as failed:
            versions.begin_create_or_update(*where, arm.version_body(image, BOTH)).result()
        assert failed.value.error is not None
        assert failed.value.error.code == "ReplicationJobsNotCompleted"
        seen = versions.get(*where, expand="ReplicationStatus").replication_status
        assert (seen.aggregated_state, [entry.state for entry in seen.summary]) == ("Failed", ["Completed", "Failed"])
        versions.begin_create_or_update(*where, arm.version_body(image, BOTH)).result()
        seen = versions.get(*where, expand="ReplicationStatus").replication_status
        assert (seen.aggregated_state, [entry.progress for entry in seen.summary]) == ("Completed", [100, 100])
