"""Stage ``switch``: work and alias go to the pool that the refresh has prepared; nothing is lost or done twice."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat

import pytest
from golden_pools.errors import AzureBusyError, OwnershipError, ResizeGaveUpError
from golden_pools.operators.job_moves import DISABLED_KEY
from golden_pools.operators.refresh import RefreshPoolOperator
from golden_pools.operators.switch import ROUNDS, ROUNDS_AFTER, SwitchPoolOperator
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import NEW, OLD, SECOND, Cloud, Run, just_before, with_refresh


@pytest.fixture
def prepare(cloud: Cloud, images: dict[str, str], spec: PoolSpec) -> Callable[..., Run]:
    """Make a run whose second pool stands beside the current one; keywords are those of the spec's ``refresh``."""

    def prepared(**refresh: object) -> Run:
        cloud.make_pool(images[OLD], dedicated=2)
        run = Run(with_refresh(spec, **{"strategy": "blue_green", **refresh}), conf={"image_version": NEW})
        run.do(RefreshPoolOperator(task_id="refresh"))
        cloud.resize(dedicated=2, name=SECOND)
        cloud.advance(minutes=30)
        cloud.forget()
        run.in_waits = repeat(lambda: cloud.advance(minutes=1))
        return run

    return prepared


def switch() -> SwitchPoolOperator:
    return SwitchPoolOperator(task_id="switch", pool_task_id="refresh")


def roles(cloud: Cloud) -> dict[str, str | None]:
    return {name: cloud.marks(name).get("golden_pools_role") for name in ("small", SECOND)}


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_an_active_job_moves_and_runs_again(cloud: Cloud, prepare: Callable[..., Run]) -> None:
    run = prepare()
    cloud.make_job()
    assert run.do(switch()) == {
        "pool": SECOND,
        "moved_jobs": ["work"],
        "moved_schedules": [],
        "pool_before": "small",
    }
    assert cloud.job() == (SECOND, "active")
    assert run.deferrals[-1:] == ["JobsTrigger"]
    assert run.pushed["switch", DISABLED_KEY] == []


def test_jobs_move_before_the_alias_and_each_runs_again_at_once(cloud: Cloud, prepare: Callable[..., Run]) -> None:
    run = prepare()
    cloud.make_job("a")
    cloud.make_job("b")
    cloud.make_schedule("nightly", priority=1)
    cloud.forget()
    run.do(switch())
    writes = [write.split("/providers/")[-1].removeprefix("Microsoft.Batch/") for write in cloud.writes()]
    assert writes[0] == "PATCH /jobschedules/nightly"
    assert sorted(writes[1:4]) == [f"POST /jobs/{job}/disable" for job in ("a", "b", "nightly:job-1")]
    assert sorted(writes[4:7]) == [f"PATCH /jobs/{job}" for job in ("a", "b", "nightly:job-1")]
    assert sorted(writes[7:10]) == [f"POST /jobs/{job}/enable" for job in ("a", "b", "nightly:job-1")]
    assert writes[10:] == [f"batchAccounts/goldenbatch/pools/{SECOND}", "batchAccounts/goldenbatch/pools/small"]


def test_a_job_that_its_owner_had_disabled_moves_and_stays_disabled(cloud: Cloud, prepare: Callable[..., Run]) -> None:
    run = prepare()
    cloud.make_job(disabled=True)
    cloud.make_job("other")
    assert sorted(run.do(switch())["moved_jobs"]) == ["other", "work"]
    assert cloud.job() == (SECOND, "disabled")
    assert cloud.job("other") == (SECOND, "active")


def test_a_job_that_its_owner_is_disabling_is_waited_for_and_stays_disabled(
    cloud: Cloud, prepare: Callable[..., Run]
) -> None:
    run = prepare()
    cloud.run_task(minutes=5)
    cloud.disable_job(tasks="wait")
    run.in_waits = [lambda: cloud.advance(minutes=10)]
    assert run.do(switch())["moved_jobs"] == ["work"]
    assert cloud.job() == (SECOND, "disabled")
    assert cloud.task() == {"state": "completed", "exit_code": 0, "requeues": 0}


