"""What the page reads from Airflow's metadata database: few statements, however many pools there are.

The API server's own tables are used, which Airflow calls internal; of the page only this file and ``shelf.py`` know
them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance, TaskInstanceNote
from airflow.models.xcom import XComModel
from sqlalchemy import and_, func, or_, select

from golden_pools.failures import FAILURE_KEY
from golden_pools.rules.board.facts import DagSeen, RunSeen, TaskSeen
from golden_pools.rules.outcome import APPROVE, REFRESH, RESIZE, RESTORE
from golden_pools.rules.resize.curve import SAMPLES

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

RESULT = "return_value"
PLAN_TABLE = "plan_table"
"""XCom key of what a plan-only run would do."""

TELLING = (APPROVE, REFRESH, RESIZE, RESTORE)
"""Tasks whose states tell what came of a run."""

AT_WORK = ("failed", "awaiting_input", "running", "deferred", "up_for_retry", "queued", "scheduled")
"""States of tasks that the overview speaks of."""

RESULTS = (REFRESH, RESTORE, RESIZE, "preflight")
"""Tasks whose results the overview reads; those of the others are long."""

MOST_RESIZES = 500
"""Runs of the DAG that resizes every pool among which the newest of each pool are looked for."""

_RUN = (
    DagRun.id,
    DagRun.dag_id,
    DagRun.run_id,
    DagRun.state,
    DagRun.run_type,
    DagRun.triggering_user_name,
    DagRun.queued_at,
    DagRun.start_date,
    DagRun.end_date,
    DagRun.conf,
)


def dags(session: Session, dag_ids: Collection[str]) -> dict[str, DagSeen]:
    """Return the DAGs that Airflow has, by id."""
    asked = select(DagModel.dag_id, DagModel.is_paused, DagModel.is_stale, DagModel.next_dagrun_create_after).where(
        DagModel.dag_id.in_(dag_ids)
    )
    return {
        row.dag_id: DagSeen(
            id=row.dag_id,
            paused=bool(row.is_paused),
            stale=bool(row.is_stale),
            next_run_at=row.next_dagrun_create_after,
        )
        for row in session.execute(asked)
    }


def teams(session: Session, dag_ids: Collection[str]) -> dict[str, str | None]:
    """Return the team of each DAG that belongs to one."""
    return dict(DagModel.get_dag_id_to_team_name_mapping(list(dag_ids), session=session))


def newest_runs(session: Session, dag_ids: Collection[str]) -> list[RunSeen]:
    """Return the newest run of each DAG, without its tasks."""
    newest = select(func.max(DagRun.id)).where(DagRun.dag_id.in_(dag_ids)).group_by(DagRun.dag_id)
    return [_run(row) for row in session.execute(select(*_RUN).where(DagRun.id.in_(newest)))]


def runs_before(session: Session, dag_ids: Collection[str], most: int) -> dict[str, list[RunSeen]]:
    """Return the last runs of each DAG, newest first, without their tasks."""
    place = func.row_number().over(partition_by=DagRun.dag_id, order_by=DagRun.id.desc()).label("place")
    last = select(DagRun.id, place).where(DagRun.dag_id.in_(dag_ids)).subquery()
    asked = select(*_RUN).join(last, last.c.id == DagRun.id).where(last.c.place <= most).order_by(DagRun.id.desc())
    found: dict[str, list[RunSeen]] = defaultdict(list)
    for row in session.execute(asked):
        found[row.dag_id].append(_run(row))
    return found


def last_runs(session: Session, dag_id: str, most: int) -> list[RunSeen]:
    """Return the last runs of a DAG, newest first, without their tasks."""
    asked = select(*_RUN).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(most)
    return [_run(row) for row in session.execute(asked)]


def one_run(session: Session, dag_ids: Collection[str], run_id: str) -> list[RunSeen]:
    """Return the runs of this id of some DAGs, without their tasks."""
    asked = select(*_RUN).where(DagRun.dag_id.in_(dag_ids), DagRun.run_id == run_id)
    return [_run(row) for row in session.execute(asked)]


def _run(row: Any) -> RunSeen:
    conf = row.conf if isinstance(row.conf, dict) else {}
    return RunSeen(
        number=row.id,
        dag_id=row.dag_id,
        run_id=row.run_id,
        state=_word(row.state),
        run_type=_word(row.run_type),
        by=row.triggering_user_name,
        queued=row.queued_at,
        started=row.start_date,
        ended=row.end_date,
        plan_only=conf.get("plan_only") is True,
        pool=conf["pool"] if isinstance(conf.get("pool"), str) else None,
    )


def _word(value: Any) -> str:
    """Return a state or a type as its word; ``str`` of Airflow's enums may be their Python name."""
    return str(getattr(value, "value", value) or "")


