"""Scripted allocations and incidents."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import Batch, pool_body, refusal, scale

POOLS = ("other", "nightly", "nightly-canary", "nightly-2")


@pytest.fixture
def batch(client: TestClient, world: World) -> Batch:
    return Batch(client, world)


def _errors(batch: Batch) -> list[dict[str, Any]]:
    errors: list[dict[str, Any]] = batch.get("nightly")["resizeOperationStatus"].get("errors", [])
    return errors


def test_missing_capacity_waits_for_the_timeout(batch: Batch) -> None:
    batch.script(pool="nightly", max_dedicated_nodes=3)
    batch.put("nightly", pool_body(10))
    batch.wait(minutes=14)
    waiting = batch.get("nightly")
    batch.wait(minutes=1)

    assert (waiting["allocationState"], waiting["currentDedicatedNodes"]) == ("Resizing", 3)
    assert [error["code"] for error in _errors(batch)] == ["AllocationTimedout"]


def test_a_scripted_error_comes_with_its_details_and_ends_early(batch: Batch) -> None:
    details = [{"code": "Reason", "message": "The server encountered an internal error."}]
    error = {"code": "AllocationFailed", "message": "no luck", "details": details}
    batch.script(pool="nightly", max_dedicated_nodes=2, error=error)
    batch.put("nightly", pool_body(10))
    batch.wait(minutes=3)

    assert batch.get("nightly")["currentDedicatedNodes"] == 2
    assert _errors(batch) == [error]
    shown = batch.plane("GET", "/pools/nightly").json()["resizeErrors"][0]
    assert shown["values"] == [{"name": "Reason", "value": "The server encountered an internal error."}]


def test_a_script_is_used_up(batch: Batch) -> None:
    batch.script(pool="Nightly", resizes=2, error={"code": "Unknown"})
    outcomes = []
    batch.make("nightly", pool_body(1))
    for _ in range(3):
        outcomes.append([error["code"] for error in _errors(batch)])
        batch.patch("nightly", scale(1))
        batch.wait(minutes=10)

    assert outcomes == [["Unknown"], ["Unknown"], []]


def test_a_script_waits_for_a_resize_that_adds_nodes(batch: Batch) -> None:
    batch.make("nightly", pool_body(2))
    batch.script(pool="nightly", error={"code": "Unknown"})
    batch.patch("nightly", scale(1))
    batch.wait(minutes=5)
    shrunk = _errors(batch)
    batch.patch("nightly", scale(2))
    batch.wait(minutes=5)

    assert shrunk == []
    assert [error["code"] for error in _errors(batch)] == ["Unknown"]


def test_delay_and_rate_of_a_script(batch: Batch) -> None:
    batch.change(allocation_latency="PT1M")
    batch.script(pool="nightly", delay="PT2M", nodes_per_minute=1)
    batch.put("nightly", pool_body(2))
    sizes = []
    for seconds in (179, 1, 59, 1):
        batch.wait(seconds=seconds)
        sizes.append(batch.get("nightly")["currentDedicatedNodes"])

    assert sizes == [0, 1, 1, 2]


def test_a_share_of_the_nodes_turns_out_unusable(batch: Batch) -> None:
    error = {"code": "DiskFull", "message": "There is not enough disk space on the node"}
    batch.script(pool="nightly", node_outcomes=[{"state": "unusable", "share": 0.2, "error": error}])
    batch.make("nightly", pool_body(10))

    bad = [node for node in batch.nodes("nightly") if node["state"] == "unusable"]
    assert batch.counts("nightly") == {"idle": 8, "unusable": 2, "total": 10}
    assert bad[0]["errors"] == [error]


def test_a_number_of_start_tasks_fails(batch: Batch) -> None:
    batch.script(pool="nightly", node_outcomes=[{"state": "starttaskfailed", "nodes": 1, "exit_code": 7}])
    batch.make("nightly", pool_body(3, startTask={"commandLine": "setup"}))

    failed = [node for node in batch.nodes("nightly") if node["state"] == "starttaskfailed"]
    assert batch.counts("nightly") == {"idle": 2, "startTaskFailed": 1, "total": 3}
    assert failed[0]["startTaskInfo"]["exitCode"] == 7
    assert failed[0]["startTaskInfo"]["failureInfo"]["code"] == "FailureExitCode"


def test_durations_of_a_script(batch: Batch) -> None:
    batch.change(node_spread=0, allocation_latency="PT0S")
    batch.script(pool="nightly", creating="PT10M", starting="PT20M", start_task="PT30M")
    batch.put("nightly", pool_body(1, startTask={"commandLine": "setup"}))
    states = []
    for minutes in (9, 2, 20, 30):
        batch.wait(minutes=minutes)
        states += batch.counts("nightly").keys() - {"total"}

    assert states == ["creating", "starting", "waitingForStartTask", "idle"]


def test_spot_nodes_are_preempted_and_come_back(batch: Batch) -> None:
    """Trap 6: preempted nodes count in current, but are no workers."""
    batch.script(pool="nightly", preempt={"nodes": 2, "after": "PT10M", "recovers_after": "PT10M"})
    batch.put("nightly", pool_body(0, 3))
    seen = []
    for minutes in (10, 5, 20):
        batch.wait(minutes=minutes)
        seen.append(batch.counts("nightly", "lowPriority"))

    assert seen == [{"idle": 3, "total": 3}, {"idle": 1, "preempted": 2, "total": 3}, {"idle": 3, "total": 3}]


def test_a_preempted_node_gives_its_task_back_when_it_is_taken(batch: Batch) -> None:
    batch.script(pool="nightly", preempt={"nodes": 1, "after": "PT30M"})
    batch.put("nightly", pool_body(0, 1))
    batch.plane("POST", "/jobs", {"id": "work", "poolInfo": {"poolId": "nightly"}})
    batch.plane("POST", "/jobs/work/tasks", {"id": "long", "commandLine": "sleep 36000"})
    batch.wait(minutes=20)
    running = batch.plane("GET", "/jobs/work/tasks/long").json()["state"]
    batch.wait(minutes=20)

    task = batch.plane("GET", "/jobs/work/tasks/long").json()
    assert running == "running"
    assert (task["state"], task["executionInfo"]["requeueCount"]) == ("active", 1)


def test_an_incident_hits_nodes_at_once(batch: Batch) -> None:
    batch.make("nightly", pool_body(2, 2))

    answer = batch.script(pool="nightly", incident={"state": "preempted", "nodes": 5})

    assert answer.json()["nodes_hit"] == 2
    assert batch.counts("nightly") == {"idle": 2, "total": 2}
    assert batch.counts("nightly", "lowPriority") == {"preempted": 2, "total": 2}
    assert batch.get("nightly")["currentLowPriorityNodes"] == 2


def test_lost_contact_recovers(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))
    batch.script(pool="nightly", incident={"state": "unknown", "nodes": 1, "recovers_after": "PT5M"})
    lost = batch.counts("nightly")
    batch.wait(minutes=10)

    assert lost == {"unknown": 1, "total": 1}
    assert batch.counts("nightly") == {"idle": 1, "total": 1}


@pytest.mark.parametrize(
    "script",
    [
        {"pool": "p", "max_nodes": 3},
        {"pool": "p", "node_outcomes": [{"state": "unusable"}]},
        {"pool": "p", "node_outcomes": [{"state": "unusable", "share": 0.1, "nodes": 2}]},
        {"pool": "p", "incident": {"state": "idle", "nodes": 1}},
        {"max_dedicated_nodes": 3},
        {"pool": "p.*", "max_dedicated_nodes": 3},
        {"pool": "p", "resizes": 0},
        {"pool": "p", "node_outcomes": [{"state": "unusable", "nodes": 1, "cured_by_reboots": 0}]},
        {"pool": "p", "incident": {"state": "unknown", "nodes": 1, "cured_by_reboots": 1}},
        {"pool": "p", "incident": {"state": "unusable", "nodes": 1, "cured_by_reboots": 1, "recovers_after": "PT1M"}},
    ],
)
def test_a_script_that_is_not_understood_is_refused(batch: Batch, script: dict[str, Any]) -> None:
    assert batch.script(**script).status_code == 422


def test_so_many_nodes_come_in_every_resize(batch: Batch) -> None:
    batch.script(pool="nightly", resizes=None, max_new_nodes=4)
    batch.make("nightly", pool_body(10))
    seen = [(batch.get("nightly")["currentDedicatedNodes"], [error["code"] for error in _errors(batch)])]
    for _ in range(2):
        batch.patch("nightly", scale(10))
        batch.wait(minutes=20)
        seen.append((batch.get("nightly")["currentDedicatedNodes"], [error["code"] for error in _errors(batch)]))

    assert seen == [(4, ["AllocationTimedout"]), (8, ["AllocationTimedout"]), (10, [])]


def test_new_nodes_of_both_kinds_count_together_and_with_the_other_caps(batch: Batch) -> None:
    batch.script(pool="nightly", max_new_nodes=5, max_dedicated_nodes=3, error={"code": "AllocationFailed"})
    batch.put("nightly", pool_body(4, 4))
    batch.wait(minutes=5)

    pool = batch.get("nightly")
    assert (pool["allocationState"], pool["currentDedicatedNodes"], pool["currentLowPriorityNodes"]) == ("Steady", 3, 2)
    assert [error["code"] for error in _errors(batch)] == ["AllocationFailed", "AllocationFailed"]


def test_a_pattern_means_every_pool_whose_id_fits(batch: Batch) -> None:
    batch.script(pool="night*", resizes=2, error={"code": "Unknown"})
    for name in ("other", "nightly", "Nightly-canary", "nightly-2"):
        batch.make(name, pool_body(1))

    codes = {name: batch.get(name)["resizeOperationStatus"].get("errors", [{}])[0].get("code") for name in POOLS}
    assert codes == {"other": None, "nightly": "Unknown", "nightly-canary": "Unknown", "nightly-2": None}


def test_a_script_without_end_holds_until_it_is_forgotten(batch: Batch) -> None:
    batch.script(pool="nightly", resizes=None, error={"code": "Unknown"})
    batch.make("nightly", pool_body(1))
    codes = [[error["code"] for error in _errors(batch)]]
    batch.script(pool="nightly", error={"code": "AllocationFailed"})
    for _ in range(2):
        batch.patch("nightly", scale(1))
        batch.wait(minutes=10)
        codes.append([error["code"] for error in _errors(batch)])
    listed = batch.client.get("/_simulator/allocations").json()
    batch.client.delete("/_simulator/allocations")
    batch.patch("nightly", scale(1))
    batch.wait(minutes=10)

    assert codes == [["Unknown"], ["AllocationFailed"], ["Unknown"]]
    assert [(script["error"]["code"], script["left"]) for script in listed] == [("Unknown", None)]
    assert _errors(batch) == []


def test_an_incident_can_hit_nodes_of_several_pools(batch: Batch) -> None:
    for name in ("nightly-1", "nightly-2", "other"):
        batch.make(name, pool_body(2))

    answer = batch.script(pool="nightly-*", incident={"state": "unknown", "nodes": 1})

    assert answer.json()["nodes_hit"] == 2
    assert batch.counts("other") == {"idle": 2, "total": 2}
    assert batch.counts("nightly-2") == {"idle": 1, "unknown": 1, "total": 2}


def test_an_incident_needs_a_pool_that_exists(batch: Batch) -> None:
    answer = batch.script(pool="nobody", incident={"state": "unknown", "nodes": 1})

    assert refusal(answer) == (404, "PoolNotFound")


def test_a_script_for_an_account_that_does_not_exist_is_refused(batch: Batch) -> None:
    assert refusal(batch.script(account="nobody", pool="p")) == (404, "ResourceNotFound")
