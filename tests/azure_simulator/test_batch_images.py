"""Pools on gallery images and on managed images."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from include.azure_simulator.batch.auth import sign, string_to_sign
from include.azure_simulator.world import World
from tests.azure_simulator.arm_client import DEFINITION, VERSION
from tests.azure_simulator.batch_client import AGENT, API, Batch, machine, on_image, reasons, refusal, scale

POOLS = ("first", "nightly", "unrelated")


@pytest.fixture
def batch(client: TestClient, world: World) -> Batch:
    return Batch(client, world)


def _first_error(batch: Batch) -> dict[str, Any]:
    error: dict[str, Any] = batch.get("nightly")["resizeOperationStatus"]["errors"][0]
    return error


def test_nodes_say_which_version_they_booted(batch: Batch) -> None:
    version = batch.make_version()
    batch.make("nightly", on_image(version, 2))

    assert [node["virtualMachineInfo"]["imageReference"] for node in batch.nodes("nightly")] == [
        {"virtualMachineImageId": version},
        {"virtualMachineImageId": version},
    ]


def test_a_definition_alone_means_its_latest_version(batch: Batch) -> None:
    version = batch.make_version()
    batch.make("nightly", on_image(batch.arm.id(DEFINITION), 1))

    assert batch.nodes("nightly")[0]["virtualMachineInfo"]["imageReference"] == {"virtualMachineImageId": version}


def test_an_image_version_that_does_not_exist_is_refused(batch: Batch) -> None:
    answer = batch.put("nightly", on_image(batch.arm.id(VERSION)))

    assert refusal(answer) == (400, "InvalidPropertyValue")
    assert reasons(answer)["Reason"] == "The specified image version does not exist."


def test_an_image_version_without_a_replica_in_the_region_is_refused(batch: Batch) -> None:
    version = batch.make_version()
    found = batch.world.compute.image_version(version)
    assert found is not None
    found.replicas.clear()

    answer = batch.put("nightly", on_image(version))

    assert reasons(answer)["Reason"] == "The gallery image is not available in westeurope region."


@pytest.mark.parametrize("code", ["AllocationFailed", "DependentResourceNotFound"])
def test_a_deleted_version_fails_the_next_growth_only(batch: Batch, code: str) -> None:
    batch.change(missing_image_code=code)
    version = batch.make_version()
    batch.make("nightly", on_image(version, 1))
    batch.arm.done(batch.arm.call("DELETE", VERSION))

    patched = batch.patch("nightly", scale(2))
    batch.wait(minutes=10)

    assert patched.status_code == 200
    assert batch.counts("nightly") == {"idle": 1, "total": 1}
    assert _first_error(batch)["code"] == code


def test_a_version_cannot_be_deleted_while_nodes_are_created_from_it(batch: Batch) -> None:
    version = batch.make_version()
    batch.put("nightly", on_image(version, 1))
    batch.wait(seconds=100)

    answer = batch.arm.call("DELETE", VERSION)

    assert batch.counts("nightly") == {"creating": 1, "total": 1}
    assert refusal(answer) == (409, "OperationNotAllowedOnVMImageAsVMsBeingProvisioned")


def test_a_generation_that_the_size_cannot_boot_shows_at_the_resize(batch: Batch) -> None:
    version = batch.make_version()
    batch.make("nightly", on_image(version, 1, vmSize="STANDARD_A2_V2"))

    error = _first_error(batch)
    details = {pair["code"]: pair["message"] for pair in error["details"]}
    assert error["code"] == "AllocationFailed"
    assert '"code":"BadRequest"' in details["Provider Error Json"]
    assert "'STANDARD_A2_V2' cannot boot Hypervisor Generation '2'" in details["Provider Error Json"]
    assert details["Provider Error Json Truncated"] == "False"


def test_an_architecture_that_the_size_does_not_have_shows_at_the_resize(batch: Batch) -> None:
    version = batch.make_version()
    batch.make("nightly", on_image(version, 1, vmSize="STANDARD_D2PS_V5"))

    assert "CPU Architecture of 'Arm64'" in _first_error(batch)["details"][1]["message"]


def test_a_standard_image_does_not_boot_as_trusted_launch(batch: Batch) -> None:
    configuration = machine({"id": batch.make_version()}, securityProfile={"securityType": "trustedLaunch"})
    body = on_image("unused", 1)
    body["properties"]["deploymentConfiguration"] = {"virtualMachineConfiguration": configuration}
    batch.make("nightly", body)

    assert "TrustedLaunch setting is not supported" in _first_error(batch)["details"][1]["message"]


def test_an_agent_of_the_other_os_makes_nodes_unusable(batch: Batch) -> None:
    body = on_image(batch.make_version(), 2)
    configuration = body["properties"]["deploymentConfiguration"]["virtualMachineConfiguration"]
    configuration["nodeAgentSkuId"] = "batch.node.windows amd64"
    batch.make("nightly", body)

    assert batch.counts("nightly") == {"unusable": 2, "total": 2}
    assert batch.nodes("nightly")[0]["errors"][0]["code"] == "BatchAgentInstallationFailure"
    assert batch.get("nightly")["allocationState"] == "Steady"


@pytest.mark.parametrize("unusable", [False, True])
def test_a_specialized_image_is_refused_or_makes_unusable_nodes(batch: Batch, unusable: bool) -> None:
    batch.change(specialized_image="unusable_nodes" if unusable else "refuse")
    version = batch.make_version(osState="Specialized")

    answer = batch.put("nightly", on_image(version, 1))
    batch.wait(minutes=10)

    if unusable:
        assert batch.counts("nightly") == {"unusable": 1, "total": 1}
    else:
        assert refusal(answer) == (400, "InvalidPropertyValue")
        assert reasons(answer)["Reason"] == "Batch supports generalized images only."


@pytest.mark.parametrize(("outcome", "state"), [("unusable", "unusable"), ("fine", "idle")])
def test_an_image_that_was_never_deprovisioned_makes_unusable_nodes(batch: Batch, outcome: str, state: str) -> None:
    batch.change(guest_not_generalized=outcome)
    version = batch.make_version()
    found = batch.world.compute.image_version(version)
    assert found is not None
    found.guest_generalized = False
    batch.put("nightly", on_image(version, 1))
    batch.wait(minutes=10)

    assert batch.counts("nightly") == {state: 1, "total": 1}


def test_a_pool_on_a_managed_image_is_refused_since_the_retirement(batch: Batch) -> None:
    batch.change(managed_image_refusal_code="InvalidRequestBody")
    answer = batch.put("nightly", on_image(batch.arm.make_image()))

    assert refusal(answer) == (400, "InvalidRequestBody")
    assert "retired on 2026-03-31" in reasons(answer)["Reason"]


def test_legacy_managed_image_pools_behave_as_before_the_retirement(batch: Batch) -> None:
    batch.change(legacy_managed_image_pools=True)
    image = batch.arm.make_image()
    batch.make("nightly", on_image(image, 1))

    assert batch.nodes("nightly")[0]["virtualMachineInfo"]["imageReference"] == {"virtualMachineImageId": image}
    assert refusal(batch.put("other", on_image(f"{image}-gone"))) == (400, "InvalidPropertyValue")


def test_gallery_image_with_a_shared_key_is_an_authentication_error(batch: Batch) -> None:
    """Trap 16: an account key cannot make a pool on a gallery image."""
    body = {
        "id": "nightly",
        "vmSize": "standard_d2s_v5",
        "virtualMachineConfiguration": {
            "imageReference": {"virtualMachineImageId": batch.make_version()},
            "nodeAgentSKUId": AGENT,
        },
    }
    account = batch.world.batch.account(None)
    assert account is not None
    request = batch.client.build_request("POST", "/pools", params={"api-version": API}, json=body)
    request.headers["ocp-date"] = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {name.lower(): value for name, value in request.headers.items()}
    text = string_to_sign("POST", "/pools", {"api-version": API}, headers, account.name)
    request.headers["authorization"] = f"SharedKey goldenbatch:{sign(text, account.facts.primary_key)}"

    answer = batch.client.send(request)

    assert refusal(answer) == (403, "AuthenticationFailed")
    assert (
        "SharedKey is not allowed when external resources of type Compute"
        in reasons(answer)["AuthenticationErrorDetail"]
    )
    assert batch.plane("POST", "/pools", body).status_code == 201


def test_an_image_for_scsi_does_not_boot_on_a_size_that_speaks_nvme_only(batch: Batch) -> None:
    batch.make("nightly", on_image(batch.make_version(), 1, vmSize="STANDARD_D2S_V6"))

    details = {pair["code"]: pair["message"] for pair in _first_error(batch)["details"]}
    assert json.loads(details["Provider Error Json"])["error"]["code"] == "InvalidParameter"
    assert "'Standard_D2s_v6' cannot boot with OS image or disk" in details["Provider Error Json"]


def test_an_image_for_both_controllers_boots_on_a_size_that_speaks_nvme_only(batch: Batch) -> None:
    features = [{"name": "SecurityType", "value": "Standard"}, {"name": "DiskControllerTypes", "value": "SCSI, NVMe"}]
    batch.make("nightly", on_image(batch.make_version(features=features), 1, vmSize="STANDARD_D2S_V6"))

    assert batch.counts("nightly") == {"idle": 1, "total": 1}


def test_a_node_agent_for_another_distribution_cannot_be_installed(batch: Batch) -> None:
    body = on_image("unused", 1)
    configuration = machine({"id": batch.make_version()}) | {"nodeAgentSkuId": "batch.node.el 9"}
    body["properties"]["deploymentConfiguration"] = {"virtualMachineConfiguration": configuration}
    batch.make("nightly", body)

    node = batch.nodes("nightly")[0]
    assert (node["state"], node["errors"][0]["code"]) == ("unusable", "BatchAgentInstallationFailure")


def test_of_an_unknown_base_image_only_the_os_type_counts(batch: Batch) -> None:
    version = batch.make_version()
    found = batch.world.compute.image_version(version)
    assert found is not None
    assert found.base_image == ("canonical", "ubuntu-24_04-lts", "server")
    found.base_image = None
    body = on_image("unused", 1)
    configuration = machine({"id": version}) | {"nodeAgentSkuId": "batch.node.el 9"}
    body["properties"]["deploymentConfiguration"] = {"virtualMachineConfiguration": configuration}
    batch.make("nightly", body)

    assert batch.counts("nightly") == {"idle": 1, "total": 1}


def test_pools_on_one_image_share_a_limit_when_there_is_one(batch: Batch) -> None:
    batch.change(custom_image_dedicated_limit=5)
    version = batch.make_version()
    batch.make("other", on_image(version, 3))
    batch.make("nightly", on_image(version, 3))

    assert (batch.get("nightly")["currentDedicatedNodes"], _first_error(batch)["code"]) == (2, "AllocationFailed")


def test_pools_on_images_of_one_snapshot_share_a_limit(batch: Batch) -> None:
    """The sum rule of the article on custom images, through managed image and gallery version."""
    batch.change(custom_image_dedicated_limit=5, custom_image_low_priority_limit=3)
    batch.arm.make_definition()
    image = batch.arm.make_image()
    snapshot = image.replace("/images/golden-image", "/snapshots/golden-image-os")
    versions = [f"{DEFINITION}/versions/1.0.{patch}" for patch in range(3)]
    direct = batch.arm.version_body("")
    direct["properties"]["storageProfile"] = {"osDiskImage": {"source": {"id": snapshot}}}
    fresh = batch.arm.version_body(batch.arm.make_image("fresh"))
    for version, body in zip(versions, (batch.arm.version_body(image), direct, fresh), strict=True):
        batch.arm.done(batch.arm.put(version, body))
    batch.arm.done(batch.arm.call("DELETE", image.split("/", 3)[3]))
    for name, version in zip(POOLS, versions, strict=True):
        body = on_image(batch.arm.id(version))
        body["properties"]["scaleSettings"] = scale(4, 2)["properties"]["scaleSettings"]
        batch.make(name, body)

    sizes = [(batch.get(n)["currentDedicatedNodes"], batch.get(n)["currentLowPriorityNodes"]) for n in POOLS]
    assert sizes == [(4, 2), (1, 1), (4, 2)]
    assert "images of one snapshot" in _first_error(batch)["message"]


def test_images_of_one_disk_do_not_share_a_limit(batch: Batch) -> None:
    batch.change(custom_image_dedicated_limit=3)
    batch.arm.make_definition()
    for patch, name in enumerate(("other", "nightly")):
        version = f"{DEFINITION}/versions/1.0.{patch}"
        batch.arm.done(batch.arm.put(version, batch.arm.version_body(batch.arm.make_image(name))))
        batch.make(name, on_image(batch.arm.id(version), 3))

    assert batch.get("nightly")["currentDedicatedNodes"] == 3
