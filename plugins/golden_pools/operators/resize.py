"""Stage ``resize``: bring the pool to its targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from golden_pools.errors import ResizeGaveUpError
from golden_pools.operators.base import StateStore, note_failure, pulled
from golden_pools.operators.pool_stage import SETTLE_TIME, SLACK, PoolStageOperator, failure_of
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.resize import ResizeRequest, Verdict, VerdictKind, at_target, duration, resize_timeout
from golden_pools.spec.model import Targets

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch import BatchHook
    from golden_pools.rules.facts import Pool


class ResizePoolOperator(PoolStageOperator):
    """Resize the pool, judge the outcome, resize again: until it has its targets, or nothing more helps.

    :param pool_task_id: task whose XCom names the pool, perhaps with ``targets`` that replace the plan's; the pool with
        the spec's name if absent
    :raises ResizeGaveUpError: with verdict, cause and advice
    :raises OwnershipError: somebody else resized the pool meanwhile
    """

    ui_color = "#e3f1ee"

    def __init__(self, *, pool_task_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_task_id = pool_task_id

    def plan(self, context: Context) -> RunPlan:
        """Return the run plan for the pool and the targets that an earlier task names."""
        plan = super().plan(context)
        made = (pulled(context, self.pool_task_id) if self.pool_task_id else None) or {}
        targets = Targets(**made["targets"]) if made.get("targets") else plan.targets
        pool = plan.spec.pool.model_copy(update={"targets": targets})
        spec = plan.spec.model_copy(update={"pool": pool})
        return plan.model_copy(update={"pool": made.get("pool") or plan.pool, "spec": spec})

    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Ask for a resize, or adopt the one that an earlier try asked for, and wait for it."""
        plan = self.plan_for_writing(context)
        store = StateStore(context, self._key(plan))
        with self.batch(plan) as hook:
            pool = self.find(hook, plan)
            if pool is None:
                raise ResizeGaveUpError(
                    "The pool does not exist any more",
                    resource=plan.pool_id,
                    advice="find out who deleted it, then clear the refresh task: it makes the pool anew",
                )
            if at_target(pool, plan.targets):
                self.log.info("Pool %s has %s already", plan.pool, _named(plan.targets))
                return {
                    "verdict": VerdictKind.REACHED.value,
                    "reason": "the pool had its targets",
                    "attempts": 0,
                    "dedicated": pool.current_dedicated,
                    "spot": pool.current_spot,
                }
            request = self._sent_before(store, pool, plan)
            if request is None and pool.allocation_state != "Steady":
                self.log.info("Pool %s is %s: waiting until it rests", plan.pool, pool.allocation_state)
                self.defer_for_pool("SettleTrigger", plan, within=SETTLE_TIME)
            if request is None:
                request = self._send(hook, store, pool, plan)
        self._wait(plan, request)
        return None

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait that did not simply reach the targets."""
        self.raise_failure(context, event)
        if not event or "verdict" not in event:
            return self.turn(context)
        plan = self.plan(context)
        store = StateStore(context, self._key(plan))
        verdict = Verdict.from_dict(event["verdict"])
        if verdict.kind is VerdictKind.RESIZE_AGAIN:
            self.log.warning("Resizing again (%s): %s", verdict.code, verdict.reason)
            store.keep(request=None, finished=store.read().get("finished", 0) + 1)
            return self.turn(context)
        store.keep(request=None, finished=0)  # a clear of the task starts anew
        if verdict.kind is VerdictKind.PARTIAL:
            self.log.warning("The pool has an acceptable share: %s. %s", verdict.reason, verdict.advice)
            return dict(event["result"])
        raise note_failure(context, failure_of(verdict, plan, "The pool did not reach its targets"), blames_image=False)

    def _key(self, plan: RunPlan) -> str:
        return f"resize to {plan.targets.dedicated} and {plan.targets.spot}"

    def _sent_before(self, store: StateStore, pool: Pool, plan: RunPlan) -> ResizeRequest | None:
        """Return the resize that an earlier try of this task sent, if the pool shows that it arrived."""
        kept = store.read().get("request")
        if kept is None:
            return None
        request = ResizeRequest.from_dict(kept)
        if request.is_ours(pool) and (pool.target_dedicated, pool.target_spot) == (
            plan.targets.dedicated,
            plan.targets.spot,
        ):
            self.log.info("Resize %d of %d is under way", request.attempt, request.attempts)
            return request
        return None

    def _send(self, hook: BatchHook, store: StateStore, pool: Pool, plan: RunPlan) -> ResizeRequest:
        settings = plan.spec.resize
        attempt = int(store.read().get("finished", 0)) + 1
        timeout = resize_timeout(settings, plan.targets.total)
        # Kept before the PATCH: should its answer be lost, the next try recognises the resize by its new start.
        before = ResizeRequest.sent(pool, pool, targets=plan.targets, settings=settings, attempt=attempt)
        store.keep(request=before.to_dict())
        self.log.info(
            "Resize %d of %d: from %d dedicated and %d Spot nodes to %s, timeout %s",
            attempt,
            settings.attempts,
            pool.current_dedicated,
            pool.current_spot,
            _named(plan.targets),
            duration(timeout),
        )
        answer = self.resize(hook, plan, pool, plan.targets, timeout=timeout)
        request = ResizeRequest.sent(pool, answer, targets=plan.targets, settings=settings, attempt=attempt)
        store.keep(request=request.to_dict())
        return request

    def _wait(self, plan: RunPlan, request: ResizeRequest) -> None:
        self.defer_for_pool(
            "ResizeTrigger",
            plan,
            within=resize_timeout(plan.spec.resize, plan.targets.total) + SLACK,
            pause=request.back_off,
            request=request.to_dict(),
            ends_task=True,
        )


def _named(targets: Targets) -> str:
    return f"{targets.dedicated} dedicated and {targets.spot} Spot nodes"
