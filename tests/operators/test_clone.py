"""``generalize: clone``: a throwaway VM is generalized for the golden VM, which nothing happens to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from golden_pools.errors import AzureRefusedError, OwnershipError
from golden_pools.spec.model import PoolSpec

from dags.golden_pools import pool_dag
from tests.operators.conftest import COMPUTE, Cloud, Run, kill_at_write
from tests.operators.dag_run import DagRun, State
from tests.operators.test_sources import BUILD_VM, Nights, check_runs_on_it
from tests.virtual_time import virtual_cloud

CLONE = "clone-20261122T020005-small"


@pytest.fixture
def nights() -> Iterator[Nights]:
    with virtual_cloud() as (cloud, virtual):
        yield Nights(cloud, virtual)


def cloned(
    nights: Nights, *, vm: dict[str, str] | None = None, golden: dict[str, Any] | None = None, **more: Any
) -> PoolSpec:
    """Return a spec that generalizes a clone; ``more`` says more of it."""
    subnet = f"/subscriptions/{nights.cloud.subscription}/resourceGroups/golden/providers/Microsoft.Network"
    clone = {"subnet_id": f"{subnet}/virtualNetworks/golden-net/subnets/builders", "vm_size": "Standard_D2s_v5", **more}
    return nights.spec(golden_vm={**(vm or {}), "generalize": "clone", "clone": clone, **(golden or {})})


def on_windows(nights: Nights, **script: Any) -> PoolSpec:
    """Make a Windows VM in which scripts come to this, and return a spec that generalizes a clone of it."""
    base = {"publisher": "microsoftwindowsserver", "offer": "windowsserver", "sku": "2022-datacenter-g2"}
    nights.make_vm(os_type="Windows", image=base, tags={}, run_commands=[script])
    spec = cloned(nights, vm=BUILD_VM)
    return spec.model_copy(update={"pool": spec.pool.model_copy(update={"node_agent_sku": "batch.node.windows amd64"})})


def throwaways(cloud: Cloud) -> list[str]:
    """Return the names of VMs, disks and network cards of clones that are there."""
    world = cloud.world
    found = [*world.compute.machines, *world.compute.disks, *world.network.interfaces]
    return sorted(thing.rid.name for thing in found if thing.rid.name.startswith("clone-"))


def golden(cloud: Cloud) -> tuple[bool, bool, str]:
    """Return whether the golden VM is flagged, whether its guest is generalized, and its power state."""
    machines = cloud.world.compute.machines
    machine = next(machine for machine in machines if machine.rid.name == "golden-vm")
    return machine.generalized, machines.guest(machine).generalized, machine.power_state.value


def stages(run: Run) -> dict[str, BaseOperator]:
    """Return the tasks of the image group."""
    tasks = pool_dag("small", run.spec).task_dict
    names = ("preflight", "image.stop_golden_vm", "image.snapshot", "image.clone_vm", "image.generalize_clone")
    return {name: tasks[name] for name in (*names, "image.managed_image", "image.publish", "image.remove_clone")}


def started(nights: Nights, spec: PoolSpec) -> Run:
    run = Run(spec, stamp=nights.virtual.now(), fire=nights.virtual.fire)
    run.do(pool_dag("small", spec).task_dict["source"])
    return run


def test_the_clone_is_generalized_and_the_golden_vm_is_not(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    """Pitfall 18: generalize destroyed the golden VM."""
    before = golden(nights.cloud)
    night = nights.night(cloned(nights))
    check_runs_on_it(nights, night)
    assert "exit code 0" in capsys.readouterr().out
    assert golden(nights.cloud) == before
    posts = [write for write in nights.cloud.writes() if write.startswith("POST") and "generalize" in write]
    assert [post.split("/")[-2] for post in posts] == [CLONE]
    image = nights.cloud.arm("GET", f"{COMPUTE}/images/{night.run.plan.stem}")
    assert image["properties"]["sourceVirtualMachine"]["id"].endswith(f"/virtualMachines/{CLONE}")


def test_nothing_of_the_clone_is_left(nights: Nights) -> None:
    """Pitfall 31: leftovers of intermediate machines."""
    assert nights.night(cloned(nights)).succeeded
    assert throwaways(nights.cloud) == []


def test_a_clone_with_trusted_launch_goes_straight_to_the_gallery(nights: Nights) -> None:
    nights.make_vm(security_type="TrustedLaunch", tags={})
    night = nights.night(cloned(nights, vm=BUILD_VM))
    check_runs_on_it(nights, night)
    assert night.states["image.managed_image"] == State.SKIPPED
    source = nights.version(night)["properties"]["storageProfile"]["source"]
    assert source["virtualMachineId"].endswith(f"/virtualMachines/{CLONE}")


def test_a_script_that_fails_is_told_and_the_clone_goes(nights: Nights) -> None:
    nights.cloud.fault(
        method="POST",
        path="/runCommand",
        operation_error={"code": "VMExtensionProvisioningError", "message": "no agent"},
    )
    night = nights.night(cloned(nights))
    error = night.errors["image.generalize_clone"]
    assert isinstance(error, AzureRefusedError)
    assert "VMExtensionProvisioningError: no agent" in error.answer
    assert error.advice
    assert throwaways(nights.cloud) == []


def give_script(nights: Nights, **script: Any) -> None:
    """Say what the scripts in the VM ``build-vm`` and its copies come to."""
    nights.make_vm(tags={}, run_commands=[script])


def test_a_script_with_another_exit_code_than_0_is_told_with_what_it_said_and_the_clone_goes(nights: Nights) -> None:
    give_script(nights, exit_code=3, stdout="looking for agents\n", stderr="waagent: cannot lock")
    night = nights.night(cloned(nights, vm=BUILD_VM))
    error = night.errors["image.generalize_clone"]
    assert isinstance(error, AzureRefusedError)
    assert error.answer.startswith("exit code 3; it said: ")
    assert "looking for agents" in error.answer
    assert "waagent: cannot lock" in error.answer
    assert "correct golden_vm.clone.command or the golden VM" in error.advice
    assert [write for write in nights.cloud.writes() if write.endswith("/generalize")] == []
    assert throwaways(nights.cloud) == []


def test_the_next_try_runs_a_failed_script_again(nights: Nights) -> None:
    give_script(nights, exit_code=3)
    run = started(nights, cloned(nights, vm=BUILD_VM))
    for name, task in stages(run).items():
        if name == "image.generalize_clone":
            for _ in range(2):
                with pytest.raises(AzureRefusedError, match="exit code 3"):
                    run.do(task)
            break
        run.do(task)
    assert len([write for write in nights.cloud.writes() if write.endswith("/runCommand")]) == 2


def test_a_script_that_does_not_end_is_told_after_the_specs_minutes_and_the_clone_goes(nights: Nights) -> None:
    nights.cloud.configure(compute={"run_command": "PT3H"})
    began = nights.virtual.now()
    night = nights.night(cloned(nights, golden={"capture": "running"}, minutes=20))
    error = night.errors["image.generalize_clone"]
    assert isinstance(error, AzureRefusedError)
    assert error.what == "The script that generalizes the clone did not end in time"
    assert error.answer == "it had 20 minutes"
    assert "raise golden_vm.clone.minutes" in error.advice
    assert nights.virtual.now() - began < timedelta(hours=1)
    assert throwaways(nights.cloud) == []


def test_a_windows_guest_that_does_not_shut_down_is_told(nights: Nights) -> None:
    """MicrosoftDocs/azure-docs-cli#4542: nothing else tells that sysprep failed."""
    error = nights.night(on_windows(nights, exit_code=1)).errors["image.generalize_clone"]
    assert "the guest did not shut down within 30 minutes" in error.answer
    assert throwaways(nights.cloud) == []


