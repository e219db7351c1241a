"""Which version a follower takes, and from when on: the newest that proved good and that its turn has come for.

What is known of the other pools comes from the events of their assets: only a run that succeeded sends one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from golden_pools.rules.build import is_fit, is_good
from golden_pools.rules.facts import ImageVersion, folded, number_of
from golden_pools.rules.plan import WHY_TAG, ImageVerdict, RunPlan, is_marked
from golden_pools.spec.part import normal_region
from golden_pools.spec.source import Follow


@dataclass(frozen=True, kw_only=True)
class Milestone:
    """A pool's run succeeded: since ``at`` the pool is on the image ``image_id``, or the version is good."""

    image_id: str
    at: datetime


History = Mapping[str, Sequence[Milestone]]
"""Milestones in order of time: of the followed image and of the pools that are waited for, by name of their specs."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The version that a follower's run takes.

    :param not_before: when its pause is over; None: at once
    """

    version: ImageVersion
    reason: str
    not_before: datetime | None = None


def choose(
    plan: RunPlan,
    versions: Iterable[ImageVersion],
    history: History,
    *,
    region: str | None,
    present_image: str | None,
    now: datetime,
) -> Choice | None:
    """Return the version to take; None where there is none.

    Of those whose pause is over the newest is taken. Where the pool has it already, the next one in time is waited for:
    with a pause that is longer than the time between two versions, each still gets its turn. A pool never goes back
    from a good version because the others are on an older one.

    :param region: of the pool, normalised; None: not known
    :param present_image: ARM id of the image that the pool is on
    """
    good = [version for version in versions if is_good(version, now) and _is_for(version, plan, region)]
    present = max((one for one in good if folded(one.id) == folded(present_image or "")), key=_age, default=None)
    moments = {version.id: moment for version in good if (moment := _moment(plan, version, history)) is not None}
    pause = timedelta(minutes=follow_of(plan).pause_minutes if plan.scheduled else 0)
    newer = [one for one in good if one.id in moments and (present is None or _age(one) > _age(present))]
    if due := [one for one in newer if not pause or moments[one.id] + pause <= now]:  # clocks differ
        newest = max(due, key=_age)
        return Choice(
            version=newest, reason=f"it is the newest good version of {follow_of(plan).pool}'s image{_after(plan)}"
        )
    if newer:
        moment = min(moments[one.id] for one in newer)
        first = max((one for one in newer if moments[one.id] == moment), key=_age)
        reason = f"it proved good{_after(plan)}, and the pause of {follow_of(plan).pause_minutes} minutes goes on"
        return Choice(version=first, reason=reason, not_before=moment + pause)
    if present is not None:
        return Choice(version=present, reason="the pool is on it, and no newer version has come to its turn")
    return None


def why_not(plan: RunPlan, version: ImageVersion | None, history: History, now: datetime) -> str:
    """Return why a version that was chosen must not be taken any more; empty where it may."""
    if version is None:
        return "it is not there any more"
    if is_marked(version.tags, ImageVerdict.BAD):
        return f"it was marked bad: {version.tags.get(WHY_TAG) or 'no reason given'}"
    if not is_fit(version, now):
        return "it is being retired, or was never complete"
    back = [pool for pool in follow_of(plan).after if _since(version, history.get(pool, ())) is None]
    return "; ".join(f"pool {pool} {where(pool, history)}" for pool in back)


def where(pool: str, history: History) -> str:
    """Say where a pool's last run that succeeded left it."""
    milestones = history.get(pool, ())
    if not milestones:
        return "has no run on record that succeeded"
    return f"is on {milestones[-1].image_id.rpartition('/')[2]} since {milestones[-1].at:%Y-%m-%d %H:%M} UTC"


def is_on_its_way(plan: RunPlan, region: str) -> bool:
    """Return whether the runs that make the followed image bring its versions to a region, sooner or later."""
    return any(normal_region(one.name) == region for one in plan.maker.image.target_regions)


def follow_of(plan: RunPlan) -> Follow:
    """Return what a follower's spec says of whom it follows."""
    follow = plan.spec.image.source.follow
    assert follow is not None, "the spec has another source"
    return follow


def _is_for(version: ImageVersion, plan: RunPlan, region: str | None) -> bool:
    """Return whether a pool's region has a version, or gets it."""
    return region is None or region in version.target_regions or is_on_its_way(plan, region)


def _moment(plan: RunPlan, version: ImageVersion, history: History) -> datetime | None:
    """Return since when a pool could be put on a version: it is good, and all that go first are on it."""
    follow = follow_of(plan)
    events = history.get(follow.pool, ())
    good = next((one.at for one in events if folded(one.image_id) == folded(version.id)), version.published)
    others = [_since(version, history.get(pool, ())) for pool in follow.after]
    if None in others:
        return None
    return max((moment for moment in (good, *others) if moment is not None), default=plan.stamp)


def _since(version: ImageVersion, milestones: Sequence[Milestone]) -> datetime | None:
    """Return since when a pool is on a version or a newer one, without having gone back; None: it is not."""
    since = None
    for one in reversed(milestones):
        definition, _, name = folded(one.image_id).partition("/versions/")
        if definition != folded(version.id).partition("/versions/")[0] or number_of(name) < _age(version):
            break
        since = one.at
    return since


def _age(version: ImageVersion) -> tuple[int, ...]:
    return number_of(version.name)


def _after(plan: RunPlan) -> str:
    after = follow_of(plan).after
    return f" that {', '.join(after)} {'is' if len(after) == 1 else 'are'} on" if after else ""