@pytest.mark.parametrize(
    ("move_tasks", "task"),
    [
        ("wait", {"state": "completed", "exit_code": 0, "requeues": 0}),
        ("requeue", {"state": "running", "exit_code": None, "requeues": 1}),
        ("terminate", {"state": "completed", "exit_code": None, "requeues": 0}),
    ],
)
def test_running_tasks_fare_as_the_spec_says(
    cloud: Cloud, prepare: Callable[..., Run], move_tasks: str, task: dict[str, object]
) -> None:
    run = prepare(move_tasks=move_tasks)
    cloud.run_task(minutes=30)
    run.in_waits = [lambda: cloud.advance(minutes=40)]
    run.do(switch())
    assert cloud.job() == (SECOND, "active")
    cloud.advance(minutes=1)
    assert cloud.task() == task


def test_a_requeued_task_runs_on_the_new_image(cloud: Cloud, prepare: Callable[..., Run]) -> None:
    run = prepare(move_tasks="requeue")
    cloud.run_task(minutes=300)
    run.do(switch())
    cloud.advance(minutes=1)
    assert cloud.plane("GET", "/jobs/work/tasks/long")["nodeInfo"]["poolId"] == SECOND


def test_jobs_of_other_pools_and_jobs_that_are_over_are_none_of_ours(cloud: Cloud, prepare: Callable[..., Run]) -> None:
    run = prepare()
    cloud.make_job("other", pool="small-2")
    cloud.make_job("over")
    cloud.plane("POST", "/jobs/over/terminate", {})
    automatic = {"poolLifetimeOption": "job", "pool": {"vmSize": "Standard_D2s_v5"}}
    cloud.plane("POST", "/jobs", {"id": "own", "poolInfo": {"autoPoolSpecification": automatic}})
    cloud.forget()
    run.do(switch())
    assert [write for write in cloud.writes() if "/jobs/" in write] == []


def test_the_case_of_a_pools_id_does_not_hide_a_job(cloud: Cloud, prepare: Callable[..., Run]) -> None:
    run = prepare()
    cloud.make_job(pool="SMALL")
    assert run.do(switch())["moved_jobs"] == ["work"]


# -- job schedules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["active", "disabled"])
def test_a_job_schedule_keeps_its_state_and_makes_its_next_job_on_the_new_pool(
    cloud: Cloud, prepare: Callable[..., Run], state: str
) -> None:
    run = prepare()
    environment = [{"name": "STAGE", "value": "night"}]
    manager = {"id": "manage", "commandLine": "/bin/true", "environmentSettings": environment}
    cloud.make_schedule(priority=7, jobManagerTask=manager)
    if state == "disabled":
        cloud.plane("POST", "/jobschedules/nightly/disable")
    before = cloud.schedule()
    result = run.do(switch())
    assert (result["moved_schedules"], result["moved_jobs"]) == (["nightly"], ["nightly:job-1"])
    after = cloud.schedule()
    assert after["state"] == state
    assert after["jobSpecification"] == {**before["jobSpecification"], "poolInfo": {"poolId": SECOND}}
    assert after["schedule"] == before["schedule"]
    if state == "active":
        cloud.plane("POST", "/jobs/nightly:job-1/terminate", {})
        cloud.advance(hours=11)
        assert cloud.job("nightly:job-2") == (SECOND, "active")


