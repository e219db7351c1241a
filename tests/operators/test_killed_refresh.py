"""A worker killed by SIGKILL at any write of a refresh or of a rollback: its retry ends as an undisturbed run does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from shutil import copytree
from tempfile import mkdtemp
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from golden_pools.rules.resize.curve import SAMPLES

from tests.operators.conftest import DEFINITION, NEW, SECOND
from tests.operators.mortal import LOST, KilledError, MortalRun
from tests.operators.roads import Scene, again, back, forth, go_forth, make_scene, report, retire


@dataclass(frozen=True)
class Road:
    """Tasks one of whose workers is killed, and what comes before them.

    :param prepare: brings scene and run to where the road begins
    :param writes: all that an undisturbed run writes, in order
    """

    strategy: str
    prepare: Callable[[Scene, MortalRun], None]
    tasks: Callable[[MortalRun], list[BaseOperator]]
    writes: tuple[str, ...]


def with_work(scene: Scene, run: MortalRun) -> None:
    """A pool with a running task, a job that its owner has disabled, and a job schedule with its job."""
    scene.cloud.run_task(minutes=60_000)
    scene.cloud.make_job("paused", disabled=True)
    scene.cloud.make_schedule()


def without_work(scene: Scene, run: MortalRun) -> None:
    """A pool without jobs."""


def after_a_switch(scene: Scene, run: MortalRun) -> None:
    """A refresh that came as far as it can before it fails."""
    with_work(scene, run)
    assert go_forth(run) is None


def after_a_failed_probe(scene: Scene, run: MortalRun) -> None:
    """A pool that is on the new version, which is bad."""
    with_work(scene, run)
    scene.cloud.command(task="default-temp-drive", exit_code=2)
    failed = go_forth(run)
    assert failed is not None
    assert failed[0] == "probe"
    scene.cloud.control("DELETE", "commands")


JOBS = (
    "PATCH jobschedules/nightly",
    "POST work/disable",
    "PATCH jobs/paused",
    "POST nightly:job-1/disable",
    "PATCH jobs/work",
    "PATCH jobs/nightly:job-1",
    "POST work/enable",
    "POST nightly:job-1/enable",
)
SMALL = "PATCH pools/small"

ROADS = {
    "blue_green": Road(
        "blue_green",
        with_work,
        lambda run: [*forth(run), retire()],
        (
            *(f"PUT pools/{SECOND}", f"PATCH pools/{SECOND}", *JOBS),
            *(f"PATCH pools/{SECOND}", SMALL),  # the alias
            *(SMALL, SMALL, "DELETE pools/small"),  # marked, drained, deleted
        ),
    ),
    "in_place": Road("in_place", with_work, forth, (SMALL, SMALL, SMALL)),
    "recreate": Road("recreate", without_work, forth, ("DELETE pools/small", "PUT pools/small", SMALL)),
    "blue_green back": Road("blue_green", after_a_switch, back, (*JOBS, SMALL, f"DELETE pools/{SECOND}")),
    "in_place back": Road("in_place", after_a_failed_probe, back, (f"PATCH versions/{NEW}", SMALL, SMALL, SMALL)),
}

KILLS = [
    pytest.param(name, number, sent, id=f"{name}: {'after' if sent else 'before'} {number} {write}")
    for name, road in ROADS.items()
    for number, write in enumerate(road.writes, start=1)
    for sent in (False, True)
]


@pytest.mark.parametrize(("name", "number", "sent"), KILLS)
def test_a_killed_worker_makes_no_difference(tmp_path: Path, name: str, number: int, sent: bool) -> None:
    expected, _ = undisturbed(name)
    with beginning(name, tmp_path) as (scene, run):
        run.kill_at, run.sent = number, sent
        assert go(scene, run, ROADS[name].tasks(run)) == 1
        assert outcome(scene, run) == expected


@pytest.mark.parametrize("name", ROADS)
def test_these_are_all_the_writes(name: str) -> None:
    assert undisturbed(name)[1] == ROADS[name].writes


@cache
def undisturbed(name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what the world is after a run of which nobody was killed, and what the run wrote."""
    with beginning(name, Path(mkdtemp(dir=os.environ["AIRFLOW_HOME"]))) as (scene, run):
        assert go(scene, run, ROADS[name].tasks(run)) == 0
        return outcome(scene, run), tuple(run.writes.values())


