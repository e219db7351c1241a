"""Runs in words: what came of one, how far its stages are, what they found out, how long earlier ones took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from golden_pools.rules.airflow_paths import run_path, task_path
from golden_pools.rules.board.facts import Json, RunSeen, TaskSeen
from golden_pools.rules.outcome import REFRESH, RESTORE, Outcome, but_after_rollback, outcome_of
from golden_pools.words import counted, listed

NODES, RESIZE = "pool.nodes", "pool.resize"
"""Tasks of a refresh that wait for nodes; a DAG that only resizes names them without the group."""

STATES: Mapping[str | None, str] = {
    "scheduled": "scheduled",
    "queued": "queued",
    "running": "running",
    "restarting": "running",
    "deferred": "waiting",
    "up_for_reschedule": "waiting",
    "awaiting_input": "awaiting_input",
    "up_for_retry": "retrying",
    "success": "success",
    "skipped": "skipped",
    "failed": "failed",
    "upstream_failed": "upstream_failed",
}
"""What the page calls Airflow's states of a task; any other is ``none``."""

UNDER_WAY = ("running", "waiting", "retrying", "queued", "scheduled", "awaiting_input")
"""States of a task that is on, the most telling first."""

_TYPES = {"asset_materialization": "asset_triggered"}


@dataclass(frozen=True, kw_only=True)
class RunHead:
    """A run in one line."""

    run_id: str
    dag_id: str
    state: str
    outcome: str
    outcome_text: str
    started_at: datetime | None
    ended_at: datetime | None
    run_type: str
    by: str | None
    airflow_path: str


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A task of a run."""

    task_id: str
    name: str
    group: str
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    tries: int
    note: str | None
    airflow_path: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a run found out about the pool.

    :param level: ``good``, ``warn`` or ``bad``
    """

    level: str
    text: str
    answer: str = ""
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class HistoryRun(RunHead):
    """A run among others of its pool.

    :param stages: seconds by group of tasks, or by task where it is in no group
    """

    seconds: float | None
    stages: Mapping[str, float]
    nodes_at_target_after_seconds: float | None
    version: str | None


def outcome(run: RunSeen) -> Outcome | None:
    """Return what came of a run; None while it goes on."""
    if run.goes_on:
        return None
    return outcome_of(
        run.states,
        failed=run.state == "failed",
        plan_only=run.plan_only,
        action=run.values.get(REFRESH, {}).get("action"),
    )


def head(run: RunSeen) -> RunHead:
    """Return a run in one line."""
    ended = outcome(run)
    return RunHead(
        run_id=run.run_id,
        dag_id=run.dag_id,
        state=run.state,
        outcome=ended.value if ended else run.state,
        outcome_text=ended.words if ended else under_way(run),
        started_at=run.started,
        ended_at=run.ended,
        run_type=_TYPES.get(run.run_type, run.run_type),
        by=run.by,
        airflow_path=run_path(run.dag_id, run.run_id),
    )


def under_way(run: RunSeen) -> str:
    """Return what a run is doing, such as ``running: pool.resize``."""
    if run.state == "queued":
        return "queued"
    states = {id_: STATES.get(task.state, "none") for id_, task in run.tasks.items()}
    for state in UNDER_WAY:
        on = sorted(id_ for id_, found in states.items() if found == state)
        if on:
            return f"{_STATE_WORDS.get(state, state)}: {listed(on, 3)}"
    return "running"


_STATE_WORDS = {"awaiting_input": "waits for an answer", "waiting": "running"}


def stages(run: RunSeen, order: Sequence[str], now: datetime) -> list[Stage]:
    """Return the tasks of a run in the order of its DAG; those that the order does not name come last.

    :param order: ids of the DAG's tasks
    """
    places = {id_: place for place, id_ in enumerate(order)}
    tasks = sorted(run.tasks.values(), key=lambda task: (places.get(task.id, len(places)), _begun(task), task.id))
    return [_stage(run, task, now) for task in tasks]


def _begun(task: TaskSeen) -> str:
    return task.started.isoformat() if task.started else "~"


def _stage(run: RunSeen, task: TaskSeen, now: datetime) -> Stage:
    group, _, name = task.id.rpartition(".")
    return Stage(
        task_id=task.id,
        name=task.name or name,
        group=group,
        state=STATES.get(task.state, "none"),
        started_at=task.started,
        ended_at=task.ended,
        seconds=seconds_between(task.started, task.ended or now),
        tries=task.tries,
        note=task.note,
        airflow_path=task_path(run.dag_id, run.run_id, task.id),
    )


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds between two times, where both are known."""
    return round(max(0.0, (end - start).total_seconds()), 1) if start and end else None


def failed_task(run: RunSeen) -> str | None:
    """Return the task that failed first; a rollback that fails on purpose is no cause."""
    failed = [task for task in run.tasks.values() if task.state == "failed"]
    causes = [task for task in failed if not task.id.startswith("rollback.")] or failed
    return min(causes, key=lambda task: (_ended(task), task.id)).id if causes else None


def _ended(task: TaskSeen) -> str:
    return task.ended.isoformat() if task.ended else "~"


def awaits_answer(run: RunSeen) -> str | None:
    """Return the task that waits for a person's answer."""
    return next((id_ for id_, task in run.tasks.items() if task.state == "awaiting_input"), None)


