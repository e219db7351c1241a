"""The last task of a run: who has to hear what came of it, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.errors import GoldenPoolsError, from_dict
from golden_pools.failures import noted_failure
from golden_pools.notifications import PoolAlertNotifier
from golden_pools.operators.base import PLAN_TASK_ID, StageOperator, StateStore, airflow_link, now, pulled
from golden_pools.rules.airflow_paths import page_path, run_path, task_path
from golden_pools.rules.alerts import Ended, FailedTask, Incident, News, alert_of, judge
from golden_pools.rules.family import current_pool
from golden_pools.rules.outcome import REFRESH, outcome_of
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.resize import headcount
from golden_pools.rules.rollback import version_of
from golden_pools.spec.loader import load_pools

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from golden_pools.spec.alerts import Channel

MARKING = ("canary.mark_bad", "rollback.mark_bad")
"""Tasks that mark the version bad; skipped where the failure does not speak against the image."""

TOLD = "told"
"""Key of the task's state store: what this run's end has been told as, and who has it."""


class AlertRunOperator(StageOperator):
    """Tell the pool's channels how its run ended, where that is news for them.

    A teardown after all other tasks: it changes nothing about the run's outcome, runs again when a task before it is
    cleared, and an address that does not answer makes it alone fail. A retry tells only those who have not heard yet.

    :param pool_name: name of the spec; None: the run's plan says
    :param channels: of the spec; None: the run's plan says
    :param nodes_task_id: task whose XCom counts the ready nodes; None: the run brings none
    :param memory: asset whose state store remembers the incident, an inlet of this task; None: each run is its own
    :raises AlertError: an address has not taken the alert
    """

    ui_color = "#eef2f7"
    told_of = frozenset(News)
    """What is worth an alert at all."""

    def __init__(
        self,
        *,
        pool_name: str | None = None,
        channels: Sequence[Channel] | None = None,
        nodes_task_id: str | None = None,
        memory: Asset | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_name = pool_name
        self.channels = channels
        self.nodes_task_id = nodes_task_id
        self.memory = memory

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Return title and addresses of what was told, or None."""
        plan = RunPlan.model_validate(written) if (written := pulled(context, PLAN_TASK_ID)) else None
        pool = self.pool_name or (plan.pool if plan else None)
        if pool is None:
            self.log.info("The run made no plan, so nobody knows whose it was")
            return None
        ended = self._look(context, pool, plan)
        store = StateStore(context, TOLD)
        kept = self._judged(context, store, ended)
        if kept["alert"] is None:
            self.log.info("%s: %s; nobody has to hear of that again", pool, ended.outcome.words)
            return None
        channels = self._channels(plan)
        reached = list(kept["reached"])

        def keep(key: str) -> None:
            reached.append(key)
            store.keep(reached=reached)

        PoolAlertNotifier(pool=pool, channels=channels, alert=kept["alert"], reached=reached, keep=keep).notify(context)
        return {"title": kept["alert"]["title"], "told": len(reached)}

    def _judged(self, context: Context, store: StateStore, ended: Ended) -> dict[str, Any]:
        """Return the alert of the run's end, judged once for each way in which it ends.

        The incident is written after the alert is kept: a worker that dies in between tells it all the same.
        """
        key, kept = f"{ended.outcome} {ended.cause}", store.read()
        memory = context["asset_state_store"][self.memory] if self.memory else None
        if kept.get("key") != key:
            known = memory.get(self._incident_key(context)) if memory else kept.get("incident")
            news, incident = judge(
                Incident.of(known) if known else None,
                outcome=ended.outcome,
                run_id=context["dag_run"].run_id,
                reason=ended.cause,
                ended=ended.ended,
            )
            alert = alert_of(ended, news, incident) if news in self.told_of else None
            goes_on = incident.told(alert).to_dict() if incident and news is not News.OVER else None
            kept = store.keep(key=key, alert=alert.to_dict() if alert else None, reached=[], incident=goes_on)
        if memory:
            memory.set(self._incident_key(context), kept["incident"] or {})
        return kept

    def _channels(self, plan: RunPlan | None) -> Sequence[Channel]:
        if self.channels is not None:
            return self.channels
        return plan.spec.alerts if plan else ()

    def _incident_key(self, context: Context) -> str:
        return f"incident of {context['dag_run'].dag_id}"

    def _look(self, context: Context, pool: str, plan: RunPlan | None) -> Ended:
        run, states = context["dag_run"], self._states(context)
        failed = self._failed(context, states)
        outcome = outcome_of(
            states,
            failed=bool(failed),
            plan_only=bool(plan and plan.plan_only),
            action=(pulled(context, REFRESH) or {}).get("action"),
        )
        moment = now()
        ready = pulled(context, self.nodes_task_id)
        nodes, on_it = self._on_it(plan) if outcome.is_failure and plan else (None, None)
        if plan and isinstance(ready, Mapping) and not outcome.is_failure:
            nodes = f"{ready['dedicated'] + ready['spot']}/{plan.targets.total} ready"
        return Ended(
            pool=pool,
            account=plan.spec.pool.account if plan else "",
            outcome=outcome,
            ended=moment,
            failed=failed,
            targets=plan.targets if plan else None,
            nodes=nodes,
            version=version_of(plan.image_id) if plan and REFRESH in states else None,
            on_it=on_it,
            marked_bad=any(states.get(task_id) == "success" for task_id in MARKING),
            short_of=_short_of(plan, ready) if not outcome.is_failure else None,
            late=_late(plan, run.run_after, moment),
            links=self._links(pool, plan, run),
        )

    def _states(self, context: Context) -> dict[str, str]:
        """Return the states of the run's tasks, but for teardowns that do not count for Airflow either."""
        run = context["dag_run"]
        ended = context["ti"].get_task_breadcrumbs(run.dag_id, run.run_id)
        beside = {task.task_id for task in self.dag.tasks if task.is_teardown and not task.on_failure_fail_dagrun}
        return {one["task_id"]: str(one["state"]) for one in ended if one["task_id"] not in beside}

    def _failed(self, context: Context, states: Mapping[str, str]) -> tuple[FailedTask, ...]:
        """Return the tasks that failed in the order of the pipeline; what runs beside it comes last."""
        failed = [task for task in self.dag.tasks if states.get(task.task_id) == "failed"]
        failed.sort(key=lambda task: not (task.downstream_task_ids - {self.task_id}))
        run = context["dag_run"]
        found = []
        for task in failed:
            noted = noted_failure(context, task.task_id)
            log = airflow_link(task_path(run.dag_id, run.run_id, task.task_id))
            error, done = (from_dict(noted), noted["done"]) if noted else (None, "")
            found.append(FailedTask(task_id=task.task_id, error=error, done=done, log=log))
        return tuple(found)

    def _on_it(self, plan: RunPlan) -> tuple[str, str | None]:
        """Return the pool's nodes and image as they are now."""
        spec = plan.spec.pool
        try:
            with self.batch(plan, read_only=True) as hook:
                pool = current_pool(hook.pools(spec.resource_group, spec.account), plan.pool)
                nodes = hook.node_counts(spec.resource_group, spec.account)
        except GoldenPoolsError as error:
            return f"could not be read: {error.what}", None
        if pool is None:
            return "there is no pool", None
        return headcount(pool, nodes.get(pool.name), plan.targets), version_of(pool.image_id)

    def _links(self, pool: str, plan: RunPlan | None, run: Any) -> tuple[tuple[str, str], ...]:
        portal = None
        with suppress(GoldenPoolsError):  # a connection that cannot be read is what the failed task is about
            if plan:
                hook = self.batch(plan, read_only=True)
                portal = hook.connection.portal_url(plan.pool_id)
        found = (
            ("Run", airflow_link(run_path(run.dag_id, run.run_id))),
            ("Pool on the page", airflow_link(page_path(pool))),
            ("Pool in the Azure portal", portal),
        )
        return tuple((text, url) for text, url in found if url)


