"""Former pools: they stay for their soak, go without losing work, and can be taken back until they go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from golden_pools.errors import AzureRefusedError, ResizeGaveUpError
from golden_pools.hooks.batch_work import BatchWorkHook
from golden_pools.operators.retirement import TriggerRetirementOperator

from tests.operators.conftest import OLD, SECOND, Run, just_before
from tests.operators.roads import Scene, go_forth, retire

SOAK = timedelta(hours=4)


@pytest.fixture
def switched(scene: Scene) -> Run:
    """A run that has switched to the second pool."""
    run = blue_green(scene)
    assert go_forth(run) is None
    scene.cloud.forget()
    return run


def blue_green(scene: Scene, **run: Any) -> Run:
    return scene.run("blue_green", refresh={"soak_minutes": int(SOAK / timedelta(minutes=1))}, **run)


def retirement(scene: Scene, *in_waits: Callable[[], object], **run: Any) -> Run:
    """Return the run that a switch starts.

    :param in_waits: what happens in its waits, one for each; the first one is the soak
    """
    found = blue_green(scene, **{"run_id": "retire__1", **run})
    found.in_waits = in_waits
    return found


def roles(scene: Scene) -> dict[str, str]:
    return {name: pool["role"] for name, pool in scene.pools().items()}


def retires(run: Run) -> dict[str, Any]:
    return dict(run.do(retire()))


# -- the soak ----------------------------------------------------------------------------------------------------------


def test_a_former_pool_stays_as_it_is_for_its_soak_and_then_goes(scene: Scene, switched: Run) -> None:
    seen: list[Any] = []
    begun = scene.virtual.now()
    run = retirement(scene, lambda: seen.append(scene.pools()["small"]))
    assert retires(run) == {"retired": ["small"], "left": {}}
    assert run.deferrals[0] == "SoakTrigger"
    assert seen == [{"image": OLD, "targets": (2, 0), "nodes": [OLD] * 2, "role": "former"}]
    assert SOAK <= scene.virtual.now() - begun < SOAK + timedelta(minutes=30)
    assert list(scene.pools()) == [SECOND]
    assert len(scene.pools()[SECOND]["nodes"]) == 3


def test_it_is_marked_and_emptied_before_it_is_deleted(scene: Scene, switched: Run) -> None:
    run = retirement(scene)
    retires(run)
    path = "/resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/goldenbatch/pools/small"
    assert [write.replace(path, "").split("/subscriptions/")[0] for write in scene.cloud.writes()] == [
        "PATCH ",
        "PATCH ",
        "DELETE ",
    ]
    assert run.deferrals == ["SoakTrigger", "DrainTrigger", "GoneTrigger"]


def test_without_former_pools_there_is_nothing_to_do(scene: Scene) -> None:
    run = retirement(scene)
    assert retires(run) == {"retired": [], "left": {}}
    assert run.deferrals == []
    assert scene.cloud.writes() == []


def test_only_former_pools_of_the_alias_go(scene: Scene, switched: Run) -> None:
    """Canaries, candidates, pools of other specs, and pools that say nothing stay."""
    cloud = scene.cloud
    for name, marks in {
        "small-candidate": {"alias": "small", "role": "candidate"},
        "small-canary": {"alias": "small", "role": "canary"},
        "large-1": {"alias": "large", "role": "former"},
        "silent": {},
    }.items():
        cloud.make_pool(scene.images[OLD], name=name)
        cloud.mark(name, since="2026-01-01", **marks)
    there = set(cloud.pools())
    assert retires(retirement(scene)) == {"retired": ["small"], "left": {}}
    assert there - set(cloud.pools()) == {"small"}


def test_several_former_pools_go_one_after_the_other_each_after_its_own_soak(scene: Scene, switched: Run) -> None:
    scene.cloud.make_pool(scene.images[OLD], name="small-0")
    scene.cloud.mark("small-0", alias="small", role="former", since="2026-01-01T00:00:00+00:00", run="a")
    run = retirement(scene)
    assert retires(run) == {"retired": ["small-0", "small"], "left": {}}
    assert run.deferrals == ["GoneTrigger", "SoakTrigger", "DrainTrigger", "GoneTrigger"]


# -- work --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["active", "disabled"])
def test_a_pool_to_which_a_job_was_bound_again_stays(
    scene: Scene, switched: Run, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.cloud.make_job(disabled=state == "disabled")
    scene.cloud.forget()
    assert retires(retirement(scene)) == {"retired": [], "left": {"small": "1 job bound to it (work)"}}
    assert "Pool small stays: 1 job bound to it (work)" in capsys.readouterr().out
    assert scene.cloud.writes() == []
    assert scene.cloud.job() == ("small", state)


def test_a_pool_on_which_a_job_schedule_makes_jobs_stays(scene: Scene, switched: Run) -> None:
    scene.cloud.make_schedule()
    scene.cloud.plane("DELETE", "/jobs/nightly:job-1")
    scene.cloud.advance(minutes=1)
    left = retires(retirement(scene))["left"]
    assert left == {"small": "1 job schedule bound to it (nightly)"}
    assert "small" in scene.pools()


def test_a_job_that_is_bound_to_the_pool_during_the_soak_is_seen_at_its_end(scene: Scene, switched: Run) -> None:
    run = retirement(scene, scene.cloud.make_job)
    assert retires(run)["left"] == {"small": "1 job bound to it (work)"}
    assert scene.cloud.job() == ("small", "active")
    assert len(scene.pools()["small"]["nodes"]) == 2


def test_a_job_that_is_bound_to_a_pool_while_it_is_emptied_keeps_the_pool(scene: Scene, switched: Run) -> None:
    run = retirement(scene, lambda: None, scene.cloud.make_job)
    assert retires(run)["left"] == {"small": "1 job bound to it (work)"}
    assert run.deferrals == ["SoakTrigger", "DrainTrigger"]
    assert "small" in scene.pools()


def test_a_job_that_has_ended_keeps_no_pool(scene: Scene, switched: Run) -> None:
    scene.cloud.make_job()
    scene.cloud.plane("POST", "/jobs/work/terminate", {})
    assert retires(retirement(scene))["retired"] == ["small"]


def test_a_job_that_leaves_the_pool_during_the_soak_keeps_it_no_longer(scene: Scene, switched: Run) -> None:
    cloud = scene.cloud
    cloud.run_task(minutes=30)

    def its_owner_moves_it() -> None:
        cloud.disable_job(tasks="wait")
        cloud.advance(minutes=60)
        cloud.plane("PATCH", "/jobs/work", {"poolInfo": {"poolId": SECOND}})
        cloud.plane("POST", "/jobs/work/enable")

    assert retires(retirement(scene, its_owner_moves_it))["retired"] == ["small"]
    assert cloud.job() == (SECOND, "active")
    assert cloud.task() == {"state": "completed", "exit_code": 0, "requeues": 0}


# -- switching back ----------------------------------------------------------------------------------------------------


def test_a_run_with_the_older_version_takes_the_pool_back_during_its_soak(scene: Scene, switched: Run) -> None:
    """The way back by hand: nodes and jobs are there in minutes; the other pool goes after a soak of its own."""
    cloud = scene.cloud
    cloud.make_job(pool=SECOND)
    took: list[timedelta] = []

    def somebody_switches_back() -> None:
        begun = scene.virtual.now()
        cloud.advance(hours=1)
        back = blue_green(scene, run_id="manual__2", version=OLD)
        assert go_forth(back) is None
        took.append(scene.virtual.now() - begun)
        assert back.xcom("pool.refresh")["action"] == "prepared"
        assert cloud.job() == ("small", "active")
        assert roles(scene) == {"small": "current", SECOND: "former"}

    run = retirement(scene, somebody_switches_back)
    assert retires(run) == {"retired": [SECOND], "left": {}}
    assert took[0] < timedelta(hours=1, minutes=20)
    assert run.deferrals == ["SoakTrigger", "SoakTrigger", "DrainTrigger", "GoneTrigger"]
    assert roles(scene) == {"small": "current"}
    assert scene.pools()["small"]["nodes"] == [OLD] * 3
    assert cloud.job() == ("small", "active")


def test_a_pool_that_is_taken_back_at_that_very_moment_stays(
    scene: Scene, switched: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ETag has changed: the mark is refused, and the second look finds a candidate."""

    def somebody_takes_it_back() -> None:
        scene.cloud.mark("small", alias="small", role="candidate", since="2026-11-22", run="manual__2")

    just_before(monkeypatch, "set_metadata", somebody_takes_it_back)
    assert retires(retirement(scene)) == {"retired": [], "left": {}}
    assert roles(scene) == {"small": "candidate", SECOND: "current"}
    assert len(scene.pools()["small"]["nodes"]) == 2