def verdict(run: RunSeen) -> Verdict | None:
    """Return what a run found out, or None where it has nothing to say (yet)."""
    if waiting := awaits_answer(run):
        return Verdict(
            level="warn",
            text=f"The run waits for an answer: {waiting}",
            advice="read what it would do, then approve or reject it in Airflow",
        )
    ended = outcome(run)
    if ended is Outcome.ROLLED_BACK:
        restored, cause = run.values.get(RESTORE, {}), run.failures.get(failed_task(run) or "", {})
        but = but_after_rollback([task.id for task in run.tasks.values() if task.state == "failed"])
        return Verdict(
            level="bad",
            text=f"Rolled back to {restored.get('version') or 'the image before'}{but}: "
            f"{cause.get('what') or restored.get('why') or 'see the log of the failed tasks'}",
            answer=str(cause.get("answer", "")),
            advice=str(cause.get("advice", "")) or "mend the cause, then trigger the run again",
        )
    if ended is Outcome.FAILED:
        return _failure(run)
    if ended is Outcome.REJECTED:
        return Verdict(level="warn", text="The move was not approved, so the pool stays as it was")
    return _nodes(run)


def _failure(run: RunSeen) -> Verdict:
    task = failed_task(run)
    if task is None:
        return Verdict(level="bad", text="The run failed; no task says why", advice="look at the run in Airflow")
    noted = run.failures.get(task, {})
    return Verdict(
        level="bad",
        text=f"Task {task} failed: {noted.get('what') or _text(noted) or 'it left no reason'}",
        answer=str(noted.get("answer", "")),
        advice=str(noted.get("advice", "")) or "read the log of the task",
    )


def _text(noted: Json) -> str:
    return str(noted.get("text", ""))


def _nodes(run: RunSeen) -> Verdict | None:
    """Return what the resize came to, and how many nodes took work in the end."""
    resized = _resized(run)
    ready = run.values.get(NODES) or run.values.get("nodes") or {}
    wanted = target_of(run)
    if ready:
        count = int(ready.get("dedicated") or 0) + int(ready.get("spot") or 0)
        enough = wanted is None or count >= wanted
        text = f"{count} of {wanted} nodes are ready" if wanted is not None else f"{counted(count, 'node')} ready"
        if enough:
            return Verdict(level="good", text=text)
        return Verdict(level="warn", text=text, answer=str(resized.get("reason", "")), advice=_PARTIAL)
    if resized.get("verdict") == "partial":
        return Verdict(level="warn", text=str(resized.get("reason", "the pool has a share of its nodes")))
    return None


def _resized(run: RunSeen) -> Json:
    return run.values.get(RESIZE) or run.values.get("resize") or {}


def target_of(run: RunSeen) -> int | None:
    """Return how many nodes a run brings its pool to, as its resize or else its plan says; None: neither has been."""
    targets = _resized(run).get("targets") or run.values.get("plan", {}).get("spec", {}).get("pool", {}).get("targets")
    return sum(int(targets.get(kind) or 0) for kind in ("dedicated", "spot")) if targets else None


_PARTIAL = "the run accepted it: resize.smallest_acceptable_share of the spec; resize the pool when there is capacity"


def history(runs: Iterable[RunSeen]) -> list[HistoryRun]:
    """Return runs for the comparison with each other, newest first."""
    return [_past(run) for run in sorted(runs, key=lambda run: (run.started is None, _start(run)), reverse=True)]


def _start(run: RunSeen) -> str:
    return run.started.isoformat() if run.started else (run.queued.isoformat() if run.queued else "")


def _past(run: RunSeen) -> HistoryRun:
    grown = run.tasks.get(NODES) or run.tasks.get("nodes")
    there = grown.ended if grown and grown.state == "success" else None
    image = run.values.get(REFRESH, {}).get("image") or run.values.get("source", {}).get("version_id")
    return HistoryRun(
        **vars(head(run)),
        seconds=seconds_between(run.started, run.ended),
        stages=_spans(run.tasks.values()),
        nodes_at_target_after_seconds=seconds_between(run.started, there),
        version=image.rstrip("/").rpartition("/")[2] if image else None,
    )


def _spans(tasks: Iterable[TaskSeen]) -> dict[str, float]:
    """Return how long each group of tasks took, from its first start to its last end."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    for task in tasks:
        if task.started is None or task.ended is None or task.state == "skipped":
            continue
        group = task.id.partition(".")[0]
        first, last = spans.get(group, (task.started, task.ended))
        spans[group] = min(first, task.started), max(last, task.ended)
    return {
        group: round(max(0.0, (last - first).total_seconds()), 1)
        for group, (first, last) in sorted(spans.items(), key=lambda item: item[1])
    }


def series(run: RunSeen, since: Sequence[Sequence[Any]], target: int) -> dict[str, Any] | None:
    """Return the nodes over time of a run: what its tasks left, and what the page saw since.

    :param since: as the page's own looks saw them: ``[[time, allocated, ready, starting, bad], ...]``
    """
    left = sorted((point for points in run.samples.values() for point in points), key=lambda point: str(point[0]))
    last = str(left[-1][0]) if left else ""
    points = [*left, *(point for point in since if str(point[0]) > last)]
    return {"target": target, "points": [[at, *counts[1:]] for at, *counts in points]} if points else None
