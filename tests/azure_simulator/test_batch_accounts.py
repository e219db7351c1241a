"""Accounts, lists and api-versions of Microsoft.Batch, on both planes."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import API, Batch, machine, pool_body, reasons, refusal


@pytest.fixture
def batch(client: TestClient, world: World) -> Batch:
    return Batch(client, world)


def test_an_account_shows_its_quotas_and_its_endpoint(batch: Batch) -> None:
    account = batch.call("GET").json()

    properties = account["properties"]
    assert (account["name"], properties["accountEndpoint"]) == ("goldenbatch", "localhost:8070")
    assert properties["dedicatedCoreQuota"] == 6000
    assert properties["dedicatedCoreQuotaPerVMFamilyEnforced"] is True
    assert {"name": "standardDSv5Family", "coreQuota": 6000} in properties["dedicatedCoreQuotaPerVMFamily"]
    assert properties["poolAllocationMode"] == "BatchService"


def test_paths_and_names_compare_without_case(batch: Batch) -> None:
    path = batch.arm.id(batch.account_path).upper().replace("/SUBSCRIPTIONS/", "/subscriptions/")

    assert batch.client.get(f"{path}?api-version={API}").json()["name"] == "goldenbatch"


def test_a_second_account_has_an_endpoint_of_its_own(batch: Batch) -> None:
    path = "resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/second"
    body = {"location": "northeurope", "properties": {"poolAllocationMode": "UserSubscription"}}
    url = f"{batch.arm.id(path)}?api-version={API}"
    made = batch.client.put(url, json=body)

    properties = made.json()["properties"]
    assert made.status_code == 200
    assert properties["accountEndpoint"] == "localhost:8070/accounts/second"
    assert "dedicatedCoreQuota" not in properties
    assert batch.plane("GET", "/accounts/second/pools").json()["value"] == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/nobody", (404, "ResourceNotFound")),
        ("resourceGroups/nobody/providers/Microsoft.Batch/batchAccounts/goldenbatch", (404, "ResourceGroupNotFound")),
        ("resourceGroups/golden/providers/Microsoft.Batch/batchAccounts/goldenbatch", (404, "ResourceNotFound")),
    ],
)
def test_an_account_is_found_in_its_own_group_only(batch: Batch, path: str, expected: tuple[int, str]) -> None:
    assert refusal(batch.client.get(f"{batch.arm.id(path)}?api-version={API}")) == expected


def test_accounts_are_listed(batch: Batch) -> None:
    for path in ("", "resourceGroups/batch/"):
        url = batch.arm.id(f"{path}providers/Microsoft.Batch/batchAccounts")
        assert [item["name"] for item in batch.client.get(f"{url}?api-version={API}").json()["value"]] == [
            "goldenbatch"
        ]


def test_keys_are_given_where_the_account_allows_them(batch: Batch) -> None:
    keys = batch.call("POST", "/listKeys")
    account = batch.world.batch.account(None)
    assert account is not None
    account.facts = account.facts.model_copy(update={"allowed_authentication_modes": ("AAD",)})

    assert keys.json()["accountName"] == "goldenbatch"
    assert refusal(batch.call("POST", "/listKeys")) == (403, "SharedKeyAuthenticationNotAllowed")


def test_the_allocation_mode_of_an_account_never_changes(batch: Batch) -> None:
    body = {"location": "westeurope", "properties": {"poolAllocationMode": "UserSubscription"}}

    assert refusal(batch.call("PUT", "", body)) == (409, "PropertyCannotBeUpdated")


def test_vm_sizes_have_family_and_cores(batch: Batch) -> None:
    url = batch.arm.id("providers/Microsoft.Batch/locations/westeurope/virtualMachineSkus")
    skus = {sku["name"]: sku for sku in batch.client.get(f"{url}?api-version={API}").json()["value"]}

    capabilities = {item["name"]: item["value"] for item in skus["Standard_D4s_v5"]["capabilities"]}
    assert skus["Standard_D4s_v5"]["familyName"] == "standardDSv5Family"
    assert (capabilities["vCPUs"], capabilities["HyperVGenerations"]) == ("4", "V1,V2")


def test_a_location_has_a_quota_of_accounts(batch: Batch) -> None:
    url = batch.arm.id("providers/Microsoft.Batch/locations/westeurope/quotas")

    assert batch.client.get(f"{url}?api-version={API}").json() == {"accountQuota": 3}


def test_arm_lists_filter_select_and_page(batch: Batch) -> None:
    for name in ("one", "two", "three"):
        batch.put(name, pool_body(1 if name == "two" else 0))

    def names(query: str) -> list[str]:
        return [pool["name"] for pool in batch.call("GET", f"/pools?{query}").json()["value"]]

    first = batch.call("GET", "/pools?maxresults=2").json()
    rest = batch.client.get(first["nextLink"]).json()
    selected = batch.call("GET", "/pools?$select=name,properties/vmSize").json()["value"][0]
    assert names("$filter=properties/allocationState eq 'Resizing'") == ["two"]
    assert names("$filter=startswith(name, 't') and properties/allocationState eq 'Steady'") == ["three"]
    assert [len(first["value"]), len(rest["value"])] == [2, 1]
    assert "nextLink" not in rest
    assert selected.keys() == {"id", "name", "type", "etag", "properties"}
    assert selected["properties"] == {"vmSize": "STANDARD_D2S_V5"}


def test_data_plane_lists_filter_select_and_page(batch: Batch) -> None:
    for name in ("one", "two", "three"):
        batch.put(name, pool_body())
    first = batch.plane("GET", "/pools?maxresults=2&$select=id,state&$filter=state eq 'active'").json()

    assert first["value"] == [{"id": "one", "state": "active"}, {"id": "three", "state": "active"}]
    assert batch.client.get(first["odata.nextLink"]).json()["value"] == [{"id": "two", "state": "active"}]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("$filter=state is 'active'", "$filter"),
        ("$filter=state eq", "$filter"),
        ("maxresults=0", "maxresults"),
        ("maxresults=1001", "maxresults"),
        ("maxresults=x", "maxresults"),
    ],
)
def test_a_bad_query_is_refused(batch: Batch, query: str, name: str) -> None:
    answer = batch.plane("GET", f"/pools?{query}")

    assert refusal(answer) == (400, "InvalidQueryParameterValue")
    assert reasons(answer)["QueryParameterName"] == name


@pytest.mark.parametrize("version", ["2022-10-01.16.0", "2024-07-01.20.0", "2025-06-01"])
def test_data_plane_versions_of_four_years_are_answered(batch: Batch, version: str) -> None:
    assert batch.plane("GET", "/pools", version=version).status_code == 200


def test_older_versions_show_a_pool_in_their_own_words(batch: Batch) -> None:
    disk = {"lun": 0, "diskSizeGB": 8, "managedDisk": {"storageAccountType": "Premium_LRS"}}
    profile = {"encryptionAtHost": True}
    deployment = {"virtualMachineConfiguration": machine(dataDisks=[disk], securityProfile=profile)}
    batch.put("nightly", {**pool_body(deploymentConfiguration=deployment), "tags": {"a": "b"}})

    old = batch.plane("GET", "/pools/nightly", version="2024-02-01.19.0").json()
    new = batch.plane("GET", "/pools/nightly").json()
    flat = [{"lun": 0, "diskSizeGB": 8, "storageAccountType": "premium_lrs"}]
    assert old["virtualMachineConfiguration"]["dataDisks"] == flat
    assert "securityProfile" not in old["virtualMachineConfiguration"]
    assert new["virtualMachineConfiguration"]["securityProfile"] == profile
    assert new["virtualMachineConfiguration"]["dataDisks"][0]["managedDisk"] == {"storageAccountType": "premium_lrs"}
    assert "tags" not in batch.call("GET", "/pools/nightly", version="2024-02-01").json()
    assert batch.call("GET", "/pools/nightly").json()["tags"] == {"a": "b"}


def test_older_versions_do_not_count_deallocated_nodes(batch: Batch) -> None:
    batch.put("nightly", pool_body())

    old = batch.plane("GET", "/nodecounts", version="2024-02-01.19.0").json()["value"][0]["dedicated"]

    assert "deallocated" not in old
    assert "deallocated" in batch.plane("GET", "/nodecounts").json()["value"][0]["dedicated"]


def test_a_data_plane_call_needs_a_known_version(batch: Batch) -> None:
    unknown = batch.plane("GET", "/pools", version="2030-01-01")

    assert refusal(batch.client.get("/pools")) == (400, "MissingRequiredQueryParameter")
    assert refusal(unknown) == (400, "InvalidQueryParameterValue")


def test_data_plane_answers_have_the_content_type_of_the_service(batch: Batch) -> None:
    expected = "application/json; odata=minimalmetadata"

    assert batch.plane("GET", "/pools").headers["content-type"] == expected
    missing = batch.plane("GET", "/pools/nobody")
    assert missing.headers["content-type"] == expected
    assert missing.json()["message"]["value"].startswith("The specified pool does not exist.\nRequestId:")


def test_arm_messages_close_with_request_id_and_time(batch: Batch) -> None:
    message = batch.call("GET", "/pools/nobody").json()["error"]["message"]

    assert message.startswith("The specified pool does not exist.\nRequestId:")


def test_the_code_of_a_missing_pool_on_arm_is_a_switch(batch: Batch) -> None:
    batch.change(arm_pool_not_found_code="ResourceNotFound")

    assert refusal(batch.call("GET", "/pools/nobody")) == (404, "ResourceNotFound")
    assert refusal(batch.plane("GET", "/pools/nobody")) == (404, "PoolNotFound")


def test_writes_name_the_object_and_its_etag(batch: Batch) -> None:
    batch.put("nightly", pool_body())

    answer = batch.plane("PATCH", "/pools/nightly", {"metadata": []})

    assert answer.headers["dataserviceid"] == "http://localhost:8070/pools/nightly"
    assert answer.headers["etag"] == batch.plane("GET", "/pools/nightly").json()["eTag"]


def test_a_malformed_body_is_refused(batch: Batch) -> None:
    answer = batch.client.post(f"/pools?api-version={API}", content=b"{")

    assert refusal(answer) == (400, "InvalidRequestBody")


def test_supported_images_name_their_node_agents(batch: Batch) -> None:
    images: list[dict[str, Any]] = batch.plane("GET", "/supportedimages").json()["value"]

    agents = {image["nodeAgentSKUId"]: image["osType"] for image in images}
    assert agents["batch.node.ubuntu 22.04"] == agents["batch.node.ubuntu 24.04"] == "linux"
    assert agents["batch.node.windows amd64"] == "windows"


def test_a_world_file_can_bring_pools(batch: Batch, world: World) -> None:
    properties = pool_body(2)["properties"]
    section = world.batch.section.model_dump(mode="json")
    formula = pool_body(scaleSettings={"autoScale": {"formula": "$TargetDedicatedNodes=1"}})["properties"]
    pools = [{"name": "seeded", "properties": properties}, {"name": "automatic", "properties": formula}]
    section["accounts"][0]["pools"] = pools
    world.batch = type(world.batch).from_section(section, world)

    assert batch.counts("seeded") == {"idle": 2, "total": 2}
    assert batch.get("seeded")["allocationState"] == "Steady"
    assert batch.get("automatic")["allocationState"] == "Resizing"


def test_a_patch_changes_only_what_it_names(batch: Batch) -> None:
    before = batch.call("GET").json()
    after = batch.call("PATCH", body={"tags": {"a": "b"}}).json()
    assert after == {**before, "tags": {"a": "b"}}


def test_a_patch_can_forbid_shared_keys(batch: Batch) -> None:
    modes = {"properties": {"allowedAuthenticationModes": ["AAD"]}}
    assert batch.call("PATCH", body=modes).json()["properties"]["allowedAuthenticationModes"] == ["AAD"]
    assert refusal(batch.call("POST", "/listKeys")) == (403, "SharedKeyAuthenticationNotAllowed")


def test_a_patch_cannot_change_the_allocation_mode(batch: Batch) -> None:
    answer = batch.call("PATCH", body={"properties": {"poolAllocationMode": "UserSubscription"}})
    assert refusal(answer) == (409, "PropertyCannotBeUpdated")


@pytest.mark.parametrize("name", ["Primary", "Secondary"])
def test_a_key_is_replaced_and_the_other_is_kept(batch: Batch, name: str) -> None:
    before = batch.call("POST", "/listKeys").json()
    after = batch.call("POST", "/regenerateKeys", {"keyName": name}).json()
    assert after == batch.call("POST", "/listKeys").json()
    assert {key for key in before if before[key] != after[key]} == {name.lower()}


def test_only_the_two_keys_can_be_replaced(batch: Batch) -> None:
    assert refusal(batch.call("POST", "/regenerateKeys", {"keyName": "third"})) == (400, "InvalidPropertyValue")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_the_limits_of_tags_hold_for_accounts(batch: Batch, method: str) -> None:
    location = {"location": "westeurope"} if method == "PUT" else {}
    answer = batch.call(method, body={**location, "tags": {"a<b": "c"}})
    assert refusal(answer) == (400, "InvalidTagNameCharacters")
