"""Follows a DAG run over Airflow's REST API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

FINISHED = frozenset({"success", "failed"})
QUIET = frozenset({None, "scheduled", "queued", "none"})


@dataclass(frozen=True)
class TaskChange:
    """A task has got a new state."""

    task: str
    state: str


class FollowedRun:
    """One run of one DAG.

    :param client: logged-in client of the REST API
    """

    def __init__(self, client: httpx.Client, dag_id: str) -> None:
        self._client = client
        self._dag = f"/api/v2/dags/{dag_id}"
        self.dag_id = dag_id
        self.run_id = ""

    def wait_for_dag(self, *, timeout_seconds: float) -> bool:
        """Wait until the DAG processor has read the DAG; returns whether it has."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if self._client.get(self._dag).status_code == httpx.codes.OK:
                return True
            time.sleep(0.5)
        return False

    def trigger(self, conf: dict[str, Any] | None = None) -> None:
        """Unpause the DAG and start a run."""
        self._client.patch(self._dag, json={"is_paused": False}).raise_for_status()
        answer = self._client.post(f"{self._dag}/dagRuns", json={"logical_date": None, "conf": conf or {}})
        self.run_id = answer.raise_for_status().json()["dag_run_id"]

    @property
    def state(self) -> str:
        """State of the run."""
        return str(self._read("")["state"])

    def changes(self) -> Iterator[TaskChange | None]:
        """Yield every change of a task's state as it is seen, and ``None`` after each look, until the run has ended."""
        seen: dict[str, str] = {}
        ended = False
        while not ended:
            ended = self.state in FINISHED
            tasks = self._read("/taskInstances")["task_instances"]
            for task in sorted(tasks, key=lambda task: task["start_date"] or "9"):
                name, state = task["task_id"], task["state"]
                if state not in QUIET and seen.get(name) != state:
                    seen[name] = state
                    yield TaskChange(name, state)
            yield None

    def xcom(self, task: str) -> Any:
        """Return what a task returned, or ``None``."""
        answer = self._client.get(
            f"{self._dag}/dagRuns/{self.run_id}/taskInstances/{task}/xcomEntries/return_value",
            params={"deserialize": True},
        )
        return answer.json()["value"] if answer.status_code == httpx.codes.OK else None

    def failed_tasks(self) -> list[str]:
        """Return the tasks that failed themselves, not for another's failure."""
        tasks = self._read("/taskInstances")["task_instances"]
        return [task["task_id"] for task in tasks if task["state"] == "failed"]

    def log_tail(self, task: str, lines: int = 12) -> str:
        """Return the end of a task's log."""
        tries = self._read(f"/taskInstances/{task}")["try_number"]
        answer = self._client.get(
            f"{self._dag}/dagRuns/{self.run_id}/taskInstances/{task}/logs/{max(1, tries)}",
            headers={"Accept": "application/json"},
        )
        if answer.status_code != httpx.codes.OK:
            return ""
        return "\n".join(log_lines(answer.json()["content"])[-lines:])

    def _read(self, below: str) -> Any:
        return self._client.get(f"{self._dag}/dagRuns/{self.run_id}{below}").raise_for_status().json()


def log_lines(content: list[Any]) -> list[str]:
    """Return the lines of a task's log as the REST API sends it, with the message of an exception that it reports."""
    lines = []
    for entry in content:
        if not isinstance(entry, dict):
            lines.append(str(entry))
            continue
        causes = [f"{detail['exc_type']}: {detail['exc_value']}" for detail in entry.get("error_detail") or ()]
        lines += [line for line in (str(entry.get("event", "")), *causes) if line and not line.startswith("::")]
    return lines
