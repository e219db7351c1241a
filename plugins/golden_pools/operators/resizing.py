"""Bringing a pool to its targets: what every stage does that needs nodes, over as many resizes as it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from golden_pools.errors import (
    AzureBusyError,
    ConflictError,
    FullNowError,
    GoldenPoolsError,
    NeverFitsError,
    OwnershipError,
    from_dict,
)
from golden_pools.failures import note_failure
from golden_pools.metrics import send
from golden_pools.operators.base import StateStore, now
from golden_pools.operators.pool_stage import SLACK, PoolStageOperator, failure_of
from golden_pools.rules.facts import AllocationState, Pool
from golden_pools.rules.family import Role, current_pool, is_deleting, role_of
from golden_pools.rules.metrics import of_resize
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.quota import QuotaKind, QuotaQuestion, QuotaVerdict
from golden_pools.rules.resize import (
    Cause,
    Course,
    Prospects,
    ResizeRequest,
    Verdict,
    VerdictKind,
    after_miss,
    at_target,
    duration,
    judge,
    next_targets,
    resize_timeout,
)
from golden_pools.rules.resize.allocation import UNSEEN_LIMIT, is_acceptable, numbers, read_miss
from golden_pools.rules.resize.tactics import is_full
from golden_pools.spec.model import Autoscale, Resize, Tactic, Targets, UnderWay
from golden_pools.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch import BatchHook

COURSE = "course"
"""Key of a stage's store: :class:`~golden_pools.rules.resize.Course` as JSON, until it has ended."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A pool that is to be brought to its targets.

    :param pool: id of the pool
    :param store: of the stage; what it holds of the course survives retries
    :param even_partly: ask for what the quotas let through where the targets can never fit, instead of failing
    :param watch: bad nodes that the stage wants to look at while others still come, see
        :class:`~golden_pools.triggers.pool.ResizeTrigger`; None: none
    """

    context: Context
    plan: RunPlan
    hook: BatchHook
    pool: str
    targets: Targets
    store: StateStore
    even_partly: bool = False
    watch: Mapping[str, Any] | None = None

    @property
    def where(self) -> tuple[str, str, str]:
        """Resource group, account and pool, as hooks take them."""
        return self.plan.spec.pool.resource_group, self.plan.spec.pool.account, self.pool

    @property
    def resource(self) -> str:
        """ARM id of the pool."""
        return self.plan.id_of_pool(self.pool)

    @property
    def settings(self) -> Resize:
        """The spec's part on resizing."""
        return self.plan.spec.resize

    def course(self) -> Course:
        """Return the course as it is kept, or a new one."""
        kept = self.store.read().get(COURSE)
        return Course.from_dict(kept) if kept else Course(goal=self.targets, step=self.settings.step)

    def keep(self, course: Course) -> Course:
        """Keep the course over retries."""
        self.store.keep(**{COURSE: course.to_dict()})
        return course

    def forget(self) -> None:
        """End the course: a clear of the task starts anew."""
        self.store.keep(**{COURSE: None})

    def fail(self, error: GoldenPoolsError, *, blames_image: bool = False, tried: Course | None = None) -> NoReturn:
        """End the course with an error; one that passes by itself lets the next try go on with the course.

        :param tried: the course, where it has been ended before
        """
        done = (tried or self.course()).in_words
        if not isinstance(error, AzureBusyError):
            self.forget()
        raise note_failure(self.context, error, blames_image=blames_image, done=done)


