"""Every check: one passing case, at least one failing case, through the door that the operator uses."""

from __future__ import annotations

import inspect
import re
import shlex
from dataclasses import replace
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from golden_pools.rules.facts import BaseImage, PowerState, PurchasePlan, RegionReplication
from golden_pools.rules.plan import ImageVerdict, RunPlan, verdict_tags
from golden_pools.rules.preflight import (
    CHECKS,
    REPORT,
    SUBJECTS,
    Finding,
    Level,
    Lookup,
    Observations,
    blockers,
    lookups,
    preflight,
    render,
)
from golden_pools.rules.source import ImageSource, Road
from golden_pools.spec.model import Targets

from tests.rules.build import (
    COMPUTE,
    DIRECT,
    NOW,
    OTHER_SUBSCRIPTION,
    SUBSCRIPTION,
    VERSION_ID,
    account,
    definition,
    disk,
    from_source,
    golden_vm,
    observations,
    plan,
    pool,
    spec,
    supported_image,
    version,
    vm_size,
)

ERROR, WARNING, INFO = Level.ERROR, Level.WARNING, Level.INFO
PLAN = PurchasePlan(name="p", publisher="acme", product="linux")


def vm(**changes: Any) -> Observations:
    return observations(golden_vm=golden_vm(**changes))


def os_disk(**changes: Any) -> Observations:
    return vm(os_disk=disk(**changes))


def batch(**changes: Any) -> Observations:
    return observations(account=account(**changes))


def on_version(**changes: Any) -> Observations:
    return observations(image_version=version(**changes))


def sizes(**changes: Any) -> Observations:
    size = vm_size(**changes)
    return observations(vm_sizes={"standard_d2s_v5": size}, batch_vm_sizes={"standard_d2s_v5": size})


def agents(**changes: Any) -> Observations:
    return observations(supported_images=(supported_image(**changes),))


def others(**changes: Any) -> Observations:
    return observations(pools=(pool(), pool(name="other", **changes)))


BAD = verdict_tags(ImageVerdict.BAD, "canary: no GPU")
BUILD, EXISTING, IN_PLACE_OF = plan(), plan(version=VERSION_ID), plan(image=DIRECT)
BY_IMAGE = plan(golden_vm={"route": "managed_image"})
CAPTURE = from_source(generalized_vm={"resource_group": "golden", "name": "build-vm"})
BLOB = from_source(
    vhd={
        "os_disk": "https://goldenvhds.blob.core.windows.net/vhds/golden.vhd",
        "region": "West Europe",
        "os_type": "Linux",
        "generation": "V2",
    }
)
PACKED_VHD = from_source(
    "https://goldenvhds.blob.core.windows.net/images/packer.pkros128o59crqz.vhd",
    packer={"manifest": "m.json", "vhd": {"region": "westeurope", "os_type": "Linux", "generation": "V2"}},
)


def cloned(vm_size: str = "Standard_D2s_v5", subscription: str = SUBSCRIPTION) -> dict[str, Any]:
    """Return the golden VM of a spec that generalizes a clone."""
    network = f"/subscriptions/{subscription}/resourceGroups/golden/providers/Microsoft.Network"
    clone = {"subnet_id": f"{network}/virtualNetworks/net/subnets/builders", "vm_size": vm_size}
    return {"generalize": "clone", "clone": clone}


CLONED = plan(golden_vm=cloned())
POINT = plan(golden_vm={"capture": "restore_point"})
BLUE_GREEN = plan(refresh={"strategy": "blue_green"})
SPOT = plan(pool={"targets": {"spot": 5}})
FAR = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/batch/providers/microsoft.batch/batchaccounts/far"
ELSEWHERE = BUILD.model_copy(update={"nodes_elsewhere": {FAR: 5}, "regions": {FAR: "uksouth"}})
ELSEWHERE_EXISTING = EXISTING.model_copy(update={"nodes_elsewhere": {FAR: 5}, "regions": {FAR: "uksouth"}})
LEGACY_LARGE = plan(image=DIRECT, pool={"targets": {"dedicated": 2001}})
SOURCE_ID = f"{COMPUTE}/images/golden-20261121T041500"
AWAY = f"/subscriptions/{OTHER_SUBSCRIPTION}/resourceGroups/x/providers/Microsoft.Compute/disks/data-0"
PACKED = IN_PLACE_OF.model_copy(
    update={
        "source": ImageSource(
            builds=True,
            reason="Packer build farm",
            road=Road.MANAGED_IMAGE,
            resource_id="/subscriptions/1/resourceGroups/images/providers/Microsoft.Compute/images/packer-1",
        )
    }
)
WIDE = {"image": {"target_regions": [{"name": "northeurope"}]}}