def test_a_schedule_that_somebody_binds_elsewhere_meanwhile_is_his(
    cloud: Cloud, prepare: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepare()
    cloud.make_schedule()

    def somebody_moves_it() -> None:
        cloud.plane("PATCH", "/jobschedules/nightly", {"jobSpecification": {"poolInfo": {"poolId": "third"}}})

    just_before(monkeypatch, "move_job_schedule", somebody_moves_it)
    assert run.do(switch())["pool"] == SECOND
    assert cloud.schedule()["jobSpecification"]["poolInfo"] == {"poolId": "third"}


# -- the alias ---------------------------------------------------------------------------------------------------------


def test_the_alias_stands_for_the_new_pool_and_the_old_one_begins_its_soak(
    cloud: Cloud, prepare: Callable[..., Run]
) -> None:
    run = prepare()
    run.do(switch())
    assert roles(cloud) == {"small": "former", SECOND: "current"}
    new, old = cloud.marks(SECOND), cloud.marks("small")
    assert (new["golden_pools_alias"], new["golden_pools_run"]) == ("small", "manual__1")
    assert (old["golden_pools_alias"], old["golden_pools_run"]) == ("small", "manual__1")


def test_the_team_s_own_metadata_stay(cloud: Cloud, images: dict[str, str], spec: PoolSpec) -> None:
    cloud.make_pool(images[OLD], dedicated=1, metadata=[{"name": "team", "value": "rendering"}])
    run = Run(with_refresh(spec, strategy="blue_green"), conf={"image_version": NEW})
    run.do(RefreshPoolOperator(task_id="refresh"))
    run.do(switch())
    assert cloud.marks("small")["team"] == "rendering"


def test_at_every_instant_one_pool_is_current(cloud: Cloud, prepare: Callable[..., Run]) -> None:
    """The worker fails between the two writes of the alias: the later of two current pools counts."""
    run = prepare()
    cloud.mark("small", alias="small", role="current", since="2999-01-01T00:00:00+00:00", run="a")
    cloud.fault(method="PATCH", path="/pools/small$", status=503, code="ServerBusy", count=None)
    with pytest.raises(AzureBusyError):
        run.do(switch())
    assert roles(cloud) == {"small": "current", SECOND: "current"}
    assert cloud.marks(SECOND)["golden_pools_since"] > cloud.marks("small")["golden_pools_since"]
    cloud.control("DELETE", "faults")
    run.do(switch())
    assert roles(cloud) == {"small": "former", SECOND: "current"}


def test_with_one_pool_it_only_says_whose_the_pool_is(cloud: Cloud, images: dict[str, str], spec: PoolSpec) -> None:
    cloud.make_pool(images[NEW], dedicated=2)
    cloud.make_job()
    cloud.forget()
    run = Run(spec, conf={"image_version": NEW})
    run.do(RefreshPoolOperator(task_id="refresh"))
    assert run.do(switch())["pool_before"] is None
    assert cloud.marks()["golden_pools_role"] == "current"
    assert len(cloud.writes()) == 1
    assert cloud.job() == ("small", "active")


def test_a_second_call_does_nothing(cloud: Cloud, prepare: Callable[..., Run]) -> None:
    run = prepare()
    cloud.make_job()
    cloud.make_job("paused", disabled=True)
    cloud.make_schedule()
    result = run.do(switch())
    cloud.forget()
    assert run.do(switch()) == result
    assert cloud.writes() == []


def test_a_plan_only_run_moves_nothing(cloud: Cloud, images: dict[str, str], spec: PoolSpec) -> None:
    cloud.make_pool(images[OLD], dedicated=1)
    run = Run(with_refresh(spec, strategy="blue_green"), conf={"image_version": NEW, "plan_only": True})
    assert "skipped: plan only" in run.do(switch())
    assert cloud.writes() == []


# -- who else is there -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["disable_job", "move_job", "enable_job"])
def test_a_job_that_vanishes_meanwhile_is_left_out(
    cloud: Cloud, prepare: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    run = prepare()
    cloud.make_job()

    def it_vanishes() -> None:
        cloud.plane("DELETE", "/jobs/work")
        cloud.advance(minutes=1)

    just_before(monkeypatch, method, it_vanishes)
    assert run.do(switch())["pool"] == SECOND
    assert run.pushed["switch", DISABLED_KEY] == []


def test_a_job_that_ends_while_it_is_disabled_is_left_out(cloud: Cloud, prepare: Callable[..., Run]) -> None:
    run = prepare()
    cloud.make_job()
    run.in_waits = [lambda: cloud.plane("POST", "/jobs/work/terminate", {})]
    assert run.do(switch())["moved_jobs"] == []
    assert cloud.job() == ("small", "completed")


@pytest.mark.parametrize("method", ["disable_job", "move_job", "enable_job"])
def test_a_job_that_changes_meanwhile_is_looked_at_again(
    cloud: Cloud, prepare: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Somebody changes its priority: the ETag does not match any more."""
    run = prepare()
    cloud.make_job()
    just_before(monkeypatch, method, lambda: cloud.plane("PATCH", "/jobs/work", {"priority": 5}))
    assert run.do(switch())["moved_jobs"] == ["work"]
    assert cloud.job() == (SECOND, "active")
    assert cloud.plane("GET", "/jobs/work")["priority"] == 5


def test_a_job_that_never_stops_changing_ends_the_task(
    cloud: Cloud, prepare: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepare()
    cloud.make_job()
    just_before(monkeypatch, "move_job", lambda: cloud.plane("PATCH", "/jobs/work", {"priority": 5}), times=1000)
    with pytest.raises(OwnershipError) as conflict:
        run.do(switch())
    assert conflict.value.resource == "work"
    assert run.pushed["switch", DISABLED_KEY] == ["work"], "who comes after has to enable it"


def test_a_job_that_somebody_enables_while_it_is_to_move_is_disabled_again(
    cloud: Cloud, prepare: Callable[..., Run]
) -> None:
    run = prepare()
    cloud.make_job()
    run.in_waits = [lambda: cloud.plane("POST", "/jobs/work/enable"), lambda: cloud.advance(minutes=1)]
    run.do(switch())
    assert cloud.job() == (SECOND, "active")


def test_a_job_that_turns_up_on_the_old_pool_moves_too(
    cloud: Cloud, prepare: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made between the look at the jobs and the write of the alias."""
    run = prepare()
    just_before(monkeypatch, "set_metadata", cloud.make_job)
    assert run.do(switch())["moved_jobs"] == ["work"]
    assert cloud.job() == (SECOND, "active")


def test_jobs_that_keep_coming_to_the_old_pool_do_not_keep_the_alias_from_moving(
    cloud: Cloud, prepare: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = prepare()
    made: list[str] = []

    def another_comes() -> None:
        made.append(f"work-{len(made)}")
        cloud.make_job(made[-1])
        cloud.advance(minutes=1)

    another_comes()
    run.in_waits = repeat(another_comes)
    result = run.do(switch())
    assert len(result["moved_jobs"]) == ROUNDS_AFTER
    assert made[-1] not in result["moved_jobs"]
    assert cloud.job(made[-1]) == ("small", "active")
    assert roles(cloud) == {"small": "former", SECOND: "current"}
    assert f"Jobs keep coming to pool small and stay there: {made[-1]}" in capsys.readouterr().out
    assert ROUNDS < ROUNDS_AFTER

    run.in_waits = repeat(lambda: cloud.advance(minutes=1))
    assert run.do(switch())["moved_jobs"] == made, "a clear takes them too"


def test_a_third_pool_that_became_current_meanwhile_keeps_its_work(
    cloud: Cloud, images: dict[str, str], prepare: Callable[..., Run]
) -> None:
    run = prepare()
    cloud.make_pool(images[OLD], name="small-3")
    cloud.mark("small-3", alias="small", role="current", since="2026-11-22", run="b")
    cloud.make_job()
    cloud.forget()
    with pytest.raises(OwnershipError) as refused:
        run.do(switch())
    assert refused.value.answer == "small stands for pool small-3, not for small"
    assert cloud.writes() == []


def test_nothing_moves_to_a_pool_that_is_gone(cloud: Cloud, prepare: Callable[..., Run]) -> None:
    run = prepare()
    cloud.make_job()
    cloud.delete_pool(SECOND)
    cloud.forget()
    with pytest.raises(OwnershipError) as refused:
        run.do(switch())
    assert refused.value.resource == SECOND
    assert "trigger the run again: it makes the pool anew" in refused.value.advice
    assert cloud.writes() == []
    assert cloud.job() == ("small", "active")


def test_a_pool_that_somebody_resizes_is_marked_when_it_rests(cloud: Cloud, prepare: Callable[..., Run]) -> None:
    run = prepare()
    cloud.resize(dedicated=3)
    run.in_waits = [lambda: cloud.advance(minutes=15)]
    run.do(switch())
    assert run.deferrals == ["SettleTrigger"]
    assert roles(cloud) == {"small": "former", SECOND: "current"}


# -- tasks that outlast the deadline -----------------------------------------------------------------------------------


def test_jobs_whose_tasks_outlast_the_deadline_run_again_where_they_are(
    cloud: Cloud, prepare: Callable[..., Run], later: Callable[..., None]
) -> None:
    """The default: `drain_fallback: restore`. The alias stays, and a clear of the task has a deadline of its own."""
    run = prepare()
    cloud.run_task(minutes=300)
    run.begin(switch())
    later(minutes=65)
    with pytest.raises(ResizeGaveUpError) as late:
        run.resume(switch())
    assert late.value.answer == "after 1h still being disabled: work"
    assert "refresh.move_tasks: requeue" in late.value.advice
    assert cloud.job() == ("small", "active")
    assert roles(cloud) == {"small": None, SECOND: "candidate"}
    assert run.pushed["switch", DISABLED_KEY] == []

    run.in_waits = [lambda: cloud.advance(minutes=300)]
    run.do(switch())
    assert cloud.job() == (SECOND, "active")
    assert cloud.task() == {"state": "completed", "exit_code": 0, "requeues": 0}


def test_a_job_whose_owner_waits_for_its_tasks_too_is_not_enabled_when_it_is_late(
    cloud: Cloud, prepare: Callable[..., Run], later: Callable[..., None]
) -> None:
    run = prepare()
    cloud.run_task(minutes=300)
    cloud.disable_job(tasks="wait")
    run.begin(switch())
    later(minutes=65)
    with pytest.raises(ResizeGaveUpError):
        run.resume(switch())
    assert cloud.job() == ("small", "disabling")


def test_tasks_that_outlast_the_deadline_go_back_into_the_queue_if_the_spec_says_so(
    cloud: Cloud, prepare: Callable[..., Run], later: Callable[..., None]
) -> None:
    run = prepare(drain_fallback="requeue")
    cloud.run_task(minutes=300)
    run.begin(switch())
    later(minutes=65)
    run.resume(switch())
    cloud.advance(minutes=1)
    assert cloud.job() == (SECOND, "active")
    assert cloud.task() == {"state": "running", "exit_code": None, "requeues": 1}


# -- Azure is busy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("skip", range(3))
def test_a_lost_answer_moves_nothing_twice_and_loses_nothing(
    cloud: Cloud, prepare: Callable[..., Run], method: str, skip: int
) -> None:
    run = prepare(move_tasks="requeue")
    cloud.run_task(minutes=300)
    cloud.make_job("paused", disabled=True)
    cloud.make_schedule()
    cloud.fault(method=method, lose_reply=True, skip=skip)
    run.do_with_retries(switch())
    assert cloud.job() == (SECOND, "active")
    assert cloud.job("paused") == (SECOND, "disabled")
    assert cloud.job("nightly:job-1") == (SECOND, "active")
    assert cloud.schedule()["jobSpecification"]["poolInfo"] == {"poolId": SECOND}
    assert roles(cloud) == {"small": "former", SECOND: "current"}
    assert cloud.task()["requeues"] == 1