class ResizingOperator(PoolStageOperator):
    """A stage that brings a pool to its targets.

    Each turn looks at the pool, judges the resize that the course asked for, and takes the next step: whatever state an
    earlier try left, the pool itself tells how far it is.
    """

    def begin(self, site: Site) -> None:
        """Begin a try: a course is begun anew where somebody else has resized the pool since."""
        request = site.course().request
        pool = site.hook.pool(*site.where) if request else None
        overtaken = request and pool and request.is_ours(pool)
        if request and overtaken and judge(pool, request).kind is VerdictKind.OWNED_BY_OTHER:
            site.forget()

    def bring_to_targets(self, site: Site, *, result: Mapping[str, Any] | None = None) -> tuple[Verdict, Course]:
        """Bring the pool one step nearer to its targets, and defer; returns when it is there, or nothing more helps.

        The verdict is REACHED, PARTIAL or GIVE_UP; the course says what was tried, and which counts were the goal.

        :param result: where the stage has nothing left to do then: its XCom, to which the end of the resize is added
        :raises OwnershipError: somebody else steers the pool
        :raises NeverFitsError: the targets do not fit into the account's quotas
        :raises FullNowError: other pools held the quota for longer than the spec waits
        """
        course = site.course()
        pool = site.hook.pool(*site.where)
        if pool is None or is_deleting(pool):
            site.forget()
            return _gone(pool), course
        request = course.request
        if request and (request.is_ours(pool) or request.lost):
            verdict = judge(pool, request, unseen=UNSEEN_LIMIT, overrides=site.settings.verdicts)
            if verdict.kind is VerdictKind.WAIT:
                self._await_resize(site, course, pool, result)
            if verdict.kind is VerdictKind.OWNED_BY_OTHER:
                site.fail(failure_of(verdict, site.plan, "", resource=site.resource))
            if verdict.kind is VerdictKind.MISSED:
                verdict, course = self._missed(site, course, pool)
                send([of_resize(site.plan.pool, verdict.kind, verdict.code)])
                if verdict.kind is not VerdictKind.RESIZE_AGAIN:
                    site.forget()
                    return verdict, course
                if verdict.delay:
                    self.settle(site.plan, pool, pause=verdict.delay)
            else:
                if result is None or not _is_last(course, request, pool):  # else the triggerer has counted it
                    send([of_resize(site.plan.pool, verdict.kind, verdict.code)])
                course = site.keep(course.ended())
        if pool.autoscale:
            pool = self._end_autoscale(site, pool)
        if at_target(pool, course.goal) and _has_size(pool, course):
            site.forget()
            return _reached(pool, course), course
        if pool.allocation_state is not AllocationState.STEADY:
            self._under_way(site, pool)
        if not _has_size(pool, course):
            pool = self._change_size(site, course, pool, result)
        return self._grow(site, course, pool, result)

    def after_resize(self, site: Site, event: Mapping[str, Any]) -> None:
        """Take in what a wait of :meth:`bring_to_targets` saw that the pool itself does not tell."""
        course = site.course()
        if "failure" in event:
            error = from_dict(event["failure"])
            if not isinstance(error, (FullNowError, NeverFitsError)):
                site.fail(error)
            self.log.warning("%s", error)  # the next look takes what there is all the same
            return
        if "verdict" not in event or course.request is None:
            return
        verdict = Verdict.from_dict(event["verdict"])
        if verdict.code == Cause.NOT_SEEN_YET:
            site.keep(replace(course, request=replace(course.request, lost=True)))
        elif verdict.code == Cause.STALLED:
            self.stop_growth(site, verdict.reason)

    def stop_growth(self, site: Site, why: str) -> None:
        """Stop our resize, unless something has happened to the pool meanwhile."""
        course = site.course()
        pool, request = site.hook.pool(*site.where), course.request
        if pool is None or request is None or not request.is_ours(pool):
            return
        self.log.warning("%s: %s: stopping the resize", site.pool, why)
        site.keep(replace(course, request=replace(request, stopped=True)))
        try:
            site.hook.stop_resize(*site.where, etag=pool.etag)
        except ConflictError as conflict:
            self.log.warning("Looking again after a conflict: %s", conflict)

    def _missed(self, site: Site, course: Course, pool: Pool) -> tuple[Verdict, Course]:
        """Decide what to do about a resize that missed its targets, and keep the decision."""
        settings = site.settings
        prospects = Prospects(other_vm_sizes=settings.other_vm_sizes if role_of(pool) is Role.CANDIDATE else ())
        wants_dedicated = Tactic.SPOT_TO_DEDICATED in settings.tactics and pool.current_spot < course.goal.spot
        diagnoses = read_miss(pool, course.request, overrides=settings.verdicts) if course.request else ()
        if is_full(diagnoses) or wants_dedicated:
            question, there = self._quota(site, course, pool)
            quota = question.verdict(there)
            prospects = replace(
                prospects, full_now=quota.kind is QuotaKind.FULL_NOW, room_dedicated=quota.room_dedicated
            )
        verdict, course = after_miss(pool, course, settings, prospects)
        if verdict.kind is VerdictKind.RESIZE_AGAIN:
            pause = f" in {duration(verdict.delay)}" if verdict.delay else ""
            self.log.warning("%s: resizing again%s (%s): %s", site.pool, pause, verdict.code, verdict.reason)
        elif verdict.kind is VerdictKind.PARTIAL:
            self.log.warning("%s has an acceptable share: %s. %s", site.pool, verdict.reason, verdict.advice)
        return verdict, site.keep(course)

    def _end_autoscale(self, site: Site, pool: Pool) -> Pool:
        if site.settings.autoscale is Autoscale.REFUSE:
            site.fail(scales_by_formula(site.resource))
        self.log.warning("%s scales by a formula: switching autoscale off", site.pool)
        return site.hook.disable_autoscale(*site.where)

    def _under_way(self, site: Site, pool: Pool) -> NoReturn:
        """Wait until somebody else's resize has ended; stop it before, where the spec says so."""
        if site.settings.under_way is UnderWay.STOP and pool.allocation_state is AllocationState.RESIZING:
            self.log.warning(
                "%s: stopping a resize to %d dedicated and %d Spot nodes that somebody else began",
                site.pool,
                pool.target_dedicated,
                pool.target_spot,
            )
            site.hook.stop_resize(*site.where, etag=pool.etag)
        self.settle(site.plan, pool)

    def _change_size(self, site: Site, course: Course, pool: Pool, result: Mapping[str, Any] | None) -> Pool:
        """Give the pool its other VM size; nodes of the size that it had go first."""
        if pool.current_total:
            self._ask(site, course, pool, Targets(), result)
        self.log.warning("%s: trying VM size %s instead of %s", site.pool, course.vm_size, pool.vm_size)
        assert course.vm_size is not None, "a pool without another size has the right one"
        return site.hook.update_vm_size(*site.where, course.vm_size, etag=pool.etag)

    def _grow(self, site: Site, course: Course, pool: Pool, result: Mapping[str, Any] | None) -> tuple[Verdict, Course]:
        """Ask for the next resize, as far as the quotas let it; returns where they leave nothing to ask for."""
        wanted = next_targets(pool, course)
        if wanted.dedicated <= pool.current_dedicated and wanted.spot <= pool.current_spot:
            self._ask(site, course, pool, wanted, result)
        question, there = self._quota(site, course, pool)
        quota = question.verdict(there)
        if quota.kind is QuotaKind.NEVER and not site.even_partly:
            site.fail(_error(quota, site))
        if quota.kind not in (QuotaKind.NEVER, QuotaKind.FULL_NOW):
            self._ask(site, replace(course, quota_since=None), pool, wanted, result)
        fitting = next_targets(pool, course, (quota.room_dedicated, quota.room_spot))
        if (fitting.dedicated, fitting.spot) != (pool.current_dedicated, pool.current_spot):
            self.log.warning("%s: asking for what fits: %s", site.pool, quota.reason)
            self._ask(site, course, pool, fitting, result)
        if quota.kind is QuotaKind.FULL_NOW:
            self._await_quota(site, course, question.to_dict(there))
        error = _error(quota, site)
        if not (
            Tactic.ACCEPT_SHARE in site.settings.tactics
            and is_acceptable(pool, course.goal, site.settings.smallest_acceptable_share)
        ):
            site.fail(error)
        self.log.warning("%s has an acceptable share: %s", site.pool, error)
        site.forget()
        kind = VerdictKind.PARTIAL
        return Verdict(kind=kind, reason=quota.reason, code=Cause.SHORT_OF_QUOTA, advice=quota.advice), course

    def _await_quota(self, site: Site, course: Course, question: dict[str, Any]) -> None:
        """Wait for quota that other pools hold; returns when the spec's time for that is over."""
        since = course.quota_since or now()
        left = since + timedelta(minutes=site.settings.quota_wait_minutes) - now()
        site.keep(replace(course, request=None, quota_since=since))
        if left <= timedelta(0):
            return
        from golden_pools.triggers.quota import QuotaTrigger

        self.defer_for_pool(QuotaTrigger, site.plan, pool=site.pool, within=left, question=question)

    def _quota(self, site: Site, course: Course, pool: Pool) -> tuple[QuotaQuestion, list[Pool]]:
        """Return what to ask the account's quotas for the goal, and the account's pools as they are now."""
        group, account, _ = site.where
        there = site.hook.pools(group, account)
        current = current_pool(there, site.plan.pool)
        found = site.hook.account(group, account)
        question = QuotaQuestion(
            account=found,
            sizes=site.hook.vm_sizes(found.location),
            pool=pool.name,
            vm_size=pool.vm_size,
            targets=course.goal,
            beside=(current.name,) if current and current.name != pool.name else (),
        )
        return question, there

    def _ask(
        self, site: Site, course: Course, pool: Pool, targets: Targets, result: Mapping[str, Any] | None
    ) -> NoReturn:
        """Ask for a resize of the pool as it was seen, and wait for it.

        The request is kept before the PATCH: should its answer be lost, the next look recognises it by its start.
        """
        course = site.keep(course.asking(pool, targets))
        timeout = resize_timeout(site.settings, targets.total)
        self.log.info(
            "%s: resize %d, from %s to %s, timeout %s",
            site.pool,
            course.resizes + 1,
            counts(Targets(dedicated=pool.current_dedicated, spot=pool.current_spot)),
            counts(targets),
            duration(timeout),
        )
        answer = site.hook.resize_pool(
            *site.where,
            dedicated=targets.dedicated,
            spot=targets.spot,
            timeout=timeout,
            etag=pool.etag,
            deallocation=site.plan.spec.refresh.deallocation,
        )
        assert course.request is not None
        course = site.keep(replace(course, request=course.request.answered(answer)))
        self._await_resize(site, course, answer, result)

    def _await_resize(self, site: Site, course: Course, pool: Pool, result: Mapping[str, Any] | None) -> NoReturn:
        request = course.request
        assert request is not None
        grows = request.targets.total > request.had.total
        stall = site.settings.stall_minutes if grows else None
        self.defer_for_pool(
            "ResizeTrigger",
            site.plan,
            pool=site.pool,
            within=resize_timeout(site.settings, request.targets.total) + SLACK,
            request=request.to_dict(),
            stall_seconds=stall and stall * 60,
            watch=dict(site.watch) if site.watch and grows else None,
            result={**result, **outcome(course)} if result is not None and _is_last(course, request, pool) else None,
        )


