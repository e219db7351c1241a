"""Rollback: after a stage that failed the pool is what it was, and one message says so."""

from __future__ import annotations

from typing import Any

import pytest
from golden_pools.errors import AzureBusyError, OwnershipError, ResizeGaveUpError, RolledBackError
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import ACCOUNT, DEFINITION, NEW, OLD, SECOND, Cloud, Run
from tests.operators.roads import Scene, go_back, go_forth, report, task_of

REFUSED = {"status": 400, "code": "InvalidPropertyValue", "message": "The value cannot be used."}
FULL = {"code": "AccountCoreQuotaReached", "message": "The account has no core left"}
DISK = {"code": "DiskFull", "message": "There is not enough disk space"}

STAGES = [
    # In place, a pool that cannot be changed is grown again by the refresh itself.
    *(("recreate", stage) for stage in ("refresh", "resize", "nodes", "probe")),
    *(("in_place", stage) for stage in ("resize", "nodes", "probe")),
    *(("blue_green", stage) for stage in ("resize", "nodes", "probe", "switch")),
]


def fail_at(cloud: Cloud, strategy: str, stage: str) -> None:
    """Let a stage of the refresh fail."""
    new = SECOND if strategy == "blue_green" else "small"
    if stage == "refresh":
        cloud.fault(method="PUT", path=f"/pools/{new}$", **REFUSED)
    elif stage == "resize":
        cloud.allocation(pool=new, error=FULL, max_dedicated_nodes=0, resizes=None)
    elif stage == "nodes":
        cloud.allocation(pool=new, node_outcomes=[{"state": "unusable", "nodes": 3, "error": DISK}])
    elif stage == "probe":
        cloud.command(task="default-temp-drive", exit_code=2)
    else:  # the alias
        cloud.fault(method="PATCH", path=f"/pools/{new}$", skip=1, **REFUSED)


def end_troubles(cloud: Cloud) -> None:
    for what in ("faults", "allocations", "commands"):
        cloud.control("DELETE", what)
    cloud.forget()


def probing(scene: Scene, strategy: str, **parts: Any) -> Run:
    """Return a run that uses every stage."""
    return scene.run(strategy, refresh={"probe_pool": True, "move_tasks": "requeue", **parts})


def failed_run(scene: Scene, strategy: str, stage: str) -> Run:
    """Return a run that came to this stage and no further."""
    run = probing(scene, strategy)
    fail_at(scene.cloud, strategy, stage)
    failed = go_forth(run)
    assert failed is not None
    assert failed[0] == stage
    end_troubles(scene.cloud)
    return run


def tags(cloud: Cloud) -> dict[str, str]:
    return dict(cloud.arm("GET", f"{DEFINITION}/versions/{NEW}").get("tags") or {})


def on(version: str, nodes: int = 2, role: str | None = None) -> dict[str, Any]:
    return {"image": version, "targets": (nodes, 0), "nodes": [version] * nodes, "role": role}


@pytest.mark.parametrize(("strategy", "stage"), STAGES)
def test_after_any_stage_that_fails_the_pool_is_what_it_was(scene: Scene, strategy: str, stage: str) -> None:
    run = failed_run(scene, strategy, stage)
    reported = go_back(run)
    assert scene.pools() == {"small": on(OLD, role=None if strategy == "blue_green" else "current")}
    assert isinstance(reported, RolledBackError)
    assert reported.what.startswith(f"Pool small has been rolled back to {OLD}, away from {NEW}. ")
    assert f"Why the refresh failed: {stage}: " in reported.what
    assert f"Now small stands for pool small on {OLD}, with 2 dedicated and 0 Spot nodes" in reported.what
    assert "Trouble" not in reported.what
    assert "trigger the run again" in reported.advice


@pytest.mark.parametrize(("strategy", "stage"), STAGES)
def test_only_what_speaks_against_the_image_marks_it(scene: Scene, strategy: str, stage: str) -> None:
    go_back(failed_run(scene, strategy, stage))
    assert tags(scene.cloud).get("golden-pools-verdict") == ("bad" if stage in ("nodes", "probe") else None)


@pytest.mark.parametrize(
    ("strategy", "stage"), [("in_place", "nodes"), ("recreate", "nodes"), ("blue_green", "switch")]
)
def test_a_second_rollback_does_nothing_more(scene: Scene, strategy: str, stage: str) -> None:
    run = failed_run(scene, strategy, stage)
    first, result = go_back(run), run.xcom("rollback.restore")
    scene.cloud.forget()
    assert str(go_back(run)) == str(first)
    assert run.xcom("rollback.restore") == result
    assert scene.cloud.writes() == []


