"""What Azure Batch refuses when a pool is made or changed, and what it lets through."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import Batch, machine, pool_body, reasons, refusal, scale


@pytest.fixture
def batch(client: TestClient, world: World) -> Batch:
    return Batch(client, world)


def test_put_answers_at_once_and_shows_the_resize(batch: Batch) -> None:
    answer = batch.put("nightly", pool_body(3))

    properties = answer.json()["properties"]
    assert answer.status_code == 200
    assert answer.headers["etag"] == answer.json()["etag"]
    assert (properties["allocationState"], properties["currentDedicatedNodes"]) == ("Resizing", 0)
    assert properties["resizeOperationStatus"]["targetDedicatedNodes"] == 3


def test_a_pool_is_visible_on_both_planes(batch: Batch) -> None:
    batch.put("Nightly", pool_body(startTask={"commandLine": "true", "userIdentity": {"userName": "me"}}))

    shown = batch.plane("GET", "/pools/nightly").json()

    assert (shown["id"], shown["vmSize"], shown["allocationState"]) == ("Nightly", "standard_d2s_v5", "steady")
    assert shown["virtualMachineConfiguration"]["nodeAgentSKUId"] == "batch.node.ubuntu 24.04"
    assert shown["startTask"]["userIdentity"] == {"username": "me"}


@pytest.mark.parametrize(
    ("changes", "code", "pair"),
    [
        ({"vmSize": "Standard_Z99"}, "InvalidPropertyValue", ("PropertyName", "vmSize")),
        ({"taskSlotsPerNode": 9}, "InvalidPropertyValue", ("PropertyName", "taskSlotsPerNode")),
        ({"taskSlotsPerNode": 300}, "InvalidPropertyValue", ("PropertyName", "taskSlotsPerNode")),
        (
            {"scaleSettings": {"fixedScale": {"targetDedicatedNodes": 1, "resizeTimeout": "PT4M59S"}}},
            "InvalidPropertyValue",
            ("Reason", "The minimum value of resizeTimeout is 5 minutes."),
        ),
        (
            {"scaleSettings": {"fixedScale": {"resizeTimeout": "PT10M"}}},
            "InvalidPropertyValue",
            ("Reason", "At least one of targetDedicatedNodes and targetLowPriorityNodes must be set."),
        ),
        (
            {
                "scaleSettings": {
                    "fixedScale": {"targetDedicatedNodes": 1},
                    "autoScale": {"formula": "$TargetDedicatedNodes=1"},
                }
            },
            "InvalidPropertyValue",
            ("Reason", "fixedScale and autoScale are mutually exclusive."),
        ),
        (
            {"scaleSettings": {"autoScale": {"formula": "$TargetDedicatedNodes = what"}}},
            "AutoScalingFormulaSyntaxError",
            ("Reason", "This part is not understood: what"),
        ),
        ({"certificates": []}, "InvalidRequestBody", None),
        ({"targetNodeCommunicationMode": "Simplified"}, "InvalidRequestBody", None),
        ({"vmsize": "STANDARD_D2S_V5"}, "InvalidRequestBody", None),
        ({"deploymentConfiguration": {}}, "MissingRequiredProperty", None),
        ({"applicationPackages": [{"id": str(n)} for n in range(11)]}, "InvalidPropertyValue", None),
    ],
)
def test_a_bad_property_is_refused(
    batch: Batch, changes: dict[str, Any], code: str, pair: tuple[str, str] | None
) -> None:
    answer = batch.put("nightly", pool_body(**changes))

    assert refusal(answer) == (400, code)
    if pair is not None:
        assert reasons(answer)[pair[0]] == pair[1]


@pytest.mark.parametrize(
    ("image", "agent", "reason"),
    [
        (
            {
                "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/a/images/b",
                "version": "1",
            },
            "batch.node.ubuntu 24.04",
            "Specified property version can only have a value when publisher is set.",
        ),
        (
            {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"},
            "batch.node.ubuntu 22.04",
            "The node agent SKU does not fit the image reference.",
        ),
        (
            {"publisher": "nobody", "offer": "o", "sku": "s"},
            "batch.node.ubuntu 22.04",
            "The specified image reference is not supported by the Azure Batch service.",
        ),
        (
            {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"},
            "batch.node.debian 8",
            "The node agent SKU is not supported.",
        ),
    ],
)
def test_a_bad_image_reference_is_refused(batch: Batch, image: dict[str, str], agent: str, reason: str) -> None:
    body = pool_body(deploymentConfiguration={"virtualMachineConfiguration": machine(image, nodeAgentSkuId=agent)})

    answer = batch.put("nightly", body)

    assert refusal(answer) == (400, "InvalidPropertyValue")
    assert reasons(answer)["Reason"] == reason


@pytest.mark.parametrize("name", ["a" * 65, "with.dot", "with space"])
def test_a_bad_pool_name_is_refused(batch: Batch, name: str) -> None:
    assert refusal(batch.put(name, pool_body())) == (400, "InvalidPropertyValue")


def test_older_api_versions_still_take_what_the_newest_has_removed(batch: Batch) -> None:
    disk = {"lun": 0, "diskSizeGB": 10, "storageAccountType": "Premium_LRS"}
    deployment = {"virtualMachineConfiguration": machine(dataDisks=[disk])}

    made = batch.put("old", pool_body(certificates=[], deploymentConfiguration=deployment), version="2024-07-01")

    shown = made.json()["properties"]["deploymentConfiguration"]["virtualMachineConfiguration"]["dataDisks"]
    newest = batch.get("old")["deploymentConfiguration"]["virtualMachineConfiguration"]["dataDisks"]
    assert (made.status_code, shown) == (200, [disk])
    assert newest == [{"lun": 0, "diskSizeGB": 10, "managedDisk": {"storageAccountType": "Premium_LRS"}}]


def test_removed_properties_can_be_ignored_by_a_switch(batch: Batch) -> None:
    batch.change(refuse_removed_properties=False)

    assert batch.put("nightly", pool_body(certificates=[])).status_code == 200


def test_if_none_match_refuses_an_existing_pool(batch: Batch) -> None:
    batch.put("nightly", pool_body())

    assert refusal(batch.put("NIGHTLY", pool_body(), If_None_Match="*")) == (412, "ConditionNotMet")


def test_the_status_of_if_none_match_is_a_switch(batch: Batch) -> None:
    batch.put("nightly", pool_body())
    batch.change(if_none_match_status=409)

    assert refusal(batch.put("nightly", pool_body(), If_None_Match="*")) == (409, "ConditionNotMet")


def test_a_stale_etag_is_refused_and_the_present_one_is_taken(batch: Batch) -> None:
    first = batch.put("nightly", pool_body()).json()["etag"]
    second = batch.patch("nightly", {"properties": {"metadata": []}}, If_Match=first).json()["etag"]

    assert refusal(batch.patch("nightly", {"properties": {"metadata": []}}, If_Match=first)) == (412, "ConditionNotMet")
    assert batch.patch("nightly", {"properties": {"metadata": []}}, If_Match=second).status_code == 200
    assert first != second


def test_put_replaces_everything(batch: Batch) -> None:
    batch.put("nightly", pool_body(displayName="one", metadata=[{"name": "a", "value": "b"}]))

    replaced = batch.put("nightly", pool_body()).json()["properties"]

    assert "displayName" not in replaced
    assert "metadata" not in replaced


def test_patch_changes_only_what_it_names(batch: Batch) -> None:
    batch.put("nightly", pool_body(displayName="one", startTask={"commandLine": "true"}))

    changed = batch.patch("nightly", {"properties": {"metadata": [{"name": "a", "value": "b"}]}}).json()["properties"]

    assert (changed["displayName"], changed["startTask"]["commandLine"]) == ("one", "true")
    assert changed["metadata"] == [{"name": "a", "value": "b"}]


def test_an_empty_start_task_takes_it_away(batch: Batch) -> None:
    batch.put("nightly", pool_body(startTask={"commandLine": "true"}))

    assert "startTask" not in batch.patch("nightly", {"properties": {"startTask": {}}}).json()["properties"]


@pytest.mark.parametrize(
    "change",
    [
        {"deploymentConfiguration": {"virtualMachineConfiguration": machine()}},
        {"vmSize": "STANDARD_D4S_V5"},
        {"taskSlotsPerNode": 2},
        {"displayName": "other"},
    ],
)
def test_most_properties_cannot_change_while_there_are_nodes(batch: Batch, change: dict[str, Any]) -> None:
    batch.make("nightly", pool_body(1))

    answer = batch.patch("nightly", {"properties": change})

    name = next(iter(change))
    assert refusal(answer) == (409, "PropertyCannotBeUpdated")
    assert answer.json()["error"]["target"] == "BatchAccount"
    assert reasons(answer)["PropertyName"] == name
    assert reasons(answer)["PropertyPath"] == f"properties.{name}"


def test_the_status_of_property_cannot_be_updated_is_a_switch(batch: Batch) -> None:
    batch.change(property_cannot_be_updated_status=400)
    batch.make("nightly", pool_body(1))

    assert refusal(batch.patch("nightly", {"properties": {"displayName": "x"}})) == (400, "PropertyCannotBeUpdated")


def test_a_patch_that_repeats_a_value_can_pass_by_a_switch(batch: Batch) -> None:
    batch.change(same_value_in_patch_is_an_update=False)
    batch.make("nightly", pool_body(1))

    assert batch.patch("nightly", {"properties": {"vmSize": "STANDARD_D2S_V5"}}).status_code == 200


def test_put_on_a_pool_with_nodes_refuses_only_what_differs(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))

    assert batch.put("nightly", pool_body(1, metadata=[])).status_code == 200
    assert refusal(batch.put("nightly", pool_body(1, vmSize="STANDARD_D4S_V5"))) == (409, "PropertyCannotBeUpdated")


def test_the_image_changes_at_zero_nodes_in_one_patch_with_the_scale(batch: Batch) -> None:
    batch.put("nightly", pool_body())
    jammy = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
    deployment = {"virtualMachineConfiguration": machine(jammy, nodeAgentSkuId="batch.node.ubuntu 22.04")}

    change = {"deploymentConfiguration": deployment, **scale(2)["properties"]}
    answer = batch.patch("nightly", {"properties": change})
    batch.wait(minutes=10)

    assert answer.status_code == 200
    assert {node["virtualMachineInfo"]["imageReference"]["sku"] for node in batch.nodes("nightly")} == {"22_04-lts"}


def test_old_api_versions_patch_only_what_may_change_with_nodes(batch: Batch) -> None:
    batch.put("nightly", pool_body())

    answer = batch.patch("nightly", {"properties": {"displayName": "x"}}, version="2024-02-01")

    assert refusal(answer) == (409, "PropertyCannotBeUpdated")
    assert batch.patch("nightly", {"properties": {"metadata": []}}, version="2024-02-01").status_code == 200


def test_a_write_during_a_resize_is_refused_on_both_planes(batch: Batch) -> None:
    batch.change(arm_pool_being_resized_code="OperationInvalidForCurrentState")
    batch.put("nightly", pool_body(1))

    assert refusal(batch.patch("nightly", scale(2))) == (409, "OperationInvalidForCurrentState")
    assert refusal(batch.put("nightly", pool_body(2))) == (409, "OperationInvalidForCurrentState")
    resize = batch.plane("POST", "/pools/nightly/resize", {"targetDedicatedNodes": 2})
    assert refusal(resize) == (409, "PoolBeingResized")


def test_metadata_during_a_resize_is_a_switch(batch: Batch) -> None:
    batch.put("nightly", pool_body(1))
    refused = batch.patch("nightly", {"properties": {"metadata": []}})
    batch.change(any_patch_refused_during_resize=False)

    assert refusal(refused) == (409, "PoolBeingResized")
    assert batch.patch("nightly", {"properties": {"metadata": []}}).status_code == 200


def test_the_pool_quota_is_enforced_at_creation(batch: Batch) -> None:
    facts = batch.world.batch.account(None)
    assert facts is not None
    facts.facts = facts.facts.model_copy(update={"pool_quota": 1})
    batch.put("one", pool_body())

    assert refusal(batch.put("two", pool_body())) == (409, "PoolQuotaReached")
    assert batch.put("one", pool_body()).status_code == 200


def test_same_id_while_deleting_is_refused_until_the_pool_is_gone(batch: Batch) -> None:
    """Trap 22: the id of a pool that is being deleted cannot be used again yet."""
    batch.make("nightly", pool_body(2))
    deleted = batch.call("DELETE", "/pools/nightly")

    assert deleted.status_code == 202
    assert refusal(batch.put("nightly", pool_body())) == (409, "PoolBeingDeleted")
    assert refusal(batch.patch("nightly", scale(1))) == (409, "PoolBeingDeleted")
    assert refusal(batch.call("DELETE", "/pools/nightly")) == (409, "PoolBeingDeleted")
    assert batch.get("nightly")["provisioningState"] == "Deleting"
    batch.wait(minutes=3)
    assert batch.put("nightly", pool_body()).status_code == 200


def test_a_deletion_is_polled_with_its_retry_after(batch: Batch) -> None:
    batch.put("nightly", pool_body())

    started = batch.call("DELETE", "/pools/nightly")
    location = started.headers["location"]
    running = batch.client.get(location)
    batch.wait(minutes=3)

    assert (started.headers["retry-after"], running.status_code) == ("15", 202)
    assert "/poolOperationResults/delete-nightly-" in location
    assert batch.client.get(location).status_code == 200
    assert batch.call("DELETE", "/pools/nightly").status_code == 204
    assert refusal(batch.call("GET", "/pools/nightly")) == (404, "PoolNotFound")


def test_secrets_are_never_shown(batch: Batch) -> None:
    batch.put("nightly", pool_body(userAccounts=[{"name": "me", "password": "Secret!1"}]))

    assert batch.get("nightly")["userAccounts"] == [{"name": "me"}]
    assert "Secret!1" not in batch.plane("GET", "/pools/nightly").text


def test_an_older_client_replaces_properties_together_with_certificates(batch: Batch) -> None:
    # azure-batch 14 and the CLI name certificates in every such request; they may, while the pool has nodes
    batch.make("nightly", pool_body(1))
    body = {"certificateReferences": [], "applicationPackageReferences": [], "metadata": [{"name": "a", "value": "b"}]}

    answer = batch.plane("POST", "/pools/nightly/updateproperties", body, version="2024-02-01.19.0")

    assert answer.status_code == 204, answer.text
    assert batch.get("nightly")["metadata"] == [{"name": "a", "value": "b"}]


def test_the_limits_of_tags_hold_for_pools(batch: Batch) -> None:
    tags = {f"tag{number}": "x" for number in range(51)}

    assert refusal(batch.put("nightly", pool_body() | {"tags": tags})) == (400, "TooManyTags")
