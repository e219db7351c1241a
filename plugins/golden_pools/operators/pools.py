"""Stages ``refresh`` and ``resize``: put the pool on the image, bring it to its targets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.errors import GoldenPoolsError, OwnershipError, ResizeGaveUpError
from golden_pools.operators.base import GRACE, StageOperator, StateStore, now
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.refresh import StepKind, refresh_step
from golden_pools.rules.resize import ResizeRequest, Verdict, VerdictKind, at_target, duration, resize_timeout
from golden_pools.spec.model import Resize, Targets

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch import BatchHook
    from golden_pools.rules.facts import Pool

SETTLE_TIME = timedelta(hours=2)
"""Longest wait for somebody else's resize or deletion of the pool to end."""

SLACK = timedelta(minutes=15)
"""What a resize may take above its own timeout until Azure says how it ended."""


class PoolStageOperator(StageOperator):
    """What the stages that change the pool share."""

    def defer_for_pool(
        self,
        trigger: str,
        plan: RunPlan,
        *,
        within: timedelta,
        pause: timedelta = timedelta(0),
        **arguments: Any,
    ) -> None:
        """Defer on the shared poll of the pool's Batch account.

        :param trigger: class in :mod:`golden_pools.triggers.pool`
        :param within: longest wait
        :param pause: time beyond ``within`` that the trigger lets pass before another resize
        """
        from golden_pools.triggers import pool as triggers

        started, pool = now(), plan.spec.pool
        self.defer(
            trigger=getattr(triggers, trigger)(
                connection=plan.spec.connection,
                subscription=plan.spec.subscription,
                resource_group=pool.resource_group,
                account=pool.account,
                pool=plan.pool,
                started=started.isoformat(),
                deadline=(started + within).isoformat(),
                **arguments,
            ),
            method_name="go_on",
            timeout=within + pause + GRACE,
        )

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Begin, or begin again after a retry or a clear."""
        return self.turn(context)

    def turn(self, context: Context) -> dict[str, Any] | None:
        """Take the next step.

        Where the answer to a write of ours was lost, its repetition meets our own change and looks like somebody
        else's: so the first conflict makes the task look again, and only the second one is believed.
        """
        try:
            return self.next_step(context)
        except OwnershipError as conflict:
            self.log.warning("Looking again after a conflict: %s", conflict)
            return self.next_step(context)

    @abstractmethod
    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Look at the pool and do what follows: write, defer, or return the stage's result."""

    def find(self, hook: BatchHook, plan: RunPlan) -> Pool | None:
        """Return the pool as it is now."""
        return hook.pool(plan.spec.pool.resource_group, plan.spec.pool.account, plan.pool)

    def resize(self, hook: BatchHook, plan: RunPlan, pool: Pool, targets: Targets, *, timeout: timedelta) -> Pool:
        """Ask for a resize of the pool as it was seen; returns the pool in Azure's answer."""
        return hook.resize_pool(
            plan.spec.pool.resource_group,
            plan.spec.pool.account,
            plan.pool,
            dedicated=targets.dedicated,
            spot=targets.spot,
            timeout=timeout,
            etag=pool.etag,
            deallocation=plan.spec.refresh.deallocation,
        )


