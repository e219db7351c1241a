"""The custom role in ``docs`` allows what runs do, as the simulator saw it, and hardly anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, TypeVar

import httpx
import pytest
from golden_pools.operators.retire_pool import RetireFormerPoolsOperator
from golden_pools.rules.plan import RESIZE_PARAMS
from golden_pools.spec.model import PoolSpec

from dags.golden_pools import pool_dag
from dags.resize_pool import resize_dag
from include.airflow_settings import ROOT
from tests.operators.conftest import ACCOUNT, Cloud, Run, small_pool
from tests.operators.dag_run import DagRun, State
from tests.operators.test_preflight import changed
from tests.virtual_time import VirtualTime, virtual_cloud

ResultT = TypeVar("ResultT")

PROVIDER = re.compile(r"/providers/(Microsoft\.\w+)/(.+)", re.IGNORECASE)
SUFFIXES = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}
PLANE_SUFFIXES = {**SUFFIXES, "POST": "write"}

DISK_FULL = {"code": "DiskFull", "message": "There is not enough disk space"}

OF_LINKED_RESOURCES = {
    "microsoft.compute/disks/begingetaccess/action",
    "microsoft.managedidentity/userassignedidentities/assign/action",
    "microsoft.network/virtualnetworks/subnets/join/action",
    "microsoft.compute/virtualmachines/instanceview/read",
    "microsoft.compute/virtualmachines/extensions/read",
}
"""Rights that Azure asks for beside that of the call itself: on what the body names, and on parts of the answer."""

OF_COMPARING = {"microsoft.network/networkinterfaces/read", "microsoft.compute/restorepointcollections/read"}
"""Rights to what only the watch and retention list."""


def needed_right(method: str, path: str) -> str | None:
    """The right that Azure asks for; none for logins and the simulator's own routes.

    ARM names rights after the types in the path: ``.../{namespace}/{type}/{name}/{type}/{name}`` with a method is
    ``{namespace}/{type}/{type}/{read|write|delete}``, and a POST to ``.../{name}/{verb}`` is ``.../{verb}/action``. The
    data plane of Batch asks for those of jobs and job schedules, which are data actions, and for ARM's own on the pools
    and the account ("Authenticate Azure Batch services with Microsoft Entra ID").
    """
    if found := PROVIDER.search(path):
        parts = found[2].strip("/").split("/")
        return "/".join([found[1], *parts[::2], SUFFIXES[method]]).lower()
    kind = path.strip("/").partition("/")[0].lower()
    if kind in ("jobs", "jobschedules"):
        is_whole = path.strip("/").count("/") == 1
        suffix = PLANE_SUFFIXES[method] if method != "DELETE" or is_whole else "write"
        return f"microsoft.batch/batchaccounts/{kind}/{suffix}"
    if kind in ("pools", "nodecounts"):
        return f"microsoft.batch/batchaccounts/pools/{PLANE_SUFFIXES[method]}"
    return "microsoft.batch/batchaccounts/read" if kind == "supportedimages" else None


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("GET", "/providers/Microsoft.Compute/disks/d", "microsoft.compute/disks/read"),
        ("GET", "/providers/Microsoft.Batch/batchAccounts/a/pools", "microsoft.batch/batchaccounts/pools/read"),
        (
            "POST",
            "/providers/Microsoft.Compute/virtualMachines/v/start",
            "microsoft.compute/virtualmachines/start/action",
        ),
    ],
)
def test_a_right_is_named_after_the_types_in_the_path(method: str, path: str, right: str) -> None:
    assert needed_right(method, f"/subscriptions/s/resourceGroups/g{path}") == right


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("POST", "/jobs/j/disable", "jobs/write"),
        ("HEAD", "/jobs/j/tasks/t/files/stdout.txt", "jobs/read"),
        ("DELETE", "/jobs/j", "jobs/delete"),
        ("PATCH", "/jobschedules/s", "jobschedules/write"),
        ("POST", "/pools/p/nodes/n/reboot", "pools/write"),
        ("GET", "/nodecounts", "pools/read"),
        ("GET", "/supportedimages", "read"),
    ],
)
def test_the_data_plane_asks_for_rights_on_jobs_and_pools(method: str, path: str, right: str) -> None:
    assert needed_right(method, path) == f"microsoft.batch/batchaccounts/{right}"


@pytest.fixture
def role() -> Mapping[str, Any]:
    return dict(json.loads((ROOT / "docs" / "custom-role.json").read_text(encoding="utf-8")))


@dataclass
class Nights:
    """Runs of a pool's DAG, one after the other, and the rights that they needed.

    :param rights: of the runs alone; what a test arranges between them does not count
    """

    cloud: Cloud
    virtual: VirtualTime
    rights: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=count)

    def night(self, strategy: str, *, force: bool = False, **parts: Any) -> DagRun:
        """Run the DAG under a strategy; ``parts`` change the spec."""
        refresh = {"strategy": strategy, "probe_pool": True, **parts.pop("refresh", {})}
        spec = changed(small_pool(self.cloud), refresh=refresh, **parts)
        run = self._run(spec, {"force": True} if force else {})
        return self._counted(DagRun(pool_dag("small", spec), run, run.do_with_retries).go)

    def resize(self, *, dedicated: int, **resize: Any) -> DagRun:
        """Resize the pool by hand; keywords are those of the spec's ``resize``."""
        conf = {"dedicated": dedicated, "why": "a test"}
        run = self._run(changed(small_pool(self.cloud), resize=resize), conf, keys=RESIZE_PARAMS)
        return self._counted(DagRun(resize_dag(["small"]), run, run.do_with_retries).go)

    def retire(self) -> dict[str, Any]:
        """Let the former pools go, long after their soak; returns which are gone and which are left."""
        self.virtual.sleep(86400)
        run = self._run(small_pool(self.cloud), {})
        return dict(self._counted(partial(run.do_with_retries, RetireFormerPoolsOperator(task_id="retire"))))

    def _run(self, spec: PoolSpec, conf: dict[str, Any], **keys: Any) -> Run:
        run_id = f"manual__{next(self.numbers)}"
        return Run(spec, conf=conf, run_id=run_id, stamp=self.virtual.now(), fire=self.virtual.fire, **keys)

    def _counted(self, what: Callable[[], ResultT]) -> ResultT:
        self.cloud.forget()
        result = what()
        calls = [(entry["method"], httpx.URL(entry["url"]).path) for entry in self.cloud.requests()]
        self.rights |= {right for method, path in calls if (right := needed_right(method, path))}
        return result


