"""Values for the tests of the rules: everything fits together unless a test says otherwise."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from golden_pools.rules.facts import (
    AllocationState,
    BaseImage,
    BatchAccount,
    Disk,
    Gallery,
    GalleryDefinition,
    GoldenVm,
    ImageVersion,
    NodeCounts,
    Pool,
    PoolNodes,
    PowerState,
    RegionReplication,
    ResizeError,
    SupportedImage,
    VmSize,
)
from golden_pools.rules.plan import RunPlan, make_plan
from golden_pools.rules.preflight import Observations
from golden_pools.rules.source import ImageSource, System, road_for
from golden_pools.spec.model import PoolSpec

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
OTHER_SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
NOW = datetime(2026, 11, 22, 4, 15, tzinfo=UTC)
COMPUTE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute"
DEFINITION_ID = f"{COMPUTE}/galleries/golden_gallery/images/golden"
VERSION_ID = f"{DEFINITION_ID}/versions/2026.1121.41500"


def spec(**parts: dict[str, Any]) -> PoolSpec:
    """Return a spec; keyword arguments change single fields of its parts."""
    whole: dict[str, Any] = {
        "subscription": SUBSCRIPTION,
        "golden_vm": {"resource_group": "golden", "name": "golden-vm"},
        "image": {"resource_group": "images", "gallery": "golden_gallery", "definition": "golden"},
        "pool": {
            "resource_group": "batch",
            "account": "goldenbatch",
            "vm_size": "Standard_D2s_v5",
            "node_agent_sku": "batch.node.ubuntu 22.04",
            "targets": {"dedicated": 10, "spot": 5},
        },
    }
    for name, changes in parts.items():
        whole[name] = {**whole.get(name, {}), **changes}
    return PoolSpec.model_validate(whole)


DIRECT = {"publish": "managed_image", "legacy_direct_pool": True, "gallery": None, "definition": None}
"""Image part of a spec whose pool takes the managed image itself."""


def plan(
    *, stamp: datetime = NOW, version: str | None = None, conf: dict[str, Any] | None = None, **parts: dict[str, Any]
) -> RunPlan:
    """Return the plan of a run of :func:`spec`; ``version`` is an existing version to use."""
    return make_plan(
        spec(**parts),
        pool="small",
        dag_id="golden_pools_small",
        run_id="manual__1",
        triggered_by="ada",
        stamp=stamp,
        conf=conf or {},
        params={**({"image_version": version} if version else {}), **(conf or {})},
    )


def from_source(resource_id: str | None = None, **source: dict[str, Any]) -> RunPlan:
    """Return the plan of a run that has looked at another source than a golden VM.

    :param resource_id: what it found
    """
    whole = {**spec().model_dump(mode="json"), "golden_vm": None}
    whole["image"]["source"] = source
    made = make_plan(
        PoolSpec.model_validate(whole),
        pool="small",
        dag_id="golden_pools_small",
        run_id="manual__1",
        triggered_by="ada",
        stamp=NOW,
        conf={},
        params={},
    )
    system = System(location="westeurope", os_type="Linux", generation="V2")
    road = road_for(made.spec, system)
    found = ImageSource(builds=True, reason="a test", road=road, system=system, resource_id=resource_id)
    return made.model_copy(update={"source": found})


def disk(**changes: Any) -> Disk:
    """Return the golden VM's OS disk, or a data disk where a LUN is given."""
    name = "os" if changes.get("lun") is None else f"data-{changes['lun']}"
    facts: dict[str, Any] = {
        "name": name,
        "id": f"{COMPUTE.replace('/images/', '/golden/')}/disks/{name}",
        "lun": None,
        "size_gib": 64,
        "sku": "Premium_LRS",
        "location": "westeurope",
        "encryption_type": "EncryptionAtRestWithPlatformKey",
        "controller_types": ("SCSI", "NVMe"),
        "disk_state": "Reserved",
        "provisioning_state": "Succeeded",
    }
    if changes.get("lun") is None:
        facts |= {"os_type": "Linux", "hyper_v_generation": "V2", "architecture": "x64"}
    return Disk(**{**facts, **changes})


def golden_vm(**changes: Any) -> GoldenVm:
    """Return a golden VM that preflight has nothing to say about."""
    facts: dict[str, Any] = {
        "id": f"{COMPUTE.replace('/images/', '/golden/')}/virtualMachines/golden-vm",
        "name": "golden-vm",
        "location": "westeurope",
        "power_state": PowerState.DEALLOCATED,
        "flagged_generalized": True,
        "provisioning_state": "Succeeded",
        "vm_size": "Standard_D2s_v5",
        "os_type": "Linux",
        "security_type": None,
        "disk_controller": "SCSI",
        "encryption_at_host": False,
        "hyper_v_generation": "V2",
        "os_disk": disk(),
        "data_disks": (disk(lun=0), disk(lun=1)),
        "base_image": BaseImage(publisher="Canonical", offer="0001-com-ubuntu-server-jammy", sku="22_04-lts-gen2"),
    }
    return GoldenVm(**{**facts, **changes})