def test_a_pool_that_has_begun_to_go_is_not_taken_back_but_made_anew(scene: Scene, switched: Run) -> None:
    """A run with the older version comes while the pool is emptied."""
    back = blue_green(scene, run_id="manual__2", version=OLD)
    failed: list[object] = []
    run = retirement(scene, lambda: None, lambda: failed.append(go_forth(back)))
    assert retires(run) == {"retired": ["small", SECOND], "left": {}}
    assert failed == [None]
    made = f"small-{OLD.replace('.', '-')}"
    assert roles(scene) == {made: "current"}
    assert scene.pools()[made]["nodes"] == [OLD] * 3


# -- trouble -----------------------------------------------------------------------------------------------------------


def test_tasks_that_outlast_the_drain_go_back_into_the_queue(
    scene: Scene, switched: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is bound to the pool between the look at its jobs and the drain, and is gone from it a moment later."""
    cloud = scene.cloud
    cloud.run_task(minutes=6000)
    monkeypatch.setattr(BatchWorkHook, "jobs", lambda *_, **__: [])
    assert retires(retirement(scene))["retired"] == ["small"]
    assert cloud.task() == {"state": "active", "exit_code": None, "requeues": 1}


def test_a_pool_that_azure_does_not_let_go_fails_the_task_and_a_clear_goes_on(scene: Scene, switched: Run) -> None:
    scene.cloud.configure(batch={"pool_delete": "PT5H"})
    run = retirement(scene)
    with pytest.raises(ResizeGaveUpError, match="The pool was not gone in its time"):
        run.do(retire())
    scene.cloud.advance(hours=5)
    assert retires(run) == {"retired": ["small"], "left": {}}


def test_a_pool_that_somebody_deletes_meanwhile_is_no_failure(scene: Scene, switched: Run) -> None:
    def somebody_deletes_it() -> None:
        scene.cloud.delete_pool()
        scene.cloud.advance(hours=1)

    assert retires(retirement(scene, somebody_deletes_it)) == {"retired": [], "left": {}}


def test_a_lock_on_the_pool_is_told_and_the_pool_stays(scene: Scene, switched: Run) -> None:
    scene.cloud.fault(method="DELETE", path="/pools/small", status=409, code="ScopeLocked", message="A lock is set.")
    run = retirement(scene)
    with pytest.raises(AzureRefusedError) as refused:
        run.do(retire())
    assert "ScopeLocked" in refused.value.answer
    assert retires(run)["retired"] == ["small"]


def test_a_second_run_does_nothing_more(scene: Scene, switched: Run) -> None:
    run = retirement(scene)
    result = retires(run)
    scene.cloud.forget()
    assert retires(run) == result
    assert retires(retirement(scene, run_id="retire__2")) == {"retired": [], "left": {}}
    assert scene.cloud.writes() == []


# -- the run that retires ----------------------------------------------------------------------------------------------


def trigger() -> TriggerRetirementOperator:
    return TriggerRetirementOperator(task_id="retire", pool_name="small", switch_task_id="pool.switch")


def test_a_switch_starts_one_run_whose_name_says_what_for(
    scene: Scene, switched: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, object, str]] = []
    monkeypatch.setattr(
        TriggerDagRunOperator,
        "execute",
        lambda self, context: started.append((self.trigger_dag_id, self.conf, self.trigger_run_id)),
    )
    switched.do(trigger())
    assert started == [("retire_former_pools", {"pool": "small"}, f"{switched.plan.stem}-small")]


def test_without_a_switch_no_run_is_started(scene: Scene) -> None:
    run = scene.run("in_place")
    assert go_forth(run) is None
    assert run.do(trigger()) == "skipped: no pool was switched away from"