@pytest.fixture
def nights() -> Iterator[Nights]:
    with virtual_cloud(poll_seconds=60) as (cloud, virtual):
        cloud.configure(log={"max_bytes": 64 * 2**20})
        yield Nights(cloud, virtual)


def bad_nodes(cloud: Cloud, **amount: object) -> None:
    """Let nodes of the next resize fail, of whichever pool of the alias it is."""
    cloud.allocation(pool="small*", node_outcomes=[{"state": "unusable", "error": DISK_FULL, **amount}])


def scale_by_formula(cloud: Cloud, pool: str) -> None:
    """Let a pool grow by a formula, as somebody else would."""
    formula = {"formula": "$TargetDedicatedNodes=40;", "evaluationInterval": "PT5M"}
    cloud.arm("PATCH", f"{ACCOUNT}/pools/{pool}", {"properties": {"scaleSettings": {"autoScale": formula}}})
    cloud.advance(seconds=30)


def test_the_role_allows_what_runs_do_and_nothing_else(nights: Nights, role: Mapping[str, Any]) -> None:
    cloud = nights.cloud
    assert nights.night("in_place").succeeded
    cloud.fault(method="PUT", path="/snapshots/.*-data-0$", operation_error={"code": "DiskFailed"}, count=1)
    assert nights.night("in_place").states["image.snapshot"] == State.FAILED  # the rest of the set is removed
    cloud.make_job()
    cloud.make_schedule()
    bad_nodes(cloud, nodes=1)
    assert nights.night(
        "blue_green", golden_vm={"capture": "stopped"}
    ).succeeded  # jobs move; the clinic reboots and replaces a node
    assert nights.retire() == {"retired": ["small"], "left": {}}
    for strategy in ("blue_green", "in_place", "recreate"):
        bad_nodes(cloud, share=1)
        back = nights.night(strategy, force=True)
        assert back.states["rollback.restore"] == State.SUCCESS, strategy
        assert back.states["rollback.resize"] == State.SUCCESS, strategy
    cloud.command(kind="task", pool="canary-*", exit_code=1)
    assert nights.night("in_place").states["canary.mark_bad"] == State.SUCCESS
    cloud.control("DELETE", "commands")
    cloud.allocation(pool="small*", max_new_nodes=1)  # the others do not come: that resize is stopped
    assert nights.resize(dedicated=6, stall_minutes=5).succeeded
    scale_by_formula(cloud, nights.resize(dedicated=4).run.xcom("resize")["pool"])
    assert nights.resize(dedicated=3, autoscale="switch_off").succeeded

    actions = {action.lower() for action in role["Actions"]}
    data_actions = {action.lower() for action in role["DataActions"]}
    on_jobs = {right for right in nights.rights if "/jobs/" in right or "/jobschedules/" in right}

    assert nights.rights - on_jobs - actions == set()
    assert on_jobs == data_actions
    assert actions - nights.rights == OF_LINKED_RESOURCES | OF_COMPARING


