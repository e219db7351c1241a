"""What Airflow's own callbacks know of a run, as an alert."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from golden_pools.errors import GoldenPoolsError
from golden_pools.rules.airflow_paths import run_path, task_path
from golden_pools.rules.alerts.alert import Alert
from golden_pools.spec.alerts import AlertLevel, Topic

ENDED = frozenset({"success", "failed"})


def alert_of_context(pool: str, context: Mapping[str, Any], *, airflow: str | None) -> Alert | None:
    """Return the alert for the context of a callback: a missed deadline, a question, or a task or run that failed.

    None where the run of a missed deadline has ended: what came of it is told already.

    :param airflow: address of Airflow's UI; None: it does not know its own
    """
    if "deadline" in context:
        return _missed(pool, context["dag_run"], context["deadline"]["deadline_time"], airflow)
    task, ti = context.get("task"), context["ti"]
    where = task_path(ti.dag_id, ti.run_id, ti.task_id)
    if (subject := getattr(task, "subject", None)) is not None:
        return Alert(
            topic=Topic.APPROVAL,
            level=AlertLevel.WARNING,
            title=f"{pool}: {subject}",
            facts=(
                ("What to do", "answer the question in Airflow; it says what will happen, and what without an answer"),
            ),
            links=_link("Answer", airflow, f"{where}/required_actions"),
        )
    error = context.get("exception") or context.get("reason") or "it left no reason"
    known = error if isinstance(error, GoldenPoolsError) else None
    return Alert(
        topic=Topic.RUN,
        level=AlertLevel.ERROR,
        title=f"{pool}: {ti.dag_id} failed at {ti.task_id}",
        facts=(
            ("What happened", known.what if known else str(error)),
            *([("Likely cause", known.answer)] if known and known.answer else []),
            *([("Where", known.resource)] if known and known.resource else []),
            ("What to do", known.advice if known and known.advice else "read the task's log, then clear the task"),
        ),
        links=_link(f"Log of {ti.task_id}", airflow, where),
    )


def _missed(pool: str, run: Mapping[str, Any], time: str | datetime, airflow: str | None) -> Alert | None:
    if run.get("state") in ENDED:
        return None
    began = f"since {_minute(run['start_date'])}" if run.get("start_date") else "and has not begun"
    return Alert(
        topic=Topic.DEADLINE,
        level=AlertLevel.ERROR,
        title=f"{pool}: not on its new image by {_minute(time)}",
        facts=(
            ("What happened", f"the run {run['dag_run_id']} is {run.get('state')}, {began}"),
            (
                "What to do",
                "look at the stage that it is at; where a task waits, the last lines of its log say for what",
            ),
        ),
        links=_link("Run", airflow, run_path(run["dag_id"], run["dag_run_id"])),
    )


def _link(text: str, airflow: str | None, path: str) -> tuple[tuple[str, str], ...]:
    return ((text, f"{airflow.rstrip('/')}{path}"),) if airflow else ()


def _minute(moment: str | datetime) -> str:
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{at:%Y-%m-%d %H:%M} {at:%Z}".rstrip()
