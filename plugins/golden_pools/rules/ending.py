"""What is kept of a run that has ended: its numbers as metrics, and its outcome in words as Airflow's notes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum

from golden_pools.rules.board.facts import Json, RunSeen
from golden_pools.rules.board.runs import failed_task, outcome
from golden_pools.rules.metrics import RUN_DURATION, RUNS, STAGE_DURATION, Reading
from golden_pools.rules.outcome import REFRESH
from golden_pools.rules.plan import REFRESH_DAG_PREFIX, RESIZE_DAG_ID, SCALE_DAG_PREFIX
from golden_pools.rules.resize import duration
from golden_pools.words import counted, shortened

NODES = ("pool.nodes", "nodes")
RESIZES = ("pool.resize", "resize", "rollback.resize")

LONGEST_NOTE = 1000
"""Characters of a note (Airflow's column)."""

NEVER_RAN = frozenset({"skipped", "upstream_failed", "removed"})
"""States of tasks that took no time."""


class DagKind(StrEnum):
    """What the runs of a DAG do to a pool."""

    REFRESH = "refresh"
    RESIZE = "resize"
    SCALE = "scale"


def kind_of(dag_id: str) -> DagKind | None:
    """Return what a DAG does to its pool; None: it is no pool's DAG."""
    if dag_id == RESIZE_DAG_ID:
        return DagKind.RESIZE
    kinds = {REFRESH_DAG_PREFIX: DagKind.REFRESH, SCALE_DAG_PREFIX: DagKind.SCALE}
    return next((kind for prefix, kind in kinds.items() if dag_id.startswith(prefix)), None)


def _pool_name(run: RunSeen) -> str:
    """Return the name of the spec that a run is about, also where it has made no plan."""
    _, _, named = run.dag_id.partition("_pool_")
    return str(run.values.get("plan", {}).get("pool") or run.pool or named or "unknown")


def readings(run: RunSeen) -> Iterator[Reading]:
    """Yield what a run counts for: it, how long it took, and how long its stages did.

    A run that was cleared begins with its clear: what it did before is told already.
    """
    kind, came = kind_of(run.dag_id), outcome(run)
    if kind is None or came is None:
        return
    begun, pool = _begun(run), _pool_name(run)
    tags = {"pool": pool, "dag": kind.value, "outcome": came.value}
    yield Reading(metric=RUNS, value=1, tags=tags)
    yield Reading(metric=RUN_DURATION, value=_milliseconds(_lasted(run)), tags=tags)
    for task in run.tasks.values():
        if task.started is None or task.ended is None or task.state is None or task.state in NEVER_RAN:
            continue
        if begun is None or task.started >= begun:
            tags = {"pool": pool, "stage": task.id, "state": task.state}
            yield Reading(metric=STAGE_DURATION, value=_milliseconds(task.ended - task.started), tags=tags)


def _begun(run: RunSeen) -> datetime | None:
    return run.queued or run.started


def _lasted(run: RunSeen) -> timedelta:
    begun = _begun(run)
    return max(run.ended - begun, timedelta(0)) if run.ended and begun else timedelta(0)


def _milliseconds(span: timedelta) -> float:
    return span.total_seconds() * 1000


def run_note(run: RunSeen) -> str | None:
    """Return the outcome of a run in one line: what came of it, the numbers, how long it took; None: it goes on."""
    came = outcome(run)
    if came is None:
        return None
    cause = failed_task(run) if came.is_failure else None
    head = f"{came.words} at {cause}" if cause else came.words
    facts = [_why(run, cause)] if came.is_failure else _numbers(run)
    return _short(f"{head}: {', '.join([*filter(None, facts), duration(_lasted(run))])}")


def _why(run: RunSeen, cause: str | None) -> str:
    return str(run.failures.get(cause or "", {}).get("text", "")).rstrip(".")


def _numbers(run: RunSeen) -> Iterator[str]:
    if image := run.values.get(REFRESH, {}).get("image"):
        yield f"image {image.rstrip('/').rpartition('/')[2]}"
    if nodes := _first(run, NODES):
        yield _ready(run, nodes)
    if resizes := _first(run, RESIZES).get("resizes"):
        yield counted(resizes, "resize")


def _first(run: RunSeen, task_ids: tuple[str, ...]) -> Json:
    return next((run.values[task_id] for task_id in task_ids if task_id in run.values), {})


def _ready(run: RunSeen, nodes: Json) -> str:
    dedicated, spot = nodes.get("dedicated", 0), nodes.get("spot", 0)
    targets = _first(run, RESIZES).get("targets") or {}
    wanted = f" of {targets['dedicated'] + targets['spot']}" if targets else ""
    return f"{dedicated + spot}{wanted} nodes ready ({dedicated} dedicated, {spot} Spot)"


def task_notes(run: RunSeen) -> dict[str, str]:
    """Return what the notes of tasks are to say, by task: the verdict on a resize, the nodes, why a task failed."""
    notes = {}
    for task_id in RESIZES:
        if result := run.values.get(task_id):
            notes[task_id] = f"{result.get('verdict')}: {result.get('reason')}"
    for task_id in NODES:
        if result := run.values.get(task_id):
            treated = ((len(result.get("rebooted", ())), "rebooted"), (result.get("replaced", 0), "replaced"))
            notes[task_id] = ", ".join([_ready(run, result), *(f"{count} {what}" for count, what in treated if count)])
    failed = {task.id for task in run.tasks.values() if task.state == "failed"}
    notes |= {task_id: str(why["text"]) for task_id, why in run.failures.items() if task_id in failed}
    return {task_id: _short(note) for task_id, note in notes.items()}


def _short(note: str) -> str:
    """Return a note that the column takes: PostgreSQL knows no NUL."""
    return shortened(note.replace("\0", ""), LONGEST_NOTE)
