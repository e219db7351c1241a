"""Every source runs its whole DAG, to ready nodes on a version of the gallery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from golden_pools.errors import PreflightError
from golden_pools.spec.model import PoolSpec

from dags.golden_pools import pool_dag
from include.azure_simulator.compute.vm_populate import add_machine
from include.azure_simulator.compute.vm_section import VirtualMachineSection
from tests.operators.conftest import COMPUTE, DEFINITION, Cloud, Run, small_pool
from tests.operators.dag_run import DagRun, State
from tests.virtual_time import VirtualTime, virtual_cloud

VHDS = "https://goldenvhds.blob.core.windows.net/vhds"
VHD = {
    "os_disk": f"{VHDS}/golden.vhd",
    "data_disks": [{"lun": 2, "uri": f"{VHDS}/golden-data.vhd"}],
    "region": "West Europe",
    "os_type": "Linux",
    "generation": "V2",
}
BUILD_VM = {"resource_group": "golden", "name": "build-vm"}


@dataclass
class Nights:
    """A world, and runs of whole DAGs in it."""

    cloud: Cloud
    virtual: VirtualTime

    def spec(self, *, source: dict[str, Any] | None = None, **parts: dict[str, Any]) -> PoolSpec:
        """Return the small pool's spec with another source, or single fields of its parts changed."""
        whole = small_pool(self.cloud).model_dump(mode="json")
        if source:
            whole["golden_vm"] = None
            whole["image"]["source"] = source
        for part, fields in parts.items():
            whole[part] |= fields
        return PoolSpec.model_validate(whole)

    def night(self, spec: PoolSpec, *, run_id: str = "manual__1", **conf: Any) -> DagRun:
        """Run the DAG, and see that it has looked at the source itself."""
        run = Run(spec, conf=conf, run_id=run_id, stamp=self.virtual.now(), fire=self.virtual.fire)
        run.xcoms.pop("source", None)
        self.cloud.forget()
        return DagRun(pool_dag("small", spec), run, run.do_with_retries).go()

    def make_vm(self, **changes: Any) -> None:
        """Add the VM ``build-vm`` with one data disk."""
        section = {
            "location": "westeurope",
            "size": "Standard_D2s_v5",
            "power_state": "deallocated",
            "tags": {"golden.generalized": "true"},
            "image": {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"},
            "os_disk": {"name": "build-os", "size_gib": 32},
            "data_disks": [{"lun": 1, "name": "build-data", "size_gib": 8}],
            **BUILD_VM,
            **changes,
        }
        add_machine(self.cloud.world, VirtualMachineSection.model_validate(section))

    def made(self, kind: str) -> list[str]:
        """Return the names of what was written below a type."""
        writes = [write.split(" ")[1] for write in self.cloud.writes() if write.startswith("PUT")]
        return sorted({path.rpartition("/")[2] for path in writes if f"/{kind}/" in path})

    def version(self, run: DagRun) -> dict[str, Any]:
        """Return the version that a run has made."""
        return self.cloud.arm("GET", f"{DEFINITION}/versions/{run.run.plan.version_name}")

    def features(self) -> dict[str, str]:
        """Return the features of the definition."""
        found = self.cloud.arm("GET", DEFINITION)["properties"]["features"]
        return {feature["name"]: feature["value"] for feature in found}


@pytest.fixture
def nights() -> Iterator[Nights]:
    with virtual_cloud() as (cloud, virtual):
        yield Nights(cloud, virtual)


def check_runs_on_it(nights: Nights, night: DagRun) -> None:
    assert night.succeeded, night.errors
    assert nights.cloud.node_images() == [night.run.plan.version_id] * 3


def security_profile(nights: Nights) -> dict[str, Any]:
    machine = nights.cloud.pool()["properties"]["deploymentConfiguration"]["virtualMachineConfiguration"]
    return dict(machine.get("securityProfile") or {})


def test_a_golden_vm_by_managed_image(nights: Nights) -> None:
    night = nights.night(nights.spec())
    check_runs_on_it(nights, night)
    assert night.states["image.managed_image"] == State.SUCCESS


@pytest.mark.parametrize("route", ["snapshots", "managed_image"])
def test_the_spec_chooses_the_road(nights: Nights, route: str) -> None:
    night = nights.night(nights.spec(golden_vm={"route": route}))
    check_runs_on_it(nights, night)
    assert (night.states["image.managed_image"] == State.SKIPPED) is (route == "snapshots")
    disks = nights.version(night)["properties"]["storageProfile"]["dataDiskImages"]
    assert [disk["lun"] for disk in disks] == [0, 1]


def test_a_golden_vm_with_trusted_launch_goes_by_snapshots_to_a_pool_with_trusted_launch(nights: Nights) -> None:
    """Pitfall 15: wrongly built images end in nodes that nobody can use."""
    nights.make_vm(security_type="TrustedLaunch")
    night = nights.night(nights.spec(golden_vm=BUILD_VM))
    check_runs_on_it(nights, night)
    assert night.states["image.managed_image"] == State.SKIPPED
    assert nights.features() == {"SecurityType": "TrustedLaunch"}
    assert security_profile(nights) == {
        "securityType": "trustedLaunch",
        "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True},
    }


def test_a_pool_gets_trusted_launch_with_the_image_that_needs_it_and_loses_it_again(nights: Nights) -> None:
    assert nights.night(nights.spec(golden_vm={"capture": "running"})).succeeded
    assert security_profile(nights) == {}
    nights.make_vm(security_type="TrustedLaunch")
    night = nights.night(nights.spec(golden_vm=BUILD_VM, image={"definition": "trusted"}))
    check_runs_on_it(nights, night)
    assert security_profile(nights)["securityType"] == "trustedLaunch"
    check_runs_on_it(nights, nights.night(nights.spec(golden_vm={"capture": "running"})))
    assert "securityType" not in security_profile(nights)


def test_a_golden_vm_with_an_nvme_controller_goes_by_snapshots(nights: Nights) -> None:
    nights.make_vm(size="Standard_D2s_v6", disk_controller="NVMe")
    night = nights.night(nights.spec(golden_vm=BUILD_VM))
    check_runs_on_it(nights, night)
    assert nights.features() == {"SecurityType": "Standard", "DiskControllerTypes": "SCSI, NVMe"}


def test_an_arm64_golden_vm_goes_by_snapshots(nights: Nights) -> None:
    nights.make_vm(size="Standard_D2ps_v5", architecture="Arm64")
    account = nights.cloud.world.batch.account("goldenbatch")
    assert account is not None
    account.facts = account.facts.model_copy(update={"family_quotas_enforced": False})
    night = nights.night(nights.spec(golden_vm=BUILD_VM, pool={"vm_size": "Standard_D2ps_v5"}))
    check_runs_on_it(nights, night)
    assert nights.cloud.arm("GET", DEFINITION)["properties"]["architecture"] == "Arm64"


def test_a_vm_that_is_flagged_generalized(nights: Nights) -> None:
    nights.make_vm(generalized=True)
    night = nights.night(nights.spec(source={"generalized_vm": BUILD_VM}))
    check_runs_on_it(nights, night)
    assert nights.made("snapshots") == []
    assert [write for write in nights.cloud.writes() if "/virtualMachines/" in write] == []


def test_a_generalized_vm_with_trusted_launch_goes_straight_to_the_gallery(nights: Nights) -> None:
    nights.make_vm(generalized=True, security_type="TrustedLaunch")
    night = nights.night(nights.spec(source={"generalized_vm": BUILD_VM}))
    check_runs_on_it(nights, night)
    assert night.states["image.managed_image"] == State.SKIPPED
    source = nights.version(night)["properties"]["storageProfile"]["source"]
    assert source["virtualMachineId"].endswith("/virtualMachines/build-vm")


def test_page_blobs_become_a_version_with_their_data_disk(nights: Nights) -> None:
    night = nights.night(nights.spec(source={"vhd": VHD}))
    check_runs_on_it(nights, night)
    assert nights.made("snapshots") == []
    disks = nights.version(night)["properties"]["storageProfile"]["dataDiskImages"]
    assert [disk["lun"] for disk in disks] == [2]


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ({"generalized_vm": BUILD_VM}, {"managed_image", "publish"}),
        ({"vhd": VHD}, {"managed_image", "publish"}),
    ],
)
def test_the_graph_shows_what_the_source_needs_and_no_more(
    nights: Nights, source: dict[str, Any], made: set[str]
) -> None:
    dag = pool_dag("small", nights.spec(source=source))
    tasks = {name.partition(".")[2] for name in dag.task_dict if name.startswith("image.")}
    assert tasks == made