class AlertRunOfAllOperator(AlertRunOperator):
    """The same for a DAG that is about all pools: each channel of each spec hears that it fails, and when it is over.

    :param pool_name: what the alert calls the run
    """

    told_of = frozenset({News.NEW, News.OVER})  # such a DAG runs often: each success or failure between is no news

    def _channels(self, plan: RunPlan | None) -> Sequence[Channel]:
        del plan
        return tuple(dict.fromkeys(channel for spec in load_pools().specs.values() for channel in spec.alerts))

    def _links(self, pool: str, plan: RunPlan | None, run: Any) -> tuple[tuple[str, str], ...]:
        del pool, plan
        link = airflow_link(run_path(run.dag_id, run.run_id))
        return (("Run", link),) if link else ()


def _short_of(plan: RunPlan | None, ready: Any) -> str | None:
    if plan is None or not isinstance(ready, Mapping):
        return None
    there = ready["dedicated"] + ready["spot"]
    if there >= plan.targets.total:
        return None
    return f"{there} of {plan.targets.total} nodes are ready, which resize.smallest_acceptable_share lets pass"


def _late(plan: RunPlan | None, due: datetime, ended: datetime) -> timedelta | None:
    """Return how long after its deadline the run has ended."""
    if plan is None or plan.spec.deadline is None:
        return None
    late = ended - plan.spec.deadline.after(due)
    return late if late > timedelta(0) else None