def test_a_second_role_allows_clones_and_nothing_else(nights: Nights, role: Mapping[str, Any]) -> None:
    subnet = f"/subscriptions/{nights.cloud.subscription}/resourceGroups/golden/providers/Microsoft.Network"
    clone = {"subnet_id": f"{subnet}/virtualNetworks/golden-net/subnets/builders"}
    nights.cloud.fault(method="PUT", path="/virtualMachines/clone-", status=400, code="BadRequest", count=1)
    assert not nights.night(
        "in_place", golden_vm={"generalize": "clone", "clone": clone}
    ).succeeded  # parts are deleted
    nights.virtual.sleep(3600)
    assert nights.night("in_place", golden_vm={"generalize": "clone", "clone": clone}).succeeded

    of_clones = json.loads((ROOT / "docs" / "custom-role-clone.json").read_text(encoding="utf-8"))
    actions = {action.lower() for action in of_clones["Actions"]}
    needed = {right for right in nights.rights if "/jobs" not in right}

    assert needed - actions - {action.lower() for action in role["Actions"]} == set()
    assert actions - nights.rights == {"microsoft.network/networkinterfaces/join/action"}


def test_a_third_role_allows_restore_points_and_nothing_else(nights: Nights, role: Mapping[str, Any]) -> None:
    machine = next(one for one in nights.cloud.world.compute.machines if one.rid.name == "golden-vm")
    os_disk = machine.section.os_disk.model_copy(update={"caching": "ReadOnly"})
    machine.section = machine.section.model_copy(update={"os_disk": os_disk})
    assert nights.night("in_place", golden_vm={"capture": "restore_point"}).succeeded

    of_points = json.loads((ROOT / "docs" / "custom-role-restore-point.json").read_text(encoding="utf-8"))
    actions = {action.lower() for action in of_points["Actions"]}
    needed = {right for right in nights.rights if "/jobs" not in right}
    of_disks = "microsoft.compute/restorepointcollections/restorepoints/diskrestorepoints"

    assert needed - actions - {action.lower() for action in role["Actions"]} == set()
    assert actions - nights.rights == {f"{of_disks}/read", f"{of_disks}/begingetaccess/action"}  # of the disks' source
