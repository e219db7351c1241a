"""What broken runs have left in Azure goes with ``retire_images``, and nothing that anybody works with or at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from golden_pools.spec.model import PoolSpec

from dags.golden_pools import pool_dag
from tests.operators import test_restore_point as restore_point
from tests.operators.conftest import ACCOUNT, COMPUTE, HTTP, Run, kill_at_write
from tests.operators.test_clone import cloned, stages, started, throwaways
from tests.operators.test_retire_images import Retention
from tests.operators.test_sources import Nights
from tests.virtual_time import virtual_cloud

NETWORK = "resourceGroups/images/providers/Microsoft.Network/networkInterfaces"
NETWORK_API = "2024-05-01"


@pytest.fixture
def nights(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nights]:
    monkeypatch.setenv("GOLDEN_POOLS_DIR", str(tmp_path))
    with virtual_cloud() as (cloud, virtual):
        yield Nights(cloud, virtual)


@pytest.fixture
def kept(nights: Nights, tmp_path: Any) -> Any:
    """Write the spec ``small`` with retention switched on; returns it."""

    def write(spec: PoolSpec) -> PoolSpec:
        data = spec.model_dump(mode="json", exclude_defaults=True)
        data["retention"] = {"keep": 1, "delete": True}
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
        return spec

    return write


@pytest.fixture
def retention(nights: Nights) -> Retention:
    return Retention(nights.cloud, nights.virtual)


def broken_off(nights: Nights, spec: PoolSpec, number: int) -> Run:
    """Leave a run whose worker was killed at its n-th write while it made the clone, and never came back."""
    run = started(nights, spec)
    tasks = stages(run)
    for name in ("preflight", "image.stop_golden_vm", "image.snapshot"):
        run.do(tasks[name])
    kill_at_write(run, tasks["image.clone_vm"], number, sent=True)
    return run


def whole_clone(nights: Nights, spec: PoolSpec) -> Run:
    run = started(nights, spec)
    tasks = stages(run)
    for name in ("preflight", "image.stop_golden_vm", "image.snapshot", "image.clone_vm"):
        run.do(tasks[name])
    return run


def network(nights: Nights, method: str, path: str, body: Any = None) -> dict[str, Any]:
    url = f"{nights.cloud.url}/subscriptions/{nights.cloud.subscription}/{path}"
    answer = HTTP.request(method, url, params={"api-version": NETWORK_API}, json=body)
    assert answer.status_code < 300, answer.text
    return dict(answer.json()) if answer.content else {}


def deleted(nights: Nights) -> list[str]:
    return [line.rpartition("/")[2] for line in nights.cloud.writes() if line.startswith("DELETE")]


@pytest.mark.parametrize("number", range(1, 6))
def test_disks_network_card_and_vm_of_a_clone_go_wherever_the_run_broke_off(
    nights: Nights, kept: Any, retention: Retention, number: int
) -> None:
    run = broken_off(nights, kept(cloned(nights)), number)
    there = throwaways(nights.cloud)
    assert there != []
    retention.a_run(days_later=2)
    assert retention.errors == {}
    assert throwaways(nights.cloud) == []
    snapshots = [name for name in deleted(nights) if name.startswith("small-")]
    assert set(deleted(nights)) - set(snapshots) <= set(there)
    assert [machine.rid.name for machine in nights.cloud.world.compute.machines] == ["golden-vm"]
    assert run.plan.stem in " ".join(snapshots)
    retention.a_run(days_later=1)
    assert nights.cloud.writes() == []


def test_a_whole_clone_goes_with_what_is_attached_to_it(nights: Nights, kept: Any, retention: Retention) -> None:
    run = whole_clone(nights, kept(cloned(nights)))
    retention.a_run(days_later=2)
    assert retention.errors == {}
    assert throwaways(nights.cloud) == []
    assert run.plan.clone_name in deleted(nights)
    assert f"{run.plan.clone_name}-nic" not in deleted(nights)  # Azure takes it away with the VM


def test_what_a_run_of_today_made_stays_and_so_does_what_a_run_that_goes_on_made(
    nights: Nights, kept: Any, retention: Retention
) -> None:
    run = broken_off(nights, kept(cloned(nights)), 4)
    there = throwaways(nights.cloud)
    retention.a_run(days_later=0.9)
    assert deleted(nights) == []
    retention.going_on = {run.run_id}
    retention.a_run(days_later=3)
    assert deleted(nights) == []
    assert throwaways(nights.cloud) == there


def test_what_somebody_has_attached_to_a_vm_of_his_own_stays(nights: Nights, kept: Any, retention: Retention) -> None:
    run = whole_clone(nights, kept(cloned(nights)))
    machine = nights.cloud.arm("GET", f"{COMPUTE}/virtualMachines/{run.plan.clone_name}")
    nights.cloud.arm(
        "PATCH",
        f"{COMPUTE}/virtualMachines/{run.plan.clone_name}",
        {"tags": {**machine["tags"], "golden-pools-pin": ""}},
    )
    there = throwaways(nights.cloud)
    retention.a_run(days_later=2)
    assert retention.errors == {}
    assert throwaways(nights.cloud) == there
    whys = {item["why"] for item in retention.report["items"]}
    assert whys.isdisjoint({"its run did not remove it"})


def test_what_is_not_ours_stays_though_it_has_such_a_name(nights: Nights, kept: Any, retention: Retention) -> None:
    kept(cloned(nights))
    subnet = (
        f"/subscriptions/{nights.cloud.subscription}/resourceGroups/golden/providers/Microsoft.Network"
        "/virtualNetworks/golden-net/subnets/builders"
    )
    card = {"name": "ip", "properties": {"subnet": {"id": subnet}}}
    for name, tags in (
        ("clone-20251101T000000-small-nic", {}),
        ("clone-20251102T000000-small-nic", {"golden-pools-pool": "small", "golden-pools-dag": "golden_pool_small"}),
        ("card", {"golden-pools-pool": "small", "golden-pools-dag": "golden_pool_small", "golden-pools-run": "r"}),
    ):
        network(
            nights, "PUT", f"{NETWORK}/{name}",
            {"location": "westeurope", "tags": tags, "properties": {"ipConfigurations": [card]}},
        )  # fmt: skip
    nights.cloud.forget()
    retention.a_run(days_later=30)
    assert nights.cloud.writes() == []


def test_a_canary_pool_goes_with_the_job_of_its_probes(nights: Nights, kept: Any, retention: Retention) -> None:
    run = started(nights, kept(nights.spec()))
    tasks = pool_dag("small", run.spec).task_dict
    image = ("stop_golden_vm", "snapshot", "start_golden_vm", "managed_image", "publish")
    for name in ("preflight", *(f"image.{stage}" for stage in image), "canary.pool", "canary.probe"):
        run.do(tasks[name])
    [canary] = nights.cloud.pools()
    nights.cloud.forget()
    retention.a_run(days_later=0.5)
    assert deleted(nights) == []
    retention.a_run(days_later=1)
    assert retention.errors == {}
    nights.virtual.sleep(3600)
    assert nights.cloud.pools() == {}
    assert [line for line in nights.cloud.writes() if f"/jobs/{canary}" in line] != []
    nights.cloud.forget()
    retention.a_run(days_later=1)
    assert [line for line in nights.cloud.writes() if ACCOUNT in line] == []


def test_a_canary_pool_of_a_run_that_goes_on_stays(nights: Nights, kept: Any, retention: Retention) -> None:
    run = started(nights, kept(nights.spec()))
    tasks = pool_dag("small", run.spec).task_dict
    image = ("stop_golden_vm", "snapshot", "start_golden_vm", "managed_image", "publish")
    for name in ("preflight", *(f"image.{stage}" for stage in image), "canary.pool"):
        run.do(tasks[name])
    retention.going_on = {run.run_id}
    retention.a_run(days_later=2)
    assert len(nights.cloud.pools()) == 1


# -- restore points ----------------------------------------------------------------------------------------------------


@pytest.fixture
def builder(nights: Nights) -> Nights:
    """The world with a VM that runs and whose disks a restore point catches at one moment."""
    nights.make_vm(power_state="running", os_disk={"name": "build-os", "size_gib": 32, "caching": "ReadOnly"})
    return nights


def points_left(nights: Nights, spec: PoolSpec, number: int) -> Run:
    """Leave a run whose worker was killed at its n-th write while it took a restore point."""
    run, tasks = restore_point.stages(nights, spec)
    run.do(pool_dag("small", spec).task_dict["preflight"])
    kill_at_write(run, tasks["restore_point"], number, sent=True)
    return run


@pytest.mark.parametrize("number", range(2, 5))
def test_restore_points_their_collection_and_their_disks_go_wherever_the_run_broke_off(
    builder: Nights, kept: Any, retention: Retention, number: int
) -> None:
    points_left(builder, kept(restore_point.captured(builder)), number)
    assert restore_point.left(builder.cloud) != []
    retention.a_run(days_later=0.5)
    assert deleted(builder) == []
    retention.a_run(days_later=1)
    assert retention.errors == {}
    assert restore_point.left(builder.cloud) == []
    builder.cloud.forget()
    retention.a_run(days_later=1)
    assert builder.cloud.writes() == []


def test_restore_points_of_a_run_that_goes_on_stay(builder: Nights, kept: Any, retention: Retention) -> None:
    run = points_left(builder, kept(restore_point.captured(builder)), 4)
    there = restore_point.left(builder.cloud)
    retention.going_on = {run.run_id}
    retention.a_run(days_later=2)
    assert restore_point.left(builder.cloud) == there


def test_a_restore_point_that_somebody_else_took_keeps_itself_and_its_collection(
    builder: Nights, kept: Any, retention: Retention
) -> None:
    run = points_left(builder, kept(restore_point.captured(builder)), 2)
    url = f"{builder.cloud.url}/subscriptions/{builder.cloud.subscription}/{restore_point.COLLECTION}"
    for name in ("by-hand", "other-20251101T000000"):
        builder.virtual.sleep(3600)
        body = {"properties": {"consistencyMode": "CrashConsistent"}}
        answer = HTTP.put(f"{url}/restorePoints/{name}", params={"api-version": "2026-04-01"}, json=body)
        assert answer.status_code < 300, answer.text
    retention.a_run(days_later=2)
    assert retention.errors == {}
    assert deleted(builder) == [run.plan.stem]
    assert restore_point.left(builder.cloud) == ["by-hand", "other-20251101T000000", "small-build-vm"]
