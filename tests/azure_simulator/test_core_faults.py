"""Scripted faults."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from arm_client import IMAGES, VM, Arm, error_of
from starlette.testclient import TestClient

from include.azure_simulator.faults import AnswerHistory
from include.azure_simulator.world import World
from tests.simulator import ANSWER_SECONDS


def _script(client: TestClient, **fault: Any) -> dict[str, Any]:
    answer = client.post("/_simulator/faults", json=fault)
    assert answer.status_code == 201, answer.text
    state: dict[str, Any] = answer.json()
    return state


def test_a_call_gets_status_code_message_and_retry_after(client: TestClient, arm: Arm) -> None:
    _script(client, path="virtualMachines", status=503, code="ServerTimeout", message="busy", retry_after_seconds=7)
    answer = arm.get(VM)
    assert error_of(answer) == (503, "ServerTimeout")
    assert (answer.json()["error"]["message"], answer.headers["Retry-After"]) == ("busy", "7")
    assert arm.get(VM).status_code == 200


def test_a_fault_of_the_data_plane_has_its_shape(client: TestClient) -> None:
    _script(client, plane="batch", status=500, code="InternalError", message="oops")
    answer = client.get("/pools?api-version=2025-06-01")
    assert (answer.status_code, answer.json()["code"]) == (500, "InternalError")
    assert answer.json()["message"]["value"].startswith("oops\nRequestId:")
    assert answer.headers["content-type"] == "application/json; odata=minimalmetadata"


def test_the_nth_match_and_a_count(client: TestClient, arm: Arm) -> None:
    _script(client, path="golden-vm$", skip=1, count=2, status=500)
    assert [arm.get(VM).status_code for _ in range(5)] == [200, 500, 500, 200, 200]


def test_without_a_count_a_fault_stays(client: TestClient, arm: Arm) -> None:
    _script(client, path="golden-vm$", count=None, status=500)
    assert [arm.get(VM).status_code for _ in range(4)] == [500] * 4


def test_method_path_and_plane_must_all_match(client: TestClient, arm: Arm) -> None:
    _script(client, method="PUT|PATCH", path="/snapshots/", plane="arm", status=500)
    assert arm.get(f"{IMAGES}/snapshots/s").status_code == 404
    assert arm.call("PATCH", VM, {"tags": {}}).status_code == 200
    assert arm.put(f"{IMAGES}/snapshots/s", arm.snapshot_body()).status_code == 500


def test_control_calls_get_no_fault(client: TestClient) -> None:
    _script(client, count=None, status=500)
    assert client.get("/_simulator/health").status_code == 200


def test_the_list_tells_how_often_a_fault_met_a_call(client: TestClient, arm: Arm) -> None:
    _script(client, path="golden-vm$", skip=1, status=500)
    arm.get(VM)
    arm.get(VM)
    state = client.get("/_simulator/faults").json()[0]
    assert (state["matched"], state["applied"], state["exhausted"]) == (2, 1, True)


def test_faults_can_be_forgotten(client: TestClient, arm: Arm) -> None:
    first = _script(client, path="golden-vm$", count=None, status=500)
    _script(client, path="golden-vm$", count=None, status=502)
    assert client.delete(f"/_simulator/faults/{first['id']}").status_code == 204
    assert arm.get(VM).status_code == 502
    client.delete("/_simulator/faults")
    assert arm.get(VM).status_code == 200


def test_forgetting_an_unknown_fault_is_not_found(client: TestClient) -> None:
    assert client.delete("/_simulator/faults/99").status_code == 404


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"path": "x"}, "needs one of"),
        ({"status": 500, "drop": True}, "exclude one another"),
        ({"path": "(", "drop": True}, "not a regular expression"),
        ({"statsu": 500}, "Extra inputs"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(client: TestClient, fault: dict[str, Any], problem: str) -> None:
    answer = client.post("/_simulator/faults", json=fault)
    assert answer.status_code == 422
    assert problem in answer.text


def test_an_operation_fails_with_the_scripted_code(client: TestClient, arm: Arm) -> None:
    _script(client, path="/snapshots/", operation_error={"code": "InternalExecutionError", "message": "disk on fire"})
    body = arm.done(arm.put(f"{IMAGES}/snapshots/s", arm.snapshot_body()))
    assert (body["status"], body["error"]) == (
        "Failed",
        {"code": "InternalExecutionError", "message": "disk on fire"},
    )
    assert arm.get(f"{IMAGES}/snapshots/s").json()["properties"]["provisioningState"] == "Failed"


def test_an_operation_error_fails_one_operation_only(client: TestClient, arm: Arm) -> None:
    _script(client, path="/snapshots/", operation_error={"code": "X"})
    arm.done(arm.put(f"{IMAGES}/snapshots/one", arm.snapshot_body()))
    assert arm.done(arm.put(f"{IMAGES}/snapshots/two", arm.snapshot_body()))["status"] == "Succeeded"


def test_a_stale_read_answers_the_state_before(client: TestClient, arm: Arm) -> None:
    assert arm.get(VM).json()["tags"] == {"golden.generalized": "true"}
    arm.call("PATCH", VM, {"tags": {"new": "1"}})
    _script(client, path="golden-vm$", method="GET", stale=True)
    assert arm.get(VM).json()["tags"] == {"golden.generalized": "true"}
    assert arm.get(VM).json()["tags"] == {"new": "1"}


def test_a_stale_read_without_a_past_answers_the_truth(client: TestClient, arm: Arm) -> None:
    _script(client, path="golden-vm$", stale=True)
    assert arm.get(VM).json()["name"] == "golden-vm"


def test_a_dropped_connection_does_nothing(client: TestClient, arm: Arm, live_simulator: str) -> None:
    _script(client, method="PUT", drop=True)
    url = f"{live_simulator}{arm.id(IMAGES)}/snapshots/s?api-version=2026-03-02"
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.put(url, json=arm.snapshot_body(), timeout=ANSWER_SECONDS)
    assert httpx.get(url, timeout=ANSWER_SECONDS).status_code == 404


def test_a_lost_reply_comes_after_the_write_was_done(client: TestClient, arm: Arm, live_simulator: str) -> None:
    _script(client, method="PUT", lose_reply=True)
    url = f"{live_simulator}{arm.id(IMAGES)}/snapshots/s?api-version=2026-03-02"
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.put(url, json=arm.snapshot_body(), timeout=ANSWER_SECONDS)
    assert httpx.get(url, timeout=ANSWER_SECONDS).json()["properties"]["provisioningState"] == "Creating"


def test_a_delayed_call_sees_what_ended_meanwhile(client: TestClient, arm: Arm, world: World) -> None:
    arm.call("POST", f"{VM}/deallocate")
    world.clock.set_speed(1_000)
    _script(client, path="instanceView$", delay_seconds=0.2)
    codes = [status["code"] for status in arm.get(f"{VM}/instanceView").json()["statuses"]]
    assert "PowerState/deallocated" in codes


def test_long_answers_are_not_remembered() -> None:
    history = AnswerHistory(max_body_bytes=4)
    history.record("u", b"12345")
    assert history.stale("u", b"new") == b"new"


def test_the_url_unused_for_longest_is_forgotten_first() -> None:
    history = AnswerHistory(max_urls=2)
    for url in ("a", "b", "a", "c"):
        history.record(url, b"old")
    assert [history.stale(url, b"new") for url in ("a", "b", "c")] == [b"old", b"new", b"old"]


def test_operations_settle_before_a_faulted_answer(client: TestClient, arm: Arm, world: World) -> None:
    arm.put(f"{IMAGES}/snapshots/s", arm.snapshot_body())
    world.clock.advance(timedelta(minutes=5))
    _script(client, path="/snapshots/", status=500)
    arm.get(f"{IMAGES}/snapshots/s")
    assert world.operations.running_on(arm.id(f"{IMAGES}/snapshots/s")) is None
