"""Security profiles of pools: kept and shown on both planes, and what image and size make of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from arm_client import VERSION, Arm
from azure.batch import BatchClient
from azure.batch import models as plane_models
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.batch import BatchManagementClient
from azure.mgmt.batch import models as arm_models
from batch_client import Batch, machine, pool_body, reasons, refusal
from starlette.testclient import TestClient
from test_compute_sdk import NoToken

from include.azure_simulator.clock import Clock
from include.azure_simulator.server import build_app
from include.azure_simulator.world import SAMPLE_WORLD, World, WorldFile

TRUSTED = {"securityType": "trustedLaunch", "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True}}
CONFIDENTIAL = {"securityType": "confidentialVM"}
ENCRYPTED = {"managedDisk": {"securityProfile": {"securityEncryptionType": "VMGuestStateOnly"}}}
JAMMY = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts", "version": "latest"}


def _world(clock: Clock, **vm: Any) -> World:
    """A world whose golden VM is Trusted Launch, with a size for confidential VMs."""
    content = yaml.safe_load(SAMPLE_WORLD.read_text(encoding="utf-8"))
    content["compute"]["virtual_machines"][0].update(vm)
    size = {"name": "Standard_DC2as_v5", "family": "standardDSv5Family", "vcpus": 2, "memory_gib": 8}
    content["compute"]["vm_sizes"].append(size | {"generations": ["V2"], "confidential": True})
    return World(WorldFile.model_validate(content), clock=clock)


@pytest.fixture
def batch(clock: Clock) -> Batch:
    """The account of a world whose golden VM is Trusted Launch."""
    world = _world(clock, security_type="TrustedLaunch")
    return Batch(TestClient(build_app(world), base_url="http://localhost:8070"), world)


def _feature(value: str) -> dict[str, Any]:
    return {"features": [{"name": "SecurityType", "value": value}]}


def _pool(
    image: dict[str, Any] | str | None, profile: dict[str, Any] | None, size: str = "STANDARD_D2S_V5", **more: Any
) -> dict[str, Any]:
    reference = {"id": image} if isinstance(image, str) else image
    configuration = machine(reference, **({} if profile is None else {"securityProfile": profile}), **more)
    if reference == JAMMY:
        configuration["nodeAgentSkuId"] = "batch.node.ubuntu 22.04"
    return pool_body(1, vmSize=size, deploymentConfiguration={"virtualMachineConfiguration": configuration})


def _provider_message(batch: Batch) -> str:
    (error,) = batch.get("nightly")["resizeOperationStatus"]["errors"]
    assert error["code"] == "AllocationFailed"
    details = {pair["code"]: pair["message"] for pair in error["details"]}
    answer = json.loads(details["Provider Error Json"])["error"]
    assert answer["code"] == "BadRequest"
    message: str = answer["message"]
    return message


def test_a_profile_is_kept_and_shown_on_both_planes(batch: Batch) -> None:
    profile = TRUSTED | {"encryptionAtHost": True}
    batch.put("nightly", _pool(None, profile))
    shown = batch.get("nightly")["deploymentConfiguration"]["virtualMachineConfiguration"]["securityProfile"]
    assert shown == profile
    pool = batch.plane("GET", "/pools/nightly").json()
    assert pool["virtualMachineConfiguration"]["securityProfile"] == profile


@pytest.mark.parametrize("word", ["TrustedLaunch", "trustedlaunch"])
def test_a_security_type_is_read_in_any_case(batch: Batch, word: str) -> None:
    batch.put("nightly", _pool(None, {"securityType": word}))
    shown = batch.get("nightly")["deploymentConfiguration"]["virtualMachineConfiguration"]["securityProfile"]
    assert shown == {"securityType": "trustedLaunch"}


@pytest.mark.parametrize(("version", "word"), [("2025-06-01", "confidentialvm"), ("2024-07-01.20.0", "confidentialVM")])
def test_the_data_plane_writes_confidential_in_the_case_of_its_version(batch: Batch, version: str, word: str) -> None:
    batch.put("nightly", _pool(None, CONFIDENTIAL, osDisk=ENCRYPTED))
    pool = batch.plane("GET", "/pools/nightly", version=version).json()
    assert pool["virtualMachineConfiguration"]["securityProfile"] == {"securityType": word}


def test_older_data_planes_know_no_confidential_disks(batch: Batch) -> None:
    disk = {"caching": "ReadOnly", "managedDisk": ENCRYPTED["managedDisk"] | {"storageAccountType": "Premium_LRS"}}
    batch.put("nightly", _pool(None, CONFIDENTIAL, osDisk=disk))
    batch.put("plain", _pool(None, CONFIDENTIAL, osDisk=ENCRYPTED))
    shown = [
        batch.plane("GET", f"/pools/{name}", version="2024-02-01.19.0").json()["virtualMachineConfiguration"]["osDisk"]
        for name in ("nightly", "plain")
    ]
    assert shown == [{"caching": "readonly", "managedDisk": {"storageAccountType": "premium_lrs"}}, {}]


@pytest.mark.parametrize(
    ("profile", "more", "reason"),
    [
        ({"securityType": "standard"}, {}, "trustedLaunch"),
        ({"uefiSettings": {"vTpmEnabled": True}}, {}, "securityType has to be set"),
        (TRUSTED, {"osDisk": ENCRYPTED}, "securityEncryptionType is required for confidential VMs"),
        (CONFIDENTIAL, {}, "securityEncryptionType is required for confidential VMs"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(
    batch: Batch, profile: dict[str, Any], more: dict[str, Any], reason: str
) -> None:
    answer = batch.put("nightly", _pool(None, profile, **more))
    assert refusal(answer) == (400, "InvalidPropertyValue")
    assert reason in reasons(answer)["Reason"]


def test_an_unknown_setting_of_the_firmware_is_refused(batch: Batch) -> None:
    answer = batch.put("nightly", _pool(None, TRUSTED | {"uefiSettings": {"colour": "gold"}}))
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("feature", "profile", "size", "text"),
    [
        ("TrustedLaunch", None, "STANDARD_D2S_V5", "only supports creation of VMs"),
        ("TrustedLaunch", TRUSTED, "STANDARD_D2PS_V5", "CPU Architecture"),
        ("TrustedLaunch", TRUSTED, "STANDARD_D2S_V5", None),
    ],
)
def test_an_image_of_a_trusted_launch_definition(
    batch: Batch, feature: str, profile: dict[str, Any] | None, size: str, text: str | None
) -> None:
    version = batch.make_version(**_feature(feature))
    batch.make("nightly", _pool(version, profile, size))
    if text is None:
        assert batch.counts("nightly") == {"idle": 1, "total": 1}
    else:
        assert text in _provider_message(batch)


@pytest.mark.parametrize("profile", [None, TRUSTED])
def test_an_image_that_supports_trusted_launch_boots_either_way(
    arm: Arm, client: TestClient, world: World, profile: dict[str, Any] | None
) -> None:
    batch = Batch(client, world)
    arm.make_definition(**_feature("TrustedLaunchSupported"))
    arm.done(arm.put(VERSION, arm.version_body(arm.make_image())))
    batch.make("nightly", _pool(arm.id(VERSION), profile))
    assert batch.counts("nightly") == {"idle": 1, "total": 1}


@pytest.mark.parametrize(
    ("image", "profile", "size", "text"),
    [
        (None, TRUSTED, "STANDARD_D2S_V5", None),
        (None, TRUSTED, "STANDARD_A2_V2", "'Standard_A2_v2' is not supported for creation of VMs"),
        (JAMMY, TRUSTED, "STANDARD_D2S_V5", "Use of TrustedLaunch setting is not supported for the provided image"),
        (None, CONFIDENTIAL, "STANDARD_D2S_V5", "with 'ConfidentialVM' security type"),
        (None, CONFIDENTIAL, "STANDARD_DC2AS_V5", "Use of ConfidentialVM setting is not supported"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_mismatch_shows_at_the_resize_or_at_once(
    batch: Batch, image: dict[str, Any] | None, profile: dict[str, Any], size: str, text: str | None, at_once: bool
) -> None:
    batch.change(security_mismatch="refuse" if at_once else "resize_error")
    more = {"osDisk": ENCRYPTED} if profile is CONFIDENTIAL else {}
    body = _pool(image, profile, size, **more)
    if text is None:
        batch.make("nightly", body)
        assert batch.counts("nightly") == {"idle": 1, "total": 1}
    elif at_once:
        answer = batch.put("nightly", body)
        assert refusal(answer) == (400, "InvalidPropertyValue")
        assert reasons(answer)["PropertyName"] == "securityType"
        assert text in reasons(answer)["Reason"]
    else:
        batch.make("nightly", body)
        assert text in _provider_message(batch)


def test_a_change_of_the_size_alone_is_looked_at_too(batch: Batch) -> None:
    batch.change(security_mismatch="refuse")
    body = _pool(None, TRUSTED)
    body["properties"]["scaleSettings"]["fixedScale"]["targetDedicatedNodes"] = 0
    batch.make("nightly", body)
    answer = batch.patch("nightly", {"properties": {"vmSize": "STANDARD_A2_V2"}})
    assert refusal(answer) == (400, "InvalidPropertyValue")
    assert "'Standard_A2_v2' is not supported" in reasons(answer)["Reason"]


def test_the_list_of_sizes_tells_what_they_can(batch: Batch) -> None:
    answer = batch.arm.get("providers/Microsoft.Compute/skus").json()["value"]
    capabilities = {sku["name"]: {pair["name"]: pair["value"] for pair in sku["capabilities"]} for sku in answer}
    assert capabilities["Standard_DC2as_v5"]["ConfidentialComputingType"] == "SNP"
    assert "ConfidentialComputingType" not in capabilities["Standard_D2s_v5"]
    assert capabilities["Standard_A2_v2"]["TrustedLaunchDisabled"] == "True"


def test_the_sdks_write_and_read_a_profile(arm: Arm, live_simulator: str) -> None:
    policy = SansIOHTTPPolicy()
    key = AzureNamedKeyCredential("goldenbatch", "c2ltdWxhdG9yLXByaW1hcnkta2V5")
    with (
        BatchManagementClient(
            NoToken(), arm.subscription, base_url=live_simulator, authentication_policy=policy
        ) as management,
        BatchClient(live_simulator, key) as plane,
    ):
        body = arm_models.Pool(_pool(None, TRUSTED))
        made = management.pool.create("batch", "goldenbatch", "nightly", body)
        assert made.deployment_configuration is not None
        profile = made.deployment_configuration.virtual_machine_configuration.security_profile
        assert profile.security_type == arm_models.SecurityTypes.TRUSTED_LAUNCH
        assert profile.uefi_settings.v_tpm_enabled is True
        seen = plane.get_pool("nightly").virtual_machine_configuration.security_profile
        assert seen.security_type == plane_models.SecurityTypes.TRUSTED_LAUNCH
        assert (seen.uefi_settings.secure_boot_enabled, seen.uefi_settings.vtpm_enabled) == (True, True)

        options = plane_models.BatchPoolCreateOptions(
            id="plane",
            vm_size="standard_d2s_v5",
            virtual_machine_configuration=plane_models.VirtualMachineConfiguration(
                image_reference=plane_models.BatchVmImageReference(
                    publisher="canonical", offer="ubuntu-24_04-lts", sku="server"
                ),
                node_agent_sku_id="batch.node.ubuntu 24.04",
                os_disk=plane_models.BatchOsDisk(
                    managed_disk=plane_models.ManagedDisk(
                        security_profile=plane_models.BatchVmDiskSecurityProfile(
                            security_encryption_type=plane_models.SecurityEncryptionTypes.VM_GUEST_STATE_ONLY
                        )
                    )
                ),
                security_profile=plane_models.SecurityProfile(
                    security_type=plane_models.SecurityTypes.CONFIDENTIAL_VM, encryption_at_host=True
                ),
            ),
        )
        plane.create_pool(options)
        seen = plane.get_pool("plane").virtual_machine_configuration.security_profile
        assert (seen.security_type, seen.encryption_at_host) == (plane_models.SecurityTypes.CONFIDENTIAL_VM, True)
        shown = management.pool.get("batch", "goldenbatch", "plane")
        profile = shown.deployment_configuration.virtual_machine_configuration.security_profile
        assert profile.security_type == arm_models.SecurityTypes.CONFIDENTIAL_VM