@contextmanager
def beginning(name: str, folder: Path) -> Iterator[tuple[Scene, MortalRun]]:
    """Return scene and run where a road begins."""
    there, was = prepared(name)
    with again(there) as scene:
        copytree(was.folder, folder, dirs_exist_ok=True)
        yield scene, make_run(scene, ROADS[name], folder, xcoms=deepcopy(was.xcoms))


@cache
def prepared(name: str) -> tuple[Scene, MortalRun]:
    road = ROADS[name]
    with make_scene() as scene:
        run = make_run(scene, road, Path(mkdtemp(dir=os.environ["AIRFLOW_HOME"])))
        road.prepare(scene, run)
    run.writes.clear()
    return scene, run


def make_run(scene: Scene, road: Road, folder: Path, **state: Any) -> MortalRun:
    refresh = {"probe_pool": road.prepare is after_a_failed_probe, "move_tasks": "requeue", "deallocation": "requeue"}
    return scene.run(road.strategy, refresh=refresh, make=partial(MortalRun, folder=folder, **state))


def go(scene: Scene, run: MortalRun, tasks: list[BaseOperator]) -> int:
    """Run the tasks; one whose worker is killed is tried again when Airflow has missed it. Return how many were."""
    killed = 0
    for task in tasks:
        try:
            run.do(task)
        except KilledError:
            killed += 1
            scene.virtual.sleep(LOST.total_seconds())
            run.do(task)
    return killed


def outcome(scene: Scene, run: MortalRun) -> dict[str, Any]:
    """Return all that a run may have changed, when nothing moves any more, and what it says; times are left out."""
    scene.cloud.advance(hours=1)
    cloud, pools = scene.cloud, scene.pools()
    jobs, schedules = cloud.plane("GET", "/jobs")["value"], cloud.plane("GET", "/jobschedules")["value"]
    tasks = {job["id"]: cloud.plane("GET", f"/jobs/{job['id']}/tasks")["value"] for job in jobs}
    return {
        "pools": pools,
        "marks": {name: cloud.marks(name) | {"golden_pools_since": "..."} for name in pools},
        "nodes": {name: nodes_made(scene, name) for name in pools},
        "jobs": {job["id"]: (job["poolInfo"]["poolId"], job["state"]) for job in jobs},
        "tasks": {
            job: [(task["id"], task["state"], task["executionInfo"]["requeueCount"]) for task in found]
            for job, found in tasks.items()
        },
        "schedules": {one["id"]: one["jobSpecification"]["poolInfo"]["poolId"] for one in schedules},
        "tags": cloud.arm("GET", f"{DEFINITION}/versions/{NEW}").get("tags"),
        "told": {
            task: in_any_order(run.xcom(task)) for task in ("pool.refresh", "pool.switch", "rollback.restore", "retire")
        },
        # The curve of the nodes has the moments at which somebody looked, which a killed worker shifts.
        "pushed": {pushed: value for pushed, value in run.pushed.items() if pushed[1] != SAMPLES},
        "report": str(report(run)),
    }


def in_any_order(result: dict[str, Any] | None) -> dict[str, Any]:
    """Return a task's XCom without the order of its lists: jobs that wait for one another move when they can."""
    return {name: sorted(value) if isinstance(value, list) else value for name, value in (result or {}).items()}


def nodes_made(scene: Scene, pool: str) -> list[str]:
    """Return the beginnings of the nodes' ids: they count how many nodes the pool has ever got."""
    nodes = scene.cloud.plane("GET", f"/pools/{pool}/nodes")["value"]
    return [node["id"].rpartition("_")[0] for node in nodes]