FAILING: list[tuple[str, RunPlan, Observations, Level, str]] = [
    ("golden-vm-exists", BUILD, observations(golden_vm=None), ERROR, "no VM golden-vm in resource group golden"),
    ("golden-vm-provisioned", BUILD, vm(provisioning_state="Updating"), ERROR, "Updating"),
    ("golden-vm-provisioned", BUILD, vm(provisioning_state=None), ERROR, "None"),
    ("power-state", BUILD, vm(power_state=PowerState.RUNNING), INFO, "running"),
    ("power-state", BUILD, vm(power_state=PowerState.STOPPED), INFO, "stopped"),
    ("power-state", plan(golden_vm={"capture": "stopped"}), vm(power_state=PowerState.RUNNING), INFO, "running"),
    ("power-state", BUILD, vm(power_state=PowerState.DEALLOCATING), WARNING, "deallocating"),
    ("power-state", BUILD, vm(power_state=PowerState.UNKNOWN), WARNING, "unknown"),
    (
        "power-state",
        plan(golden_vm={"capture": "running"}),
        vm(power_state=PowerState.RUNNING),
        WARNING,
        "each of its 3 disks is copied at its own moment",
    ),
    ("generalized", BUILD, vm(flagged_generalized=False), ERROR, "nothing says that the guest is generalized"),
    (
        "generalized",
        BUILD,
        vm(flagged_generalized=False, tags={"golden.generalized": "false"}),
        ERROR,
        "nothing says that the guest is generalized",
    ),
    (
        "generalized",
        BUILD,
        vm(flagged_generalized=False, tags={"golden.generalized": "True"}),
        INFO,
        "only the tag golden.generalized=true",
    ),
    (
        "generalized",
        plan(golden_vm={"generalized": True}),
        vm(flagged_generalized=False),
        INFO,
        "only golden_vm.generalized",
    ),
    ("vm-extensions", BUILD, vm(extensions=("Monitor", "Script")), ERROR, "Monitor, Script"),
    (
        "vm-extensions",
        plan(golden_vm={"allowed_extensions": ["monitor"]}),
        vm(extensions=("Monitor", "Script")),
        ERROR,
        "extensions Script",
    ),
    ("host-encryption", BUILD, vm(encryption_at_host=True), INFO, "encryption at host"),
    ("security-type", BUILD, vm(security_type="ConfidentialVM"), ERROR, "ConfidentialVM"),
    ("security-type", BUILD, os_disk(security_type="ConfidentialVM_DiskEncryptedWithPlatformKey"), ERROR, "Confid"),
    ("managed-image-possible", BY_IMAGE, vm(security_type="TrustedLaunch"), ERROR, "of security type TrustedLaunch"),
    ("managed-image-possible", BY_IMAGE, os_disk(architecture="Arm64"), ERROR, "of an Arm64 system"),
    ("managed-image-possible", BY_IMAGE, vm(disk_controller="NVMe"), ERROR, "of an NVMe disk controller"),
    ("managed-image-possible", IN_PLACE_OF, vm(security_type="TrustedLaunch"), ERROR, "publish: managed_image, but"),
    (
        "managed-image-possible",
        plan(image=DIRECT, golden_vm={"route": "snapshots"}),
        observations(),
        ERROR,
        "golden_vm.route is snapshots",
    ),
    ("architecture", BUILD, os_disk(architecture="Arm64"), WARNING, "Arm64"),
    ("golden-vm-exists", CAPTURE, observations(golden_vm=None), ERROR, "no VM build-vm in resource group golden"),
    ("power-state", CAPTURE, vm(power_state=PowerState.RUNNING), ERROR, "running"),
    ("generalized", CAPTURE, vm(flagged_generalized=False), ERROR, "not flagged as generalized"),
    ("vm-extensions", CAPTURE, vm(extensions=("CustomScript",)), ERROR, "CustomScript"),
    ("page-blobs-unseen", BLOB, observations(), INFO, "the spec says Linux, generation V2, generalized"),
    ("packers-data-disks", PACKED_VHD, observations(), WARNING, "only the OS disk is taken"),
    ("clone-of-a-generalized-vm", CLONED, vm(), ERROR, "flagged as generalized already"),
    ("clone-subnet", plan(golden_vm=cloned(subscription=OTHER_SUBSCRIPTION)), observations(), ERROR, "subnet_id is"),
    ("clone-vm-size", plan(golden_vm=cloned("Standard_None")), observations(), ERROR, "does not offer it"),
    ("clone-vm-size", CLONED, sizes(generations=("V1",)), ERROR, "it boots V1"),
    ("clone-vm-size", CLONED, sizes(architecture="Arm64"), ERROR, "it is Arm64"),
    (
        "clone-vm-size",
        CLONED,
        replace(vm(security_type="TrustedLaunch"), vm_sizes=sizes(trusted_launch=False).vm_sizes),
        ERROR,
        "it cannot do Trusted Launch",
    ),
    (
        "clone-vm-size",
        CLONED,
        replace(vm(disk_controller="NVMe"), vm_sizes=sizes(disk_controllers=("SCSI",)).vm_sizes),
        ERROR,
        "no NVMe disk controller",
    ),
    ("definition-fits", BLOB, observations(definition=definition(hyper_v_generation="V1")), ERROR, "is V1"),
    ("batch-region", BLOB, batch(location="northeurope"), ERROR, "the image goes to westeurope"),
    ("vm-size-generation", BLOB, sizes(generations=("V1",)), ERROR, "the image is V2"),
    (
        "definition-security",
        BUILD,
        replace(vm(security_type="TrustedLaunch"), definition=definition(security_type="TrustedLaunchSupported")),
        ERROR,
        "takes no version from snapshots",
    ),
    ("definition-security", BUILD, vm(security_type="TrustedLaunch"), ERROR, "Standard, the image has TrustedLaunch"),
    (
        "vm-size-trusted-launch",
        BUILD,
        replace(vm(security_type="TrustedLaunch"), vm_sizes=sizes(trusted_launch=False).vm_sizes),
        ERROR,
        "cannot do Trusted Launch",
    ),
    (
        "vm-size-trusted-launch",
        EXISTING,
        replace(sizes(trusted_launch=False), definition=definition(security_type="TrustedLaunch")),
        ERROR,
        "cannot do Trusted Launch",
    ),
    ("os-type", BUILD, vm(os_type=None, os_disk=disk(os_type=None)), ERROR, "neither"),
    ("os-type", BUILD, vm(os_type="Windows"), ERROR, "the VM says Windows, its OS disk Linux"),
    ("base-image", BUILD, vm(base_image=None), WARNING, "no image that Azure remembers"),
    ("base-image", BUILD, vm(base_image=BaseImage(id="/custom/image")), WARNING, "/custom/image"),
    (
        "base-image",
        BUILD,
        vm(base_image=BaseImage(publisher="acme", offer="linux", sku="9")),
        WARNING,
        "acme:linux:9",
    ),
    ("availability-zone", BUILD, vm(zones=("2",)), INFO, "zone 2"),
    ("one-region", BUILD, os_disk(location="northeurope"), ERROR, "os in northeurope"),
    ("batch-region", BUILD, batch(location="northeurope"), ERROR, "the image goes to westeurope"),
    ("batch-region", plan(**WIDE), batch(location="northeurope"), INFO, "Batch account is in northeurope"),
    ("batch-region", IN_PLACE_OF, batch(location="northeurope"), ERROR, "Batch account is in northeurope"),
    ("packer-direct", PACKED, batch(), ERROR, "a managed image that Packer built"),
    ("direct-managed-image", IN_PLACE_OF, observations(), WARNING, "RETIRED"),
    ("managed-disks", BUILD, vm(data_disks=(disk(lun=0, id=None),)), ERROR, "data-0"),
    ("ephemeral-os-disk", BUILD, os_disk(id=None, ephemeral=True), ERROR, "ephemeral"),
    ("disk-encryption", BUILD, os_disk(ade_enabled=True), ERROR, "disk os is encrypted"),
    ("disk-encryption", BUILD, vm(data_disks=(disk(lun=0, ade_enabled=True),)), ERROR, "disk data-0 is encrypted"),
    (
        "customer-key",
        BUILD,
        os_disk(encryption_type="EncryptionAtRestWithCustomerKey"),
        WARNING,
        "EncryptionAtRestWithCustomerKey",
    ),
    ("disk-sku", BUILD, vm(data_disks=(disk(lun=0, sku="UltraSSD_LRS"),)), ERROR, "Ultra"),
    ("disk-sku", BUILD, vm(data_disks=(disk(lun=0, sku="PremiumV2_LRS"),)), WARNING, "Premium SSD v2"),
    ("restore-point-disks", POINT, os_disk(caching="ReadWrite"), ERROR, "disk os: the host caches its writes"),
    ("restore-point-disks", POINT, os_disk(write_accelerator=True), ERROR, "disk os: its writes are accelerated"),
    ("restore-point-disks", POINT, vm(data_disks=(disk(lun=0, max_shares=2),)), ERROR, "disk data-0: 2 VMs may"),
    ("restore-point-of-many-disks", POINT, vm(vm_size="Standard_D2s_v6"), ERROR, "Standard_D2s_v6 with 2 data disks"),
    (
        "restore-point-vm-size",
        POINT,
        replace(vm(vm_size="Standard_D2_v5"), vm_sizes={"standard_d2_v5": vm_size(premium_disks=False)}),
        ERROR,
        "size Standard_D2_v5 takes no premium disks",
    ),
    ("power-state", POINT, vm(power_state=PowerState.RUNNING), INFO, "and so it stays"),
    ("disk-provisioned", BUILD, os_disk(provisioning_state="Failed"), ERROR, "Failed"),
    ("disk-state", BUILD, os_disk(disk_state="ReadyToUpload"), ERROR, "ReadyToUpload"),
    ("disk-state", BUILD, os_disk(disk_state="ActiveUpload"), ERROR, "ActiveUpload"),
    ("disk-state", BUILD, os_disk(disk_state="ActiveSAS"), WARNING, "ActiveSAS"),
    ("os-disk-size", BUILD, os_disk(size_gib=1024), ERROR, "1024 GiB"),
    ("data-disk-size", BUILD, vm(data_disks=(disk(lun=0, size_gib=1025),)), ERROR, "1025 GiB"),
    (
        "image-size",
        BUILD,
        vm(os_disk=disk(size_gib=1023), data_disks=(disk(lun=0, size_gib=1024), disk(lun=1, size_gib=2))),
        ERROR,
        "2049 GiB",
    ),
    ("data-disk-luns", BUILD, vm(data_disks=(disk(lun=3), disk(lun=3))), ERROR, "LUN 3"),
    ("disk-subscription", BUILD, vm(data_disks=(disk(lun=0, id=AWAY),)), ERROR, AWAY),
    ("purchase-plan", BUILD, vm(plan=PLAN), ERROR, "acme:linux:p"),
    ("purchase-plan", BUILD, observations(definition=definition(purchase_plan=PLAN)), ERROR, "golden VM: none"),
    ("purchase-plan", IN_PLACE_OF, replace(vm(plan=PLAN), definition=None), ERROR, "acme:linux:p"),
    ("purchase-plan", BUILD, replace(vm(plan=PLAN), definition=None), WARNING, "acme:linux:p"),
    (
        "purchase-plan",
        BUILD,
        replace(os_disk(purchase_plan=PLAN), definition=definition(purchase_plan=PLAN)),
        WARNING,
        "acme:linux:p",
    ),
    ("gallery-exists", BUILD, observations(gallery=None, definition=None), ERROR, "no gallery golden_gallery"),
    ("gallery-region", BUILD, vm(location="northeurope"), INFO, "golden_gallery is in westeurope"),
    ("definition-is-made", BUILD, observations(definition=None), INFO, "no image definition golden"),
    ("definition-fits", BUILD, observations(definition=definition(os_state="Specialized")), ERROR, "Specialized"),
    ("definition-fits", BUILD, observations(definition=definition(os_type="Windows")), ERROR, "Windows"),
    ("definition-fits", BUILD, observations(definition=definition(hyper_v_generation="V1")), ERROR, "V1"),
    ("definition-fits", BUILD, observations(definition=definition(architecture="Arm64")), ERROR, "Arm64"),
    (
        "definition-security",
        BUILD,
        observations(definition=definition(security_type="TrustedLaunchSupported")),
        WARNING,
        "TrustedLaunchSupported",
    ),
    (
        "definition-security",
        BUILD,
        observations(definition=definition(security_type="TrustedLaunch")),
        ERROR,
        "TrustedLaunch",
    ),
    ("disk-controller", BUILD, vm(disk_controller="NVMe"), ERROR, "NVMe"),
    (
        "planned-replicas",
        plan(image={"replicas": 1}, pool={"targets": {"dedicated": 301}}),
        observations(),
        WARNING,
        "1 replica in westeurope for 301 nodes",
    ),
    (
        "planned-replicas",
        plan(image={"replicas": 1}).model_copy(update={"largest": Targets(dedicated=301)}),
        observations(),
        WARNING,
        "1 replica in westeurope for 301 nodes",
    ),
    ("version-exists", EXISTING, observations(image_version=None), ERROR, VERSION_ID),
    ("version-ready", EXISTING, on_version(provisioning_state="Creating"), ERROR, "Creating"),
    (
        "version-ready",
        EXISTING,
        on_version(regions=(RegionReplication(region="westeurope", state="Replicating", progress_percent=40),)),
        ERROR,
        "westeurope Replicating",
    ),
    ("version-ready", EXISTING, on_version(regions=()), ERROR, "replication: none"),
    (
        "version-ready",
        EXISTING,
        on_version(
            provisioning_state="Updating",
            regions=(RegionReplication(region="westeurope", state="Replicating", progress_percent=40),),
        ),
        ERROR,
        "westeurope Replicating",
    ),
    ("pools-elsewhere", ELSEWHERE, observations(), WARNING, "pools of account far use the image in uksouth"),
    (
        "pools-elsewhere",
        ELSEWHERE_EXISTING,
        on_version(tags=BUILD.tags),
        WARNING,
        "in uksouth, but it goes to westeurope",
    ),
    (
        "replica-limit",
        plan(image={"target_regions": [{"name": "northeurope", "replicas": 60}], "replicas": 41}),
        observations(),
        WARNING,
        "101 replicas of one version: 41 in westeurope, 60 in northeurope",
    ),
    (
        "replica-limit",
        BUILD.model_copy(update={"nodes_elsewhere": {FAR: 30_000}}),
        observations(),
        WARNING,
        "101 in westeurope",
    ),
    (
        "replica-limit",
        EXISTING,
        on_version(target_regions={"westeurope": 50, "uksouth": 51}),
        WARNING,
        "101 replicas of one version",
    ),
    ("version-verdict", EXISTING, on_version(tags=BAD), ERROR, "is marked bad: canary: no GPU"),
    (
        "version-verdict",
        plan(version=VERSION_ID, conf={"force": True}),
        on_version(tags=BAD),
        WARNING,
        "is marked bad: canary: no GPU",
    ),
    (
        "version-replicas",
        plan(version=VERSION_ID, pool={"targets": {"dedicated": 700}}),
        observations(),
        WARNING,
        "1 replica in westeurope for 700 nodes",
    ),
    (
        "source-warning",
        plan(version=VERSION_ID).model_copy(
            update={"source": ImageSource(builds=False, reason="stopped", warning="3 builds in a row have failed")}
        ),
        observations(),
        WARNING,
        "3 builds in a row",
    ),
    (
        "version-subscription",
        plan(version=VERSION_ID.replace(spec().subscription, OTHER_SUBSCRIPTION)),
        observations(),
        INFO,
        OTHER_SUBSCRIPTION,
    ),
    ("account-exists", BUILD, observations(account=None), ERROR, "no Batch account goldenbatch"),
    ("account-provisioned", BUILD, batch(provisioning_state="Invalid"), ERROR, "Invalid"),
    ("account-authentication", BUILD, batch(authentication_modes=("SharedKey",)), ERROR, "SharedKey"),
    ("account-network", BUILD, batch(public_network_access="Disabled"), INFO, "Disabled"),
    ("allocation-mode", BUILD, batch(allocation_mode="UserSubscription"), INFO, "your subscription"),
    ("allocation-mode", BUILD, observations(), INFO, "5 Spot nodes"),
    (
        "subnet-subscription",
        plan(
            pool={
                "network": {
                    "subnet_id": f"/subscriptions/{OTHER_SUBSCRIPTION}/resourceGroups/n/providers/Microsoft.Network"
                    "/virtualNetworks/v/subnets/s"
                }
            }
        ),
        observations(),
        ERROR,
        OTHER_SUBSCRIPTION,
    ),
    (
        "inter-node-communication",
        plan(pool={"inter_node_communication": True, "targets": {"dedicated": 81}}),
        batch(allocation_mode="UserSubscription"),
        ERROR,
        "may have 80",
    ),
    ("vm-size-supported", BUILD, observations(batch_vm_sizes={}), ERROR, "does not offer Standard_D2s_v5"),
    *(
        ("vm-size-series", plan(pool={"vm_size": name}), observations(), ERROR, name)
        for name in ("Standard_A0", "Standard_GS5", "Standard_DS3", "Standard_DS3_v2", "Standard_DS11-1_v2")
    ),
    ("vm-size-end-of-support", BUILD, sizes(batch_support_ends=NOW), ERROR, "ended on 2026-11-22"),
    (
        "vm-size-end-of-support",
        BUILD,
        sizes(batch_support_ends=NOW + timedelta(days=90)),
        WARNING,
        "ends on 2027-02-20",
    ),
    ("vm-size-generation", BUILD, sizes(generations=("V1",)), ERROR, "boots V1, the image is V2"),
    ("vm-size-generation", EXISTING, sizes(generations=("V1",)), ERROR, "boots V1, the image is V2"),
    ("vm-size-architecture", BUILD, sizes(architecture="Arm64"), ERROR, "is Arm64, the image is x64"),
    (
        "vm-size-disk-controller",
        BUILD,
        replace(os_disk(controller_types=("SCSI",)), vm_sizes={"standard_d2s_v5": vm_size(disk_controllers=("NVMe",))}),
        ERROR,
        "has NVMe disk controllers, the image boots from SCSI",
    ),
    ("task-slots", plan(pool={"task_slots_per_node": 9}), observations(), ERROR, "9 task slots"),
    (
        "task-slots",
        plan(pool={"task_slots_per_node": 256}),
        sizes(vcpus=63),
        ERROR,
        "256 task slots",
    ),
    ("node-agent-known", BUILD, agents(node_agent_sku="batch.node.el 9"), ERROR, "batch.node.ubuntu 22.04"),
    ("node-agent-system", BUILD, agents(os_type="windows"), ERROR, "is for windows, the image is Linux"),
    (
        "node-agent-base-image",
        BUILD,
        observations(
            supported_images=(supported_image(sku="other"), supported_image(node_agent_sku="batch.node.ubuntu 24.04"))
        ),
        ERROR,
        "Batch lists batch.node.ubuntu 24.04",
    ),
    ("node-agent-end-of-support", BUILD, agents(support_ends=NOW), ERROR, "ended on 2026-11-22"),
    (
        "node-agent-end-of-support",
        BUILD,
        agents(support_ends=NOW + timedelta(days=1)),
        WARNING,
        "ends on 2026-11-23",
    ),
    ("quota-never", BUILD, batch(dedicated_core_quota=19), ERROR, "need 20 dedicated cores"),
    ("quota-never", BUILD, batch(family_quotas={"standarddsv5family": 19}), ERROR, "20 cores of standardDSv5Family"),
    ("quota-never", BUILD, batch(low_priority_core_quota=9), ERROR, "10 Spot/low-priority cores"),
    ("quota-now", BUILD, others(current_dedicated=21, current_spot=0), WARNING, "cores of standardDSv5Family"),
    ("quota-now", BUILD, others(current_spot=21), WARNING, "other pools take 42 of 50"),
    ("quota-now", BUILD, others(target_spot=21), WARNING, "other pools take 42 of 50"),
    ("quota-unknown", BUILD, batch(family_quotas={}), WARNING, "standardDSv5Family"),
    ("quota-unknown", BUILD, sizes(vcpus=0), WARNING, "how many cores Standard_D2s_v5 has"),
    (
        "pool-quota",
        BUILD,
        observations(account=account(pool_quota=1), pools=(pool(name="other"),)),
        ERROR,
        "makes small, canary-20261122T041500-small, but the account has 1 of 1 pools",
    ),
    ("pool-quota", BUILD, batch(pool_quota=1), ERROR, "makes canary-20261122T041500-small, but"),
    ("pool-quota", BLUE_GREEN, batch(pool_quota=2), ERROR, "makes small-2026-1122-41500, canary-2026"),
    ("canary-quota", BUILD, batch(dedicated_core_quota=21), ERROR, "2 dedicated cores beside small 20, 22 in all"),
    ("canary-quota", SPOT, batch(low_priority_core_quota=11), ERROR, "2 Spot/low-priority cores beside small 10"),
    ("canary-quota", BUILD, others(current_dedicated=20), WARNING, "the canary: the targets need 2 cores of standardD"),
    ("quota-never", BLUE_GREEN, batch(dedicated_core_quota=39), ERROR, "20 dedicated cores beside small 20, 40 in all"),
    ("quota-now", BLUE_GREEN, others(current_dedicated=11), WARNING, "beside small 20, 40 in all, other pools take 22"),
    ("nodes-on-one-image", plan(pool={"targets": {"dedicated": 2001}}), observations(), WARNING, "2000 or 2500"),
    ("nodes-on-one-image", LEGACY_LARGE, observations(), ERROR, "the targets are 2001 dedicated nodes; Microsoft"),
    (
        "nodes-on-one-image",
        EXISTING,
        others(image_id=VERSION_ID, current_dedicated=1991),
        WARNING,
        "and other 1991 more",
    ),
    (
        "nodes-on-one-image",
        EXISTING,
        others(image_id=VERSION_ID.upper(), current_spot=996),
        WARNING,
        "5 Spot nodes and",
    ),
    (
        "nodes-on-one-image",
        EXISTING,
        replace(others(image_id=SOURCE_ID, current_dedicated=1991), image_version=version(source_id=SOURCE_ID)),
        WARNING,
        "and other 1991 more",
    ),
    (
        "nodes-on-one-image",
        plan(version=VERSION_ID, pool={"task_slots_per_node": 2}, refresh={"strategy": "blue_green"}),
        observations(pools=(pool(current_dedicated=1991),)),
        WARNING,
        "and small 1991 more",
    ),
    ("inbound-ports", BUILD, observations(pools=(pool(inbound_nat_pools=2),)), INFO, "small has 2 inbound NAT pools"),
    (
        "inbound-ports",
        BLUE_GREEN,
        observations(pools=(pool(inbound_nat_pools=1),)),
        WARNING,
        "blue_green makes has none",
    ),
]