class RefreshPoolOperator(PoolStageOperator):
    """Put the pool on the run's image and settings by the spec's strategy.

    Each turn looks at the pool, takes the next step and, where the step takes time, defers; after a retry or a clear it
    goes on from whatever state the pool is in.

    :raises ResizeGaveUpError: the pool was not empty by the drain deadline
    :raises OwnershipError: somebody else resized the pool meanwhile
    """

    ui_color = "#e3f1ee"

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Begin; a try that finds the drain deadline of an earlier one over gets a deadline of its own."""
        store = StateStore(context, self.plan_for_writing(context).image_id)
        until = store.read().get("drain_until")
        if until and datetime.fromisoformat(until) <= now():
            store.keep(drain_until=None)
        return self.turn(context)

    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Return the action and the image before, as soon as the pool is on the image."""
        from golden_pools.hooks.batch import PoolSettings

        plan = self.plan_for_writing(context)
        store = StateStore(context, plan.image_id)
        with self.batch(plan) as hook:
            pool = self.find(hook, plan)
            kept = store.read() or store.keep(image_before=pool.image_id if pool else None, action="left as it was")
            step = refresh_step(pool, plan)
            self.log.info("Pool %s: %s (%s)", plan.pool, step.kind, step.reason)
            for change in step.changes:
                self.log.info("  %s", change)
            where = (plan.spec.pool.resource_group, plan.spec.pool.account, plan.pool)
            settings = PoolSettings.of(
                plan.spec.pool, image_id=plan.image_id, metadata={"golden_pools_run": plan.run_id}, tags=plan.tags
            )
            if step.kind is StepKind.CREATE:
                kept = store.keep(action="created")
                hook.create_pool(*where, settings)
            elif step.kind is StepKind.PATCH:
                assert pool is not None
                kept = store.keep(action="refreshed")
                empty = any(change.needs_empty_pool for change in step.changes)
                (hook.update_pool_image if empty else hook.update_pool_settings)(*where, settings, etag=pool.etag)
            elif step.kind is StepKind.DRAIN:
                assert pool is not None
                self._drain(hook, plan, pool, store)
            elif step.kind is StepKind.WAIT:
                self.defer_for_pool("SettleTrigger", plan, within=SETTLE_TIME)
        return {"action": kept["action"], "image": plan.image_id, "image_before": kept["image_before"]}

    def _drain(self, hook: BatchHook, plan: RunPlan, pool: Pool, store: StateStore) -> None:
        limit = timedelta(minutes=plan.spec.refresh.drain_minutes)
        kept = store.read()
        if not kept.get("drain_until"):
            kept = store.keep(drain_until=(now() + limit).isoformat(), drain_attempts=0)
        left = datetime.fromisoformat(kept["drain_until"]) - now()
        if left <= timedelta(0):
            raise ResizeGaveUpError(
                "The pool was not empty by the drain deadline",
                resource=pool.id,
                answer=f"{pool.current_total} node(s) still there after {duration(limit)}",
                advice=(
                    "let the running tasks end and clear this task, or trigger the run again with "
                    "refresh.deallocation: requeue in the spec"
                ),
            )
        attempt = store.keep(drain_attempts=kept["drain_attempts"] + 1)["drain_attempts"]
        empty = Targets()
        answer = self.resize(hook, plan, pool, empty, timeout=max(left, timedelta(minutes=5)))
        # The deadline bounds the drain, not a number of resizes; within it a resize that timed out is asked again.
        settings = Resize(attempts=20)
        request = ResizeRequest.sent(
            pool, answer, targets=empty, settings=settings, attempt=min(attempt, settings.attempts - 1)
        )
        self.defer_for_pool("ResizeTrigger", plan, within=left + SLACK, request=request.to_dict(), ends_task=False)

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait: the next step follows from the pool's new state."""
        self.raise_failure(context, event)
        if event and "verdict" in event:
            verdict = Verdict.from_dict(event["verdict"])
            if verdict.kind in (VerdictKind.GIVE_UP, VerdictKind.OWNED_BY_OTHER):
                raise failure_of(verdict, self.plan(context), "The pool could not be emptied")
        return self.turn(context)


class ResizePoolOperator(PoolStageOperator):
    """Resize the pool, judge the outcome, resize again: until it has its targets, or nothing more helps.

    :raises ResizeGaveUpError: with verdict, cause and advice
    :raises OwnershipError: somebody else resized the pool meanwhile
    """

    ui_color = "#e3f1ee"

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
        raise failure_of(verdict, plan, "The pool did not reach its targets")

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


def failure_of(verdict: Verdict, plan: RunPlan, what: str) -> GoldenPoolsError:
    """Return the error of a verdict that ends the stage.

    :param what: what did not succeed, one sentence without a full stop at the end
    """
    if verdict.kind is VerdictKind.OWNED_BY_OTHER:
        return OwnershipError(
            "Somebody else resized the pool", resource=plan.pool_id, answer=verdict.reason, advice=verdict.advice
        )
    return ResizeGaveUpError(
        what, resource=plan.pool_id, answer=f"{verdict.code}: {verdict.reason}", advice=verdict.advice
    )


def _named(targets: Targets) -> str:
    return f"{targets.dedicated} dedicated and {targets.spot} Spot nodes"
