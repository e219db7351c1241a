"""What an observation of a pool means for the resize that is to bring it to its targets.

``Steady`` alone says nothing: a resize that failed ends ``Steady`` as well, and its errors stay on the pool until the
next one ("Azure Batch pool resizing failure"). Whether the nodes then take work is the matter of ``nodes``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Self

from golden_pools.rules.facts import AllocationState, Pool
from golden_pools.rules.resize.codes import Diagnosis, Treatment, diagnose
from golden_pools.rules.resize.verdict import Cause, Verdict, VerdictKind
from golden_pools.spec.model import Resize, Shares, Targets

UNSEEN_LIMIT = 5
"""Observations in a row that may still show the pool as it was before our PATCH, until the PATCH counts as lost."""


@dataclass(frozen=True, kw_only=True)
class ResizeRequest:
    """One resize that this run asked for, and how hard the run tries: all that :func:`judge` knows beside the pool.

    Azure's clock and ours are never compared. A resize is ours if its start is the one that our PATCH answered, or
    differs from the one that stood there before our PATCH.

    :param started_before: start of the pool's last resize before our PATCH
    :param started: start that the answer to our PATCH showed; None if it still showed the old one
    :param attempt: 1 for the first resize of the run
    :param attempts: resizes that the run may ask for, the first one included
    :param shares: shares of the targets that are acceptable once nothing more can be done
    :param back_off: pause before a resize that failed for lack of capacity is asked again
    """

    targets: Targets
    started_before: datetime | None
    started: datetime | None
    attempt: int
    attempts: int
    shares: Shares
    back_off: timedelta

    @classmethod
    def sent(cls, before: Pool, answer: Pool, *, targets: Targets, settings: Resize, attempt: int) -> Self:
        """Return the request for a PATCH: the pool before it and the pool in its answer.

        An answer that still shows the old resize, or ``before`` itself where the answer was lost, says nothing about
        the start of ours.
        """
        fresh = answer.resize_started != before.resize_started
        return cls(
            targets=targets,
            started_before=before.resize_started,
            started=answer.resize_started if fresh else None,
            attempt=attempt,
            attempts=settings.attempts,
            shares=settings.smallest_acceptable_share,
            back_off=timedelta(minutes=settings.back_off_minutes),
        )

    def is_ours(self, pool: Pool) -> bool:
        """Return whether the pool's last resize is this one, or a later one."""
        if self.started is not None and pool.resize_started == self.started:
            return True
        return pool.resize_started is not None and pool.resize_started != self.started_before

    def to_dict(self) -> dict[str, Any]:
        """Return the request as JSON, for a trigger's arguments."""
        return {
            **asdict(self),
            "targets": self.targets.model_dump(),
            "shares": self.shares.model_dump(),
            "started_before": self.started_before and self.started_before.isoformat(),
            "started": self.started and self.started.isoformat(),
            "back_off": self.back_off.total_seconds(),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the request that :meth:`to_dict` wrote."""
        return cls(
            targets=Targets(**value["targets"]),
            started_before=_moment(value["started_before"]),
            started=_moment(value["started"]),
            attempt=value["attempt"],
            attempts=value["attempts"],
            shares=Shares(**value["shares"]),
            back_off=timedelta(seconds=value["back_off"]),
        )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def at_target(pool: Pool, targets: Targets) -> bool:
    """Return whether the pool rests at the targets already, so that no resize is needed."""
    return (
        pool.allocation_state is AllocationState.STEADY
        and not pool.autoscale
        and (pool.target_dedicated, pool.target_spot) == (targets.dedicated, targets.spot)
        and (pool.current_dedicated, pool.current_spot) == (targets.dedicated, targets.spot)
    )


def judge(pool: Pool | None, request: ResizeRequest, *, unseen: int) -> Verdict:
    """Return what one observation of the pool means for our resize.

    Ask :func:`at_target` before each PATCH: a pool at its targets needs no resize, and Azure need not start one.

    :param pool: the pool as observed; None if it does not exist
    :param unseen: how many verdicts in a row, just before this one, had the code ``NotSeenYet``
    """
    if pool is None or pool.provisioning_state.casefold() == "deleting":
        return Verdict(
            kind=VerdictKind.GIVE_UP,
            reason="the pool was deleted during its resize" if pool else "the pool does not exist any more",
            code=Cause.POOL_GONE,
            advice="find out who deleted the pool, then trigger the run again: it makes the pool anew",
        )
    if not request.is_ours(pool):
        return _not_seen(pool, request, unseen)
    if verdict := _taken_over(pool, request.targets):
        return verdict
    if pool.allocation_state is not AllocationState.STEADY:
        return Verdict(
            kind=VerdictKind.WAIT, reason=f"{pool.allocation_state}: {_numbers(pool, request)}", code=Cause.ON_ITS_WAY
        )
    diagnoses = sorted((diagnose(error) for error in pool.resize_errors), key=lambda one: one.treatment, reverse=True)
    if (pool.current_dedicated, pool.current_spot) == (request.targets.dedicated, request.targets.spot):
        return Verdict(kind=VerdictKind.REACHED, reason=_reason(pool, request, diagnoses), code=Cause.AT_TARGET)
    return _missed(pool, request, diagnoses)


def _not_seen(pool: Pool, request: ResizeRequest, unseen: int) -> Verdict:
    """Judge a pool whose last resize is still the one from before our PATCH; that one's errors are stale."""
    reason = "the pool does not show our resize yet"
    if pool.allocation_state is not AllocationState.STEADY or unseen < UNSEEN_LIMIT:
        return Verdict(kind=VerdictKind.WAIT, reason=reason, code=Cause.NOT_SEEN_YET)
    return Verdict(
        kind=VerdictKind.RESIZE_AGAIN if request.attempt < request.attempts else VerdictKind.GIVE_UP,
        reason=f"{reason}, after {unseen + 1} observations and {request.attempt} of {request.attempts} resizes",
        code=Cause.NOT_SEEN_YET,
        advice="look at the pool's events in the Azure portal, then trigger the run again",
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
    asked = (
        pool.target_dedicated if pool.resize_target_dedicated is None else pool.resize_target_dedicated,
        pool.target_spot if pool.resize_target_spot is None else pool.resize_target_spot,
    )
    wanted_now = {asked, (pool.target_dedicated, pool.target_spot)}
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


def _missed(pool: Pool, request: ResizeRequest, diagnoses: list[Diagnosis]) -> Verdict:
    """Judge a resize of ours that ended off its targets; the worst error decides, the reason names all."""
    worst = diagnoses[0] if diagnoses else None
    reason = _reason(pool, request, diagnoses)
    code = worst.code if worst else Cause.SHORT_WITHOUT_ERROR
    advice = worst.advice if worst else "look at the pool's events in the Azure portal, then trigger the run again"
    if request.attempt < request.attempts and not _hopeless(pool, request.targets, diagnoses):
        later = any(one.treatment is not Treatment.RETRY for one in diagnoses)
        return Verdict(
            kind=VerdictKind.RESIZE_AGAIN,
            reason=reason,
            code=code,
            advice=advice,
            delay=request.back_off if later else timedelta(0),
        )
    kind = VerdictKind.PARTIAL if _acceptable(pool, request) else VerdictKind.GIVE_UP
    return Verdict(kind=kind, reason=reason, code=code, advice=advice)


def _hopeless(pool: Pool, targets: Targets, diagnoses: list[Diagnosis]) -> bool:
    """Return whether another resize brings nothing; a Spot quota does not stop dedicated nodes from coming."""
    dedicated_short = pool.current_dedicated < targets.dedicated
    return any(one.treatment is Treatment.GIVE_UP and not (one.spot_only and dedicated_short) for one in diagnoses)


def _acceptable(pool: Pool, request: ResizeRequest) -> bool:
    """Return whether the pool has the acceptable share of both kinds; nodes too many are never acceptable."""
    return all(
        wanted(target, share) <= current <= target
        for current, target, share in (
            (pool.current_dedicated, request.targets.dedicated, request.shares.dedicated),
            (pool.current_spot, request.targets.spot, request.shares.spot),
        )
    )


def _numbers(pool: Pool, request: ResizeRequest) -> str:
    if not request.targets.total:
        return f"{pool.current_total} nodes left, resize {request.attempt} of {request.attempts}"
    return (
        f"{pool.current_dedicated} of {request.targets.dedicated} dedicated and "
        f"{pool.current_spot} of {request.targets.spot} Spot nodes allocated, "
        f"resize {request.attempt} of {request.attempts}"
    )


def _reason(pool: Pool, request: ResizeRequest, diagnoses: list[Diagnosis]) -> str:
    return "; ".join([_numbers(pool, request), *(one.text for one in diagnoses)])


def wanted(target: int, share: float) -> int:
    """Return how many nodes the acceptable share of a target is, rounded up: at least 1 of a positive target."""
    return math.ceil(target * Fraction(str(share)))


def resize_timeout(settings: Resize, nodes: int) -> timedelta:
    """Return Azure's ``resizeTimeout`` for one resize of so many nodes.

    Unless the spec says otherwise: 15 minutes per 1,000 nodes ("Use the Azure Compute Gallery to create a custom image
    pool"), at least 15, and at least 30 above 300 nodes of a custom image ("Use a managed image to create a custom
    image pool").
    """
    if settings.timeout_minutes is not None:
        return timedelta(minutes=settings.timeout_minutes)
    return timedelta(minutes=max(15 * math.ceil(nodes / 1000), 30 if nodes > 300 else 15))
