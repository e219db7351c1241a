"""What Airflow is to do when a run of a pool's DAG ends: send its numbers, and write its outcome into the notes.

A listener, because nothing else sees every end: tasks do not see that of a run that was timed out or marked, callbacks
run where no note can be written, and a task that ends in the triggerer runs nothing of ours. Airflow calls it in the
scheduler (in the API server, where a person marks a run), whatever the executor is. It comes first there: one listener
that fails ends the call, also for those after it. Every Airflow process imports this module, so it brings nothing that
costs with it.

The call comes in the middle of a transaction that holds locks and must not be committed, nor fail. So nothing is done
but to remember the run; when the transaction has been committed, a session of our own reads what came of the run.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

    from golden_pools.rules.board.facts import RunSeen

log = logging.getLogger(__name__)

WAITING = "golden_pools_ended"
"""Key of a session's ``info``: ids of the runs that end with its transaction."""


@hookimpl(tryfirst=True)  # type: ignore[untyped-decorator]
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """Take in a run that Airflow calls a success."""
    _ended(dag_run)


@hookimpl(tryfirst=True)  # type: ignore[untyped-decorator]
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Take in a run that Airflow calls a failure."""
    _ended(dag_run)


def _ended(dag_run: DagRun) -> None:
    """Remember a run until its end has been committed; one without a session is only tried out (``DAG.test``)."""
    from sqlalchemy import event
    from sqlalchemy.orm import object_session

    from golden_pools.rules.ending import kind_of

    session = object_session(dag_run)
    if session is None or kind_of(dag_run.dag_id) is None:
        return
    if WAITING not in session.info:
        session.info[WAITING] = []
        event.listen(session, "after_commit", _tell_all)
        event.listen(session, "after_rollback", _taken)
    session.info[WAITING].append(dag_run.id)


def _taken(session: Session) -> list[int]:
    """Return the runs that wait for the session, which do so no more."""
    waiting, session.info[WAITING] = session.info[WAITING], []
    return list(waiting)


def _tell_all(session: Session) -> None:
    """Do what is to be done of runs; whatever goes wrong with it, they have ended as they have."""
    for number in _taken(session):
        try:
            _tell(number)
        except Exception:
            log.exception("What came of the run with the id %d was not noted", number)


def _tell(number: int) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    from golden_pools.metrics import send
    from golden_pools.rules.ending import readings
    from golden_pools.ui.airflow_db import one_run, with_all

    with create_session(scoped=False) as session:
        dag_run = session.get(DagRun, number)
        if dag_run is None:
            return
        for run in with_all(session, one_run(session, [dag_run.dag_id], dag_run.run_id)):
            send(readings(run))
            _write_notes(dag_run, run, session)


def _write_notes(dag_run: DagRun, run: RunSeen, session: Session) -> None:
    """Write the notes; one that a person wrote stays."""
    from golden_pools.rules.ending import run_note, task_notes

    note, of_tasks = run_note(run), task_notes(run)
    if note and (dag_run.dag_run_note is None or dag_run.dag_run_note.user_id is None):
        dag_run.note = note
    for ti in dag_run.get_task_instances(session=session):
        kept = ti.task_instance_note
        if ti.task_id in of_tasks and (kept is None or kept.user_id is None):
            ti.note = of_tasks[ti.task_id]
