"""A real Airflow for tests: its processes, and its REST API as methods."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
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
TASK_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
POLL_SECONDS = 0.3

FOR_TESTS = {
    # New DAG files and passed deadlines are noticed in seconds, where minutes are the default.
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    # So is a dead worker.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "3",
    # And a dead triggerer.
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
        self.local.start()
        self._api = self.local.client()
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()
        self.local.stop()

    def get(self, path: str, **query: Any) -> Any:
        """The answer to a GET below ``/api/v2``."""
        return self._ask("GET", path, params=query)

    def wait_for_dag(self, dag_id: str, *, timeout_seconds: float = 60) -> None:
        """Wait until Airflow knows a DAG."""

        def known() -> bool:
            return self._api.get(f"/api/v2/dags/{dag_id}").status_code == httpx.codes.OK

        _wait_for(known, bool, timeout_seconds, lambda: f"no DAG {dag_id}; import errors: {self.import_errors()}")

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

    def wait(self, dag_id: str, run_id: str, *, timeout_seconds: float = 240) -> str:
        """Wait until a run has ended; the result is its state."""
        return _wait_for(
            lambda: self.run_state(dag_id, run_id),
            RUN_ENDED.__contains__,
            timeout_seconds,
            lambda: f"{dag_id} {run_id} has not ended: {self.task_states(dag_id, run_id)}",
        )

    def scheduled_runs(self, dag_id: str, *, by: str = "scheduled") -> list[str]:
        """Ids of the runs of a DAG that the scheduler has made, the oldest first.

        :param by: ``scheduled`` for those by time, ``asset_triggered`` for those by events
        """
        runs = self.get(f"dags/{dag_id}/dagRuns", run_type=by, order_by="run_after")["dag_runs"]
        return [str(run["dag_run_id"]) for run in runs]

    def wait_for_scheduled_runs(
        self, dag_id: str, number: int, *, by: str = "scheduled", timeout_seconds: float = 240
    ) -> list[str]:
        """Wait until the scheduler has made so many runs of a DAG; the result is their ids."""
        runs = _wait_for(
            lambda: self.scheduled_runs(dag_id, by=by),
            lambda found: len(found) >= number,
            timeout_seconds,
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
        timeout_seconds: float = 60,
    ) -> str:
        """Wait until a task is in one of these states; the result is the state."""
        state = _wait_for(
            lambda: self.task_states(dag_id, run_id).get(task_id),
            lambda state: state in states,
            timeout_seconds,
            lambda: f"{task_id} did not become {' or '.join(states)}: {self.task_states(dag_id, run_id)}",
        )
        return str(state)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """What a task left in XCom."""
        return self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}")["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1) -> str:
        """The log of one try of a task, trigger included, a line per event or exception."""
        answer = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}")
        return "\n".join(log_lines(answer["content"]))

    def clear(self, dag_id: str, run_id: str, *task_ids: str) -> None:
        """Clear tasks of a run, as a user does who wants them run again."""
        self._ask(
            "POST",
            f"dags/{dag_id}/clearTaskInstances",
            json={"dry_run": False, "dag_run_id": run_id, "task_ids": list(task_ids), "only_failed": False},
        )

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


def _wait_for(
    look: Callable[[], ResultT], enough: Callable[[ResultT], bool], timeout_seconds: float, missing: Callable[[], str]
) -> ResultT:
    deadline = time.monotonic() + timeout_seconds
    while not enough(found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{missing()} (after {timeout_seconds:g} s)")
        time.sleep(POLL_SECONDS)
    return found