def definition(**changes: Any) -> GalleryDefinition:
    """Return the image definition that fits the golden VM."""
    facts: dict[str, Any] = {
        "id": DEFINITION_ID,
        "name": "golden",
        "location": "westeurope",
        "os_type": "Linux",
        "os_state": "Generalized",
        "hyper_v_generation": "V2",
        "architecture": "x64",
        "publisher": "GoldenPools",
        "offer": "golden",
        "sku": "golden",
        "security_type": "Standard",
    }
    return GalleryDefinition(**{**facts, **changes})


def version(**changes: Any) -> ImageVersion:
    """Return an image version that is ready in westeurope."""
    facts: dict[str, Any] = {
        "id": VERSION_ID,
        "name": "2026.1121.41500",
        "location": "westeurope",
        "provisioning_state": "Succeeded",
        "aggregated_state": "Completed",
        "regions": (RegionReplication(region="westeurope", state="Completed", progress_percent=100),),
        "target_regions": {"westeurope": 1},
        "source_id": None,
        "exclude_from_latest": False,
    }
    return ImageVersion(**{**facts, **changes})


def account(**changes: Any) -> BatchAccount:
    """Return a Batch account with room for the targets."""
    facts: dict[str, Any] = {
        "id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/goldenbatch",
        "name": "goldenbatch",
        "location": "westeurope",
        "endpoint": "goldenbatch.westeurope.batch.azure.com",
        "allocation_mode": "BatchService",
        "provisioning_state": "Succeeded",
        "authentication_modes": ("AAD", "SharedKey"),
        "public_network_access": "Enabled",
        "dedicated_core_quota": 100,
        "low_priority_core_quota": 50,
        "family_quotas": {"standarddsv5family": 60},
        "family_quotas_enforced": True,
        "pool_quota": 10,
    }
    return BatchAccount(**{**facts, **changes})


def vm_size(**changes: Any) -> VmSize:
    """Return the pool's VM size."""
    facts: dict[str, Any] = {
        "name": "Standard_D2s_v5",
        "family": "standardDSv5Family",
        "vcpus": 2,
        "generations": ("V1", "V2"),
        "architecture": "x64",
        "disk_controllers": ("SCSI",),
    }
    return VmSize(**{**facts, **changes})


def supported_image(**changes: Any) -> SupportedImage:
    """Return Batch's row for the golden VM's base image."""
    facts: dict[str, Any] = {
        "node_agent_sku": "batch.node.ubuntu 22.04",
        "publisher": "canonical",
        "offer": "0001-com-ubuntu-server-jammy",
        "sku": "22_04-lts-gen2",
        "os_type": "linux",
        "verified": True,
    }
    return SupportedImage(**{**facts, **changes})


def pool(**changes: Any) -> Pool:
    """Return the plan's pool: at its targets, on another image."""
    facts: dict[str, Any] = {
        "id": plan().pool_id,
        "name": "small",
        "etag": 'W/"1"',
        "provisioning_state": "Succeeded",
        "allocation_state": AllocationState.STEADY,
        "vm_size": "STANDARD_D2S_V5",
        "node_agent_sku": "batch.node.ubuntu 22.04",
        "image_id": VERSION_ID,
        "current_dedicated": 10,
        "current_spot": 5,
        "target_dedicated": 10,
        "target_spot": 5,
        "autoscale": False,
        "resize_started": NOW,
    }
    return Pool(**{**facts, **changes})


def observations(**changes: Any) -> Observations:
    """Return observations of a world in which the plan of :func:`plan` has nothing to fear."""
    facts: dict[str, Any] = {
        "golden_vm": golden_vm(),
        "gallery": Gallery(id=f"{COMPUTE}/galleries/golden_gallery", name="golden_gallery", location="westeurope"),
        "definition": definition(),
        "image_version": version(),
        "account": account(),
        "pools": (pool(),),
        "vm_sizes": {"standard_d2s_v5": vm_size()},
        "batch_vm_sizes": {"standard_d2s_v5": vm_size(generations=(), architecture=None, disk_controllers=())},
        "supported_images": (supported_image(),),
    }
    return Observations(**{**facts, **changes})


def resize_error(code: str, message: str = "", **details: str) -> ResizeError:
    """Return a resize error; underscores in the names of details stand for spaces."""
    pairs = tuple((name.replace("_", " "), value) for name, value in details.items())
    return ResizeError(code=code, message=message, details=pairs)


def nodes(dedicated: dict[str, int] | None = None, spot: dict[str, int] | None = None) -> PoolNodes:
    """Return node counts by state."""
    return PoolNodes(pool="small", dedicated=NodeCounts(by_state=dedicated or {}), spot=NodeCounts(by_state=spot or {}))