@pytest.mark.parametrize(
    ("vm", "parts", "check", "advice"),
    [
        ({"security_type": "ConfidentialVM"}, {}, "security-type:", "security type Standard or TrustedLaunch"),
        (
            {"security_type": "TrustedLaunch"},
            {"golden_vm": {**BUILD_VM, "route": "managed_image"}},
            "managed-image-possible:",
            "set golden_vm.route: auto",
        ),
        (
            {"security_type": "TrustedLaunch"},
            {"golden_vm": BUILD_VM, "image": {"publish": "managed_image", "legacy_direct_pool": True}},
            "managed-image-possible:",
            "use publish: gallery",
        ),
        (
            {"security_type": "TrustedLaunch"},
            {"golden_vm": BUILD_VM, "pool": {"vm_size": "Standard_A2_v2"}},
            "vm-size-trusted-launch:",
            "choose a pool.vm_size with Trusted Launch",
        ),
    ],
)
def test_what_azure_would_refuse_is_refused_before_anything_is_written(
    nights: Nights, vm: dict[str, Any], parts: dict[str, Any], check: str, advice: str
) -> None:
    nights.make_vm(**vm)
    night = nights.night(nights.spec(**{"golden_vm": BUILD_VM, **parts}))
    error = night.errors["preflight"]
    assert isinstance(error, PreflightError)
    assert check in error.what
    assert advice in error.advice
    assert nights.cloud.writes() == []


@pytest.mark.parametrize(
    ("vm", "check", "advice"),
    [
        ({}, "generalized:", "generalize: clone"),
        ({"generalized": True, "encrypted": True}, "disk-encryption:", "decrypt it"),
        (
            {"generalized": True, "extensions": [{"name": "Custom", "publisher": "p", "type": "t"}]},
            "vm-extensions:",
            "remove them",
        ),
    ],
)
def test_a_vm_that_cannot_be_captured_is_refused(nights: Nights, vm: dict[str, Any], check: str, advice: str) -> None:
    nights.make_vm(**vm)
    error = nights.night(nights.spec(source={"generalized_vm": BUILD_VM})).errors["preflight"]
    assert check in str(error)
    assert advice in error.advice
    assert nights.cloud.writes() == []


def test_a_blob_that_is_no_page_blob_fails_with_azures_word(nights: Nights) -> None:
    wrong = {**VHD, "os_disk": f"{VHDS}/nobody.vhd"}
    night = nights.night(nights.spec(source={"vhd": wrong}))
    error = night.errors["image.managed_image"]
    assert "is not accessible" in error.answer
    assert error.resource.endswith(f"/{COMPUTE.rpartition('/')[2]}/images/{night.run.plan.stem}")
    assert error.advice