def found(check: str, run: RunPlan, seen: Observations) -> list[Finding]:
    return [finding for finding in preflight(run, seen, NOW) if finding.check == check]


@pytest.mark.parametrize(
    ("check", "run", "seen", "level", "text"), FAILING, ids=[f"{row[0]}-{number}" for number, row in enumerate(FAILING)]
)
def test_check_finds(check: str, run: RunPlan, seen: Observations, level: Level, text: str) -> None:
    [finding] = found(check, run, seen)

    assert finding.level is level
    assert text in finding.seen
    assert finding.advice


def passing(check: str) -> tuple[RunPlan, Observations]:
    """Return a case in which a check runs and has nothing to say."""
    no_spot = plan(pool={"targets": {"dedicated": 10}})
    run = EXISTING if check.startswith("version-") else no_spot if check == "allocation-mode" else BUILD
    return run, observations()


@pytest.mark.parametrize("check", CHECKS)
def test_check_passes_where_all_is_well(check: str) -> None:
    run, seen = passing(check)

    assert CHECKS[check].concerns(run)
    assert CHECKS[check].can_judge(seen)
    assert [finding for finding in preflight(run, seen, NOW) if finding.check == check] == []


@pytest.mark.parametrize(
    ("check", "run", "seen"),
    [
        ("os-disk-size", BUILD, os_disk(size_gib=1023)),
        (
            "version-ready",
            EXISTING,
            on_version(
                provisioning_state="Updating",
                regions=(
                    RegionReplication(region="westeurope", state="Completed", progress_percent=100),
                    RegionReplication(region="uksouth", state="Replicating", progress_percent=5),
                ),
            ),
        ),
        ("pools-elsewhere", ELSEWHERE_EXISTING, on_version(target_regions={"westeurope": 1, "uksouth": 1})),
        (
            "pools-elsewhere",
            plan(version=VERSION_ID, image={"target_regions": [{"name": "UK South"}]}).model_copy(
                update={"nodes_elsewhere": {FAR: 5}, "regions": {FAR: "uksouth"}}
            ),
            on_version(tags=BUILD.tags),
        ),
        ("pools-elsewhere", BUILD.model_copy(update={"nodes_elsewhere": {FAR: 5}}), observations()),
        ("replica-limit", plan(image={"replicas": 100}), observations()),
        ("data-disk-size", BUILD, vm(data_disks=(disk(lun=0, size_gib=1024),))),
        ("image-size", BUILD, vm(os_disk=disk(size_gib=1024), data_disks=(disk(lun=0, size_gib=1024),))),
        ("task-slots", plan(pool={"task_slots_per_node": 8}), observations()),
        ("task-slots", plan(pool={"task_slots_per_node": 256}), sizes(vcpus=128)),
        ("quota-never", BUILD, batch(dedicated_core_quota=20, low_priority_core_quota=10)),
        ("quota-now", BUILD, others(current_dedicated=20, current_spot=20)),
        ("pool-quota", BUILD, observations(account=account(pool_quota=3), pools=(pool(name="other"),))),
        ("pool-quota", BUILD, batch(pool_quota=2)),
        ("pool-quota", plan(canary={"enabled": False}), batch(pool_quota=1)),
        ("pool-quota", BLUE_GREEN, batch(pool_quota=3)),
        ("pool-quota", plan(version=VERSION_ID, refresh={"strategy": "blue_green"}), batch(pool_quota=2)),
        ("canary-quota", BUILD, batch(dedicated_core_quota=22)),
        ("canary-quota", SPOT, batch(dedicated_core_quota=0, low_priority_core_quota=12)),
        ("canary-quota", plan(canary={"enabled": False}), batch(dedicated_core_quota=20)),
        ("quota-never", BLUE_GREEN, batch(dedicated_core_quota=40, low_priority_core_quota=20)),
        ("nodes-on-one-image", plan(pool={"targets": {"dedicated": 2000, "spot": 1000}}), observations()),
        ("nodes-on-one-image", EXISTING, others(image_id=VERSION_ID, current_dedicated=1990, current_spot=995)),
        ("nodes-on-one-image", BUILD, others(image_id=VERSION_ID, current_dedicated=2500)),
        ("planned-replicas", plan(image={"replicas": 1}, pool={"targets": {"dedicated": 300}}), observations()),
        ("vm-size-end-of-support", BUILD, sizes(batch_support_ends=NOW + timedelta(days=90, seconds=1))),
        ("node-agent-end-of-support", BUILD, agents(support_ends=NOW + timedelta(days=90, seconds=1))),
        (
            "inter-node-communication",
            plan(pool={"inter_node_communication": True, "targets": {"dedicated": 80}}),
            batch(allocation_mode="UserSubscription"),
        ),
        (
            "inter-node-communication",
            plan(pool={"targets": {"dedicated": 81}}),
            batch(allocation_mode="UserSubscription"),
        ),
    ],
)
def test_a_limit_itself_is_allowed(check: str, run: RunPlan, seen: Observations) -> None:
    assert found(check, run, seen) == []


