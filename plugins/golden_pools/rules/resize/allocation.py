"""What an observation of a pool means for the resize that is to bring it to its targets.

``Steady`` alone says nothing: a resize that failed ends ``Steady`` as well, and its errors stay on the pool until the
next one ("Azure Batch pool resizing failure"). What to do about a resize that missed its targets is the matter of
``tactics``, and whether the nodes then take work that of ``nodes``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from golden_pools.rules.facts import AllocationState, Pool
from golden_pools.rules.family import is_deleting
from golden_pools.rules.resize.codes import OWN_CODES
from golden_pools.rules.resize.diagnosis import Diagnosis, diagnose_all, own_diagnosis
from golden_pools.rules.resize.request import ResizeRequest
from golden_pools.rules.resize.verdict import Cause, Verdict, VerdictKind
from golden_pools.spec.model import Shares, Targets, Treatment
from golden_pools.words import counted

UNSEEN_LIMIT = 5
"""Observations in a row that may still show the pool as it was before our PATCH, until the PATCH counts as lost."""

STOPPED = "resizestopped"
"""Lower-case code of a resize that was stopped: no news where the run stopped it itself."""

NO_OVERRIDES: Mapping[str, Treatment] = {}


def at_target(pool: Pool, targets: Targets) -> bool:
    """Return whether the pool rests at the targets already, so that no resize is needed."""
    return (
        pool.allocation_state is AllocationState.STEADY
        and not pool.autoscale
        and (pool.target_dedicated, pool.target_spot) == (targets.dedicated, targets.spot)
        and has_nodes(pool, targets)
    )


def has_nodes(pool: Pool, targets: Targets) -> bool:
    """Return whether the pool has these nodes, usable or not."""
    return (pool.current_dedicated, pool.current_spot) == (targets.dedicated, targets.spot)


def judge(
    pool: Pool | None,
    request: ResizeRequest,
    *,
    unseen: int = 0,
    overrides: Mapping[str, Treatment] = NO_OVERRIDES,
) -> Verdict:
    """Return what one observation of the pool means for our resize.

    Ask :func:`at_target` before each PATCH: a pool at its targets needs no resize, and Azure need not start one.

    :param pool: the pool as observed; None if it does not exist
    :param unseen: how many verdicts in a row, just before this one, had the code ``NotSeenYet``
    :param overrides: treatments of the spec by code
    """
    if pool is None or is_deleting(pool):
        return Verdict(
            kind=VerdictKind.GIVE_UP,
            reason="the pool was deleted during its resize" if pool else "the pool does not exist any more",
            code=Cause.POOL_GONE,
            advice="find out who deleted the pool, then trigger the run again: it makes the pool anew",
        )
    if not request.is_ours(pool):
        return _not_seen(pool, unseen)
    if not request.stopped and (verdict := _taken_over(pool, request.targets)):
        return verdict
    if pool.allocation_state is not AllocationState.STEADY:
        return Verdict(
            kind=VerdictKind.WAIT, reason=f"{pool.allocation_state}: {_progress(pool, request)}", code=Cause.ON_ITS_WAY
        )
    if has_nodes(pool, request.targets):
        errors = texts(diagnose_all(pool.resize_errors, overrides))
        return Verdict(
            kind=VerdictKind.REACHED, reason="; ".join([_progress(pool, request), *errors]), code=Cause.AT_TARGET
        )
    return missed(pool, request, read_miss(pool, request, overrides=overrides))


def read_miss(
    pool: Pool, request: ResizeRequest, *, overrides: Mapping[str, Treatment] = NO_OVERRIDES
) -> tuple[Diagnosis, ...]:
    """Return why a resize of ours missed its targets, the gravest reason first; there is always one."""
    if not request.is_ours(pool):
        return (own_diagnosis(Cause.NOT_SEEN_YET, overrides),)
    errors = [one for one in pool.resize_errors if not (request.stopped and one.code.casefold() == STOPPED)]
    cause = Cause.STALLED if request.stopped else Cause.SHORT_WITHOUT_ERROR
    return diagnose_all(errors, overrides) or (own_diagnosis(cause, overrides),)


def missed(pool: Pool, request: ResizeRequest, diagnoses: tuple[Diagnosis, ...]) -> Verdict:
    """Return the verdict on a resize of ours that ended off its targets: the gravest error decides."""
    worst = diagnoses[0]
    return Verdict(
        kind=VerdictKind.MISSED,
        reason="; ".join([_progress(pool, request), *texts(diagnoses)]),
        code=worst.code,
        advice=worst.row.advice,
        blames_image=any(one.row.blames_image for one in diagnoses),
    )


def texts(diagnoses: tuple[Diagnosis, ...]) -> tuple[str, ...]:
    """Return the texts of errors, each once: Azure says some for dedicated and Spot nodes alike."""
    return tuple(dict.fromkeys(one.text for one in diagnoses))


def _not_seen(pool: Pool, unseen: int) -> Verdict:
    """Judge a pool whose last resize is still the one from before our PATCH; that one's errors are stale."""
    lost = pool.allocation_state is AllocationState.STEADY and unseen >= UNSEEN_LIMIT
    row = OWN_CODES[Cause.NOT_SEEN_YET.casefold()]
    return Verdict(
        kind=VerdictKind.MISSED if lost else VerdictKind.WAIT,
        reason=f"{row.meaning}, after {unseen + 1} observations" if lost else "the pool does not show our resize yet",
        code=Cause.NOT_SEEN_YET,
        advice=row.advice if lost else "",
    )


