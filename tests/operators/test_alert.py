"""The alert at the end of whole runs, against the simulator and a real web hook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from golden_pools.errors import AlertError
from golden_pools.spec.model import PoolSpec

from dags.golden_pools import pool_dag
from dags.resize_pool import resize_dag
from tests.operators.conftest import NEW, OLD, AssetStores, Run, small_pool
from tests.operators.dag_run import DagRun
from tests.operators.roads import Scene, make_scene
from tests.receivers import PASSWORD, WebHook, web_hook

NO_CORES = {"code": "AccountCoreQuotaReached", "message": "The account has no core left"}


@dataclass
class Mornings:
    """Runs of a pool's DAG one after another, and who is told of them."""

    scene: Scene
    hook: WebHook
    stores: AssetStores = field(default_factory=AssetStores)
    number: int = 0
    latest: DagRun | None = None

    def spec(self, *, level: str = "warning", **parts: Any) -> PoolSpec:
        whole = small_pool(self.scene.cloud).model_dump(mode="json")
        whole["alerts"] = [{"connection": "told", "level": level}]
        for part, value in parts.items():
            whole[part] = {**(whole.get(part) or {}), **value}
        return PoolSpec.model_validate(whole)

    def run(self, spec: PoolSpec, **conf: Any) -> DagRun:
        """Run the DAG of the next night."""
        self.number += 1
        virtual = self.scene.virtual
        run = Run(
            spec,
            conf={"image_version": NEW, **conf},
            run_id=f"scheduled__{self.number}",
            stamp=virtual.now(),
            fire=virtual.fire,
            asset_stores=self.stores,
        )
        run.xcoms.pop("source", None)
        self.latest = DagRun(pool_dag("small", spec), run, run.do_with_retries).go()
        return self.latest

    def clear(self) -> DagRun:
        """Clear all tasks of the latest run but its plan."""
        assert self.latest is not None
        plan = self.latest.run.xcoms["plan"]
        self.latest.run.states.clear()
        self.latest.run.xcoms = {"plan": plan}
        self.latest.errors.clear()
        return self.latest.go()

    def break_resizes(self) -> None:
        """Let the account have no core left for the pool from now on."""
        self.scene.cloud.allocation(error=NO_CORES, max_dedicated_nodes=0, resizes=None)

    def mend_resizes(self) -> None:
        self.scene.cloud.control("DELETE", "allocations")


@pytest.fixture
def mornings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mornings]:
    with make_scene() as scene, web_hook() as hook:
        config = [{"path": hook.address, "tag": "ops"}]
        monkeypatch.setenv("AIRFLOW_CONN_TOLD", json.dumps({"conn_type": "apprise", "extra": {"config": config}}))
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow")
        yield Mornings(scene, hook)


def test_a_failed_resize_tells_what_happened_why_and_what_to_do(mornings: Mornings) -> None:
    mornings.break_resizes()
    spec = mornings.spec(refresh={"rollback": False}, canary={"enabled": False})

    assert not mornings.run(spec).succeeded

    (told,) = mornings.hook.received
    assert told["title"] == "small: did not get its nodes (0/3 ready, 0 starting, 0 failed)"
    assert told["type"] == "failure"
    message = told["message"]
    assert "**What happened:** task pool.resize: The pool did not reach its targets" in message
    assert "**Likely cause:** AccountCoreQuotaReached: " in message
    assert "**What to do:** " in message
    assert "**Done by itself:** pool.resize: 1 resize" in message
    assert "**Pool:** goldenbatch/small" in message
    assert "**Target:** 3 dedicated and 0 Spot nodes" in message
    assert f"**Image now:** {NEW}" in message
    assert (
        "[Log of pool.resize](<http://airflow/dags/golden_pool_small/runs/scheduled__1/tasks/pool.resize>)" in message
    )
    assert "[Run](<http://airflow/dags/golden_pool_small/runs/scheduled__1>)" in message
    assert "(<http://airflow/plugin/golden-pools/golden-pools/page#/pools/small>)" in message
    assert PASSWORD not in json.dumps(mornings.latest and mornings.latest.run.xcoms)


def test_a_rollback_tells_what_was_done_and_the_cause_and_not_its_own_report(mornings: Mornings) -> None:
    mornings.break_resizes()

    assert not mornings.run(mornings.spec(canary={"enabled": False})).succeeded

    (told,) = mornings.hook.received
    assert told["title"].startswith("small: rolled back, but without all its nodes (")
    assert "**What happened:** task pool.resize: The pool did not reach its targets" in told["message"]
    assert f"**Image now:** {OLD}; the run was to bring {NEW}" in told["message"]
    done = "pool.resize: 1 resize; rollback.resize: 1 resize; the pool was put back on"
    assert f"**Done by itself:** {done} {OLD}" in told["message"], "there were no cores for the way back either"


def test_preflight_errors_name_every_blocker(mornings: Mornings) -> None:
    assert not mornings.run(mornings.spec(pool={"vm_size": "Standard_D2s_v99", "targets": {"dedicated": 3}})).succeeded

    (told,) = mornings.hook.received
    assert told["title"] == "small: stopped before anything was written (2/3 ready, 0 starting, 0 failed)"
    assert "task preflight: Preflight found" in told["message"]
    assert "Standard_D2s_v99" in told["message"]


