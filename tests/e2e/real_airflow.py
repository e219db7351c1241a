"""A real Airflow for tests: its processes, and its REST API as methods."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import psutil
import psycopg
import redis

from include.demo.watch import log_lines
from include.local_airflow import LOCAL, WORKER, LocalAirflow, free_port

ResultT = TypeVar("ResultT")

RUN_ENDED = frozenset({"success", "failed"})
PAST = "2020-01-01 00:00:00.000000"
"""A moment as SQLite has it, for ``RealAirflow.update``."""

TASK_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
POLL_SECONDS = 0.3

PATIENCE_SECONDS = 900
"""Longest wait for anything: what hangs meets it, and a machine that is full of tests does not."""

FOR_TESTS = {
    # No run but those that a test asks for: at two in the morning a night would come in between.
    "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
    # DAG files are parsed seldom, and when a test asks: again and again, that costs a processor of its own. Never would
    # be wrong: a DAG that is switched on then catches up with what was its next run when it was parsed.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",
    # Passed deadlines are noticed in seconds, where minutes are the default.
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    # So is a dead triggerer.
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}


class RealAirflow:
    """A real Airflow with LocalExecutor on SQLite, or with other components and settings.

    :param home: its directory.
    :param dags: its DAGs; the project's own when not given.
    :param environment: further environment variables.
    :param components: what to start.
    """

    def __init__(
        self,
        home: Path,
        *,
        dags: Path | None = None,
        environment: Mapping[str, str] | None = None,
        components: tuple[str, ...] = LOCAL,
    ) -> None:
        extra = FOR_TESTS | dict(environment or {})
        if dags is not None:
            extra["AIRFLOW__CORE__DAGS_FOLDER"] = str(dags)
        self.local = LocalAirflow(home, port=free_port(), environment=extra, components=components)

    def __enter__(self) -> Self:
        self.local.start(timeout_seconds=PATIENCE_SECONDS)
        self._api = self.local.client()
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()
        self.local.stop()

    def get(self, path: str, **query: Any) -> Any:
        """The answer to a GET below ``/api/v2``."""
        return self._ask("GET", path, params=query)

    def wait_for_dag(self, dag_id: str) -> None:
        """Wait until Airflow knows a DAG."""

        def known() -> bool:
            return self._api.get(f"/api/v2/dags/{dag_id}").status_code == httpx.codes.OK

        wait_for(known, bool, lambda: f"no DAG {dag_id}; import errors: {self.import_errors()}")

    def parse(self, dag_id: str) -> None:
        """Have the file of a DAG parsed anew, and wait until that is done."""
        before = self.get(f"dags/{dag_id}")
        self._ask("PUT", f"parseDagFile/{before['file_token']}")
        wait_for(
            lambda: self.get(f"dags/{dag_id}")["last_parsed_time"],
            lambda parsed: parsed != before["last_parsed_time"],
            lambda: f"{dag_id} has not been parsed anew; import errors: {self.import_errors()}",
        )

    def import_errors(self) -> dict[str, str]:
        """By DAG file: why it could not be imported."""
        return {error["filename"]: error["stack_trace"] for error in self.get("importErrors")["import_errors"]}

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run."""
        self._ask("PATCH", f"dags/{dag_id}", json={"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Let a DAG begin no run."""
        self._ask("PATCH", f"dags/{dag_id}", json={"is_paused": True})

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run of a DAG, which is unpaused first; the result is the run id."""
        self.wait_for_dag(dag_id)
        self.unpause(dag_id)
        run = self._ask("POST", f"dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": dict(conf or {})})
        return str(run["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """The state of a run."""
        return str(self.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait(self, dag_id: str, run_id: str) -> str:
        """Wait until a run has ended; the result is its state."""
        return wait_for(
            lambda: self.run_state(dag_id, run_id),
            RUN_ENDED.__contains__,
            lambda: f"{dag_id} {run_id} has not ended: {self.task_states(dag_id, run_id)}",
        )

    def wait_for_note(self, dag_id: str, run_id: str) -> str:
        """Wait until a run that has ended has its note, which is written a moment later; the result is the note."""
        note = wait_for(
            lambda: self.get(f"dags/{dag_id}/dagRuns/{run_id}")["note"],
            bool,
            lambda: f"{dag_id} {run_id} has no note",
        )
        return str(note)

    def scheduled_runs(self, dag_id: str, *, by: str = "scheduled") -> list[str]:
        """Ids of the runs of a DAG that the scheduler has made, the oldest first.

        :param by: ``scheduled`` for those by time, ``asset_triggered`` for those by events
        """
        runs = self.get(f"dags/{dag_id}/dagRuns", run_type=by, order_by="run_after")["dag_runs"]
        return [str(run["dag_run_id"]) for run in runs]

    def wait_for_scheduled_runs(self, dag_id: str, number: int, *, by: str = "scheduled") -> list[str]:
        """Wait until the scheduler has made so many runs of a DAG; the result is their ids."""
        runs = wait_for(
            lambda: self.scheduled_runs(dag_id, by=by),
            lambda found: len(found) >= number,
            lambda: f"{dag_id} has fewer than {number} {by} runs",
        )
        return runs[:number]

    def tasks_by_id(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """By task id: the task instance of a run, as the REST API describes it."""
        tasks = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task for task in tasks}

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """By task id: its state."""
        return {name: task["state"] for name, task in self.tasks_by_id(dag_id, run_id).items()}

    def wait_for_task(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        *,
        states: Collection[str] = TASK_ENDED,
    ) -> str:
        """Wait until a task is in one of these states; the result is the state."""
        state = wait_for(
            lambda: self.task_states(dag_id, run_id).get(task_id),
            lambda state: state in states,
            lambda: f"{task_id} did not become {' or '.join(states)}: {self.task_states(dag_id, run_id)}",
        )
        return str(state)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """What a task left in XCom."""
        return self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}")["value"]

    def log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """The log of the last try of a task, trigger included, a line per event or exception."""
        try_number = self.tasks_by_id(dag_id, run_id)[task_id]["try_number"]
        answer = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}")
        return "\n".join(log_lines(answer["content"]))

    def tries(self, dag_id: str, run_id: str) -> dict[str, int]:
        """By task id: how often a task was tried, without the tries whose worker Airflow takes for killed.

        Airflow 3.3.2 does so where a worker was killed, and also where the scheduler hears of the end of the worker
        that deferred only after the task goes on.
        """
        lost = self.get("eventLogs", dag_id=dag_id, run_id=run_id, event="state mismatch", limit=100)["event_logs"]
        times = Counter(event["task_id"] for event in lost)
        return {name: task["try_number"] - times[name] for name, task in self.tasks_by_id(dag_id, run_id).items()}

    def clear(self, dag_id: str, run_id: str, *task_ids: str) -> None:
        """Clear tasks of a run, as a user does who wants them run again."""
        self._ask(
            "POST",
            f"dags/{dag_id}/clearTaskInstances",
            json={"dry_run": False, "dag_run_id": run_id, "task_ids": list(task_ids), "only_failed": False},
        )

    def mark_as_success(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Mark a task as a success, as a user does who wants the run to go on without it."""
        self._ask("PATCH", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}", json={"new_state": "success"})

    def wait_for_question(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Wait until a task asks a person, and the scheduler knows that its worker is done with that.

        Airflow 3.3.2 fails a task that is resumed before: it takes its worker for lost, and the answer is gone. No
        person is that quick, but a test is.
        """
        self.wait_for_task(dag_id, run_id, task_id, states={"awaiting_input"})
        number = self.tasks_by_id(dag_id, run_id)[task_id]["try_number"]
        key = f"TaskInstanceKey(dag_id='{dag_id}', task_id='{task_id}', run_id='{run_id}', try_number={number},"
        done = f"Received executor event with state success for task instance {key}"
        log = self.local.log_file("scheduler")
        wait_for(
            lambda: done in log.read_text(encoding="utf-8", errors="replace"),
            bool,
            lambda: f"the scheduler has not heard of the end of {task_id}'s worker",
        )

    def question(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """What a task asks a person, and the answer, once there is one."""
        return dict(self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"))

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Answer what a task asks, as a user does."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self._ask("PATCH", path, json={"chosen_options": [option], "params_input": {}})

    def update(self, statement: str, *values: str) -> None:
        """Change the row of the database that the scheduler goes by, where a user would wait for hours."""
        with closing(sqlite3.connect(self.local.database, timeout=PATIENCE_SECONDS)) as database, database:
            changed = database.execute(statement, values).rowcount
        assert changed == 1, f"{changed} rows: {statement}"

    def kill_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Kill the process of a running task."""
        psutil.Process(self.tasks_by_id(dag_id, run_id)[task_id]["pid"]).kill()

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._api.request(method, f"/api/v2/{path}", **arguments)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()


@contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """A database of its own in PostgreSQL, as the setting of an Airflow; it is removed with the block.

    For many runs at a time: on SQLite Airflow's REST API then answers 500, since the database is locked. Needs the
    services of the ``services`` marker.
    """
    name = f"golden_pools_{uuid.uuid4().hex[:12]}"
    with psycopg.connect("host=127.0.0.1 user=postgres dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://postgres@127.0.0.1/{name}"}
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def celery_services() -> Iterator[dict[str, str]]:
    """A database of its own in PostgreSQL and an empty one of Redis, as settings of a CeleryExecutor.

    Both are removed with the block. Needs the services of the ``services`` marker.
    """
    broker = _empty_redis()
    with postgres() as settings:
        database = settings["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].rpartition("/")[2]
        try:
            yield {
                **settings,
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                # A queue of its own too: a worker that an aborted run left behind must not take the tasks.
                "AIRFLOW__OPERATORS__DEFAULT_QUEUE": database,
                "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://postgres@127.0.0.1/{database}",
                "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:6379/{broker.connection_pool.connection_kwargs['db']}",
            }
        finally:
            broker.flushdb()
            broker.close()


CELERY = (*LOCAL, WORKER)
"""The components of an Airflow with :func:`celery_services`."""


def _empty_redis() -> redis.Redis:
    """A database of the local Redis that holds nothing, so that nobody's data is removed afterwards."""
    for index in reversed(range(16)):
        client = redis.Redis(host="127.0.0.1", port=6379, db=index)
        if client.dbsize() == 0:
            return client
        client.close()
    raise RuntimeError("All 16 databases of the Redis at 127.0.0.1:6379 hold data; the tests need an empty one.")


def wait_for(look: Callable[[], ResultT], enough: Callable[[ResultT], bool], missing: Callable[[], str]) -> ResultT:
    """Return what there is to see as soon as it is enough.

    :param missing: what the test says when that does not happen
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not enough(found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{missing()} (after {PATIENCE_SECONDS} s)")
        time.sleep(POLL_SECONDS)
    return found