def _taken_over(pool: Pool, targets: Targets) -> Verdict | None:
    """Return a verdict if somebody else steers the pool now."""
    if pool.autoscale:
        return Verdict(
            kind=VerdictKind.OWNED_BY_OTHER,
            reason="somebody switched autoscale on during the resize",
            code=Cause.AUTOSCALE_ON,
            advice="decide who steers the pool: switch autoscale off and trigger the run again, or retire the spec",
        )
    wanted_now = {pool.asked_for, (pool.target_dedicated, pool.target_spot)}
    if wanted_now == {(targets.dedicated, targets.spot)}:
        return None
    others = sorted(wanted_now - {(targets.dedicated, targets.spot)})[0]
    return Verdict(
        kind=VerdictKind.OWNED_BY_OTHER,
        reason=(
            f"somebody asked for {others[0]} dedicated and {others[1]} Spot nodes during our resize to "
            f"{targets.dedicated} and {targets.spot}"
        ),
        code=Cause.OTHER_TARGETS,
        advice="let the other resize finish, then trigger the run again if the pool should have the spec's targets",
    )


def is_acceptable(pool: Pool, targets: Targets, shares: Shares) -> bool:
    """Return whether the pool has the acceptable share of both kinds; nodes too many are never acceptable."""
    return all(
        wanted(target, share) <= current <= target
        for current, target, share in (
            (pool.current_dedicated, targets.dedicated, shares.dedicated),
            (pool.current_spot, targets.spot, shares.spot),
        )
    )


def numbers(pool: Pool, targets: Targets) -> str:
    """Return how far the pool is: ``2 of 3 dedicated and 0 of 0 Spot nodes allocated``."""
    if not targets.total:
        return f"{counted(pool.current_total, 'node')} left"
    return (
        f"{pool.current_dedicated} of {targets.dedicated} dedicated and "
        f"{pool.current_spot} of {targets.spot} Spot nodes allocated"
    )


def _progress(pool: Pool, request: ResizeRequest) -> str:
    return f"{numbers(pool, request.targets)}, resize {request.number}"


def wanted(target: int, share: float) -> int:
    """Return how many nodes the acceptable share of a target is, rounded up: at least 1 of a positive target."""
    return math.ceil(target * Fraction(str(share)))
