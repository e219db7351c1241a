"""What a task that fails leaves for the tasks that deal with it: rollback, verdict on the image, alert.

An exception ends with its task; the reason has to reach other tasks, and Airflow's own way between tasks is XCom.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from golden_pools.errors import GoldenPoolsError

if TYPE_CHECKING:
    from airflow.sdk import Context

FAILURE_KEY = "failure"
"""XCom key of the reason: the error as :meth:`~golden_pools.errors.GoldenPoolsError.to_dict` has it, ``text`` (what
happened and what Azure answered, in one line), ``blames_image``, and ``done``: what the task did about it by itself."""


def note_failure(context: Context, error: GoldenPoolsError, *, blames_image: bool, done: str = "") -> GoldenPoolsError:
    """Leave the reason of a failure for the tasks that deal with it; returns ``error``, which is to be raised then.

    :param blames_image: whether the failure speaks against the image, and not only against the account, the region or
        somebody who stepped in
    :param done: what the task did about it by itself, in words
    """
    text = ": ".join(filter(None, (error.what, error.answer)))
    value = {**error.to_dict(), "text": text, "blames_image": blames_image, "done": done}
    context["ti"].xcom_push(key=FAILURE_KEY, value=value)
    return error


def noted_failure(context: Context, task_id: str) -> Mapping[str, Any] | None:
    """Return what :func:`note_failure` left in a task's last try, or ``None``."""
    value = context["ti"].xcom_pull(task_ids=task_id, key=FAILURE_KEY)
    return value if isinstance(value, Mapping) else None


def note_uncaught(context: Context) -> None:
    """Leave the reason of a failure that nobody noted: the ``on_failure_callback`` of every task.

    Airflow calls it on the worker when a task's last try has failed, with the exception. Where a task is ended by
    somebody else (a lost worker, a person who marks it) there is no exception, and so nothing to leave.
    """
    error, task_id = context.get("exception"), context["ti"].task_id
    if not isinstance(error, BaseException) or noted_failure(context, task_id) is not None:
        return
    if not isinstance(error, GoldenPoolsError):
        error = GoldenPoolsError(
            f"{type(error).__name__}: {error}",
            advice="read the task's log; if it looks like a defect of Golden Pools, report it",
        )
    note_failure(context, error, blames_image=False)
