"""Galleries and image definitions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from arm_client import DEFINITION, GALLERY, IMAGES, VERSION, Arm, error_of, message_of

from include.azure_simulator.world import World


def test_a_gallery_can_be_made_and_deleted(arm: Arm) -> None:
    answer = arm.put(f"{IMAGES}/galleries/other", {"location": "northeurope", "properties": {"description": "d"}})
    assert (answer.status_code, answer.json()["properties"]["provisioningState"]) == (201, "Creating")
    arm.done(answer)
    assert arm.get(f"{IMAGES}/galleries/other").json()["properties"]["provisioningState"] == "Succeeded"
    arm.done(arm.call("DELETE", f"{IMAGES}/galleries/other"))
    assert arm.get(f"{IMAGES}/galleries/other").status_code == 404


def test_a_gallery_name_has_no_dash(arm: Arm) -> None:
    answer = arm.put(f"{IMAGES}/galleries/my-gallery", {"location": "westeurope"})
    assert error_of(answer) == (400, "InvalidParameter")
    assert "'my-gallery' is invalid according to its validation rule" in message_of(answer)


def test_a_gallery_with_definitions_cannot_be_deleted(arm: Arm) -> None:
    arm.make_definition()
    answer = arm.call("DELETE", GALLERY)
    assert error_of(answer) == (409, "CannotDeleteResource")
    assert "nested resources" in message_of(answer)


def test_a_definition_needs_its_gallery(arm: Arm) -> None:
    answer = arm.put(f"{IMAGES}/galleries/none/images/x", arm.definition_body())
    assert error_of(answer) == (404, "ParentResourceNotFound")


def test_a_definition_shows_what_was_sent(arm: Arm) -> None:
    arm.make_definition(recommended={"vCPUs": {"min": 1, "max": 16}}, description="nightly")
    properties = arm.get(DEFINITION).json()["properties"]
    assert (properties["osType"], properties["osState"], properties["architecture"]) == ("Linux", "Generalized", "x64")
    assert properties["recommended"] == {"vCPUs": {"min": 1, "max": 16}}
    assert properties["description"] == "nightly"


@pytest.mark.parametrize(
    ("version", "generation", "features"),
    [
        ("2024-03-03", "V1", None),
        ("2025-03-02", "V1", None),
        ("2025-03-03", "V2", [{"name": "SecurityType", "value": "TrustedLaunchSupported"}]),
        ("2026-03-03", "V2", [{"name": "SecurityType", "value": "TrustedLaunchSupported"}]),
    ],
)
def test_the_defaults_follow_the_api_version(
    arm: Arm, version: str, generation: str, features: list[dict[str, str]] | None
) -> None:
    body = arm.definition_body()
    del body["properties"]["hyperVGeneration"], body["properties"]["features"]
    properties = arm.put(DEFINITION, body, version=version).json()["properties"]
    assert (properties["hyperVGeneration"], properties.get("features")) == (generation, features)


def test_an_explicit_first_generation_stays_without_trusted_launch(arm: Arm) -> None:
    body = arm.definition_body(hyperVGeneration="V1")
    del body["properties"]["features"]
    assert "features" not in arm.put(DEFINITION, body).json()["properties"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"osType": "Windows"}, "osType"),
        ({"osState": "Specialized"}, "osState"),
        ({"hyperVGeneration": "V1"}, "hyperVGeneration"),
        ({"architecture": "Arm64"}, "architecture"),
        ({"identifier": {"publisher": "team", "offer": "golden", "sku": "weekly"}}, "identifier"),
        ({"features": [{"name": "SecurityType", "value": "TrustedLaunch"}]}, "features"),
    ],
)
def test_what_defines_an_image_cannot_change(arm: Arm, change: dict[str, Any], name: str) -> None:
    arm.make_definition()
    answer = arm.put(DEFINITION, arm.definition_body(**change))
    assert error_of(answer) == (409, "PropertyChangeNotAllowed")
    assert message_of(answer) == f"Changing property 'galleryImage.properties.{name}' is not allowed."


def test_a_description_can_change(arm: Arm) -> None:
    arm.make_definition()
    answer = arm.put(DEFINITION, arm.definition_body(description="new"))
    assert (answer.status_code, answer.json()["properties"]["description"]) == (200, "new")


def test_features_can_change_where_the_definition_allows_it(arm: Arm) -> None:
    arm.make_definition(allowUpdateImage=True)
    features = [{"name": "SecurityType", "value": "TrustedLaunch"}]
    answer = arm.put(DEFINITION, arm.definition_body(allowUpdateImage=True, features=features))
    assert answer.json()["properties"]["features"] == features


def test_publisher_offer_and_sku_are_unique_in_a_gallery(arm: Arm) -> None:
    arm.make_definition()
    identifier = {"publisher": "TEAM", "offer": "golden", "sku": "nightly"}
    answer = arm.put(f"{GALLERY}/images/second", arm.definition_body(identifier=identifier))
    assert error_of(answer) == (409, "Conflict")
    assert "already exists in the gallery" in message_of(answer)


@pytest.mark.parametrize(
    "identifier",
    [
        {"publisher": "p" * 129, "offer": "o", "sku": "s"},
        {"publisher": "p", "offer": "o" * 65, "sku": "s"},
        {"publisher": "p", "offer": "o", "sku": "s" * 65},
        {"publisher": "p", "offer": "o", "sku": "ends-"},
    ],
)
def test_a_wrong_identifier_is_refused(arm: Arm, identifier: dict[str, str]) -> None:
    assert error_of(arm.put(DEFINITION, arm.definition_body(identifier=identifier))) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    "change",
    [
        {"features": [{"name": "SecurityType", "value": "Paranoid"}]},
        {"features": [{"name": "SecurityType", "value": "TrustedLaunch"}], "hyperVGeneration": "V1"},
        {"architecture": "Arm64", "hyperVGeneration": "V1", "features": []},
        {"osState": "Sleepy"},
    ],
)
def test_a_definition_that_contradicts_itself_is_refused(arm: Arm, change: dict[str, Any]) -> None:
    assert error_of(arm.put(DEFINITION, arm.definition_body(**change))) == (400, "InvalidParameter")


def test_a_definition_is_where_its_gallery_is(arm: Arm) -> None:
    answer = arm.put(DEFINITION, arm.definition_body() | {"location": "northeurope"})
    assert error_of(answer) == (400, "InvalidParameter")


def test_a_definition_with_versions_cannot_be_deleted(arm: Arm) -> None:
    arm.make_definition()
    arm.done(arm.put(VERSION, arm.version_body(arm.make_image())))
    assert error_of(arm.call("DELETE", DEFINITION)) == (409, "CannotDeleteResource")
    arm.done(arm.call("DELETE", VERSION))
    arm.done(arm.call("DELETE", DEFINITION))
    assert arm.get(DEFINITION).status_code == 404


def test_a_definition_may_count_a_deleted_version_for_a_while(arm: Arm, world: World) -> None:
    """Trap 32: deleting a version returns before its replicas are gone; deleting the parent then fails."""
    world.settings = world.settings.patched({"compute": {"child_delete_lag": "PT3M"}})
    arm.make_definition()
    arm.done(arm.put(VERSION, arm.version_body(arm.make_image())))
    arm.done(arm.call("DELETE", VERSION))
    assert error_of(arm.call("DELETE", DEFINITION)) == (409, "CannotDeleteResource")
    world.clock.advance(timedelta(minutes=3))
    assert arm.call("DELETE", DEFINITION).status_code == 202


@pytest.mark.parametrize("setting", ["galleries_per_region", "definitions_per_region", "versions_per_region"])
def test_a_region_has_room_for_so_many_only(arm: Arm, world: World, setting: str) -> None:
    """Trap 30: the quota of image versions was hit, and no build could publish any more."""
    world.settings = world.settings.patched({"compute": {setting: 1}})
    arm.make_definition()
    image = arm.make_image()
    arm.done(arm.put(VERSION, arm.version_body(image)))
    identifier = {"publisher": "team", "offer": "golden", "sku": "second"}
    answers = {
        "galleries_per_region": arm.put(f"{IMAGES}/galleries/second", {"location": "westeurope"}),
        "definitions_per_region": arm.put(f"{GALLERY}/images/second", arm.definition_body(identifier=identifier)),
        "versions_per_region": arm.put(f"{DEFINITION}/versions/2.0.0", arm.version_body(image)),
    }
    refused = {name: error_of(answer) for name, answer in answers.items() if answer.status_code >= 400}
    assert refused == {setting: (409, "OperationNotAllowed")}
