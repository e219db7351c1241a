"""``/_simulator``: clock, settings, log, counters, world."""

from __future__ import annotations

import json
from typing import Any

import pytest
from arm_client import IMAGES, VM, Arm
from starlette.testclient import TestClient

from include.azure_simulator.settings import LogSettings
from include.azure_simulator.traffic import Exchange, TrafficLog
from include.azure_simulator.world import World

PROVIDER = "providers/Microsoft.Compute"


def _log(client: TestClient) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.get("/_simulator/log").text.splitlines()]


def test_health(client: TestClient) -> None:
    assert client.get("/_simulator/health").json()["status"] == "ok"


def test_the_world_is_described_with_addresses_of_the_caller(client: TestClient, world: World) -> None:
    body = client.get("/_simulator/world").json()
    assert body["arm"] == body["login"] == body["batch"] == "http://localhost:8070"
    assert (body["vm"], body["resource_group"], body["location"]) == ("golden-vm", "golden", "westeurope")
    assert (body["gallery"], body["batch_account"]) == ("golden_gallery", "goldenbatch")
    assert (body["client_id"], body["tenant"]) == (world.tenant.client_id, world.tenant.id)


def test_the_clock_can_be_advanced_and_settles(client: TestClient, arm: Arm) -> None:
    arm.put(f"{IMAGES}/snapshots/s", arm.snapshot_body())
    before = client.get("/_simulator/clock").json()["now"]
    after = client.patch("/_simulator/clock", json={"advance": "PT1H"}).json()["now"]
    assert (before[:16], after[:16]) == ("2026-11-22T02:00", "2026-11-22T03:00")
    assert arm.get(f"{IMAGES}/snapshots/s").json()["properties"]["provisioningState"] == "Succeeded"


def test_the_speed_can_be_changed(client: TestClient, world: World) -> None:
    assert client.patch("/_simulator/clock", json={"speed": 600}).json()["speed"] == 600
    assert world.clock.speed == 600


@pytest.mark.parametrize("change", [{"speed": -1}, {"advance": "-PT1H"}, {"sped": 1}])
def test_a_wrong_change_of_the_clock_is_refused(client: TestClient, change: dict[str, Any]) -> None:
    assert client.patch("/_simulator/clock", json=change).status_code == 422


def test_one_setting_can_be_changed_and_the_others_stay(client: TestClient, world: World) -> None:
    before = world.settings
    body = client.patch("/_simulator/settings", json={"compute": {"snapshot_create": "PT7M"}}).json()
    assert body["compute"]["snapshot_create"] == "PT7M"
    assert world.settings.compute.snapshot_create.total_seconds() == 420
    assert world.settings.compute.image_create == before.compute.image_create
    assert world.settings.throttling == before.throttling


def test_a_wrong_setting_is_refused_and_changes_nothing(client: TestClient, world: World) -> None:
    before = world.settings
    answer = client.patch("/_simulator/settings", json={"compute": {"snapshot_creat": 1}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["compute", "snapshot_creat"]
    assert world.settings is before


def test_settings_survive_a_round_trip(client: TestClient) -> None:
    everything = client.get("/_simulator/settings").json()
    assert client.patch("/_simulator/settings", json=everything).json() == everything


def test_a_log_line_holds_request_and_answer(client: TestClient, arm: Arm) -> None:
    arm.put(f"{IMAGES}/snapshots/s", arm.snapshot_body())
    entry = _log(client)[0]
    assert (entry["method"], entry["status"]) == ("PUT", 202)
    assert entry["url"].startswith("http://localhost:8070/subscriptions/")
    assert "api-version=2026-03-02" in entry["url"]
    assert json.loads(entry["request_body"])["location"] == "westeurope"
    assert json.loads(entry["response_body"])["name"] == "s"
    assert entry["response_headers"]["azure-asyncoperation"].startswith("http://localhost:8070/")


def test_secrets_are_masked_in_the_log(client: TestClient, world: World) -> None:
    form = {"grant_type": "client_credentials", "client_id": "c", "client_secret": "top", "scope": "s"}
    client.post(f"/{world.tenant.id}/oauth2/v2.0/token", data=form | {"client_id": world.tenant.client_id})
    secret = {"client_secret": world.tenant.client_secret, "scope": "https://management.azure.com/.default"}
    token = client.post(
        f"/{world.tenant.id}/oauth2/v2.0/token", data=form | secret | {"client_id": world.tenant.client_id}
    ).json()["access_token"]
    client.get("/subscriptions?api-version=2022-12-01", headers={"Authorization": f"Bearer {token}"})
    text = client.get("/_simulator/log").text
    assert [value for value in (token, world.tenant.client_secret, "top&") if value in text] == []
    assert _log(client)[2]["request_headers"]["authorization"] == "***"
    assert json.loads(_log(client)[1]["response_body"])["access_token"] == "***"


def test_account_keys_are_masked_in_the_log(client: TestClient, arm: Arm) -> None:
    path = "resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/goldenbatch/listKeys"
    keys = arm.call("POST", path, version="2025-06-01").json()
    text = client.get("/_simulator/log").text
    assert keys["primary"] not in text
    assert keys["secondary"] not in text


def test_the_log_can_be_cleared(client: TestClient, arm: Arm) -> None:
    arm.get(VM)
    client.delete("/_simulator/log")
    assert _log(client) == []


def test_the_log_is_bounded_and_loses_the_oldest_lines() -> None:
    log = TrafficLog()
    settings = LogSettings(max_bytes=2_000)
    for number in range(50):
        exchange = Exchange("t", 0, "GET", f"http://x/{number}", "/r", [], b"", 200, [], b"y" * 100, fault=False)
        log.add(exchange, settings)
    urls = [json.loads(line)["url"] for line in log.lines()]
    assert sum(len(line) for line in log.lines()) <= 2_100
    assert urls[-1] == "http://x/49"
    assert log.counters()["log_lines_dropped"] == 50 - len(urls)


def test_long_bodies_are_cut_and_marked() -> None:
    log = TrafficLog()
    exchange = Exchange("t", 0, "GET", "http://x", "/r", [], b"", 200, [], b"y" * 1_000, fault=False)
    log.add(exchange, LogSettings(max_body_chars=256))
    entry = json.loads(next(iter(log.lines())))
    assert (len(entry["response_body"]), entry["response_body_cut"]) == (256, True)


def test_counters_are_by_method_and_route_template(client: TestClient, arm: Arm) -> None:
    arm.get(VM)
    arm.get(VM.replace("golden-vm", "other"))
    client.post("/_simulator/faults", json={"path": "virtualMachines", "status": 500})
    arm.get(VM)
    body = client.get("/_simulator/counters").json()
    assert body["total"] == 3
    assert body["routes"] == [
        {
            "method": "GET",
            "route": f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/{PROVIDER}/virtualMachines/{{name}}",
            "count": 3,
            "statuses": {"200": 1, "404": 1, "500": 1},
        }
    ]


def test_counters_can_be_cleared(client: TestClient, arm: Arm) -> None:
    arm.get(VM)
    client.delete("/_simulator/counters")
    assert client.get("/_simulator/counters").json()["total"] == 0


def test_an_allocation_is_handed_to_the_batch_part(client: TestClient) -> None:
    answer = client.post("/_simulator/allocations", json={"pool": "nightly", "max_dedicated_nodes": 3})
    assert (answer.status_code, answer.json()["pool"]) == (201, "nightly")


def test_a_wrong_allocation_is_refused(client: TestClient) -> None:
    answer = client.post("/_simulator/allocations", json={"pol": "nightly"})
    assert answer.status_code == 422
