"""Resizes: when nodes come and go, and how a resize ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from httpx import Response
from starlette.testclient import TestClient

from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import Batch, pool_body, refusal, scale


@pytest.fixture
def batch(client: TestClient, world: World) -> Batch:
    return Batch(client, world)


def _errors(batch: Batch, name: str = "nightly") -> list[str]:
    return [error["code"] for error in batch.get(name)["resizeOperationStatus"].get("errors", [])]


def _quota(batch: Batch, **changes: Any) -> None:
    account = batch.world.batch.account(None)
    assert account is not None
    account.facts = account.facts.model_copy(update=changes)


def test_nodes_come_at_the_pace_of_the_settings(batch: Batch) -> None:
    batch.change(allocation_latency="PT1M", allocation_rate_nodes_per_minute=2)
    batch.put("nightly", pool_body(4))

    seen = []
    for seconds in (59, 1, 30, 30, 30):
        batch.wait(seconds=seconds)
        pool = batch.get("nightly")
        seen.append((pool["allocationState"], pool["currentDedicatedNodes"]))

    assert seen == [("Resizing", 0), ("Resizing", 1), ("Resizing", 2), ("Resizing", 3), ("Steady", 4)]


def test_a_resize_reached_has_no_errors(batch: Batch) -> None:
    batch.make("nightly", pool_body(3, 2))

    pool = batch.get("nightly")

    assert (pool["currentDedicatedNodes"], pool["currentLowPriorityNodes"]) == (3, 2)
    assert "errors" not in pool["resizeOperationStatus"]
    assert "resizeErrors" not in batch.plane("GET", "/pools/nightly").json()


def test_steady_without_success_keeps_what_came(batch: Batch) -> None:
    """A resize that times out ends Steady, with partial nodes and AllocationTimedout."""
    batch.change(allocation_latency="PT1M", allocation_rate_nodes_per_minute=1)
    batch.put("nightly", pool_body(40))
    batch.wait(minutes=14, seconds=59)
    before = batch.get("nightly")["allocationState"]
    batch.wait(seconds=1)

    pool = batch.get("nightly")
    assert (before, pool["allocationState"], pool["currentDedicatedNodes"]) == ("Resizing", "Steady", 15)
    assert _errors(batch) == ["AllocationTimedout"]
    assert batch.plane("GET", "/pools/nightly").json()["resizeErrors"][0]["code"] == "AllocationTimedout"


def test_errors_stay_until_the_next_resize(batch: Batch) -> None:
    """Trap 5: stale errors of an earlier resize."""
    batch.script(pool="nightly", error={"code": "AllocationFailed"})
    batch.put("nightly", pool_body(2))
    batch.wait(minutes=24 * 60)
    stale = _errors(batch)
    first_start = batch.get("nightly")["resizeOperationStatus"]["startTime"]

    answer = batch.patch("nightly", scale(2))

    status = answer.json()["properties"]["resizeOperationStatus"]
    assert stale == ["AllocationFailed"]
    assert "errors" not in status
    assert status["startTime"] > first_start


def test_target_equal_to_current_is_steady_at_once_and_clears_errors(batch: Batch) -> None:
    batch.script(pool="nightly", max_dedicated_nodes=1, error={"code": "AllocationFailed"})
    batch.make("nightly", pool_body(2))

    answer = batch.patch("nightly", scale(1)).json()["properties"]

    assert (answer["allocationState"], answer["currentDedicatedNodes"]) == ("Steady", 1)
    assert "errors" not in answer["resizeOperationStatus"]


@pytest.mark.parametrize(("zero", "kept"), [(False, 2), (True, 0)])
def test_the_target_that_a_patch_leaves_out_is_a_switch(batch: Batch, zero: bool, kept: int) -> None:
    batch.change(omitted_target_means_zero=zero)
    batch.make("nightly", pool_body(1, 2))

    batch.patch("nightly", scale(3))
    batch.wait(minutes=10)

    assert batch.get("nightly")["currentLowPriorityNodes"] == kept


@pytest.mark.parametrize(
    ("quota", "code"),
    [
        ({"dedicated_core_quota": 5}, "AccountCoreQuotaReached"),
        ({"family_quotas": []}, "AccountVMSeriesCoreQuotaReached"),
    ],
)
def test_dedicated_quota_shows_at_the_resize_with_what_fits(batch: Batch, quota: dict[str, Any], code: str) -> None:
    _quota(batch, **quota)

    answer = batch.put("nightly", pool_body(4))
    batch.wait(minutes=10)

    assert answer.status_code == 200
    assert batch.get("nightly")["currentDedicatedNodes"] == (2 if "dedicated_core_quota" in quota else 0)
    assert _errors(batch) == [code]


def test_family_quotas_count_only_where_they_are_enforced(batch: Batch) -> None:
    _quota(batch, family_quotas=[], family_quotas_enforced=False)
    batch.make("nightly", pool_body(4))

    assert batch.get("nightly")["currentDedicatedNodes"] == 4


def test_quota_counts_the_nodes_of_other_pools_that_are_still_coming(batch: Batch) -> None:
    _quota(batch, dedicated_core_quota=10)
    batch.put("first", pool_body(4))
    batch.put("nightly", pool_body(4))
    batch.wait(minutes=10)

    assert batch.get("first")["currentDedicatedNodes"] == 4
    assert batch.get("nightly")["currentDedicatedNodes"] == 1
    assert _errors(batch) == ["AccountCoreQuotaReached"]


@pytest.mark.parametrize("code", ["AccountLowPriorityCoreQuotaReached", "AccountSpotCoreQuotaReached"])
def test_spot_quota_has_its_own_code(batch: Batch, code: str) -> None:
    batch.change(low_priority_quota_code=code)
    _quota(batch, low_priority_core_quota=2)
    batch.make("nightly", pool_body(1, 3))

    pool = batch.get("nightly")
    assert (pool["currentDedicatedNodes"], pool["currentLowPriorityNodes"]) == (1, 1)
    assert _errors(batch) == [code]


def test_a_user_subscription_account_has_no_batch_quota(batch: Batch) -> None:
    _quota(batch, pool_allocation_mode="UserSubscription", dedicated_core_quota=0)
    batch.make("nightly", pool_body(2))

    assert batch.get("nightly")["currentDedicatedNodes"] == 2


def test_inter_node_communication_limits_the_size(batch: Batch) -> None:
    batch.make("nightly", pool_body(120, interNodeCommunication="Enabled"))

    assert batch.get("nightly")["currentDedicatedNodes"] == 100
    assert _errors(batch) == ["CommunicationEnabledPoolReachedMaxVMCount"]


def test_stop_resize_goes_through_stopping_and_keeps_nodes(batch: Batch) -> None:
    batch.change(allocation_latency="PT1M", allocation_rate_nodes_per_minute=1)
    batch.put("nightly", pool_body(10))
    batch.wait(minutes=3)

    stopping = batch.call("POST", "/pools/nightly/stopResize").json()["properties"]["allocationState"]
    batch.wait(minutes=30)

    assert stopping == "Stopping"
    assert batch.get("nightly")["currentDedicatedNodes"] == 3
    assert _errors(batch) == ["ResizeStopped"]


def test_stop_resize_of_a_steady_pool_changes_nothing(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))

    answer = batch.call("POST", "/pools/nightly/stopResize")

    assert (answer.status_code, answer.json()["properties"]["allocationState"]) == (200, "Steady")


def test_nodes_leave_for_a_while_when_a_pool_shrinks(batch: Batch) -> None:
    batch.make("nightly", pool_body(3))

    batch.patch("nightly", scale(1))
    leaving = batch.counts("nightly")
    batch.wait(minutes=2)

    assert leaving == {"idle": 1, "leavingPool": 2, "total": 3}
    assert batch.get("nightly")["allocationState"] == "Steady"
    assert batch.counts("nightly") == {"idle": 1, "total": 1}


def _busy(batch: Batch, seconds: int) -> None:
    """One node, one task that runs for so long."""
    batch.make("nightly", pool_body(1))
    batch.plane("POST", "/jobs", {"id": "work", "poolInfo": {"poolId": "nightly"}})
    batch.plane("POST", "/jobs/work/tasks", {"id": "long", "commandLine": f"sleep {seconds}"})
    batch.wait(seconds=10)


def _task(batch: Batch) -> dict[str, Any]:
    task: dict[str, Any] = batch.plane("GET", "/jobs/work/tasks/long").json()
    return task


def test_task_completion_waits_for_the_task(batch: Batch) -> None:
    _busy(batch, 300)
    batch.patch("nightly", scale(0, nodeDeallocationOption="TaskCompletion"))
    batch.wait(minutes=4)
    draining = (batch.get("nightly")["allocationState"], batch.counts("nightly"))
    batch.wait(minutes=3)

    assert draining == ("Resizing", {"running": 1, "total": 1})
    assert _task(batch)["executionInfo"]["exitCode"] == 0
    assert (batch.get("nightly")["allocationState"], batch.get("nightly")["currentDedicatedNodes"]) == ("Steady", 0)


def test_a_clock_that_jumps_past_a_drain_sees_it_done(batch: Batch) -> None:
    _busy(batch, 300)
    batch.patch("nightly", scale(0, nodeDeallocationOption="TaskCompletion"))
    batch.wait(minutes=24 * 60)

    assert batch.get("nightly")["currentDedicatedNodes"] == 0
    assert _errors(batch) == []


@pytest.mark.parametrize("code", ["AllocationTimedout", "RemoveNodesFailed"])
def test_tasks_that_outlive_the_timeout_leave_the_pool_steady_with_an_error(batch: Batch, code: str) -> None:
    batch.change(drain_timeout_code=code)
    _busy(batch, 3600)
    batch.patch("nightly", scale(0, nodeDeallocationOption="TaskCompletion", resizeTimeout="PT5M"))
    batch.wait(minutes=6)

    assert _errors(batch) == [code]
    assert batch.counts("nightly") == {"running": 1, "total": 1}


def test_requeue_gives_the_task_back(batch: Batch) -> None:
    _busy(batch, 3600)
    batch.patch("nightly", scale(0, nodeDeallocationOption="Requeue"))

    task = _task(batch)
    assert (task["state"], task["executionInfo"]["requeueCount"]) == ("active", 1)


def test_terminate_ends_the_task(batch: Batch) -> None:
    _busy(batch, 3600)
    batch.patch("nightly", scale(0, nodeDeallocationOption="Terminate"))

    task = _task(batch)
    assert (task["state"], task["executionInfo"]["failureInfo"]["code"]) == ("completed", "TaskEnded")


def test_idle_nodes_leave_before_busy_ones(batch: Batch) -> None:
    batch.make("nightly", pool_body(2))
    batch.plane("POST", "/jobs", {"id": "work", "poolInfo": {"poolId": "nightly"}})
    batch.plane("POST", "/jobs/work/tasks", {"id": "long", "commandLine": "sleep 9000"})
    batch.patch("nightly", scale(1))
    batch.wait(minutes=5)

    assert batch.counts("nightly") == {"running": 1, "total": 1}


def test_first_reads_after_a_resize_request_may_be_stale(batch: Batch) -> None:
    batch.change(steady_after_resize_request="PT20S")
    batch.make("nightly", pool_body(1))
    earlier = batch.get("nightly")["resizeOperationStatus"]["startTime"]

    answer = batch.patch("nightly", scale(2)).json()["properties"]["allocationState"]
    stale = batch.get("nightly")
    batch.wait(seconds=20)

    assert (answer, stale["allocationState"], stale["resizeOperationStatus"]["startTime"]) == (
        "Resizing",
        "Steady",
        earlier,
    )
    assert batch.get("nightly")["allocationState"] == "Resizing"


def test_the_data_plane_resize_is_the_same_resize(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))

    answer = batch.plane("POST", "/pools/nightly/resize", {"targetDedicatedNodes": "3", "resizeTimeout": "PT10M"})
    batch.wait(minutes=5)

    assert answer.status_code == 202
    assert batch.get("nightly")["scaleSettings"]["fixedScale"]["targetDedicatedNodes"] == 3
    assert batch.get("nightly")["currentDedicatedNodes"] == 3


def test_an_autoscale_pool_refuses_a_resize(batch: Batch) -> None:
    formula = {"autoScale": {"formula": "$TargetDedicatedNodes=2"}}
    batch.make("nightly", pool_body(scaleSettings=formula))

    assert batch.get("nightly")["currentDedicatedNodes"] == 2
    answer = batch.plane("POST", "/pools/nightly/resize", {"targetDedicatedNodes": 3})
    assert refusal(answer) == (409, "AutoScalingEnabled")


def test_a_fixed_scale_patch_ends_autoscale(batch: Batch) -> None:
    batch.make("nightly", pool_body(scaleSettings={"autoScale": {"formula": "$TargetDedicatedNodes=2"}}))

    changed = batch.patch("nightly", scale(1)).json()["properties"]
    batch.wait(minutes=60)

    assert "autoScale" not in changed["scaleSettings"]
    assert batch.get("nightly")["currentDedicatedNodes"] == 1


def test_autoscale_is_evaluated_again_at_its_interval(batch: Batch) -> None:
    formula = "$TargetDedicatedNodes = min($CurrentDedicatedNodes + 1, 3)"
    batch.make("nightly", pool_body(scaleSettings={"autoScale": {"formula": formula, "evaluationInterval": "PT5M"}}))
    sizes = []
    for _ in range(4):
        sizes.append(batch.get("nightly")["currentDedicatedNodes"])
        batch.wait(minutes=10)

    assert sizes[-1] == 3
    assert sizes == sorted(sizes)
    assert batch.get("nightly")["autoScaleRun"]["results"].startswith("$TargetDedicatedNodes=3;")


def test_enabling_autoscale_twice_within_30_seconds_is_refused(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))
    body = {"autoScaleFormula": "$TargetDedicatedNodes=1"}
    batch.plane("POST", "/pools/nightly/enableautoscale", body)

    answer = batch.plane("POST", "/pools/nightly/enableautoscale", body)

    assert refusal(answer) == (503, "TooManyEnableAutoScaleRequests")


def test_evaluate_autoscale_needs_autoscale(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))
    answer = batch.plane("POST", "/pools/nightly/evaluateautoscale", {"autoScaleFormula": "$TargetDedicatedNodes=1"})

    assert refusal(answer) == (409, "AutoScalingNotEnabled")


def _remove(batch: Batch, *names: str) -> Response:
    return batch.plane("POST", "/pools/nightly/removenodes", {"nodeList": list(names), "resizeTimeout": "PT6M"})


def test_removing_nodes_lowers_the_targets_on_both_planes(batch: Batch) -> None:
    batch.make("nightly", pool_body(3, 2))
    nodes = batch.nodes("nightly")
    victims = [nodes[1]["id"], next(node["id"] for node in nodes if not node["isDedicated"])]

    answer = _remove(batch, *victims, victims[0])

    shown, plane = batch.get("nightly"), batch.plane("GET", "/pools/nightly").json()
    status, fixed = shown["resizeOperationStatus"], shown["scaleSettings"]["fixedScale"]
    assert (answer.status_code, shown["allocationState"], plane["allocationState"]) == (202, "Resizing", "resizing")
    assert [found["targetDedicatedNodes"] for found in (status, fixed, plane)] == [2, 2, 2]
    assert [found["targetLowPriorityNodes"] for found in (status, fixed, plane)] == [1, 1, 1]
    assert [found["resizeTimeout"] for found in (status, fixed, plane)] == ["PT6M", "PT6M", "PT6M"]
    batch.wait(minutes=5)
    assert batch.get("nightly")["allocationState"] == "Steady"
    assert not set(victims) & {node["id"] for node in batch.nodes("nightly")}
    assert _errors(batch) == []


def test_nodes_are_removed_from_a_steady_pool_only(batch: Batch) -> None:
    batch.make("nightly", pool_body(3))
    first, second, _ = (node["id"] for node in batch.nodes("nightly"))
    _remove(batch, first)

    assert refusal(_remove(batch, second)) == (409, "PoolBeingResized")


@pytest.mark.parametrize(("lowered", "target"), [("size", 2), ("targets", 4)])
def test_what_removing_nodes_leaves_of_a_target_that_was_missed_is_a_switch(
    batch: Batch, lowered: str, target: int
) -> None:
    batch.change(remove_nodes_lowers=lowered)
    batch.script(pool="nightly", max_dedicated_nodes=3)
    batch.make("nightly", pool_body(5))
    _remove(batch, batch.nodes("nightly")[0]["id"])
    batch.wait(minutes=5)

    shown = batch.get("nightly")
    assert (shown["currentDedicatedNodes"], shown["resizeOperationStatus"]["targetDedicatedNodes"]) == (2, target)
    assert shown["scaleSettings"]["fixedScale"]["targetDedicatedNodes"] == target


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["nobody"], (404, "NodeNotFound")),
        ([], (400, "InvalidPropertyValue")),
        (["x"] * 101, (400, "InvalidPropertyValue")),
    ],
)
def test_a_bad_list_of_nodes_is_refused(batch: Batch, names: list[str], expected: tuple[int, str]) -> None:
    batch.make("nightly", pool_body(1))

    assert refusal(batch.plane("POST", "/pools/nightly/removenodes", {"nodeList": names})) == expected


def test_thousands_of_nodes_are_counted_and_paged(batch: Batch) -> None:
    fixed = {"targetDedicatedNodes": 2500, "resizeTimeout": "PT1H"}
    batch.make("big", pool_body(scaleSettings={"fixedScale": fixed}))
    batch.wait(minutes=60)

    pages, link = [], "/pools/big/nodes?api-version=2025-06-01"
    while link:
        page = batch.client.get(link).json()
        pages.append(len(page["value"]))
        link = page.get("odata.nextLink", "")

    assert batch.counts("big") == {"idle": 2500, "total": 2500}
    assert pages == [1000, 1000, 500]


def _usages(batch: Batch) -> dict[str, tuple[int, int]]:
    listed = batch.arm.get("providers/Microsoft.Compute/locations/westeurope/usages").json()["value"]
    return {entry["name"]["value"]: (entry["currentValue"], entry["limit"]) for entry in listed}


def test_nodes_in_the_users_subscription_count_in_its_usages(batch: Batch) -> None:
    before = _usages(batch)
    _quota(batch, pool_allocation_mode="UserSubscription")
    batch.make("nightly", pool_body(2, 3))

    after = _usages(batch)
    assert {name: after[name][0] - before[name][0] for name in after if after[name] != before[name]} == {
        "cores": 4,
        "standardDSv5Family": 4,
        "lowPriorityCores": 6,
    }


def test_nodes_of_batch_do_not_count_in_the_usages_of_the_subscription(batch: Batch) -> None:
    before = _usages(batch)
    batch.make("nightly", pool_body(2, 3))

    assert _usages(batch) == before


@pytest.mark.parametrize("code", ["OperationNotAllowed", "QuotaExceeded"])
def test_the_quota_of_the_users_subscription_shows_as_a_refusal_of_compute(batch: Batch, code: str) -> None:
    batch.change(subscription_quota_code=code)
    _quota(batch, pool_allocation_mode="UserSubscription")
    batch.make("nightly", pool_body(60))  # 120 cores of 100

    pool = batch.get("nightly")
    [error] = pool["resizeOperationStatus"]["errors"]
    details = {pair["code"]: pair["message"] for pair in error["details"]}
    assert (pool["currentDedicatedNodes"], error["code"]) == (50, "AllocationFailed")
    assert json.loads(details["Provider Error Json"])["error"]["code"] == code
    assert "exceeding approved standardDSv5Family Cores quota" in details["Provider Error Json"]


def test_a_pool_that_is_deleted_while_it_grows_shrinks_to_nothing(batch: Batch) -> None:
    batch.change(allocation_latency="PT1M", allocation_rate_nodes_per_minute=1)
    batch.put("nightly", pool_body(5))
    batch.wait(minutes=3)
    batch.call("DELETE", "/pools/nightly")

    pool = batch.get("nightly")
    assert (pool["provisioningState"], pool["allocationState"]) == ("Deleting", "Resizing")
    assert pool["resizeOperationStatus"]["targetDedicatedNodes"] == 0
    assert set(batch.counts("nightly")) == {"leavingPool", "total"}


def test_a_pool_that_is_deleted_before_its_first_node_is_steady(batch: Batch) -> None:
    batch.put("nightly", pool_body(5))
    batch.call("DELETE", "/pools/nightly")
    batch.wait(seconds=110)

    pool = batch.get("nightly")
    assert (pool["provisioningState"], pool["allocationState"], pool["currentDedicatedNodes"]) == (
        "Deleting",
        "Steady",
        0,
    )
    assert _errors(batch) == ["ResizeStopped"]