@pytest.mark.parametrize("check", ["vm-size-end-of-support", "node-agent-end-of-support"])
def test_the_end_of_support_is_announced_90_days_ahead(check: str) -> None:
    day = NOW + timedelta(days=90)
    seen = replace(sizes(batch_support_ends=day), supported_images=(supported_image(support_ends=day),))

    assert [finding.level for finding in found(check, BUILD, seen)] == [WARNING]


def test_every_check_has_a_failing_case() -> None:
    assert {row[0] for row in FAILING} == set(CHECKS)


@pytest.mark.parametrize("module", SUBJECTS, ids=lambda module: module.__name__.rsplit(".", 1)[-1])
def test_every_public_function_is_registered(module: ModuleType) -> None:
    functions = {
        function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }

    assert functions
    assert functions == {check.judge for check in REPORT if check.judge.__module__ == module.__name__}


def test_no_registered_check_is_left_out_of_the_report() -> None:
    assert {check.id for check in REPORT} == set(CHECKS)


def test_two_checks_cannot_share_an_id() -> None:
    from golden_pools.rules.preflight.case import check

    def generalized(_: Any) -> list[Finding]:
        return []

    with pytest.raises(ValueError, match="two checks are called generalized"):
        check()(generalized)


def test_a_healthy_world_has_no_blocker_and_no_warning() -> None:
    findings = preflight(BUILD, observations(), NOW)

    assert {finding.level for finding in findings} == {INFO}


