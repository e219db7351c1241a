"""Subscriptions, resource groups, providers, regions."""

from __future__ import annotations

from arm_client import Arm, error_of
from starlette.testclient import TestClient


def test_lists_the_subscription(client: TestClient, arm: Arm) -> None:
    found = client.get("/subscriptions?api-version=2022-12-01").json()["value"]
    assert [(entry["subscriptionId"], entry["state"]) for entry in found] == [(arm.subscription, "Enabled")]


def test_lists_the_regions(arm: Arm) -> None:
    found = arm.get("locations").json()["value"]
    assert [(entry["name"], entry["displayName"]) for entry in found] == [
        ("westeurope", "West Europe"),
        ("northeurope", "North Europe"),
    ]


def test_lists_the_resource_groups(arm: Arm) -> None:
    names = [entry["name"] for entry in arm.get("resourceGroups").json()["value"]]
    assert names == ["golden", "images", "batch"]


def test_a_resource_group_can_be_made_and_found_in_any_case(arm: Arm) -> None:
    assert arm.put("resourceGroups/Fresh", {"location": "North Europe", "tags": {"a": "b"}}).status_code == 201
    assert arm.get("resourcegroups/FRESH").json()["name"] == "Fresh"


def test_a_resource_group_cannot_move(arm: Arm) -> None:
    answer = arm.put("resourceGroups/golden", {"location": "northeurope"})
    assert error_of(answer) == (409, "InvalidResourceGroupLocation")


def test_a_resource_group_needs_a_region_that_exists(arm: Arm) -> None:
    answer = arm.put("resourceGroups/x", {"location": "moonbase"})
    assert error_of(answer) == (400, "LocationNotAvailableForResourceGroup")


def test_head_tells_whether_a_resource_group_exists(arm: Arm) -> None:
    assert [arm.call("HEAD", f"resourceGroups/{name}").status_code for name in ("golden", "nowhere")] == [204, 404]


def test_batch_is_a_registered_provider(arm: Arm) -> None:
    assert arm.get("providers/microsoft.batch").json()["registrationState"] == "Registered"


def test_an_unknown_provider_is_not_found(arm: Arm) -> None:
    assert error_of(arm.get("providers/Microsoft.Nowhere")) == (404, "InvalidResourceNamespace")
