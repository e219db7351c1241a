"""What no well-behaved client sends: it is refused in Azure's words and never breaks the simulator."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from urllib.parse import urlsplit

import httpx
import pytest
from arm_client import IMAGES, Arm, error_of
from starlette.testclient import TestClient

from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import pool_body
from tests.simulator import ANSWER_SECONDS

BODIES = {
    "cut": b'{"location":',
    "not UTF-8": b"\xff\xfe{}",
    "not a number": b'{"location": NaN}',
    "infinite": b'{"location": 1e999}',
    "half a character": b'{"location": "\\ud800"}',
    "deep": b'{"a":' * 65 + b"1" + b"}" * 65,
    "far too deep": b"[" * 100_000,
    "a list": b"[]",
    "a string": b'"x"',
}
POOL = "resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/goldenbatch/pools"
SNAPSHOT = f"{IMAGES}/snapshots/s1?api-version=2026-03-02"


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_arm_refuses_a_malformed_body(arm: Arm, client: TestClient, body: bytes) -> None:
    assert error_of(client.put(arm.id(SNAPSHOT), content=body)) == (400, "InvalidRequestContent")


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_the_data_plane_refuses_a_malformed_body(client: TestClient, body: bytes) -> None:
    answer = client.post("/pools?api-version=2025-06-01", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidRequestBody")


def test_a_byte_order_mark_is_no_part_of_a_body(arm: Arm, client: TestClient) -> None:
    answer = client.put(arm.id(SNAPSHOT), content=b'\xef\xbb\xbf{"location": "mars"}')
    assert "properties" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "filter_text",
    ["(" * 5_000, "creationTime lt datetime'2026-13-01'", "state eq", "maxresults"],
)
def test_the_data_plane_refuses_a_filter_that_is_none(client: TestClient, filter_text: str) -> None:
    answer = client.get("/pools", params={"api-version": "2025-06-01", "$filter": filter_text})
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidQueryParameterValue")


@pytest.mark.parametrize("number", ["\u00b2", "9" * 5_000, "-1", "x"])
def test_the_data_plane_refuses_a_count_that_is_none(client: TestClient, number: str) -> None:
    answer = client.get("/pools", params={"api-version": "2025-06-01", "maxresults": number})
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidQueryParameterValue")


def test_login_refuses_a_form_that_is_not_text(client: TestClient, world: World) -> None:
    answer = client.post(f"/{world.tenant.id}/oauth2/v2.0/token", content=b"\xff\xfe")
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


def test_arm_takes_bodies_of_up_to_four_megabytes(arm: Arm, client: TestClient) -> None:
    fits = client.put(arm.id(SNAPSHOT), content=b" " * (4 * 1024 * 1024))
    assert error_of(fits) == (400, "LocationRequired")
    answer = client.put(arm.id(SNAPSHOT), content=b" " * (4 * 1024 * 1024 + 1))
    assert error_of(answer) == (413, "RequestContentTooLarge")


def test_the_data_plane_takes_bodies_of_up_to_one_megabyte(client: TestClient) -> None:
    answer = client.post("/pools?api-version=2025-06-01", content=b" " * (1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "RequestBodyTooLarge")


def test_of_many_who_create_one_pool_at_once_one_wins(live_simulator: str, world: World) -> None:
    url = f"/subscriptions/{next(iter(world.subscriptions))}/{POOL}/nightly?api-version=2025-06-01"

    async def create_all() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=live_simulator, trust_env=False, timeout=ANSWER_SECONDS) as client:
            headers = {"If-None-Match": "*"}
            return await asyncio.gather(*(client.put(url, json=pool_body(2), headers=headers) for _ in range(20)))

    assert Counter(answer.status_code for answer in asyncio.run(create_all())) == {200: 1, 412: 19}


def test_many_pools_can_be_created_at_once_while_the_clock_jumps(live_simulator: str, world: World) -> None:
    root = f"/subscriptions/{next(iter(world.subscriptions))}/{POOL}"

    async def create(client: httpx.AsyncClient, number: int) -> int:
        await client.patch("/_simulator/clock", json={"advance": "PT20S"})
        url = f"{root}/pool-{number}?api-version=2025-06-01"
        return (await client.put(url, json=pool_body(1))).status_code

    async def create_all() -> list[int]:
        async with httpx.AsyncClient(base_url=live_simulator, trust_env=False, timeout=ANSWER_SECONDS) as client:
            return await asyncio.gather(*(create(client, number) for number in range(20)))

    assert asyncio.run(create_all()) == [200] * 20
    account = world.batch.account(None)
    assert account is not None
    assert set(account.pools) == {f"pool-{number}" for number in range(20)}


def test_half_a_request_does_nothing(live_simulator: str, world: World) -> None:
    # a deallocation needs no body, so half of one must not pass for none
    address = urlsplit(live_simulator)
    path = f"/subscriptions/{next(iter(world.subscriptions))}/resourceGroups/golden/providers/Microsoft.Compute"
    request = f"POST {path}/virtualMachines/golden-vm/deallocate?api-version=2026-04-01 HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(f"{request}Content-Length: 10\r\n\r\n{{".encode())
    for _ in range(5):  # later requests are answered after the server has seen the end of the first
        health = httpx.get(f"{live_simulator}/_simulator/health", trust_env=False, timeout=ANSWER_SECONDS)
        assert health.status_code == 200
    counted = httpx.get(f"{live_simulator}/_simulator/counters", trust_env=False, timeout=ANSWER_SECONDS).json()
    assert counted["total"] == 0
    [machine] = world.compute.machines
    assert machine.power_state.value == "running"