def test_what_a_windows_script_writes_to_its_error_stream_is_told(nights: Nights) -> None:
    error = nights.night(on_windows(nights, stderr="sysprep was unable to validate")).errors["image.generalize_clone"]
    assert error.answer == "sysprep was unable to validate"


def test_a_subnet_that_is_not_there_is_told_and_the_disks_go(nights: Nights) -> None:
    spec = cloned(nights)
    assert spec.golden_vm is not None
    assert spec.golden_vm.clone is not None
    clone = {**spec.golden_vm.clone.model_dump(), "subnet_id": spec.golden_vm.clone.subnet_id.replace("builders", "no")}
    night = nights.night(cloned(nights, golden={"clone": clone}))
    error = night.errors["image.clone_vm"]
    assert "InvalidResourceReference" in error.answer
    assert error.resource.endswith(f"/networkInterfaces/{CLONE}-nic")
    assert throwaways(nights.cloud) == []


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize(
    ("victim", "number"),
    [
        *[("image.clone_vm", number) for number in range(1, 6)],
        *[("image.generalize_clone", number) for number in range(1, 4)],
        *[("image.remove_clone", number) for number in range(1, 2)],
    ],
)
def test_a_worker_killed_at_any_write_changes_nothing(nights: Nights, victim: str, number: int, *, sent: bool) -> None:
    run = started(nights, cloned(nights))
    for name, task in stages(run).items():
        if name == victim:
            kill_at_write(run, task, number, sent=sent)
            nights.virtual.sleep(360)
        run.do_with_retries(task)
    assert run.xcom("image.publish")["image"] == run.plan.version_id
    assert throwaways(nights.cloud) == []
    assert golden(nights.cloud)[0] is False


