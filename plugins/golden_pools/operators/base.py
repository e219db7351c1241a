"""What all stages share: the run plan, the state that survives a retry, and how a wait ends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import from_dict
from golden_pools.failures import note_failure
from golden_pools.rules.airflow_paths import run_path
from golden_pools.rules.plan import RunPlan

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch import BatchHook
    from golden_pools.hooks.batch_work import BatchWorkHook
    from golden_pools.hooks.compute import ComputeHook
    from golden_pools.hooks.operations import PendingOperation

PLAN_TASK_ID = "plan"
"""The task whose XCom is the run plan; every other stage reads it there."""

SOURCE_TASK_ID = "source"
"""The task whose XCom says what the image is made from; every later stage reads it there."""

PREFLIGHT_TASK_ID = "preflight"
"""The task whose XCom holds the findings, the power state of the golden VM, and where the Batch accounts are."""

GRACE = timedelta(minutes=10)
"""What a deferral's deadline has above the time that the wait itself may take: the trigger knows more about the failure
than Airflow's timeout, so it should be the one to end the wait."""

MARK_TIME = timedelta(hours=2)
"""Longest wait for an image version to take its verdict; with many regions it takes minutes."""


class StageOperator(BaseOperator):
    """One stage of a run.

    The plan is pulled from XCom when the task runs (and again when it resumes), so the graph shows the order of the
    stages and no edge from the plan to each of them.
    """

    def plan(self, context: Context) -> RunPlan:
        """Return the run plan with what the run found of its source; without a plan skip the task.

        Tasks that run after a failure, and teardowns, also run after a failure of the first task.
        """
        written = pulled(context, PLAN_TASK_ID)
        if written is None:
            raise AirflowSkipException(f"the run has no plan, so nothing was done: see the log of task {PLAN_TASK_ID}")
        if found := pulled(context, SOURCE_TASK_ID):
            written = {**written, "source": found}
        if (looked := pulled(context, PREFLIGHT_TASK_ID)) and "regions" in looked:
            written = {**written, "regions": looked["regions"]}
        return RunPlan.model_validate(written)

    def plan_for_writing(self, context: Context) -> RunPlan:
        """Return the run plan, or skip the task where the run only says what it would do."""
        plan = self.plan(context)
        if plan.plan_only:
            raise AirflowSkipException("plan only: what this stage would do stands in the log of the preflight task")
        return plan

    def compute(self, plan: RunPlan, *, read_only: bool = False) -> ComputeHook:
        """Return the hook of the run's subscription; in a plan-only run it refuses to write."""
        from golden_pools.hooks.compute import ComputeHook

        return ComputeHook(plan.spec.connection, plan.spec.subscription, read_only=read_only or plan.plan_only)

    def batch(self, plan: RunPlan, *, read_only: bool = False) -> BatchHook:
        """Return the hook of the run's Batch account; in a plan-only run it refuses to write."""
        from golden_pools.hooks.batch import BatchHook

        return BatchHook(plan.spec.connection, plan.spec.subscription, read_only=read_only or plan.plan_only)

    def work(self, plan: RunPlan, *, read_only: bool = False) -> BatchWorkHook:
        """Return the hook of the run's Batch account that also knows its jobs and nodes."""
        from golden_pools.hooks.batch_work import BatchWorkHook

        return BatchWorkHook(plan.spec.connection, plan.spec.subscription, read_only=read_only or plan.plan_only)

    def wait_for_operations(
        self,
        plan: RunPlan,
        operations: Sequence[PendingOperation],
        *,
        within: timedelta,
        method_name: str | None = None,
        on_failure: str = "raise_failure",
        result: Any = None,
    ) -> None:
        """Defer until Azure has finished ``operations``.

        :param within: longest wait
        :param on_failure: resume there when one has failed, and ``method_name`` is absent
        :param method_name: resume there; if absent the task ends in the triggerer with ``result`` as its XCom
        """
        from golden_pools.triggers.operation import OperationsTrigger

        self.defer(
            trigger=OperationsTrigger(
                connection=plan.spec.connection,
                subscription=plan.spec.subscription,
                operations=[operation.to_dict() for operation in operations],
                ends_task=method_name is None,
                result=result,
            ),
            method_name=method_name or on_failure,
            timeout=within + GRACE,
        )

    def raise_failure(self, context: Context, event: Mapping[str, Any] | None = None) -> None:
        """Raise the typed exception that a trigger's event carries, on the worker, where retries and alerts see it."""
        if event and "failure" in event:
            raise note_failure(context, from_dict(event["failure"]), blames_image=False)


def pulled(context: Context, task_id: str | None) -> Any:
    """Return the XCom of a task, or ``None``, also for a task that the DAG does not have.

    Airflow 3.3.2 encodes the XCom of a task that ended in the triggerer (``TaskSuccessEvent``) twice, so it comes back
    as JSON text.
    """
    value = context["ti"].xcom_pull(task_ids=task_id) if task_id else None
    if isinstance(value, str):
        with suppress(json.JSONDecodeError):
            return json.loads(value)
    return value


def planned(*path: str) -> str:
    """Return the template of a field of the run plan's spec: what the run began with, whatever the file says since."""
    keys = "".join(f"['{key}']" for key in path)
    return f"{{{{ ti.xcom_pull(task_ids='{PLAN_TASK_ID}')['spec']{keys} }}}}"


def returned(task_id: str, *path: str) -> str:
    """Return the template of a field of a task's XCom, wherever the task ended (see :func:`pulled`)."""
    keys = "".join(f"['{key}']" for key in path)
    return (
        f"{{% set value = ti.xcom_pull(task_ids='{task_id}') %}}"
        f"{{{{ (macros.json.loads(value) if value is string else value){keys} }}}}"
    )


class StateStore:
    """What a task must still know after a retry or a clear, in Airflow's task state store, keyed by the inputs.

    :param key: names the inputs: state of other inputs is not seen
    """

    def __init__(self, context: Context, key: str) -> None:
        self._store = context["task_state_store"]
        self._key = key

    def read(self) -> dict[str, Any]:
        """Return what was kept, or an empty dict."""
        kept = self._store.get(self._key)
        return dict(kept) if isinstance(kept, Mapping) else {}

    def keep(self, **values: Any) -> dict[str, Any]:
        """Add ``values`` to what was kept; tuples become lists, since Airflow's store takes nothing but JSON."""
        kept: dict[str, Any] = json.loads(json.dumps({**self.read(), **values}))
        self._store.set(self._key, kept)
        return kept


def run_link(plan: RunPlan) -> str | None:
    """Return the address of the run in Airflow, where Airflow knows its own."""
    return airflow_link(run_path(plan.dag_id, plan.run_id))


def airflow_link(path: str) -> str | None:
    """Return the address of a path in Airflow's UI, where Airflow knows its own address."""
    from airflow.sdk.configuration import conf

    base: str = conf.get("api", "base_url", fallback="")
    return f"{base.rstrip('/')}{path}" if base else None


def now() -> datetime:
    """Return the present moment, aware, UTC."""
    return datetime.now(tz=UTC)
