"""Where things are in Airflow's UI, below its own address."""

from __future__ import annotations

from urllib.parse import quote


def run_path(dag_id: str, run_id: str) -> str:
    """Return the path of a run."""
    return f"/dags/{dag_id}/runs/{quote(run_id)}"


def task_path(dag_id: str, run_id: str, task_id: str) -> str:
    """Return the path of a task of a run, which opens its log."""
    return f"{run_path(dag_id, run_id)}/tasks/{task_id}"


def page_path(pool: str) -> str:
    """Return the path of a pool on the page "Golden pools": the menu entry's route, the page in its frame, the view."""
    return f"/plugin/golden-pools/golden-pools/page#/pools/{pool}"
