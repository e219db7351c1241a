"""Stage ``approve``: a person says whether the pool may move."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped

from golden_pools.notifications import PoolAlertNotifier
from golden_pools.operators.base import PREFLIGHT_TASK_ID, StageOperator, StateStore, now, pulled
from golden_pools.operators.passport_files import keep_passport
from golden_pools.operators.past_runs import past_runs
from golden_pools.rules.approval import Question, answer_in_words, question
from golden_pools.rules.facts import Pool, folded
from golden_pools.rules.family import current_pool
from golden_pools.rules.intentions import Action, moves_pool, pool_intentions
from golden_pools.rules.passport import Answer, AnswerOf, Passport, new_passport, read_passport, with_answer
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preview import durations
from golden_pools.spec.model import ApprovalDefault

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

SHORTEST_WAIT = timedelta(minutes=1)
"""What is left for an answer at least, where the question is asked again after its time is nearly over."""


class ApproveMoveOperator(StageOperator, ApprovalOperator):
    """Ask a person whether the pool may be put on the version; whoever may trigger the DAG may answer.

    The task waits in Airflow's state ``awaiting_input``, without a worker and without a trigger. It asks nobody where
    the pool would not move: a plan-only run, a pool that is on the version. *Reject*, or no answer in time where the
    spec says so, skips all that follows, and the run succeeds: an answer is no failure. The pool stays as it is, and
    the version is neither marked bad nor announced.

    An answer that has come is kept before anything is done about it, so a retry does not ask again; a clear does.

    :param publish_task_id: task whose XCom is the passport of a version that this run built; None: it never builds
    :param probe_task_id: task whose XCom says what the probes on the canary came to
    :param image: the image's asset, an inlet: its events have the passports of versions that proved good
    :param history_of: the pool's asset, an inlet too: its events tell how long former runs took
    """

    ui_color = "#fdf0d5"

    def __init__(
        self, *, publish_task_id: str | None, probe_task_id: str, image: Asset, history_of: Asset, **kwargs: Any
    ) -> None:
        # Subject and body are made when the task runs. Stages with trigger rules of their own are to be skipped, too.
        super().__init__(subject="May the pool move?", ignore_downstream_trigger_rules=True, **kwargs)
        self.publish_task_id = publish_task_id
        self.probe_task_id = probe_task_id
        self.image = image
        self.history_of = history_of

    def execute(self, context: Context) -> Any:
        """Ask, unless there is nothing to ask or the answer has come already."""
        plan = self.plan_for_writing(context)
        if not plan.spec.refresh.approve:
            raise AirflowSkipException("refresh.approve is false in the spec that the run began with")
        store = self._store(context, plan)
        kept = store.read()
        if kept.get("is_done"):  # somebody cleared the task: that asks anew
            kept = store.keep(answer=None, until=None, is_done=False)
        if kept.get("answer"):
            return self._go_by(context, plan, AnswerOf.model_validate(kept["answer"]))
        current, actions = self._look(plan)
        if not moves_pool(actions):
            raise AirflowSkipException(f"pool {plan.pool} is on the version already: nothing would move")
        until = datetime.fromisoformat(kept.get("until") or self._keep_deadline(store, plan))
        asked = self._question(context, plan, current, actions, until)
        self.subject, self.body = asked.subject, asked.body
        self.defaults = [_DEFAULTS[plan.spec.refresh.approval_default]]
        self.response_timeout = max(until - now(), SHORTEST_WAIT)
        self.notifiers = [PoolAlertNotifier(pool=plan.pool, channels=plan.spec.alerts)]
        self.log.info("%s\n%s", asked.subject, asked.body)
        return super().execute(context)

    def _store(self, context: Context, plan: RunPlan) -> StateStore:
        return StateStore(context, f"approval of {plan.image_id}")

    def _keep_deadline(self, store: StateStore, plan: RunPlan) -> str:
        until = now() + timedelta(minutes=plan.spec.refresh.approval_minutes)
        return str(store.keep(until=until.isoformat())["until"])

    def _look(self, plan: RunPlan) -> tuple[Pool | None, list[Action]]:
        """Return the pool as it is by now, and what the run would do with it: hours may have gone since preflight."""
        with self.batch(plan, read_only=True) as hook:
            pools = hook.pools(plan.spec.pool.resource_group, plan.spec.pool.account)
        return current_pool(pools, plan.pool), pool_intentions(plan, pools)

    def _question(
        self, context: Context, plan: RunPlan, current: Pool | None, actions: list[Action], until: datetime
    ) -> Question:
        runs = past_runs(context, self.history_of)
        known = {folded(one.image): one for one in reversed([*past_runs(context, self.image), *runs])}
        has, own = current.image_id if current else None, self._passport(context, plan)
        return question(
            plan,
            current=current,
            before=known.get(folded(has or "")),
            after=own if plan.builds_image else known.get(folded(plan.image_id), own),
            actions=actions,
            probes=self._probed(context),
            past=durations(plan, runs, moves=True, order=list(self.dag.task_dict) if self.has_dag() else ()),
            until=until,
        )

    def _probed(self, context: Context) -> list[dict[str, str]] | None:
        """Return what each probe on the canary came to; None where there was no canary."""
        result = pulled(context, self.probe_task_id)
        return result["probes"] if result else None

    def _passport(self, context: Context, plan: RunPlan) -> Passport:
        """Return what the run knows of its image."""
        published = pulled(context, self.publish_task_id)
        findings = pulled(context, PREFLIGHT_TASK_ID)["findings"]
        return read_passport(published or new_passport(plan, snapshots=None, managed_image=None, findings=findings))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Keep the answer, and go by it."""
        plan = self.plan(context)
        if "error" in event:
            self.process_trigger_event_error(event)
        answer = _answer_of(event, plan)
        self._store(context, plan).keep(answer=answer.model_dump(mode="json"))
        return self._go_by(context, plan, answer)

    def _go_by(self, context: Context, plan: RunPlan, answer: AnswerOf) -> dict[str, Any]:
        """Return the answer for the passport, or skip what follows."""
        self.log.info("%s", answer_in_words(answer, plan))
        result: dict[str, Any] = answer.model_dump(mode="json")
        if answer.answer is Answer.REJECTED:
            # What this version was, and that somebody did not want it, would be told nowhere else.
            keep_passport(plan, with_answer(self._passport(context, plan).model_dump(mode="json"), answer))
            # Airflow takes no result from a task that skips others.
            context["ti"].xcom_push(key="return_value", value=result)
        store = self._store(context, plan)
        try:
            super().execute_complete(context, _event_of(answer))
        except DownstreamTasksSkipped:
            store.keep(is_done=True)
            raise
        store.keep(is_done=True)
        return result


_OPTIONS: Mapping[Answer, str] = {
    Answer.APPROVED: ApprovalOperator.APPROVE,
    Answer.REJECTED: ApprovalOperator.REJECT,
}


_DEFAULTS: Mapping[ApprovalDefault, str] = {
    ApprovalDefault.APPROVE: ApprovalOperator.APPROVE,
    ApprovalDefault.REJECT: ApprovalOperator.REJECT,
}


def _answer_of(event: Mapping[str, Any], plan: RunPlan) -> AnswerOf:
    """Return the answer that Airflow brings: of a person, or, without one, of the spec's default."""
    user = event["responded_by_user"]
    return AnswerOf(
        pool=plan.pool,
        answer=next(answer for answer, option in _OPTIONS.items() if option in event["chosen_options"]),
        by=user["name"] if user else None,
        when=event["responded_at"],
        run=plan.run_id,
    )


def _event_of(answer: AnswerOf) -> dict[str, Any]:
    """Return the answer as Airflow's operator takes it."""
    return {
        "chosen_options": [_OPTIONS[answer.answer]],
        "params_input": {},
        "responded_at": answer.when,
        "responded_by_user": {"id": answer.by, "name": answer.by} if answer.by else None,
    }