def test_all_findings_come_at_once_errors_first() -> None:
    seen = replace(
        vm(power_state=PowerState.RUNNING, base_image=None, extensions=("Monitor",), flagged_generalized=False),
        gallery=None,
        definition=None,
        account=account(dedicated_core_quota=1),
    )

    findings = preflight(BUILD, seen, NOW)

    levels = [finding.level for finding in findings]
    assert levels == sorted(levels, key=list(Level).index)
    assert {finding.check for finding in blockers(findings)} == {
        "vm-extensions",
        "generalized",
        "gallery-exists",
        "quota-never",
        "canary-quota",
    }


def test_an_existing_version_spares_the_golden_vm_and_the_gallery() -> None:
    seen = observations(golden_vm=None, gallery=None, definition=None)

    assert blockers(preflight(EXISTING, seen, NOW)) == []


def test_a_version_that_is_marked_good_is_no_finding() -> None:
    seen = on_version(tags=verdict_tags(ImageVerdict.GOOD, "pool small runs on it"))

    assert "version-verdict" not in {finding.check for finding in preflight(EXISTING, seen, NOW)}


def test_plan_only_checks_everything() -> None:
    seen = vm(flagged_generalized=False, extensions=("Monitor",))

    dry = preflight(plan(conf={"plan_only": True}), seen, NOW)

    assert dry == preflight(BUILD, seen, NOW)


