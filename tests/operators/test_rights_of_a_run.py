"""The custom role in ``docs`` allows what runs do, as the simulator saw it, and hardly anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest
from golden_pools.hooks.batch import BatchHook, PoolSettings
from golden_pools.hooks.batch_work import BatchWorkHook
from golden_pools.hooks.compute import ComputeHook
from golden_pools.spec.model import Deallocation, MoveTasks, Targets

from include.airflow_settings import ROOT
from tests.operators.conftest import STAMP, Cloud, Run
from tests.operators.test_whole_run import stages

PROVIDER = re.compile(r"/providers/(Microsoft\.\w+)/(.+)", re.IGNORECASE)
SUFFIXES = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}
PLANE_SUFFIXES = {**SUFFIXES, "POST": "write"}

OF_LINKED_RESOURCES = {
    "microsoft.compute/disks/begingetaccess/action",
    "microsoft.managedidentity/userassignedidentities/assign/action",
    "microsoft.network/virtualnetworks/subnets/join/action",
    "microsoft.compute/virtualmachines/instanceview/read",
    "microsoft.compute/virtualmachines/extensions/read",
}
"""Rights that Azure asks for beside that of the call itself: on what the body names, and on parts of the answer."""


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


def needed(cloud: Cloud) -> set[str]:
    """The rights that everything so far needed."""
    calls = [(entry["method"], httpx.URL(entry["url"]).path) for entry in cloud.requests()]
    return {right for method, path in calls if (right := needed_right(method, path))}


def two_runs(run: Run) -> None:
    """The first makes the pool, the second refreshes it."""
    for number in range(2):
        again = Run(run.spec, run_id=f"manual__{number}", stamp=STAMP + timedelta(days=number))
        for task in stages(again).values():
            again.do(task)


def what_goes_wrong(cloud: Cloud, run: Run) -> None:
    """What runs do beside making and growing a pool: canary, clinic, blue/green, rollback."""
    version = cloud.make_version()
    settings = PoolSettings(vm_size="Standard_D2s_v5", image_id=version, node_agent_sku="batch.node.ubuntu 24.04")
    place, minutes = ("batch", "goldenbatch"), timedelta(minutes=15)
    cloud.freeze()
    with (
        BatchWorkHook(run.spec.connection, run.spec.subscription) as hook,
        ComputeHook(run.spec.connection, run.spec.subscription) as compute,
    ):
        hook.create_pool(*place, "canary", settings, targets=Targets(dedicated=2), timeout=minutes)
        cloud.advance(minutes=30)
        hook.create_job(*place, "probe", pool="canary")
        hook.add_task(*place, "probe", "one", command_line="/bin/true")
        cloud.plane("POST", "/jobschedules", _schedule("canary"))
        cloud.advance(minutes=5)
        assert hook.tasks(*place, "probe")[0].is_over
        hook.task_output(*place, "probe", "one")
        first, second = hook.nodes(*place, "canary")
        hook.start_task_output(*place, "canary", first.id, "stdout.txt")
        hook.reboot_node(*place, "canary", first.id)
        hook.remove_nodes(*place, "canary", [second.id], timeout=minutes, deallocation=Deallocation.REQUEUE)
        for schedule in hook.job_schedules(*place, pool="canary"):
            hook.move_job_schedule(*place, schedule, "next")
        hook.disable_job(*place, "probe", MoveTasks.REQUEUE)
        cloud.advance(minutes=30)
        job = hook.job(*place, "probe")
        assert job is not None
        hook.move_job(*place, job, "next")
        hook.enable_job(*place, "probe")
        hook.delete_job(*place, "probe")
        _grow_and_stop(hook, place)
        hook.disable_autoscale(*place, "canary")
        hook.delete_pool(*place, "canary")
        compute.mark_version(version, tags={"verdict": "bad"}, exclude_from_latest=True)


def _schedule(pool: str) -> dict[str, Any]:
    specification = {"poolInfo": {"poolId": pool}}
    return {"id": "nightly", "schedule": {"recurrenceInterval": "PT1H"}, "jobSpecification": specification}


def _grow_and_stop(hook: BatchHook, place: tuple[str, str]) -> None:
    pool = hook.pool(*place, "canary")
    assert pool is not None
    growing = hook.resize_pool(*place, "canary", dedicated=5, spot=0, timeout=timedelta(minutes=15), etag=pool.etag)
    hook.stop_resize(*place, "canary", etag=growing.etag)


def test_the_role_allows_what_runs_do_and_nothing_else(cloud: Cloud, run: Run, role: Mapping[str, Any]) -> None:
    two_runs(run)
    in_runs = needed(cloud)
    what_goes_wrong(cloud, run)

    actions = {action.lower() for action in role["Actions"]}
    data_actions = {action.lower() for action in role["DataActions"]}
    rights = needed(cloud)
    on_jobs = {right for right in rights if "/jobs/" in right or "/jobschedules/" in right}

    assert {"microsoft.compute/virtualmachines/read", "microsoft.batch/batchaccounts/pools/write"} <= in_runs
    assert rights - on_jobs - actions == set()
    assert on_jobs == data_actions
    assert actions - rights == OF_LINKED_RESOURCES