def test_every_stage_done_twice_makes_nothing_twice(nights: Nights) -> None:
    run = started(nights, cloned(nights))
    for task in stages(run).values():
        run.do(task)
        if "stop" not in task.task_id:
            run.do(task)
    puts = [write for write in nights.cloud.writes() if write.startswith("PUT")]
    assert len(puts) == len(set(puts))
    assert throwaways(nights.cloud) == []


def test_what_a_killed_run_has_left_goes_with_the_next(nights: Nights) -> None:
    lost = started(nights, cloned(nights))
    for name, task in stages(lost).items():
        if name in ("preflight", "image.stop_golden_vm", "image.snapshot", "image.clone_vm"):
            lost.do(task)
    assert throwaways(nights.cloud) != []
    nights.virtual.sleep(86400)
    spec = cloned(nights)
    run = Run(spec, run_id="manual__2", stamp=nights.virtual.now(), fire=nights.virtual.fire)
    assert DagRun(pool_dag("small", spec), run, run.do_with_retries).go().succeeded
    assert throwaways(nights.cloud) == []


def test_a_vm_that_is_not_this_runs_clone_is_never_flagged(nights: Nights) -> None:
    """Pitfall 18, tried hard: somebody has put his own VM under the clone's name."""
    run = started(nights, cloned(nights))
    nights.make_vm(resource_group="images", name=CLONE, tags={"golden-pools-run": "manual__1"})
    generalize = stages(run)["image.generalize_clone"]
    with pytest.raises(OwnershipError, match="belongs to"):
        run.do(generalize)
    assert [write for write in nights.cloud.writes() if "generalize" in write] == []


def test_a_vm_of_this_run_without_the_tag_of_a_clone_is_never_flagged(nights: Nights) -> None:
    run = started(nights, cloned(nights))
    nights.make_vm(resource_group="images", name=CLONE, tags=run.plan.tags)
    with pytest.raises(OwnershipError, match="not a clone"):
        run.do(stages(run)["image.generalize_clone"])
    assert [write for write in nights.cloud.writes() if "generalize" in write] == []


def test_windows_is_given_the_time_to_shut_itself_down(nights: Nights) -> None:
    night = nights.night(on_windows(nights))
    check_runs_on_it(nights, night)
    (script,) = [entry for entry in nights.cloud.requests() if "/runCommand" in entry["url"]]
    assert "RunPowerShellScript" in script["request_body"]
    assert "/shutdown" in script["request_body"]


def test_a_clone_that_a_version_is_still_made_from_stays(nights: Nights) -> None:
    """Nothing is deleted that something needs."""
    nights.make_vm(security_type="TrustedLaunch", tags={})
    run = started(nights, cloned(nights, vm=BUILD_VM))
    tasks = stages(run)
    for name, task in tasks.items():
        if name == "image.publish":
            trigger = run.begin(task)
            while type(trigger).__name__ == "OperationsTrigger":  # the definition comes first
                nights.virtual.sleep(600)
                trigger = run.begin(task)
        elif name != "image.remove_clone":
            run.do(task)
    there = throwaways(nights.cloud)
    run.do(tasks["image.remove_clone"])
    assert throwaways(nights.cloud) == there != []
    nights.virtual.sleep(86400)
    run.do(tasks["image.remove_clone"])
    assert throwaways(nights.cloud) == []


def test_what_has_no_tag_of_a_clone_is_never_removed(nights: Nights) -> None:
    run = started(nights, cloned(nights))
    nights.make_vm(resource_group="images", name="clone-of-somebody", tags=run.plan.tags)
    run.do(stages(run)["image.remove_clone"])
    assert "clone-of-somebody" in throwaways(nights.cloud)
