"""Storage accounts, and VHDs as sources of managed images and image versions."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from arm_client import IMAGES, VERSION, Arm, error_of, message_of
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.storage import StorageManagementClient
from batch_client import Batch, on_image
from pydantic import ValidationError
from starlette.testclient import TestClient
from test_compute_sdk import NoToken

from include.azure_simulator.clock import Clock
from include.azure_simulator.errors import ArmError
from include.azure_simulator.server import build_app
from include.azure_simulator.world import SAMPLE_WORLD, World, WorldFile

ACCOUNT = "resourceGroups/golden/providers/Microsoft.Storage/storageAccounts/goldenvhds"
CONTAINER = "https://goldenvhds.blob.core.windows.net/vhds"
OS_VHD = f"{CONTAINER}/golden.vhd"
DATA_VHD = f"{CONTAINER}/golden-data.vhd"
IMAGE = f"{IMAGES}/images/from-vhd"


def _account(**changes: object) -> dict[str, Any]:
    """The account of a world file with VHDs that the sample world does not have."""
    blobs = [
        {"name": "golden.vhd", "size_gib": 30, "os_type": "Linux", "generation": "V2"},
        {"name": "old.vhd", "size_gib": 30, "os_type": "Linux"},
        {"name": "block.vhd", "type": "block", "size_gib": 30, "os_type": "Linux", "generation": "V2"},
        {"name": "large.vhd", "size_gib": 2_000},
        {"name": "raw.img", "size_gib": 30},
    ]
    containers = [{"name": "vhds", "blobs": blobs}]
    account = {"name": "goldenvhds", "resource_group": "golden", "location": "westeurope", "containers": containers}
    return account | changes


def _file(account: dict[str, Any]) -> WorldFile:
    content = yaml.safe_load(SAMPLE_WORLD.read_text(encoding="utf-8"))
    content["storage"] = {"accounts": [account]}
    return WorldFile.model_validate(content)


@pytest.fixture
def batch(clock: Clock) -> Batch:
    """A world with more VHDs, on both planes of Batch."""
    world = World(_file(_account()), clock=clock)
    return Batch(TestClient(build_app(world), base_url="http://localhost:8070"), world)


def _image(uri: str = OS_VHD, data: dict[int, str] | None = None, **changes: object) -> dict[str, Any]:
    profile = {
        "osDisk": {"osType": "Linux", "osState": "Generalized", "blobUri": uri},
        "dataDisks": [{"lun": lun, "blobUri": disk} for lun, disk in (data or {}).items()],
    }
    return {"location": "westeurope", "properties": {"hyperVGeneration": "V2", "storageProfile": profile}} | changes


def _version(arm: Arm, uri: str = OS_VHD, data: dict[int, str] | None = None) -> dict[str, Any]:
    def source(blob: str) -> dict[str, str]:
        return {"uri": blob, "storageAccountId": arm.id(ACCOUNT)}

    profile = {
        "osDiskImage": {"source": source(uri), "hostCaching": "ReadWrite"},
        "dataDiskImages": [{"lun": lun, "source": source(blob)} for lun, blob in (data or {}).items()],
    }
    return {"location": "westeurope", "properties": {"storageProfile": profile}}


def test_an_account_can_be_read(arm: Arm) -> None:
    account = arm.get(ACCOUNT.upper().replace("RESOURCEGROUPS", "resourceGroups"), version="2023-05-01").json()
    assert (account["name"], account["location"]) == ("goldenvhds", "westeurope")
    assert account["sku"] == {"name": "Standard_LRS", "tier": "Standard"}
    assert account["properties"]["primaryEndpoints"]["blob"] == "https://goldenvhds.blob.core.windows.net/"


@pytest.mark.parametrize("scope", ["", "resourceGroups/golden/"])
def test_accounts_are_listed(arm: Arm, scope: str) -> None:
    answer = arm.get(f"{scope}providers/Microsoft.Storage/storageAccounts", version="2023-05-01")
    assert [account["name"] for account in answer.json()["value"]] == ["goldenvhds"]


def test_an_account_that_does_not_exist_is_not_found(arm: Arm) -> None:
    answer = arm.get(ACCOUNT.replace("goldenvhds", "none"), version="2023-05-01")
    assert error_of(answer) == (404, "ResourceNotFound")
    assert "Microsoft.Storage/storageAccounts/none" in message_of(answer)


def test_an_account_cannot_be_made(arm: Arm) -> None:
    assert error_of(arm.call("PUT", ACCOUNT, {}, version="2023-05-01")) == (405, "MethodNotAllowed")


def test_an_image_from_vhds(arm: Arm, world: World) -> None:
    body = _image(data={0: DATA_VHD})
    assert arm.done(arm.put(IMAGE, body))["status"] == "Succeeded"
    assert arm.get(IMAGE).json()["properties"]["storageProfile"] == body["properties"]["storageProfile"]
    image = world.compute.managed_image(arm.id(IMAGE))
    assert image is not None
    assert (image.os_disk_gib, image.data_disks, image.hyper_v_generation) == (30, {0: 16}, "V2")


def test_the_generation_of_a_vhd_must_be_given(arm: Arm) -> None:
    body = _image(f"{CONTAINER}/none.vhd")  # Azure asks for the generation before it looks for the blob
    del body["properties"]["hyperVGeneration"]
    answer = arm.put(IMAGE, body)
    assert error_of(answer) == (400, "InvalidParameter")
    assert message_of(answer) == "Required parameter 'hyperVGeneration' is missing (null)."


def test_before_2019_it_was_the_first_generation(arm: Arm) -> None:
    body = _image()
    del body["properties"]["hyperVGeneration"]
    answer = arm.put(IMAGE, body, version="2018-10-01")
    assert (answer.status_code, answer.json()["properties"]["hyperVGeneration"]) == (201, "V1")


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("golden.vhd", "does not look to be correct blob URI"),
        ("https://goldenvhds.blob.core.windows.net/golden.vhd", "does not look to be correct blob URI"),
        (f"{CONTAINER}/system/golden.vhd", "contains a slash"),
        (f"{CONTAINER}/raw.img", "must end with '.vhd' extension"),
        (f"{CONTAINER}/none.vhd", "is not accessible"),
        (f"{CONTAINER}/GOLDEN.vhd", "is not accessible"),
        (f"{CONTAINER[:-1]}x/golden.vhd", "is not accessible"),
        ("https://elsewhere.blob.core.windows.net/vhds/golden.vhd", "is not accessible"),
    ],
)
def test_a_blob_that_is_no_vhd_is_refused(batch: Batch, uri: str, text: str) -> None:
    for answer in (batch.arm.put(IMAGE, _image(uri)), batch.arm.put(IMAGE, _image(data={0: uri}))):
        assert error_of(answer) == (400, "InvalidParameter")
        assert text in message_of(answer)


@pytest.mark.parametrize("code", ["IncorrectDiskBlobType", "InvalidParameter"])
def test_a_block_blob_is_refused(batch: Batch, code: str) -> None:
    batch.world.settings = batch.world.settings.patched({"compute": {"block_blob_code": code}})
    batch.arm.make_definition()
    uri = f"{CONTAINER}/block.vhd"
    for answer in (batch.arm.put(IMAGE, _image(uri)), batch.arm.put(VERSION, _version(batch.arm, uri))):
        assert error_of(answer) == (400, code)
        assert "only be of type page blob" in message_of(answer)


def test_an_image_is_made_in_the_region_of_the_account(arm: Arm) -> None:
    answer = arm.put(IMAGE, _image(location="northeurope"))
    assert error_of(answer) == (400, "BadRequest")
    assert "does not belong to the same region" in message_of(answer)


def test_the_limit_of_the_os_disk_holds_for_vhds(batch: Batch) -> None:
    answer = batch.arm.put(IMAGE, _image(f"{CONTAINER}/large.vhd"))
    assert error_of(answer) == (400, "InvalidParameter")
    assert "1023 GB" in message_of(answer)


def test_one_vhd_cannot_be_two_disks(arm: Arm) -> None:
    arm.make_definition()
    for answer in (arm.put(IMAGE, _image(data={0: OS_VHD})), arm.put(VERSION, _version(arm, data={0: OS_VHD}))):
        assert error_of(answer) == (400, "InvalidParameter")


def test_other_vhds_than_before_are_refused(batch: Batch) -> None:
    batch.arm.done(batch.arm.put(IMAGE, _image()))
    assert batch.arm.put(IMAGE, _image(tags={"a": "b"})).status_code == 200
    answer = batch.arm.put(IMAGE, _image(f"{CONTAINER}/old.vhd"))
    assert error_of(answer) == (409, "PropertyChangeNotAllowed")


def test_a_version_straight_from_vhds(arm: Arm, world: World) -> None:
    arm.make_definition()
    body = _version(arm, data={2: DATA_VHD})
    assert arm.done(arm.put(VERSION, body))["status"] == "Succeeded"
    shown = arm.get(VERSION).json()
    profile = shown["properties"]["storageProfile"]
    assert profile["osDiskImage"] == {**body["properties"]["storageProfile"]["osDiskImage"], "sizeInGB": 30}
    assert (profile["dataDiskImages"][0]["source"]["uri"], profile["dataDiskImages"][0]["sizeInGB"]) == (DATA_VHD, 16)
    assert arm.done(arm.put(VERSION, shown))["status"] == "Succeeded"
    version = world.compute.image_version(arm.id(VERSION))
    assert version is not None
    assert (version.os_disk_gib, version.data_disks) == (30, {2: 16})


def test_older_clients_name_the_account_in_the_id(arm: Arm) -> None:
    arm.make_definition()
    body = _version(arm)
    body["properties"]["storageProfile"]["osDiskImage"]["source"] = {"uri": OS_VHD, "id": arm.id(ACCOUNT)}
    assert arm.put(VERSION, body, version="2021-07-01").status_code == 201


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"uri": OS_VHD}, "storageAccountId' is missing"),
        ({"uri": OS_VHD, "storageAccountId": "another"}, "is not in the storage account 'another'"),
        ({}, "One of 'id' and 'uri'"),
        ({"uri": f"{CONTAINER}/none.vhd", "storageAccountId": "another"}, "is not accessible"),
    ],
)
def test_a_version_needs_the_account_of_its_vhd(arm: Arm, source: dict[str, str], text: str) -> None:
    arm.make_definition()
    body = _version(arm)
    body["properties"]["storageProfile"]["osDiskImage"]["source"] = source
    answer = arm.put(VERSION, body)
    assert error_of(answer) == (400, "InvalidParameter")
    assert text in message_of(answer)


def test_a_version_is_made_in_the_region_of_the_account(clock: Clock) -> None:
    world = World(_file(_account(location="northeurope")), clock=clock)
    arm = Arm(TestClient(build_app(world)), world)
    arm.make_definition()
    answer = arm.put(VERSION, _version(arm))
    assert error_of(answer) == (400, "InvalidParameter")
    assert "same region 'westeurope'" in message_of(answer)


@pytest.mark.parametrize(
    ("security", "status"), [("Standard", 201), ("TrustedLaunchSupported", 201), ("TrustedLaunch", 400)]
)
def test_a_vhd_has_no_security_type_of_its_own(arm: Arm, security: str, status: int) -> None:
    arm.make_definition(features=[{"name": "SecurityType", "value": security}])
    answer = arm.put(VERSION, _version(arm))
    assert answer.status_code == status
    if status == 400:
        assert "not supported for a Vhd Blob source" in message_of(answer)


@pytest.mark.parametrize("through_image", [True, False])
@pytest.mark.parametrize(("blob", "state"), [("golden.vhd", "idle"), ("old.vhd", "unusable")])
def test_nodes_on_what_a_vhd_does_not_hold_are_unusable(
    batch: Batch, blob: str, state: str, through_image: bool
) -> None:
    arm = batch.arm
    arm.make_definition()
    uri = f"{CONTAINER}/{blob}"
    body = _version(arm, uri)
    if through_image:
        arm.done(arm.put(IMAGE, _image(uri)))
        body = arm.version_body(arm.id(IMAGE))
    arm.done(arm.put(VERSION, body))
    batch.make("nightly", on_image(arm.id(VERSION), 2))
    assert batch.counts("nightly") == {state: 2, "total": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Golden-VHDs"},
        {"location": "moonbase"},
        {"containers": [{"name": "V", "blobs": []}]},
        {"containers": [{"name": "vhds", "blobs": [{"name": "a.vhd", "size_gib": 0}]}]},
    ],
)
def test_a_world_file_with_a_wrong_account_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _file(_account(**change))


def test_the_resource_group_of_an_account_must_exist(clock: Clock) -> None:
    with pytest.raises(ArmError, match="ResourceGroupNotFound"):
        World(_file(_account(resource_group="nowhere")), clock=clock)


def test_the_sdks_make_an_image_and_a_version_from_vhds(arm: Arm, world: World, live_simulator: str) -> None:
    world.clock.set_speed(36_000)
    options: dict[str, Any] = {"base_url": live_simulator, "authentication_policy": SansIOHTTPPolicy()}
    with (
        StorageManagementClient(NoToken(), arm.subscription, **options) as storage,
        ComputeManagementClient(NoToken(), arm.subscription, polling_interval=0, **options) as compute,
    ):
        account = storage.storage_accounts.get_properties("golden", "goldenvhds")
        assert account.primary_endpoints is not None
        assert account.primary_endpoints.blob is not None
        assert [found.id for found in storage.storage_accounts.list()] == [account.id]
        with pytest.raises(ResourceNotFoundError):
            storage.storage_accounts.get_properties("golden", "none")

        uri = f"{account.primary_endpoints.blob}vhds/golden.vhd"
        image = compute.images.begin_create_or_update("images", "from-vhd", _image(uri)).result()
        assert image.provisioning_state == "Succeeded"
        with pytest.raises(HttpResponseError) as refused:
            compute.images.begin_create_or_update("images", "other", _image(f"{uri[:-10]}none.vhd"))
        assert refused.value.error is not None
        assert refused.value.error.code == "InvalidParameter"

        gallery = ("images", "golden_gallery", "golden")
        compute.gallery_images.begin_create_or_update(*gallery, arm.definition_body()).result()
        version = compute.gallery_image_versions.begin_create_or_update(*gallery, "1.0.0", _version(arm, uri)).result()
        assert version.storage_profile.os_disk_image.source.uri == uri
        assert version.storage_profile.os_disk_image.source.storage_account_id == account.id
