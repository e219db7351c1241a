"""Requests as the Azure CLI and older SDKs send them."""

from __future__ import annotations

import pytest
from arm_client import DEFINITION, GOLDEN, IMAGES, VERSION, VM, Arm, error_of
from starlette.testclient import TestClient

NIC = "resourceGroups/golden/providers/Microsoft.Network/networkInterfaces/golden-vm-nic"


def test_the_location_of_a_finished_snapshot_answers_the_snapshot(arm: Arm, client: TestClient) -> None:
    # az snapshot create ends with a GET of Location and shows what it finds there
    answer = arm.put(f"{IMAGES}/snapshots/s1", arm.snapshot_body(), version="2025-01-02")
    arm.done(answer)
    final = client.get(answer.headers["Location"])
    assert final.status_code == 200
    assert final.json() == arm.get(f"{IMAGES}/snapshots/s1", version="2025-01-02").json()
    assert final.json()["properties"]["provisioningState"] == "Succeeded"


def test_the_location_of_a_running_snapshot_says_to_wait(arm: Arm, client: TestClient) -> None:
    answer = arm.put(f"{IMAGES}/snapshots/s1", arm.snapshot_body())
    assert client.get(answer.headers["Location"]).status_code == 202


def test_the_location_of_a_finished_gallery_answers_the_gallery(arm: Arm, client: TestClient) -> None:
    answer = arm.put(f"{IMAGES}/galleries/g2", {"location": "westeurope"})
    arm.done(answer)
    assert client.get(answer.headers["Location"]).json()["name"] == "g2"


def test_the_location_of_a_finished_deallocation_has_no_body(arm: Arm, client: TestClient) -> None:
    answer = arm.call("POST", f"{VM}/deallocate")
    arm.done(answer)
    final = client.get(answer.headers["Location"])
    assert (final.status_code, final.content) == (200, b"")