@pytest.mark.parametrize("lookup", Lookup)
def test_a_refused_lookup_is_told_once_with_its_permission(lookup: Lookup) -> None:
    run = EXISTING if lookup is Lookup.IMAGE_VERSION else BUILD
    empty: Any = {"pools": (), "vm_sizes": {}, "batch_vm_sizes": {}, "supported_images": ()}
    field = lookup.name.lower()
    seen = observations(unreadable={str(lookup): "HTTP 403 AuthorizationFailed"}, **{field: empty.get(field)})

    findings = [finding for finding in preflight(run, seen, NOW) if finding.level is not INFO]

    assert len(findings) == 1
    [finding] = findings
    assert finding.level is (ERROR if lookup in (Lookup.GOLDEN_VM, Lookup.ACCOUNT) else WARNING)
    assert "HTTP 403 AuthorizationFailed" in finding.seen
    assert "Microsoft." in finding.advice or "Azure Batch Data Contributor" in finding.advice
    skipped = finding.seen.rsplit("not checked: ", 1)[1].split(", ")
    assert skipped
    assert set(skipped) <= set(CHECKS)


def test_a_refusal_names_just_the_checks_that_it_stops() -> None:
    seen = observations(pools=(), unreadable={"pools": "HTTP 403"})

    [finding] = found("pools-readable", BUILD, seen)

    assert finding.seen.endswith("not checked: nodes-on-one-image, inbound-ports, quota-now, canary-quota, pool-quota")


