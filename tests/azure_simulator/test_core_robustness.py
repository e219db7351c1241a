"""What no well-behaved client sends: it is refused in Azure's words and never breaks the simulator."""

from __future__ import annotations

import pytest
from arm_client import IMAGES, Arm, error_of
from starlette.testclient import TestClient

from include.azure_simulator.world import World

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