def test_an_update_of_a_version_may_leave_its_sources_out(arm: Arm) -> None:
    # az sig image-version update sends the disk images without their sources
    arm.make_definition()
    source = {"source": {"id": arm.take_snapshot("s1")}}
    body = arm.version_body(arm.id("unused"))
    body["properties"]["storageProfile"] = {"osDiskImage": source}
    arm.done(arm.put(VERSION, body))
    body["properties"]["storageProfile"] = {"osDiskImage": {"hostCaching": "ReadWrite"}, "dataDiskImages": []}
    body["properties"]["publishingProfile"]["excludeFromLatest"] = True
    answer = arm.put(VERSION, body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["properties"]["publishingProfile"]["excludeFromLatest"] is True
    assert answer.json()["properties"]["storageProfile"]["osDiskImage"]["source"] == source["source"]


def test_compute_reads_enumerations_in_any_case(arm: Arm) -> None:
    # "eastus2=2=standard_lrs" stands in the help of az sig image-version create
    arm.make_definition(osType="linux", hyperVGeneration="v2")
    body = arm.version_body(arm.make_image())
    body["properties"]["publishingProfile"]["targetRegions"][0]["storageAccountType"] = "standard_lrs"
    answer = arm.put(VERSION, body)
    assert answer.status_code == 201, answer.text
    region = answer.json()["properties"]["publishingProfile"]["targetRegions"][0]
    assert region["storageAccountType"] == "Standard_LRS"
    assert arm.get(DEFINITION).json()["properties"]["osType"] == "Linux"


def test_an_unknown_word_is_refused_in_any_case(arm: Arm) -> None:
    answer = arm.put(DEFINITION, arm.definition_body(osType="beos"))
    assert error_of(answer) == (400, "InvalidParameter")


def test_the_network_interface_of_a_vm_can_be_read(arm: Arm) -> None:
    # az vm show -d reads it before it shows the power state
    named = arm.get(VM).json()["properties"]["networkProfile"]["networkInterfaces"][0]["id"]
    assert named == arm.id(NIC)
    answer = arm.get(NIC, version="2022-01-01")
    assert answer.json()["properties"]["virtualMachine"]["id"] == arm.id(VM)


def test_there_are_no_networks(arm: Arm) -> None:
    path = f"{GOLDEN.replace('Compute', 'Network')}/virtualNetworks/v/subnets/s"
    assert error_of(arm.get(path, version="2022-01-01")) == (404, "ResourceNotFound")


# -- what the image's sources make, at the api-versions of Azure CLI 2.91 ----------------------------------------------


@pytest.mark.parametrize("version", ["2022-03-01", "2024-07-01", "2026-04-01"])
def test_a_clone_is_read(arm: Arm, version: str) -> None:
    # az vm show --show-details: the VM with its state, then each network card at an older api-version
    clone = arm.make_vm()
    shown = arm.get(f"{clone.removeprefix(arm.id(''))}?$expand=instanceView", version=version).json()["properties"]
    assert [status["code"] for status in shown["instanceView"]["statuses"]][-1] == "PowerState/running"
    (card,) = shown["networkProfile"]["networkInterfaces"]
    for nic_version in ("2022-01-01", "2023-11-01"):
        found = arm.get(card["id"].removeprefix(arm.id("")), version=nic_version).json()
        assert found["properties"]["virtualMachine"]["id"] == clone
        assert found["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"]


@pytest.mark.parametrize("version", ["2022-03-01", "2025-04-01"])
def test_a_restore_point_is_read(arm: Arm, version: str) -> None:
    # az restore-point collection show --restore-points; az restore-point show
    collection = f"{GOLDEN}/restorePointCollections/c"
    arm.put(collection, {"location": "westeurope", "properties": {"source": {"id": arm.id(VM)}}})
    arm.done(arm.put(f"{collection}/restorePoints/p", {"properties": {}}))
    (listed,) = arm.get(f"{GOLDEN}/restorePointCollections", version=version).json()["value"]
    assert listed["name"] == "c"
    (point,) = arm.get(f"{collection}?$expand=restorePoints", version=version).json()["properties"]["restorePoints"]
    shown = arm.get(f"{collection}/restorePoints/p", version=version).json()
    assert shown["name"] == point["name"] == "p"
    assert shown["properties"]["sourceMetadata"]["storageProfile"]["osDisk"]["diskRestorePoint"]["id"]


@pytest.mark.parametrize("version", ["2021-07-01", "2024-07-01", "2024-11-01"])
def test_an_image_of_page_blobs_is_read(arm: Arm, version: str) -> None:
    # az image list, az image show
    blobs = [f"https://goldenvhds.blob.core.windows.net/vhds/{name}.vhd" for name in ("golden", "golden-data")]
    disks = {
        "osDisk": {"osType": "Linux", "osState": "Generalized", "blobUri": blobs[0]},
        "dataDisks": [{"lun": 0, "blobUri": blobs[1]}],
    }
    body = {"location": "westeurope", "properties": {"hyperVGeneration": "V2", "storageProfile": disks}}
    arm.done(arm.put(f"{IMAGES}/images/of-blobs", body))
    (listed,) = arm.get(f"{IMAGES}/images", version=version).json()["value"]
    shown = arm.get(f"{IMAGES}/images/of-blobs", version=version).json()
    for image in (listed, shown):
        profile = image["properties"]["storageProfile"]
        assert [profile["osDisk"]["blobUri"], profile["dataDisks"][0]["blobUri"]] == blobs


@pytest.mark.parametrize("version", ["2021-10-01", "2024-03-03", "2026-03-03"])
def test_the_state_of_a_version_in_its_regions_is_read(arm: Arm, version: str) -> None:
    # az sig image-version show --expand ReplicationStatus
    arm.make_definition()
    body = arm.version_body(arm.make_image())
    body["properties"]["publishingProfile"]["targetRegions"] = [{"name": "westeurope"}, {"name": "northeurope"}]
    arm.done(arm.put(VERSION, body))
    shown = arm.get(f"{VERSION}?$expand=ReplicationStatus", version=version).json()["properties"]
    states = {region["region"]: region["state"] for region in shown["replicationStatus"]["summary"]}
    assert states == {"West Europe": "Completed", "North Europe": "Completed"}