def test_a_refusal_on_an_existing_version_does_not_name_checks_of_the_golden_vm() -> None:
    seen = observations(definition=None, unreadable={"image definition": "HTTP 403"})

    [finding] = found("definition-readable", EXISTING, seen)

    assert "definition-fits" not in finding.seen


def test_a_refused_lookup_of_a_source_without_a_vm_is_told_too() -> None:
    """The command for the golden VM was made as well, and there is none."""
    run = from_source(packer={"manifest": "/builds/manifest.json"})
    seen = observations(golden_vm=None, gallery=None, unreadable={"gallery": "HTTP 403"})
    (told,) = [finding for finding in preflight(run, seen, NOW) if finding.check == "gallery-readable"]
    assert told.az.startswith("az sig show")


def test_a_refused_lookup_that_the_plan_does_not_call_for_is_not_told() -> None:
    seen = observations(golden_vm=None, unreadable={"golden VM": "HTTP 403"})

    assert blockers(preflight(EXISTING, seen, NOW)) == []


def test_every_lookup_has_a_field_in_the_observations() -> None:
    for lookup in Lookup:
        assert observations().of(lookup) is not None


def test_lookups_of_a_direct_managed_image_leave_the_gallery_out() -> None:
    assert lookups(IN_PLACE_OF) == lookups(BUILD) - {Lookup.GALLERY, Lookup.DEFINITION}


def test_missing_batch_account_is_one_finding_not_ten() -> None:
    seen = observations(account=None, pools=(), vm_sizes={}, batch_vm_sizes={}, supported_images=())

    assert [finding.check for finding in blockers(preflight(BUILD, seen, NOW))] == ["account-exists"]


def test_trusted_launch_names_the_way_out() -> None:
    seen = replace(vm(security_type="TrustedLaunch"), definition=None)

    [finding] = blockers(preflight(BY_IMAGE, seen, NOW))

    assert "set golden_vm.route: auto" in finding.advice


@pytest.mark.parametrize(
    "seen", [vm(security_type="TrustedLaunch"), os_disk(architecture="Arm64"), vm(disk_controller="NVMe")]
)
def test_what_no_managed_image_is_made_of_goes_by_snapshots(seen: Observations) -> None:
    found = blockers(preflight(BUILD, replace(seen, definition=None), NOW))

    assert [finding.check for finding in found if not finding.check.startswith("vm-size")] == []


def test_a_clone_needs_no_word_about_the_golden_vms_guest() -> None:
    """Pitfall 18: nobody is sent to generalize the golden VM."""
    found = preflight(CLONED, vm(flagged_generalized=False), NOW)

    assert "generalized" not in {finding.check for finding in found}


def test_quota_counts_the_pools_own_nodes_once() -> None:
    """Ten present nodes that become ten nodes on a new image need no second quota."""
    seen = batch(dedicated_core_quota=20, family_quotas={"standarddsv5family": 20}, low_priority_core_quota=10)

    assert [finding.check for finding in preflight(BUILD, seen, NOW) if finding.check.startswith("quota")] == []


def test_quota_that_is_too_small_in_itself_is_not_told_twice() -> None:
    seen = replace(others(current_dedicated=40), account=account(dedicated_core_quota=19, family_quotas_enforced=False))

    quotas = [finding for finding in preflight(BUILD, seen, NOW) if finding.check.startswith("quota")]
    assert [finding.check for finding in quotas] == ["quota-never"]


def test_family_quota_counts_only_pools_of_the_family() -> None:
    other = vm_size(name="Standard_F2s_v2", family="standardFSv2Family")
    seen = observations(
        pools=(pool(), pool(name="other", vm_size="Standard_F2s_v2", current_dedicated=25, current_spot=0)),
        batch_vm_sizes={"standard_d2s_v5": vm_size(), "standard_f2s_v2": other},
    )

    assert [finding for finding in preflight(BUILD, seen, NOW) if finding.check == "quota-now"] == []


