"""What waiting costs: requests to Azure, worker slots, and the triggerer's memory."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from waiting import DAG_ID, ManyPools, many_pools

from include.airflow_settings import ROOT
from include.local_airflow import TRIGGERER, LocalAirflow, free_port
from tests.e2e.real_airflow import RealAirflow

pytestmark = [pytest.mark.benchmark, pytest.mark.e2e]

POOLS = 50
INTERVALS = 20
POLL_SECONDS = 1
PER_INTERVAL = 2
"""One question for the pools, one for their nodes."""
EDGES = 2
"""A poll may begin before what is counted, or end after it."""

MANY = 1000
MANY_POLLS = 6
HEARTBEATS = 5
MOST_MB = 50

PATIENCE_SECONDS = 180


def wait_until(done: Callable[[], object], what: Callable[[], object]) -> None:
    """Wait for a condition; ``what`` describes how things stand when it does not come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


class Database:
    """What Airflow's own tables tell about the waiting tasks."""

    def __init__(self, local: LocalAirflow) -> None:
        self._url = f"file:{local.database}?mode=ro"

    def states(self) -> dict[str, int]:
        """How many task instances are in which state."""
        return dict(self._rows("SELECT coalesce(state, 'none'), count(*) FROM task_instance GROUP BY 1"))

    def heartbeats(self) -> str:
        """When the triggerer last gave a sign of life; nothing before it has."""
        return str(self._rows("SELECT max(latest_heartbeat) FROM job WHERE job_type = 'TriggererJob'")[0][0])

    def legs(self) -> int:
        """How often a task was started on a worker."""
        return int(self._rows("SELECT count(*) FROM log WHERE event = 'running' AND task_id = 'wait'")[0][0])

    def seconds(self) -> tuple[float, float, float]:
        """Seconds of all tasks together: queued for a worker, running on one, deferred."""
        [[queued, running, deferred]] = self._rows(
            """
            SELECT 86400 * sum(julianday(ran.dttm) - julianday(queued_dttm)),
                   86400 * sum(julianday(slept.dttm) - julianday(ran.dttm)),
                   86400 * sum(julianday(end_date) - julianday(slept.dttm))
            FROM task_instance
            JOIN log ran USING (dag_id, task_id, run_id, map_index)
            JOIN log slept USING (dag_id, task_id, run_id, map_index)
            WHERE ran.event = 'running' AND slept.event = 'deferred'
            """
        )
        return float(queued), float(running), float(deferred)

    def _rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self._url, uri=True, timeout=120)) as connection:
            return connection.execute(query).fetchall()


def test_fifty_pools_cost_two_requests_an_interval_and_no_slot(tmp_path: Path, figures: Callable[[str], None]) -> None:
    """Counted from the moment when all wait, in a real Airflow; a task holds a worker's slot while it is running."""
    with many_pools(POOLS, tmp_path / "world.json") as azure:
        environment = {"AIRFLOW_CONN_AZURE_DEFAULT": azure.connection}
        dags = azure.write_dag(tmp_path / "dags")
        with RealAirflow(tmp_path / "airflow", dags=dags, environment=environment) as airflow:
            database = Database(airflow.local)
            run = airflow.trigger(DAG_ID)
            wait_until(lambda: database.states() == {"deferred": POOLS}, database.states)

            before, end, awake = azure.requests(), time.monotonic() + INTERVALS * POLL_SECONDS, set[str]()
            while time.monotonic() < end:
                awake |= database.states().keys() - {"deferred"}
                time.sleep(0.1)
            after = azure.requests()

            azure.let_nodes_come()
            assert airflow.wait(DAG_ID, run) == "success", database.states()
            legs, (queued, running, deferred) = database.legs(), database.seconds()

    made = {route: count - before.get(route, 0) for route, count in after.items() if count > before.get(route, 0)}
    requests = sum(made.values())
    figures(
        f"{POOLS} pools waiting for {INTERVALS} intervals of {POLL_SECONDS} s"
        f"\n  requests to Azure  {requests:5}   goal: {PER_INTERVAL * INTERVALS} and {EDGES} at the edges; "
        f"a poll per task makes {PER_INTERVAL * INTERVALS * POOLS}"
        f"\n  slots held         {len(awake):5}   goal: 0"
        f"\n  slot-seconds       {running:5.0f}   of {running + deferred:.0f} in the tasks' life, "
        f"{running / (running + deferred):.1%}: {running / POOLS:.1f} s a task before its wait, none in or after it"
        f"\n  (queued for a worker before that: {queued / POOLS:.1f} s a task)"
    )
    assert made.keys() == {"GET pools", "GET nodecounts"}
    assert requests <= PER_INTERVAL * INTERVALS + EDGES
    assert after["GET {account}"] == 1  # for its endpoint, when the first task began to wait
    assert awake == set()
    assert legs == POOLS  # the wait ends in the triggerer