def outcome(course: Course) -> dict[str, Any]:
    """Return what a stage's XCom says of a course, but for how it ended."""
    number = course.request.number if course.request else course.resizes
    size = {"vm_size": course.vm_size} if course.vm_size else {}
    return {"resizes": number, "targets": course.goal.model_dump(), **size}


def counts(targets: Targets) -> str:
    """Return node counts in words."""
    return f"{targets.dedicated} dedicated and {targets.spot} Spot nodes"


def scales_by_formula(resource: str) -> OwnershipError:
    """Return the error of a pool that the spec leaves to its formula.

    :param resource: ARM id of the pool
    """
    return OwnershipError(
        "The pool scales by a formula, and the spec leaves such pools alone",
        resource=resource,
        answer="autoscale is on",
        advice="switch autoscale off, or write resize.autoscale: switch_off into the spec",
    )


def _is_last(course: Course, request: ResizeRequest, pool: Pool) -> bool:
    """Return whether the course is at its end when the request is."""
    return request.targets == course.goal and _has_size(pool, course) and not request.stopped


def _has_size(pool: Pool, course: Course) -> bool:
    return course.vm_size is None or pool.vm_size.casefold() == course.vm_size.casefold()


def _reached(pool: Pool, course: Course) -> Verdict:
    after = f"after {counted(course.resizes, 'resize')}" if course.resizes else "no resize was needed"
    return Verdict(kind=VerdictKind.REACHED, reason=f"{numbers(pool, course.goal)}, {after}", code=Cause.AT_TARGET)


def _gone(pool: Pool | None) -> Verdict:
    return Verdict(
        kind=VerdictKind.GIVE_UP,
        reason="the pool is being deleted" if pool else "the pool does not exist any more",
        code=Cause.POOL_GONE,
        advice="find out who deleted it, then trigger the run again: it makes the pool anew",
    )


def _error(quota: QuotaVerdict, site: Site) -> GoldenPoolsError:
    error = quota.error(site.resource)
    assert error is not None, "asked only where the targets do not fit"
    return error