@pytest.mark.parametrize("strategy", ["in_place", "recreate"])
def test_settings_that_the_run_changed_come_back(scene: Scene, strategy: str) -> None:
    environment = [{"name": "TOKEN", "value": "hunter2"}]
    properties = {
        "startTask": {"commandLine": "/bin/old", "waitForSuccess": False, "environmentSettings": environment},
        "metadata": [{"name": "team", "value": "rendering"}],
    }
    scene.cloud.arm("PATCH", f"{ACCOUNT}/pools/small", {"properties": properties})
    spec = scene.run(strategy).spec.model_dump(mode="json")
    spec["pool"] |= {"start_task": {"command_line": "/bin/new"}, "metadata": {"team": "lighting"}}
    run = Run(PoolSpec.model_validate(spec), conf={"image_version": NEW}, fire=scene.virtual.fire)
    fail_at(scene.cloud, strategy, "nodes")
    assert go_forth(run) is not None
    assert scene.cloud.marks()["team"] == "lighting"
    go_back(run)
    assert scene.cloud.marks()["team"] == "rendering"
    task = scene.cloud.pool()["properties"]["startTask"]
    assert (task["commandLine"], task["waitForSuccess"]) == ("/bin/old", False)


# -- work --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["probe", "switch"])
def test_jobs_are_back_as_they_were_before_the_second_pool_goes(scene: Scene, stage: str) -> None:
    cloud = scene.cloud
    cloud.run_task(minutes=600)
    cloud.make_job("paused", disabled=True)
    cloud.make_schedule()
    go_back(failed_run(scene, "blue_green", stage))
    assert cloud.job() == ("small", "active")
    assert cloud.job("paused") == ("small", "disabled")
    assert cloud.job("nightly:job-1") == ("small", "active")
    assert cloud.schedule()["jobSpecification"]["poolInfo"] == {"poolId": "small"}
    assert cloud.task()["state"] == "running"
    assert list(scene.pools()) == ["small"]


def test_jobs_that_the_switch_left_disabled_run_again(scene: Scene) -> None:
    """The switch fails while its jobs are on their way: one is moved and disabled, one is disabled where it is."""
    cloud = scene.cloud
    cloud.make_job("first")
    cloud.make_job("second")
    run = probing(scene, "blue_green")
    cloud.fault(method="POST", path="/jobs/first/enable$", count=None, **REFUSED)
    cloud.fault(method="PATCH", path="/jobs/second$", count=None, **REFUSED)
    failed = go_forth(run)
    assert failed is not None
    assert failed[0] == "switch"
    end_troubles(cloud)
    assert isinstance(go_back(run), RolledBackError)
    assert [cloud.job(name) for name in ("first", "second")] == [("small", "active")] * 2


def test_tasks_that_run_on_the_new_image_go_back_into_the_queue_at_the_deadline(scene: Scene) -> None:
    run = failed_run(scene, "in_place", "probe")
    scene.cloud.run_task(minutes=6000)
    assert isinstance(go_back(run), RolledBackError)
    scene.cloud.advance(minutes=5)
    assert scene.pools() == {"small": on(OLD, role="current")}
    assert scene.cloud.task() == {"state": "running", "exit_code": None, "requeues": 1}


def test_jobs_that_come_to_the_second_pool_meanwhile_are_not_lost(scene: Scene) -> None:
    """Whoever asked for the current pool right after a switch makes jobs on the second one."""
    cloud = scene.cloud
    run = probing(scene, "blue_green")
    assert go_forth(run) is None
    cloud.make_job("new", pool=SECOND)
    assert isinstance(go_back(run), RolledBackError)
    assert cloud.job("new") == ("small", "active")
    assert scene.pools() == {"small": on(OLD, role="current")}


# -- what is left alone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["in_place", "blue_green"])
def test_a_pool_that_was_not_touched_is_left_alone(scene: Scene, strategy: str) -> None:
    """Azure refuses the very first write."""
    run = probing(scene, strategy)
    scene.cloud.fault(method="PUT|PATCH", path="/pools/", count=None, **REFUSED)
    failed = go_forth(run)
    assert failed is not None
    assert failed[0] == "refresh"
    end_troubles(scene.cloud)
    assert "nothing to put back" in run.do(task_of(run, "rollback.restore"))
    assert go_back(run) is None
    assert scene.cloud.writes() == []


def test_a_pool_that_did_not_exist_before_is_left_alone(scene: Scene) -> None:
    scene.cloud.delete_pool()
    scene.cloud.advance(minutes=10)
    run = failed_run(scene, "in_place", "probe")
    assert run.do(task_of(run, "rollback.restore")) == "skipped: the run has touched no pool that was there before"
    assert go_back(run) is None
    assert scene.pools() == {"small": on(NEW, nodes=3, role="current")}


def test_a_spec_may_keep_the_pool_as_it_is(scene: Scene) -> None:
    run = probing(scene, "in_place", rollback=False)
    fail_at(scene.cloud, "in_place", "probe")
    assert go_forth(run) is not None
    assert "refresh.rollback: false" in run.do(task_of(run, "rollback.restore"))
    assert go_back(run) is None
    assert scene.pools()["small"]["image"] == NEW