def with_what_tells(session: Session, runs: Iterable[RunSeen]) -> list[RunSeen]:
    """Return runs with those of their tasks that an overview speaks of: two statements for all."""
    runs = list(runs)
    ids = [run.number for run in runs]
    telling = or_(TaskInstance.task_id.in_(TELLING), TaskInstance.state.in_(AT_WORK))
    tasks = _tasks(session, ids, telling)
    xcoms = _xcoms(
        session,
        ids,
        or_(and_(XComModel.key == RESULT, XComModel.task_id.in_(RESULTS)), XComModel.key == FAILURE_KEY),
    )
    return [_filled(run, tasks.get(run.number, {}), xcoms.get(run.number, {})) for run in runs]


def with_all(session: Session, runs: Iterable[RunSeen]) -> list[RunSeen]:
    """Return runs with all their tasks, their results and what else these left: two statements for all."""
    runs = list(runs)
    ids = [run.number for run in runs]
    tasks = _tasks(session, ids, None)
    xcoms = _xcoms(session, ids, XComModel.key.in_((RESULT, FAILURE_KEY, SAMPLES, PLAN_TABLE)))
    return [_filled(run, tasks.get(run.number, {}), xcoms.get(run.number, {})) for run in runs]


def _tasks(session: Session, run_numbers: Collection[int], which: Any) -> dict[int, dict[str, TaskSeen]]:
    asked = (
        select(
            DagRun.id,
            TaskInstance.task_id,
            TaskInstance.state,
            TaskInstance.start_date,
            TaskInstance.end_date,
            TaskInstance.try_number,
            TaskInstanceNote.content,
        )
        .join(DagRun, and_(TaskInstance.dag_id == DagRun.dag_id, TaskInstance.run_id == DagRun.run_id))
        .outerjoin(TaskInstanceNote, TaskInstanceNote.ti_id == TaskInstance.id)
        .where(DagRun.id.in_(run_numbers), TaskInstance.map_index < 0)
    )
    found: dict[int, dict[str, TaskSeen]] = defaultdict(dict)
    for row in session.execute(asked if which is None else asked.where(which)):
        found[row.id][row.task_id] = TaskSeen(
            id=row.task_id,
            state=_word(row.state) or None,
            started=row.start_date,
            ended=row.end_date,
            tries=row.try_number or 0,
            note=row.content,
        )
    return found


def _xcoms(session: Session, run_numbers: Collection[int], which: Any) -> dict[int, dict[tuple[str, str], Any]]:
    asked = select(XComModel.dag_run_id, XComModel.task_id, XComModel.key, XComModel.value).where(
        XComModel.dag_run_id.in_(run_numbers), XComModel.map_index < 0, which
    )
    found: dict[int, dict[tuple[str, str], Any]] = defaultdict(dict)
    for row in session.execute(asked):
        found[row.dag_run_id][row.task_id, row.key] = decoded(row.value)
    return found


def decoded(value: Any) -> Any:
    """Return an XCom as the task meant it.

    Airflow 3.3.2 keeps it as JSON text, and encodes that of a task that ended in the triggerer once more.
    """
    for _ in range(3):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            break
    return value


def _filled(run: RunSeen, tasks: Mapping[str, TaskSeen], xcoms: Mapping[tuple[str, str], Any]) -> RunSeen:
    def of(key: str, kind: type) -> dict[str, Any]:
        return {task: value for (task, name), value in xcoms.items() if name == key and isinstance(value, kind)}

    return replace(
        run,
        tasks=tasks,
        values=of(RESULT, dict),
        failures=of(FAILURE_KEY, dict),
        samples=of(SAMPLES, list),
        plan_table=next(iter(of(PLAN_TABLE, dict).values()), None),
    )


def task_order(session: Session, dag_id: str) -> list[str]:
    """Return the ids of a DAG's tasks in the order in which they run; none where Airflow has no such DAG (yet)."""
    serialized = SerializedDagModel.get_dag(dag_id, session=session)
    return list(_in_order(serialized.task_group)) if serialized else []


def _in_order(group: Any) -> Iterator[str]:
    for child in group.topological_sort():
        if hasattr(child, "topological_sort"):
            yield from _in_order(child)
        else:
            yield child.task_id
