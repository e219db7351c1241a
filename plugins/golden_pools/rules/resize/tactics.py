"""What a run does about a resize that missed its targets.

A resize that brought nodes is asked again at once: what came is kept, and more may come. One that brought none is asked
again as its gravest error says, at most ``resize.attempts`` times in a row: then the spec's tactics follow, in the
spec's order, each until it is used up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from golden_pools.rules.facts import Pool
from golden_pools.rules.resize.allocation import is_acceptable, missed, numbers, read_miss, texts
from golden_pools.rules.resize.course import Course
from golden_pools.rules.resize.diagnosis import Diagnosis
from golden_pools.rules.resize.verdict import Verdict, VerdictKind
from golden_pools.spec.model import Resize, Tactic, Targets, Treatment
from golden_pools.words import counted

AT_ONCE = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class Prospects:
    """What a miss is judged by beside the pool and the spec.

    :param full_now: other pools hold the quota that the pool needs, which they may give back
    :param room_dedicated: most dedicated nodes that the quotas allow the pool now; None: not known
    :param other_vm_sizes: sizes that the pool may be given; none unless its nodes are nobody's yet
    """

    full_now: bool = False
    room_dedicated: int | None = None
    other_vm_sizes: tuple[str, ...] = ()


def after_miss(pool: Pool, course: Course, settings: Resize, prospects: Prospects) -> tuple[Verdict, Course]:
    """Return what to do about the course's resize, which missed its targets, and the course from there on.

    The verdict is to resize again (after its ``delay``), to be content with the share that is there, or to give up."""
    request = course.request
    if request is None:
        raise ValueError("no resize of the course has ended")
    diagnoses = read_miss(pool, request, overrides=settings.verdicts)
    verdict = missed(pool, request, diagnoses)
    moved = request.has_moved(pool)
    course = course.ended(misses=1 if moved else course.misses + 1)
    if diagnoses[0].row.is_timeout:
        course = _in_portions(course, request.brought(pool))
    hopeless = _is_hopeless(pool, course.goal, diagnoses)
    has_tries = course.misses < settings.attempts
    if has_tries and (prospects.full_now if hopeless else moved or _treatment(diagnoses) is Treatment.AGAIN):
        return _again(verdict, AT_ONCE), course
    for tactic in _ladder(diagnoses, settings.tactics, hopeless=hopeless):
        if tactic in course.used:
            continue
        if tactic is Tactic.ACCEPT_SHARE:
            if is_acceptable(pool, course.goal, settings.smallest_acceptable_share):
                return _last(VerdictKind.PARTIAL, verdict, pool, course, diagnoses), course
        elif (tried := _try(tactic, pool, course, settings, prospects)) is not None:
            return _again(verdict, _pause(tactic, course, diagnoses, settings), tactic), tried
        else:
            course = course.using_up(tactic)
    return _last(VerdictKind.GIVE_UP, verdict, pool, course, diagnoses), course


def is_full(diagnoses: tuple[Diagnosis, ...]) -> bool:
    """Return whether a quota of the account ended the resize: other pools may hold it."""
    return any(one.row.is_quota and one.treatment is Treatment.GIVE_UP for one in diagnoses)


def _again(verdict: Verdict, delay: timedelta, tactic: Tactic | None = None) -> Verdict:
    reason = f"{verdict.reason} (tactic {tactic})" if tactic else verdict.reason
    return replace(verdict, kind=VerdictKind.RESIZE_AGAIN, delay=delay, reason=reason)


def _is_hopeless(pool: Pool, goal: Targets, diagnoses: tuple[Diagnosis, ...]) -> bool:
    """Return whether the same resize brings nothing again; a Spot quota does not keep dedicated nodes from coming."""
    return any(one.treatment is Treatment.GIVE_UP for one in _relevant(pool, goal, diagnoses))


def _relevant(pool: Pool, goal: Targets, diagnoses: tuple[Diagnosis, ...]) -> tuple[Diagnosis, ...]:
    dedicated_short = pool.current_dedicated < goal.dedicated
    return tuple(one for one in diagnoses if not (one.row.spot_only and dedicated_short))


def _treatment(diagnoses: tuple[Diagnosis, ...]) -> Treatment:
    """Return the gravest treatment of those that leave hope."""
    return next((one.treatment for one in diagnoses if one.treatment is not Treatment.GIVE_UP), Treatment.AGAIN)


def _ladder(diagnoses: tuple[Diagnosis, ...], tactics: tuple[Tactic, ...], *, hopeless: bool) -> Iterator[Tactic]:
    """Yield the tactics that may help, in the order in which they are tried."""
    if not hopeless and _treatment(diagnoses) is Treatment.SMALLER:
        tactics = tuple(sorted(tactics, key=lambda tactic: tactic is not Tactic.SMALLER_STEPS))
    graves = [one.row for one in diagnoses if one.treatment is Treatment.GIVE_UP]
    helps = {
        Tactic.ACCEPT_SHARE: True,
        Tactic.OTHER_VM_SIZES: all(row.other_size_helps for row in graves),
        Tactic.SPOT_TO_DEDICATED: all(row.spot_only for row in graves),
    }
    yield from (tactic for tactic in tactics if not hopeless or helps.get(tactic))


def _pause(tactic: Tactic, course: Course, diagnoses: tuple[Diagnosis, ...], settings: Resize) -> timedelta:
    is_first = course.misses == 1 and all(one.row.is_momentary for one in diagnoses)
    return AT_ONCE if tactic is not Tactic.BACK_OFF or is_first else timedelta(minutes=settings.back_off_minutes)


def _in_portions(course: Course, came: int) -> Course:
    """Ask for as many nodes as came before the time was over: a resize that gets all that it asks for ends at once.

    A portion below a tenth of the goal is no portion, but a region that has hardly anything to give at the moment.
    """
    if came * 10 < course.goal.total or came >= (course.step or math.inf):
        return course
    return replace(course, step=came)


def _try(tactic: Tactic, pool: Pool, course: Course, settings: Resize, prospects: Prospects) -> Course | None:
    """Return the course with a tactic applied, or None where it is used up."""
    if tactic is Tactic.BACK_OFF:
        return course if course.misses < settings.attempts else None
    if tactic is Tactic.SMALLER_STEPS:
        return _smaller(pool, course) if course.misses < settings.attempts else None
    if tactic is Tactic.OTHER_VM_SIZES:
        known = {size.casefold() for size in (*course.vm_sizes, pool.vm_size)}
        size = next((size for size in prospects.other_vm_sizes if size.casefold() not in known), None)
        if size is None:
            return None
        sizes = (*course.vm_sizes, size)
        return Course(goal=course.goal, step=settings.step, resizes=course.resizes, vm_sizes=sizes)
    return _dedicated_instead(pool, course, prospects.room_dedicated)


def _smaller(pool: Pool, course: Course) -> Course | None:
    """Halve what the next resize adds."""
    missing = max(0, course.goal.dedicated - pool.current_dedicated) + max(0, course.goal.spot - pool.current_spot)
    last = missing if course.step is None else min(course.step, missing)
    return replace(course, step=math.ceil(last / 2)) if last > 1 else None


def _dedicated_instead(pool: Pool, course: Course, room: int | None) -> Course | None:
    """Ask for the missing Spot nodes as dedicated ones, as many as the quota allows."""
    goal = course.goal
    count = max(0, goal.spot - pool.current_spot)
    if room is not None:
        count = min(count, room - goal.dedicated)
    if count <= 0:
        return None
    goal = Targets(dedicated=goal.dedicated + count, spot=goal.spot - count)
    return Course(goal=goal, step=course.step, resizes=course.resizes, vm_sizes=course.vm_sizes).using_up(
        Tactic.SPOT_TO_DEDICATED
    )


def _last(kind: VerdictKind, verdict: Verdict, pool: Pool, course: Course, diagnoses: tuple[Diagnosis, ...]) -> Verdict:
    """Return the verdict that ends the course: how far the pool is from its goal, and what is used up."""
    reached = f"{numbers(pool, course.goal)} after {counted(course.resizes, 'resize')}"
    used_up = [f"tactics used up: {', '.join(course.used)}"] if course.used else []
    return replace(verdict, kind=kind, reason="; ".join([reached, *texts(diagnoses), *used_up]))
