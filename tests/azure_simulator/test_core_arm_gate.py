"""What ARM says to calls that are wrong before any resource is looked at."""

from __future__ import annotations

import pytest
from arm_client import GOLDEN, IMAGES, VM, Arm, error_of, message_of
from starlette.testclient import TestClient


def test_a_call_without_an_api_version_is_refused(client: TestClient, arm: Arm) -> None:
    answer = client.get(arm.id(VM))
    assert error_of(answer) == (400, "MissingApiVersionParameter")
    assert "api-version query parameter" in message_of(answer)


@pytest.mark.parametrize("version", ["latest", "2024-7-1", "v1"])
def test_an_api_version_that_is_no_date_is_refused(arm: Arm, version: str) -> None:
    assert error_of(arm.get(VM, version=version)) == (400, "InvalidApiVersionParameter")


@pytest.mark.parametrize("version", ["2031-01-01", "2014-01-01"])
def test_an_api_version_that_nobody_registered_is_refused(arm: Arm, version: str) -> None:
    assert error_of(arm.get(VM, version=version)) == (400, "NoRegisteredProviderFound")


@pytest.mark.parametrize("version", ["2022-11-01", "2023-09-01", "2024-07-01", "2026-04-01"])
def test_clients_of_the_last_four_years_are_served(arm: Arm, version: str) -> None:
    assert arm.get(VM, version=version).json()["name"] == "golden-vm"


def test_an_unknown_resource_type_is_an_arm_error(arm: Arm) -> None:
    answer = arm.get(f"{GOLDEN}/virtualMachineDreams/x")
    assert error_of(answer) == (404, "InvalidResourceType")
    assert "'virtualMachineDreams'" in message_of(answer)


def test_an_unknown_namespace_is_an_arm_error(arm: Arm) -> None:
    answer = arm.get("resourceGroups/golden/providers/Microsoft.Nowhere/things/x")
    assert error_of(answer) == (404, "InvalidResourceNamespace")


def test_a_method_that_a_resource_does_not_know_is_refused(arm: Arm) -> None:
    assert error_of(arm.call("DELETE", f"{VM}/instanceView")) == (405, "MethodNotAllowed")


@pytest.mark.parametrize("content", [b"{not json", b"[1, 2]", b'"text"'])
def test_a_body_that_is_no_json_object_is_refused(client: TestClient, arm: Arm, content: bytes) -> None:
    answer = client.put(f"{arm.id(IMAGES)}/snapshots/s?api-version=2026-03-02", content=content)
    assert error_of(answer) == (400, "InvalidRequestContent")
    assert "could not be deserialized" in message_of(answer)


def test_an_unknown_property_of_the_envelope_is_refused(arm: Arm) -> None:
    answer = arm.put(f"{IMAGES}/snapshots/s", arm.snapshot_body(colour="red"))
    assert error_of(answer) == (400, "InvalidRequestContent")
    assert "Could not find member 'colour'" in message_of(answer)


def test_an_unknown_inner_property_is_refused(arm: Arm) -> None:
    body = arm.snapshot_body()
    body["properties"]["colour"] = "red"
    answer = arm.put(f"{IMAGES}/snapshots/s", body)
    assert error_of(answer) == (400, "BadRequest")
    assert "'properties.colour'" in message_of(answer)


def test_a_put_without_a_location_is_refused(arm: Arm) -> None:
    body = arm.snapshot_body()
    del body["location"]
    assert error_of(arm.put(f"{IMAGES}/snapshots/s", body)) == (400, "LocationRequired")


def test_a_put_in_a_region_that_does_not_exist_is_refused(arm: Arm) -> None:
    answer = arm.put(f"{IMAGES}/snapshots/s", arm.snapshot_body(location="moonbase"))
    assert error_of(answer) == (400, "LocationNotAvailableForResourceType")
    assert "westeurope,northeurope" in message_of(answer)


def test_an_unknown_subscription_is_not_found(client: TestClient) -> None:
    answer = client.get("/subscriptions/nobody/providers/Microsoft.Compute/disks?api-version=2026-03-02")
    assert error_of(answer) == (404, "SubscriptionNotFound")


def test_an_unknown_resource_group_is_not_found(arm: Arm) -> None:
    answer = arm.get("resourceGroups/nowhere/providers/Microsoft.Compute/disks/d")
    assert error_of(answer) == (404, "ResourceGroupNotFound")


def test_paths_compare_in_any_case_and_names_keep_theirs(arm: Arm) -> None:
    answer = arm.get(
        "RESOURCEGROUPS/Golden/Providers/microsoft.COMPUTE/VIRTUALMACHINES/GOLDEN-VM", version="2026-04-01"
    )
    assert answer.json()["id"] == arm.id(VM)


def test_double_slashes_in_a_path_do_no_harm(arm: Arm) -> None:
    assert arm.get(VM.replace("/", "//"), version="2026-04-01").status_code == 200


def test_every_answer_carries_request_id_and_remaining_calls(arm: Arm) -> None:
    first, second = arm.get(VM), arm.get(VM)
    assert first.headers["x-ms-request-id"] != second.headers["x-ms-request-id"]
    remaining = [int(answer.headers["x-ms-ratelimit-remaining-subscription-reads"]) for answer in (first, second)]
    assert remaining == [249, 248]


def test_a_snapshot_look_up_by_the_name_of_a_disk_is_not_found_with_an_arm_body(arm: Arm) -> None:
    """The Azure CLI looks for a snapshot first when it is given the name of a disk."""
    assert error_of(arm.get(f"{GOLDEN}/snapshots/golden-vm-os")) == (404, "ResourceNotFound")


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({f"t{number}": "v" for number in range(51)}, "TooManyTags"),
        ({"a/b": "v"}, "InvalidTagNameCharacters"),
        ({"n" * 513: "v"}, "TagNameTooLong"),
        ({"n": "v" * 257}, "TagValueTooLong"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_tags_beyond_their_limits_are_refused(arm: Arm, method: str, tags: dict[str, str], code: str) -> None:
    path = f"{IMAGES}/snapshots/s"
    body = arm.snapshot_body(tags=tags) if method == "PUT" else {"tags": tags}
    assert error_of(arm.call(method, path, body)) == (400, code)


def test_tags_at_their_limits_are_accepted(arm: Arm) -> None:
    tags = {f"t{number}": "v" for number in range(49)} | {"n" * 512: "v" * 256}
    assert arm.put(f"{IMAGES}/snapshots/s", arm.snapshot_body(tags=tags)).status_code == 202