def test_a_drained_pool_that_azure_could_not_change_gets_its_nodes_back(scene: Scene) -> None:
    """An outage begins right after the drain and outlasts every retry: the image is the old one, the nodes are gone."""
    run = probing(scene, "in_place")
    scene.cloud.fault(method="PATCH", status=503, code="ServerBusy", count=None, skip=1)
    failed = go_forth(run)
    assert failed is not None
    assert isinstance(failed[1], AzureBusyError)
    assert scene.pools() == {"small": on(OLD, nodes=0)}
    end_troubles(scene.cloud)
    reported = go_back(run)
    assert reported is not None
    assert "refresh: Could not change the pool's image" in reported.what
    assert scene.pools() == {"small": on(OLD)}


def test_a_second_pool_that_was_there_before_the_run_stays_as_a_former_one(scene: Scene) -> None:
    """A run with the older version takes the former pool, and fails: its nodes were there before."""
    cloud = scene.cloud
    assert go_forth(probing(scene, "blue_green")) is None
    run = scene.run("blue_green", run_id="manual__2", version=OLD, refresh={"probe_pool": True})
    fail_at(cloud, "in_place", "probe")
    failed = go_forth(run)
    assert failed is not None
    assert failed[0] == "probe"
    end_troubles(cloud)
    reported = go_back(run)
    assert reported is not None
    assert reported.what.startswith(f"Pool {SECOND} has been rolled back to {NEW}, away from {OLD}")
    pools = scene.pools()
    assert {name: pool["role"] for name, pool in pools.items()} == {"small": "former", SECOND: "current"}
    assert pools["small"]["image"] == OLD


# -- who else is there -------------------------------------------------------------------------------------------------


def gives_up(run: Run) -> tuple[Exception, RolledBackError]:
    """Return why the pool is not put back, and what is reported."""
    with pytest.raises((OwnershipError, ResizeGaveUpError)) as gave_up:
        run.do(task_of(run, "rollback.restore"))
    reported = report(run)
    assert reported is not None
    return gave_up.value, reported


def test_a_pool_that_another_run_has_changed_since_is_not_fought_over(scene: Scene) -> None:
    run = failed_run(scene, "in_place", "probe")
    scene.cloud.mark("small", alias="small", role="current", since="2026-11-23", run="manual__2")
    scene.cloud.forget()
    error, reported = gives_up(run)
    assert isinstance(error, OwnershipError)
    assert error.answer == "run manual__2 has changed the pool since"
    assert reported.what.startswith(f"Pool small could not be rolled back to {OLD}. Why the refresh failed: probe: ")
    assert "Trouble on the way back: restore: Somebody else steers the pool now" in reported.what
    assert f"Now small stands for pool small on {NEW}" in reported.what
    assert f"trigger the run with image_version {OLD}" in reported.advice
    assert scene.cloud.writes() == []


def test_a_pool_that_somebody_resized_since_is_not_fought_over(scene: Scene) -> None:
    run = failed_run(scene, "in_place", "probe")
    scene.cloud.resize(dedicated=9)
    scene.cloud.forget()
    error, _ = gives_up(run)
    assert isinstance(error, OwnershipError)
    assert error.answer == "somebody has asked for 9 dedicated and 0 Spot nodes"
    assert scene.cloud.writes() == []


def test_a_third_pool_that_became_current_keeps_the_alias(scene: Scene) -> None:
    run = failed_run(scene, "blue_green", "probe")
    scene.cloud.make_pool(scene.images[OLD], name="small-3")
    scene.cloud.mark("small-3", alias="small", role="current", since="2027-01-01", run="manual__2")
    scene.cloud.forget()
    error, _ = gives_up(run)
    assert isinstance(error, OwnershipError)
    assert error.answer == "pool small-3 is current now"
    assert scene.cloud.writes() == []


def test_an_old_pool_that_is_gone_cannot_come_back(scene: Scene) -> None:
    run = failed_run(scene, "blue_green", "switch")
    scene.cloud.delete_pool()
    scene.cloud.advance(minutes=10)
    scene.cloud.forget()
    error, reported = gives_up(run)
    assert isinstance(error, ResizeGaveUpError)
    assert "image version that is known to be good" in error.advice
    assert "Now there is no pool that small stands for" in reported.what
    assert scene.cloud.writes() == []


def test_the_size_that_a_person_gave_the_old_pool_meanwhile_stays(scene: Scene) -> None:
    """Blue/green never resizes the old pool, so there is nothing to bring back."""
    run = failed_run(scene, "blue_green", "probe")
    scene.cloud.resize(dedicated=5)
    assert isinstance(go_back(run), RolledBackError)
    assert scene.pools() == {"small": on(OLD, nodes=5)}


def test_nodes_that_do_not_come_back_are_told(scene: Scene) -> None:
    run = failed_run(scene, "in_place", "probe")
    fail_at(scene.cloud, "in_place", "resize")
    reported = go_back(run)
    assert reported is not None
    assert "has been rolled back" in reported.what
    assert (
        "Trouble on the way back: resize: The pool did not reach its targets: AccountCoreQuotaReached" in reported.what
    )
    assert f"on {OLD}, with 0 dedicated and 0 Spot nodes" in reported.what
    assert "look at the pool" in reported.advice


def test_the_way_forth_leaves_nothing_to_report(scene: Scene) -> None:
    run = probing(scene, "in_place")
    assert go_forth(run) is None
    assert report(run) is None