@dataclass
class Triggerer:
    """A real ``airflow triggerer``, on a database of its own, with nothing else of Airflow running."""

    local: LocalAirflow
    dags: Path

    def live(self) -> None:
        """Wait for some of its heartbeats."""
        database, seen = Database(self.local), set[str]()
        wait_until(lambda: seen.add(database.heartbeats()) or len(seen) > HEARTBEATS, lambda: "no heartbeats")

    def defer(self, kind: str) -> None:
        """Put deferred tasks into its database; the kinds are those of ``defer_waits.py``."""
        environment = self.local.environment()
        environment["PYTHONPATH"] += f"{os.pathsep}{Path(__file__).parent}"
        script = Path(__file__).with_name("defer_waits.py")
        done = subprocess.run(
            [sys.executable, str(script), str(self.dags), kind],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]

    def wait_for_lines(self, text: str) -> None:
        """Wait until the trigger of every task has logged a line with ``text``."""
        pending = {f"map_index={number}" for number in range(MANY)}

        def all_said() -> bool:
            for name in tuple(pending):
                folder = self.local.home / "logs" / f"dag_id={DAG_ID}" / "run_id=many" / "task_id=wait" / name
                if any(text in log.read_text(encoding="utf-8") for log in folder.glob("*.trigger.*")):
                    pending.discard(name)
            return not pending

        wait_until(all_said, lambda: f"{len(pending)} triggers have not said {text!r}")

    def megabytes(self) -> float:
        """Resident memory of both its processes.

        They are one program that was forked. What they share is counted twice, before and after alike; a proportional
        measure would count as growth that the two share less and less of it, the longer they live.
        """
        return sum(process.memory_info().rss for process in self.local.processes()) / 2**20


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[ManyPools]:
    """A thousand pools without nodes."""
    with many_pools(MANY, tmp_path / "world.json") as simulator:
        yield simulator


@pytest.fixture
def triggerer(tmp_path: Path, azure: ManyPools) -> Iterator[Triggerer]:
    """A triggerer that is not started yet."""
    dags = azure.write_dag(tmp_path / "dags")
    environment = {
        "AIRFLOW_CONN_AZURE_DEFAULT": azure.connection,
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    }
    local = LocalAirflow(tmp_path / "airflow", port=free_port(), environment=environment, components=(TRIGGERER,))
    local.prepare()
    try:
        yield Triggerer(local, dags)
    finally:
        local.stop()


def test_a_thousand_waiting_pools_cost_the_triggerer_little_memory(
    triggerer: Triggerer, azure: ManyPools, figures: Callable[[str], None]
) -> None:
    """The triggerer is Airflow's own, on a database into which 1,000 deferred tasks were written.

    Airflow keeps a coroutine, a greenlet, a queue and a log file for each deferred task, whatever it waits for. So the
    same tasks also wait for a moment in the far future, with Airflow's own timer: what pools cost more than timers is
    what this project adds, and that is what is held against the goal.
    """
    triggerer.local.start_component(TRIGGERER)
    triggerer.live()
    idle = triggerer.megabytes()
    triggerer.local.stop()

    triggerer.defer("timers")
    triggerer.local.start_component(TRIGGERER)
    triggerer.wait_for_lines("starting")
    triggerer.live()
    timers = triggerer.megabytes()
    triggerer.local.stop()

    triggerer.defer("pools")
    triggerer.local.start_component(TRIGGERER)
    triggerer.wait_for_lines("0/1 ready")
    before = azure.requests()
    wait_until(lambda: azure.requests()["GET nodecounts"] >= before["GET nodecounts"] + MANY_POLLS, azure.requests)
    pools, after = triggerer.megabytes(), azure.requests()

    polls = after["GET pools"] - before["GET pools"]
    requests = sum(after.values()) - sum(before.values())
    figures(
        f"the triggerer's memory            MB   above idle"
        f"\n  idle                        {idle:6.0f}"
        f"\n  {MANY} of Airflow's timers    {timers:6.0f}   {timers - idle:+10.0f}"
        f"\n  {MANY} waiting pools          {pools:6.0f}   {pools - idle:+10.0f}"
        f"\n  the pools' own share        {pools - timers:6.0f}   (goal: {MOST_MB} or less)"
        f"\n  requests: {requests} in {polls} intervals (a poll per task: {PER_INTERVAL * MANY * polls})"
    )
    assert requests <= PER_INTERVAL * polls + 1
    assert pools - timers <= MOST_MB