def test_one_alert_for_an_incident_over_retries_clears_and_runs_and_one_when_it_is_over(mornings: Mornings) -> None:
    spec = mornings.spec(canary={"enabled": False})
    mornings.break_resizes()
    mornings.run(spec)
    mornings.clear()
    assert len(mornings.hook.received) == 1, "the run was cleared and failed again for the same reason"

    mornings.run(spec)
    assert "**Failing since:** " in mornings.hook.received[1]["message"]
    assert "2 runs in a row" in mornings.hook.received[1]["message"]

    mornings.mend_resizes()
    assert mornings.run(spec).succeeded
    over = mornings.hook.received[2]
    assert over["type"] == "success"
    assert over["title"].startswith("small: over after ")
    assert "over 2 runs" in over["message"]
    assert "3/3 ready" in over["message"]

    assert mornings.run(spec).succeeded
    assert len(mornings.hook.received) == 3, "all is well, and nobody has to hear of that twice"


def test_a_run_that_only_plans_ends_no_incident(mornings: Mornings) -> None:
    spec = mornings.spec(canary={"enabled": False})
    mornings.break_resizes()
    mornings.run(spec)
    mornings.mend_resizes()

    mornings.run(spec, plan_only=True)
    assert len(mornings.hook.received) == 1
    mornings.run(spec)
    assert mornings.hook.titles[1].startswith("small: over after ")


def test_a_channel_of_level_info_hears_of_each_good_run(mornings: Mornings) -> None:
    assert mornings.run(mornings.spec(level="info", canary={"enabled": False})).succeeded

    (told,) = mornings.hook.received
    assert (told["title"], told["type"]) == ("small: refreshed", "info")


def test_a_channel_that_is_down_does_not_change_the_outcome_and_is_told_later(mornings: Mornings) -> None:
    mornings.hook.status = 503
    run = mornings.run(mornings.spec(level="info", canary={"enabled": False}))
    assert run.succeeded
    assert run.states["alert"] == "failed"
    assert isinstance(run.errors["alert"], AlertError)
    assert "JSON (ops) has not taken the alert" in str(run.errors["alert"])
    assert PASSWORD not in str(run.errors["alert"])
    mornings.hook.status = 200

    alert = run.dag.get_task("alert")
    run.run.do(alert)
    run.run.do(alert)

    assert mornings.hook.titles == ["small: refreshed"], "told once, however often the task runs again"


def test_a_worker_that_dies_before_the_incident_is_written_tells_it_all_the_same(
    mornings: Mornings, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = mornings.spec(canary={"enabled": False})
    mornings.break_resizes()
    mornings.hook.status = 500
    run = mornings.run(spec)
    mornings.hook.status = 200
    mornings.stores.clear()  # as if the last write had never happened

    run.run.do(run.dag.get_task("alert"))

    assert len(mornings.hook.received) == 1
    mornings.mend_resizes()
    mornings.run(spec)
    assert mornings.hook.titles[1].startswith("small: over after ")


def test_an_azure_that_cannot_be_asked_does_not_keep_the_alert_from_going_out(mornings: Mornings) -> None:
    mornings.break_resizes()
    spec = mornings.spec(canary={"enabled": False}, refresh={"rollback": False})
    real = pool_dag("small", spec)
    run = Run(
        spec,
        conf={"image_version": NEW},
        run_id="scheduled__1",
        stamp=mornings.scene.virtual.now(),
        fire=mornings.scene.virtual.fire,
        asset_stores=mornings.stores,
    )
    run.xcoms.pop("source", None)

    def do(task: Any) -> Any:
        if task.task_id == "alert":
            mornings.scene.cloud.fault(method="GET", path="/pools", status=403, code="AuthorizationFailed", count=None)
        return run.do_with_retries(task)

    DagRun(real, run, do).go()

    assert mornings.hook.titles == ["small: did not get its nodes (could not be read: Could not list the pools)"]


def test_too_few_nodes_that_are_enough_are_a_warning(mornings: Mornings) -> None:
    mornings.scene.cloud.allocation(error=NO_CORES, max_dedicated_nodes=2, resizes=None)
    spec = mornings.spec(
        canary={"enabled": False}, resize={"smallest_acceptable_share": {"dedicated": 0.5}, "attempts": 1}
    )

    assert mornings.run(spec).succeeded

    (told,) = mornings.hook.received
    assert (told["title"], told["type"]) == ("small: has enough nodes, not all", "warning")
    assert "2 of 3 nodes are ready" in told["message"]


def test_a_resize_by_hand_that_fails_tells_the_channels_of_its_pool(mornings: Mornings) -> None:
    mornings.break_resizes()
    spec = mornings.spec()
    run = Run(
        spec,
        conf={"pool": "small", "dedicated": 5, "why": "a test"},
        keys=("pool", "dedicated", "spot", "why"),
        stamp=mornings.scene.virtual.now(),
        fire=mornings.scene.virtual.fire,
    )

    DagRun(resize_dag(["small"]), run, run.do_with_retries).go()

    (told,) = mornings.hook.received
    assert told["title"] == "small: did not get its nodes (2/5 ready, 0 starting, 0 failed)"


def test_preflight_says_that_nobody_will_hear_of_a_failure(
    mornings: Mornings, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = mornings.spec(canary={"enabled": False}).model_copy(update={"alerts": ()})

    run = mornings.run(spec)

    assert "Nobody will hear of a failure of pool small. What to do: name a channel" in capsys.readouterr().out
    assert run.run.xcoms["preflight"]["findings"] == [], "that is no property of the image"
