"""A DAG run without Airflow's processes: the tasks of a real DAG, in its order and by its trigger rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from airflow.sdk import DAG, BaseOperator, TriggerRule
from airflow.sdk.exceptions import DagRunTriggerException
from airflow.sdk.execution_time import macros
from golden_pools.errors import GoldenPoolsError
from golden_pools.operators.base import PLAN_TASK_ID

from tests.operators.conftest import Run


class State(StrEnum):
    """How a task ended."""

    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    UPSTREAM_FAILED = "upstream_failed"


BROKEN = (State.FAILED, State.UPSTREAM_FAILED)


@dataclass
class DagRun:
    """The tasks of a DAG after its plan, which the run has made already.

    :param do: runs one task, with its retries; an error of the product's own is that task's failure
    :param errors: by task that failed
    """

    dag: DAG
    run: Run
    do: Callable[[BaseOperator], Any]
    errors: dict[str, GoldenPoolsError] = field(default_factory=dict)

    def go(self) -> Self:
        """Run every task that is to run."""
        self.states[PLAN_TASK_ID] = State.SUCCESS
        for task_id, task in self.dag.task_dict.items():  # the file names tasks after those that they follow
            if task_id not in self.states:
                upstream = [self.states[before] for before in task.upstream_task_ids]
                is_skipped = task_id in self.run.skipped  # by a task before it, whatever its trigger rule
                self.states[task_id] = State.SKIPPED if is_skipped else fate(task, upstream) or self._run(task)
        return self

    @property
    def states(self) -> dict[str, str]:
        """How each task ended."""
        return self.run.states

    @property
    def succeeded(self) -> bool:
        """Whether Airflow calls the run a success: that is up to its leaves, but for teardowns that do not count."""
        tasks = self.dag.task_dict
        counting = {name for name, task in tasks.items() if not task.is_teardown or task.on_failure_fail_dagrun}
        leaves = {name for name in counting if not counting & tasks[name].downstream_task_ids}
        return not any(self.states[name] in BROKEN for name in leaves)

    def _run(self, task: BaseOperator) -> State:
        own = task.prepare_for_execution()
        own.render_template_fields({**self.run.context(own), "macros": macros})  # type: ignore[typeddict-item]
        try:
            result = self.do(own)
        except GoldenPoolsError as error:
            self.errors[task.task_id] = error
            for callback in own.on_failure_callback:
                callback({**self.run.context(own), "exception": error})
            return State.FAILED
        except DagRunTriggerException:  # how a task starts a run of another DAG
            return State.SUCCESS
        return State.SKIPPED if str(result).startswith("skipped: ") else State.SUCCESS


def fate(task: BaseOperator, upstream: Sequence[str]) -> State | None:
    """Return how a task ends without being run, or None where it runs."""
    broken = any(state in BROKEN for state in upstream)
    if task.is_teardown or task.trigger_rule is TriggerRule.ALL_DONE:
        return None
    if task.trigger_rule is TriggerRule.ONE_FAILED:
        return None if broken else State.SKIPPED
    if broken:
        return State.UPSTREAM_FAILED
    assert task.trigger_rule in (TriggerRule.ALL_SUCCESS, TriggerRule.NONE_FAILED), f"{task.trigger_rule}: not known"
    return State.SKIPPED if task.trigger_rule is TriggerRule.ALL_SUCCESS and State.SKIPPED in upstream else None