def test_family_quotas_that_are_not_enforced_do_not_count() -> None:
    seen = batch(family_quotas_enforced=False, family_quotas={"standarddsv5family": 0})

    assert [finding for finding in preflight(BUILD, seen, NOW) if finding.check.startswith("quota")] == []


def test_cores_that_batch_leaves_out_come_from_compute() -> None:
    seen = observations(
        batch_vm_sizes={"standard_d2s_v5": vm_size(vcpus=0, family="")}, account=account(dedicated_core_quota=19)
    )

    [finding] = [finding for finding in preflight(BUILD, seen, NOW) if finding.check.startswith("quota")]
    assert (finding.check, finding.level) == ("quota-never", ERROR)


def test_an_account_that_says_no_quota_is_not_judged() -> None:
    seen = batch(dedicated_core_quota=None, low_priority_core_quota=None, pool_quota=None, family_quotas_enforced=False)

    assert [finding for finding in preflight(BUILD, seen, NOW) if "quota" in finding.check] == []


def test_a_size_that_only_compute_knows_counts_for_other_pools() -> None:
    other = pool(name="other", vm_size="Standard_F2s_v2", current_dedicated=0, current_spot=21)
    sizes_of_compute = {"standard_d2s_v5": vm_size(), "standard_f2s_v2": vm_size(name="Standard_F2s_v2")}

    [finding] = found("quota-now", BUILD, observations(pools=(pool(), other), vm_sizes=sizes_of_compute))

    assert "other pools take 42 of 50" in finding.seen


def test_a_pool_of_unknown_size_is_named_in_the_quota_warning() -> None:
    seen = observations(
        pools=(pool(), pool(name="other", current_spot=21), pool(name="odd", vm_size="Standard_Odd", current_spot=1))
    )

    [finding] = [finding for finding in preflight(BUILD, seen, NOW) if finding.check == "quota-now"]
    assert "size unknown: odd" in finding.seen


def test_user_subscription_accounts_have_no_quota_to_compare() -> None:
    seen = batch(allocation_mode="UserSubscription", dedicated_core_quota=0, low_priority_core_quota=0)

    assert [finding for finding in preflight(BUILD, seen, NOW) if finding.check.startswith("quota")] == []


def test_current_vm_sizes_are_not_taken_for_unsupported_series() -> None:
    for name in ("Standard_D4s_v5", "Standard_A1_v2", "Standard_DC2s_v3", "Standard_D4ds_v5"):
        findings = preflight(plan(pool={"vm_size": name}), observations(), NOW)
        assert "vm-size-series" not in {finding.check for finding in findings}


def test_an_nvme_vm_passes_with_a_definition_that_says_so() -> None:
    fits = definition(features={"DiskControllerTypes": "SCSI, NVMe"})
    seen = replace(vm(disk_controller="NVMe"), definition=fits)

    assert blockers(preflight(BUILD, seen, NOW)) == []


def test_gallery_limits_do_not_bind_a_direct_managed_image() -> None:
    seen = vm(data_disks=(disk(lun=0, size_gib=2000), disk(lun=1, size_gib=2000)))

    assert blockers(preflight(IN_PLACE_OF, seen, NOW)) == []


def test_the_system_is_known_from_the_vm_or_from_its_disk() -> None:
    for seen in (vm(os_type=None), os_disk(os_type=None)):
        [made] = found("definition-is-made", BUILD, replace(seen, definition=None))
        [wrong] = found(
            "node-agent-system", BUILD, replace(seen, supported_images=(supported_image(os_type="windows"),))
        )
        assert found("os-type", BUILD, seen) == []
        assert "the run makes it: Linux" in made.advice
        assert wrong.seen.endswith("the image is Linux")


def test_the_end_of_support_is_the_base_images_own() -> None:
    """A node agent serves several base images, each with its own end."""
    seen = observations(
        supported_images=(
            supported_image(support_ends=NOW),
            supported_image(sku="another", support_ends=NOW + timedelta(days=900)),
        )
    )
    unknown = replace(seen, golden_vm=golden_vm(base_image=None))

    assert [finding.level for finding in found("node-agent-end-of-support", BUILD, seen)] == [ERROR]
    assert found("node-agent-end-of-support", BUILD, unknown) == []


def test_an_unmanaged_disk_is_shown_through_its_vm() -> None:
    [unmanaged] = found("disk-encryption", BUILD, os_disk(id=None, ade_enabled=True))
    [managed] = found("disk-encryption", BUILD, os_disk(ade_enabled=True))

    assert unmanaged.az.startswith("az vm show ")
    assert managed.az.startswith("az disk show --ids /subscriptions/")


def test_every_command_reads_only_and_is_whole() -> None:
    """The commands are meant to be copied: they parse as a shell line, name their resource and change nothing."""
    read = re.compile(r"^az [a-z -]*?(show|list|list-skus|list-usage|get-instance-view|rest --method get)( |$)")
    for _, run, seen, _, _ in FAILING:
        for finding in preflight(run, seen, NOW):
            assert read.match(finding.az), finding.az
            assert shlex.split(finding.az)
            assert "None" not in finding.az


def test_a_resource_group_with_parentheses_is_quoted_in_commands() -> None:
    seen = observations(golden_vm=None)

    [finding] = blockers(preflight(plan(golden_vm={"resource_group": "golden(1)"}), seen, NOW))

    assert "golden(1)" in shlex.split(finding.az)


def test_the_table_has_errors_first_and_every_part_of_a_finding() -> None:
    findings = [
        Finding(level=INFO, check="second", seen="b", advice="do b", az="az b"),
        Finding(level=ERROR, check="first-check", seen="a", advice="do a", az="az a"),
    ]

    assert render(findings).splitlines() == [
        "LEVEL    CHECK        SEEN, what to do, and the command that shows it",
        "ERROR    first-check  a",
        "                      -> do a",
        "                      $ az a",
        "INFO     second       b",
        "                      -> do b",
        "                      $ az b",
    ]
