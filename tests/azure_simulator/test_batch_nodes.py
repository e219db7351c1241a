"""Nodes: their states over time, their files, and what users do to them."""

from __future__ import annotations

import pytest
from httpx import Response
from starlette.testclient import TestClient

from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import Batch, pool_body, refusal, scale


@pytest.fixture
def batch(client: TestClient, world: World) -> Batch:
    batch = Batch(client, world)
    batch.change(node_spread=0, allocation_latency="PT1M", node_creating="PT1M", node_starting="PT1M")
    return batch


def _states(batch: Batch, minutes: int) -> list[str]:
    """The state of the only node, each minute and a half."""
    states = []
    for _ in range(minutes):
        batch.wait(minutes=1)
        states += batch.counts("nightly").keys() - {"total"}
    return states


def _reboot(batch: Batch) -> Response:
    """Reboot the first node."""
    return batch.plane("POST", f"/pools/nightly/nodes/{batch.nodes('nightly')[0]['id']}/reboot", {})


def test_a_node_goes_through_its_states(batch: Batch) -> None:
    batch.put("nightly", pool_body(1, startTask={"commandLine": "sleep 60", "waitForSuccess": True}))

    assert _states(batch, 5) == ["creating", "starting", "waitingForStartTask", "idle", "idle"]


def test_a_start_task_that_nobody_waits_for_does_not_hold_the_node_back(batch: Batch) -> None:
    batch.put("nightly", pool_body(1, startTask={"commandLine": "exit 1", "waitForSuccess": False}))

    assert _states(batch, 4) == ["creating", "starting", "idle", "idle"]


def test_a_start_task_that_fails_says_so(batch: Batch) -> None:
    batch.make("nightly", pool_body(1, startTask={"commandLine": "exit 5", "maxTaskRetryCount": 2}))

    node = batch.nodes("nightly")[0]
    info = node["startTaskInfo"]
    assert node["state"] == "starttaskfailed"
    assert (info["state"], info["exitCode"], info["retryCount"], info["result"]) == ("completed", 5, 2, "failure")


def test_slower_nodes_are_slower_by_the_spread(batch: Batch) -> None:
    batch.change(node_spread=1, allocation_rate_nodes_per_minute=1000)
    batch.put("nightly", pool_body(8))
    batch.wait(minutes=3, seconds=30)

    counts = batch.counts("nightly")
    assert counts["idle"] > 0
    assert counts["starting"] > 0


def test_a_node_has_everything_that_its_model_requires(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))

    node = batch.nodes("nightly")[0]
    required = {"id", "url", "state", "ipAddress", "ipv6Address", "affinityId", "vmSize", "virtualMachineInfo"}
    times = ["allocationTime", "lastBootTime", "stateTransitionTime"]
    assert required <= node.keys()
    assert [node[name] for name in times] == sorted(node[name] for name in times)


def test_older_versions_have_no_ipv6_address(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))

    node = batch.plane("GET", "/pools/nightly/nodes", version="2024-07-01.20.0").json()["value"][0]

    assert "ipv6Address" not in node


def test_a_reboot_runs_the_start_task_again(batch: Batch) -> None:
    batch.change(node_reboot="PT1M")
    batch.make("nightly", pool_body(1, startTask={"commandLine": "sleep 60"}))
    node = batch.nodes("nightly")[0]["id"]

    answer = batch.plane("POST", f"/pools/nightly/nodes/{node}/reboot", {"nodeRebootOption": "requeue"})
    states = list(batch.counts("nightly").keys() - {"total"}) + _states(batch, 3)

    assert answer.status_code == 202
    assert states == ["rebooting", "starting", "waitingForStartTask", "idle"]


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(90, "NodeBeingCreated"), (150, "NodeBeingStarted"), (210, "OperationInvalidForCurrentState")],
)
def test_a_node_that_boots_cannot_be_rebooted(batch: Batch, seconds: int, code: str) -> None:
    batch.put("nightly", pool_body(1, startTask={"commandLine": "sleep 90"}))
    batch.wait(seconds=seconds)

    assert refusal(_reboot(batch)) == (409, code)


def test_a_node_that_reboots_cannot_be_rebooted(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))
    _reboot(batch)

    assert refusal(_reboot(batch)) == (409, "NodeBeingRebooted")


@pytest.mark.parametrize(
    ("state", "code"),
    [("unusable", "NodeStateUnusable"), ("starttaskfailed", "OperationInvalidForCurrentState")],
)
def test_whether_a_bad_node_can_be_rebooted_is_a_switch(batch: Batch, state: str, code: str) -> None:
    """Trap 13: unusable nodes that cannot be rebooted."""
    batch.script(pool="nightly", node_outcomes=[{"state": state, "nodes": 1}])
    batch.make("nightly", pool_body(1, startTask={"commandLine": "true"}))
    batch.change(reboot_states=["idle", "running"])
    refused = _reboot(batch)
    batch.change(reboot_states=["idle", "running", state])

    assert refusal(refused) == (409, code)
    assert _reboot(batch).status_code == 202
    assert batch.counts("nightly") == {"rebooting": 1, "total": 1}


@pytest.mark.parametrize("state", ["unusable", "starttaskfailed"])
@pytest.mark.parametrize("cure", [None, 1, 2])
def test_reboots_cure_a_node_that_came_up_bad(batch: Batch, state: str, cure: int | None) -> None:
    error = {"code": "DiskFull", "message": "There is not enough disk space on the node"}
    outcome = {"state": state, "nodes": 1, "cured_by_reboots": cure, "error": error}
    batch.script(pool="nightly", node_outcomes=[outcome])
    batch.make("nightly", pool_body(1, startTask={"commandLine": "true"}))
    seen = []
    for _ in range(3):
        node = batch.nodes("nightly")[0]
        seen.append((node["state"], "errors" in node))
        _reboot(batch)
        batch.wait(minutes=10)

    bad, good = (state, True), ("idle", False)
    assert seen == {None: [bad, bad, bad], 1: [bad, good, good], 2: [bad, bad, good]}[cure]


@pytest.mark.parametrize("cure", [None, 1, 2])
def test_reboots_cure_a_node_that_got_unusable(batch: Batch, cure: int | None) -> None:
    batch.make("nightly", pool_body(1))
    batch.script(pool="nightly", incident={"state": "unusable", "nodes": 1, "cured_by_reboots": cure})
    seen = []
    for _ in range(3):
        seen.append(batch.nodes("nightly")[0]["state"])
        _reboot(batch)
        batch.wait(minutes=10)

    bad, good = "unusable", "idle"
    assert seen == {None: [bad, bad, bad], 1: [bad, good, good], 2: [bad, bad, good]}[cure]


def test_new_nodes_are_judged_by_the_script_of_their_own_resize(batch: Batch) -> None:
    batch.script(pool="nightly", node_outcomes=[{"state": "unusable", "share": 1}])
    batch.make("nightly", pool_body(2))
    batch.plane("POST", "/pools/nightly/removenodes", {"nodeList": [batch.nodes("nightly")[0]["id"]]})
    batch.wait(minutes=5)
    batch.patch("nightly", scale(2))
    batch.wait(minutes=10)

    assert batch.counts("nightly") == {"idle": 1, "unusable": 1, "total": 2}


def test_disabled_scheduling_is_offline_and_takes_no_tasks(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))
    path = f"/pools/nightly/nodes/{batch.nodes('nightly')[0]['id']}"
    batch.plane("POST", f"{path}/disablescheduling", {})
    batch.plane("POST", "/jobs", {"id": "work", "poolInfo": {"poolId": "nightly"}})
    batch.plane("POST", "/jobs/work/tasks", {"id": "one", "commandLine": "true"})
    batch.wait(minutes=5)
    offline = (batch.counts("nightly"), batch.plane("GET", "/jobs/work/tasks/one").json()["state"])
    batch.plane("POST", f"{path}/enablescheduling")
    batch.wait(minutes=5)

    assert offline == ({"offline": 1, "total": 1}, "active")
    assert batch.plane("GET", "/jobs/work/tasks/one").json()["state"] == "completed"


def test_scheduling_cannot_be_disabled_twice(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))
    path = f"/pools/nightly/nodes/{batch.nodes('nightly')[0]['id']}/disablescheduling"
    batch.plane("POST", path, {})

    assert refusal(batch.plane("POST", path, {})) == (409, "NodeAlreadyInTargetSchedulingState")


def test_the_start_task_leaves_its_output(batch: Batch) -> None:
    batch.make("nightly", pool_body(1, startTask={"commandLine": "exit 2"}))
    path = f"/pools/nightly/nodes/{batch.nodes('nightly')[0]['id']}/files"

    names = [file["name"] for file in batch.plane("GET", path).json()["value"]]
    stderr = batch.plane("GET", f"{path}/startup/stderr.txt")

    assert names == ["startup/stdout.txt", "startup/stderr.txt"]
    assert stderr.text == "The command line ended with exit code 2\n"
    assert refusal(batch.plane("GET", f"{path}/startup/nothing.txt")) == (404, "FileNotFound")


def test_a_node_that_does_not_exist_is_not_found(batch: Batch) -> None:
    batch.put("nightly", pool_body())

    assert refusal(batch.plane("GET", "/pools/nightly/nodes/nobody")) == (404, "NodeNotFound")


def test_remote_login_settings_name_the_address_of_the_node(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))
    node = batch.nodes("nightly")[0]

    settings = batch.plane("GET", f"/pools/nightly/nodes/{node['id']}/remoteloginsettings").json()

    endpoint = node["endpointConfiguration"]["inboundEndpoints"][0]
    assert (settings["remoteLoginIPAddress"], settings["remoteLoginPort"]) == (
        endpoint["publicIPAddress"],
        endpoint["frontendPort"],
    )


@pytest.mark.parametrize(("version", "kind"), [("2025-06-01", str), ("2024-02-01.19.0", str), ("2024-07-01.20.0", int)])
def test_the_length_of_a_file_has_the_type_of_the_api_version(batch: Batch, version: str, kind: type) -> None:
    batch.make("nightly", pool_body(1, startTask={"commandLine": "true"}))
    node = batch.nodes("nightly")[0]["id"]

    files = batch.plane("GET", f"/pools/nightly/nodes/{node}/files", version=version).json()["value"]

    assert {type(file["properties"]["contentLength"]) for file in files} == {kind}
