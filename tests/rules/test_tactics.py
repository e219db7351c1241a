"""What is done about resizes that missed their targets: in the spec's order, and never for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from golden_pools.rules.facts import Pool, ResizeError
from golden_pools.rules.resize import Course, Prospects, Verdict, VerdictKind, after_miss, next_targets, wanted
from golden_pools.rules.resize.codes import CODES
from golden_pools.spec.model import Resize, Shares, Tactic, Targets, Treatment
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.build import NOW, pool, resize_error

BEFORE = NOW - timedelta(hours=1)
TARGETS = Targets(dedicated=100, spot=50)
CAPACITY = resize_error("AllocationFailed", "no capacity")
TIMEOUT = resize_error("AllocationTimedout", "slow")
BACK_OFF, AT_ONCE = timedelta(minutes=2), timedelta(0)
ALL = tuple(Tactic)


def seen(dedicated: int, spot: int, *errors: ResizeError, **changes: Any) -> Pool:
    """Return the pool after a resize of ours."""
    return pool(
        current_dedicated=dedicated,
        current_spot=spot,
        resize_errors=errors,
        **{"resize_started": NOW, "target_dedicated": 100, "target_spot": 50, **changes},
    )


def asked(course: Course, dedicated: int = 0, spot: int = 0) -> Course:
    """Return the course with a resize of a pool that had these nodes."""
    had = seen(dedicated, spot, resize_started=BEFORE)
    return course.asking(had, next_targets(had, course))


def settings(*tactics: Tactic, **changes: Any) -> Resize:
    return Resize(**{"tactics": tactics or Resize().tactics, **changes})


def misses(
    course: Course, steady: Pool, resize: Resize, prospects: Prospects | None = None, *, most: int = 50
) -> tuple[list[Verdict], Course]:
    """Let the same pool miss again and again; returns the verdicts up to the last one."""
    verdicts = []
    for _ in range(most):
        course = asked(course, steady.current_dedicated, steady.current_spot)
        verdict, course = after_miss(steady, course, resize, prospects or Prospects())
        verdicts.append(verdict)
        if verdict.kind is not VerdictKind.RESIZE_AGAIN:
            return verdicts, course
    raise AssertionError("it goes on for ever")


# Again


def test_pitfall_10_what_brought_nodes_is_asked_again_at_once() -> None:
    verdict, course = after_miss(seen(60, 50, TIMEOUT), asked(Course(goal=TARGETS)), Resize(), Prospects())

    assert (verdict.kind, verdict.delay) == (VerdictKind.RESIZE_AGAIN, AT_ONCE)
    assert (course.resizes, course.misses, course.request) == (1, 1, None)


def test_a_shortage_that_still_brings_nodes_does_not_pause() -> None:
    verdict, _ = after_miss(seen(60, 50, CAPACITY), asked(Course(goal=TARGETS)), Resize(), Prospects())

    assert verdict.delay == AT_ONCE


def test_pitfall_3_a_shortage_that_brings_nothing_pauses() -> None:
    verdict, course = after_miss(seen(0, 0, CAPACITY), asked(Course(goal=TARGETS)), Resize(), Prospects())

    assert (verdict.kind, verdict.delay) == (VerdictKind.RESIZE_AGAIN, BACK_OFF)
    assert "tactic back_off" in verdict.reason
    assert course.step is None


def test_pitfall_8_attempts_in_vain_are_bounded_and_said() -> None:
    verdicts, course = misses(Course(goal=TARGETS), seen(60, 50, CAPACITY), settings(Tactic.BACK_OFF, attempts=4))

    assert len(verdicts) == course.resizes == 4
    assert (verdicts[-1].kind, verdicts[-1].code) == (VerdictKind.GIVE_UP, "AllocationFailed")
    assert "tactics used up: back_off" in verdicts[-1].reason
    assert "60 of 100 dedicated" in verdicts[-1].reason
    assert verdicts[-1].advice


def test_one_that_brings_nodes_begins_a_new_row() -> None:
    course, resize = Course(goal=TARGETS, misses=2), settings(Tactic.BACK_OFF, attempts=3)

    verdict, course = after_miss(seen(60, 0, CAPACITY), asked(course), resize, Prospects())

    assert (verdict.kind, course.misses) == (VerdictKind.RESIZE_AGAIN, 1)


def test_a_code_that_nobody_knows_is_tried_a_bounded_number_of_times_then_told_in_full() -> None:
    new = seen(60, 50, resize_error("SomethingNew", "never seen", Reason="a new one"))

    verdicts, _ = misses(Course(goal=TARGETS), new, settings(Tactic.BACK_OFF, attempts=2))

    assert [verdict.kind for verdict in verdicts] == [VerdictKind.RESIZE_AGAIN, VerdictKind.GIVE_UP]
    assert "SomethingNew: never seen (Reason: a new one)" in verdicts[-1].reason


def test_a_patch_without_effect_is_sent_again() -> None:
    stale = seen(3, 0, CAPACITY, resize_started=BEFORE)

    verdicts, _ = misses(Course(goal=TARGETS), stale, settings(Tactic.BACK_OFF, attempts=2))

    assert [verdict.delay for verdict in verdicts[:-1]] == [AT_ONCE]
    assert (verdicts[-1].kind, verdicts[-1].code) == (VerdictKind.GIVE_UP, "NotSeenYet")
    assert "no capacity" not in verdicts[-1].reason  # an old error, which is not ours


def test_an_internal_error_pauses_only_when_it_comes_again() -> None:
    hiccup = seen(0, 0, resize_error("AllocationFailed", "The server encountered an internal error."))

    verdicts, _ = misses(Course(goal=TARGETS), hiccup, Resize())

    assert [verdict.delay for verdict in verdicts[:2]] == [AT_ONCE, BACK_OFF]


# Portions


@pytest.mark.parametrize("stopped", [False, True])
def test_a_resize_that_hangs_tells_how_many_nodes_come_at_a_time(stopped: bool) -> None:
    course = asked(Course(goal=TARGETS))
    assert course.request is not None
    course = replace(course, request=replace(course.request, stopped=stopped))

    verdict, course = after_miss(seen(40, 0, *([] if stopped else [TIMEOUT])), course, Resize(), Prospects())

    assert (verdict.delay, course.step) == (AT_ONCE, 40)
    assert next_targets(seen(40, 0), course) == Targets(dedicated=80, spot=0)


def test_a_portion_only_shrinks() -> None:
    _, course = after_miss(seen(30, 0, TIMEOUT), asked(Course(goal=TARGETS, step=20)), Resize(), Prospects())

    assert course.step == 20


def test_hardly_any_nodes_are_no_portion() -> None:
    """Pools of hundreds of nodes would come in steps of three once a region was short for a moment."""
    _, course = after_miss(seen(14, 0, TIMEOUT), asked(Course(goal=TARGETS)), Resize(), Prospects())

    assert course.step is None


def test_a_shortage_tells_no_portion() -> None:
    _, course = after_miss(seen(60, 0, CAPACITY), asked(Course(goal=TARGETS)), Resize(), Prospects())

    assert course.step is None


# What no repetition helps


@pytest.mark.parametrize(
    "code", [row.name for row in CODES.values() if row.treatment is Treatment.GIVE_UP and not row.spot_only]
)
def test_pitfall_24_what_another_resize_cannot_change_ends_the_run_at_once(code: str) -> None:
    verdict, _ = after_miss(seen(60, 50, resize_error(code)), asked(Course(goal=TARGETS)), Resize(), Prospects())

    assert (verdict.kind, verdict.code) == (VerdictKind.GIVE_UP, code)


def test_the_specs_own_treatment_is_followed() -> None:
    resize = settings(verdicts={"accountcorequotareached": "later"})

    full = seen(60, 50, resize_error("AccountCoreQuotaReached"))
    verdict, _ = after_miss(full, asked(Course(goal=TARGETS), 60, 50), resize, Prospects())

    assert (verdict.kind, verdict.delay) == (VerdictKind.RESIZE_AGAIN, BACK_OFF)


@pytest.mark.parametrize("code", ["AccountLowPriorityCoreQuotaReached", "AccountSpotCoreQuotaReached"])
def test_a_spot_quota_stops_the_run_only_when_the_dedicated_nodes_are_there(code: str) -> None:
    course = asked(Course(goal=TARGETS))

    there, _ = after_miss(seen(100, 20, resize_error(code)), course, Resize(), Prospects())
    short, _ = after_miss(seen(80, 20, resize_error(code), TIMEOUT), course, Resize(), Prospects())

    assert (there.kind, short.kind) == (VerdictKind.GIVE_UP, VerdictKind.RESIZE_AGAIN)


def test_a_quota_that_other_pools_hold_is_asked_for_again_a_bounded_number_of_times() -> None:
    """Whether there is room is looked at again before each resize, and waited for there."""
    full = seen(60, 50, resize_error("AccountCoreQuotaReached"))

    verdicts, _ = misses(Course(goal=TARGETS), full, settings(attempts=3), Prospects(full_now=True))

    assert [verdict.kind for verdict in verdicts] == [VerdictKind.RESIZE_AGAIN] * 2 + [VerdictKind.GIVE_UP]


# The tactics


def test_the_tactics_come_in_the_specs_order_each_until_it_is_used_up() -> None:
    resize = settings(Tactic.SMALLER_STEPS, Tactic.BACK_OFF, attempts=2)

    verdicts, course = misses(Course(goal=TARGETS), seen(0, 0, CAPACITY), resize)

    tried = [verdict.reason.rpartition("(tactic ")[2].rstrip(")") for verdict in verdicts[:-1]]
    assert tried == ["smaller_steps", "back_off", "back_off"]
    assert course.used == (Tactic.SMALLER_STEPS, Tactic.BACK_OFF)


def test_smaller_steps_halve_what_is_missing() -> None:
    verdict, course = after_miss(
        seen(60, 0, CAPACITY), asked(Course(goal=TARGETS), 60, 0), settings(Tactic.SMALLER_STEPS), Prospects()
    )

    assert (verdict.kind, verdict.delay, course.step) == (VerdictKind.RESIZE_AGAIN, AT_ONCE, 45)
    assert next_targets(seen(60, 0), course) == Targets(dedicated=100, spot=5)
    _, course = after_miss(seen(60, 0, CAPACITY), asked(course, 60, 0), settings(Tactic.SMALLER_STEPS), Prospects())
    assert course.step == 23


def test_a_step_that_brings_nodes_is_kept() -> None:
    course = Course(goal=TARGETS, step=20, used=(Tactic.BACK_OFF,))

    _, course = after_miss(seen(10, 0, CAPACITY), asked(course), Resize(), Prospects())

    assert course.step == 20


def test_one_node_cannot_be_asked_for_in_smaller_steps() -> None:
    last = seen(99, 50, CAPACITY)

    verdicts, _ = misses(Course(goal=TARGETS), last, settings(Tactic.SMALLER_STEPS))

    assert [verdict.kind for verdict in verdicts] == [VerdictKind.GIVE_UP]


def test_an_error_about_constraints_asks_for_fewer_before_it_waits() -> None:
    error = resize_error("OverconstrainedAllocationRequestError")

    _, course = after_miss(seen(0, 0, error), asked(Course(goal=TARGETS)), Resize(), Prospects())

    assert course.step == 75


def test_pitfall_2_enough_nodes_are_a_partial_success() -> None:
    resize = settings(Tactic.ACCEPT_SHARE, smallest_acceptable_share=Shares(dedicated=0.9, spot=0.4))
    course = asked(Course(goal=TARGETS), 95, 20)

    enough, _ = after_miss(seen(95, 20, CAPACITY), course, resize, Prospects())
    too_few_spot, _ = after_miss(seen(95, 19, CAPACITY), course, resize, Prospects())

    assert (enough.kind, too_few_spot.kind) == (VerdictKind.PARTIAL, VerdictKind.GIVE_UP)
    assert "95 of 100 dedicated and 20 of 50 Spot" in enough.reason


def test_a_share_is_accepted_only_where_the_spec_says_so() -> None:
    resize = settings(Tactic.BACK_OFF, attempts=1, smallest_acceptable_share=Shares(dedicated=0.5, spot=0.0))

    verdict, _ = after_miss(seen(95, 20, CAPACITY), asked(Course(goal=TARGETS), 95, 20), resize, Prospects())

    assert verdict.kind is VerdictKind.GIVE_UP


def test_nodes_too_many_are_never_a_partial_success() -> None:
    """A drain that left nodes behind has not drained."""
    left = seen(1, 0, resize_error("RemoveNodesFailed"), target_dedicated=0, target_spot=0)

    verdicts, _ = misses(Course(goal=Targets()), left, settings(attempts=3))

    assert len(verdicts) == 3
    assert verdicts[-1].kind is VerdictKind.GIVE_UP
    assert "refresh.drain_minutes" in verdicts[-1].advice


def test_other_vm_sizes_are_tried_one_after_the_other_each_with_all_tactics() -> None:
    sizes = ("Standard_A", "Standard_B")
    resize = settings(Tactic.BACK_OFF, Tactic.OTHER_VM_SIZES, attempts=2, other_vm_sizes=sizes, step=70)
    prospects = Prospects(other_vm_sizes=("Standard_A", "Standard_B"))

    verdicts, course = misses(Course(goal=TARGETS, step=70), seen(0, 0, CAPACITY), resize, prospects)

    assert course.vm_sizes == ("Standard_A", "Standard_B")
    assert [verdict.delay for verdict in verdicts[:-1]] == [BACK_OFF, AT_ONCE, BACK_OFF, AT_ONCE, BACK_OFF]
    assert (course.resizes, course.step) == (6, 70)


def test_a_size_that_does_not_go_with_the_image_is_replaced_at_once() -> None:
    resize = settings(Tactic.BACK_OFF, Tactic.OTHER_VM_SIZES, other_vm_sizes=("Standard_A",))
    wrong = seen(0, 0, resize_error("UnsupportedVMSize"))

    verdict, course = after_miss(wrong, asked(Course(goal=TARGETS)), resize, Prospects(other_vm_sizes=("Standard_A",)))
    kept, _ = after_miss(wrong, asked(Course(goal=TARGETS)), resize, Prospects())

    assert (verdict.kind, course.vm_size) == (VerdictKind.RESIZE_AGAIN, "Standard_A")
    assert kept.kind is VerdictKind.GIVE_UP


@pytest.mark.parametrize(("room", "goal"), [(None, (130, 20)), (110, (110, 40)), (400, (130, 20))])
def test_missing_spot_nodes_are_asked_for_as_dedicated_ones_within_quota(
    room: int | None, goal: tuple[int, int]
) -> None:
    full = seen(100, 20, resize_error("AccountSpotCoreQuotaReached"))

    verdict, course = after_miss(
        full, asked(Course(goal=TARGETS)), settings(Tactic.SPOT_TO_DEDICATED), Prospects(room_dedicated=room)
    )

    assert verdict.kind is VerdictKind.RESIZE_AGAIN
    assert (course.goal.dedicated, course.goal.spot) == goal
    assert course.goal.total == TARGETS.total  # what was promised stays promised


@pytest.mark.parametrize("room", [0, 100])
def test_without_room_spot_nodes_stay_missing(room: int) -> None:
    full = seen(100, 20, resize_error("AccountSpotCoreQuotaReached"))

    verdict, course = after_miss(
        full, asked(Course(goal=TARGETS)), settings(Tactic.SPOT_TO_DEDICATED), Prospects(room_dedicated=room)
    )

    assert (verdict.kind, course.goal) == (VerdictKind.GIVE_UP, TARGETS)


# Steps and room


@pytest.mark.parametrize(
    ("has", "step", "room", "asked_for"),
    [
        ((0, 0), None, (None, None), (100, 50)),
        ((0, 0), 30, (None, None), (30, 0)),
        ((90, 0), 30, (None, None), (100, 20)),
        ((100, 40), 30, (None, None), (100, 50)),
        ((0, 0), None, (60, 10), (60, 10)),
        ((70, 0), None, (60, None), (70, 50)),
        ((0, 0), 30, (20, 5), (20, 5)),
        ((120, 0), 30, (None, None), (100, 30)),
        ((120, 60), 1, (0, 0), (100, 50)),
    ],
)
def test_the_next_resize_asks_for_a_step_and_for_what_fits(
    has: tuple[int, int], step: int | None, room: tuple[int | None, int | None], asked_for: tuple[int, int]
) -> None:
    targets = next_targets(seen(*has), Course(goal=TARGETS, step=step), room)

    assert (targets.dedicated, targets.spot) == asked_for


# What holds for every course

SMALL = st.integers(0, 40)
ERRORS = st.builds(resize_error, st.sampled_from([row.name for row in CODES.values()] + ["SomethingNew"]))
RESIZES = st.builds(
    lambda tactics, attempts, share, step: Resize(
        tactics=tuple(tactics),
        attempts=attempts,
        step=step,
        smallest_acceptable_share=Shares(dedicated=share, spot=share),
        other_vm_sizes=("Standard_A",) if Tactic.OTHER_VM_SIZES in tactics else (),
    ),
    tactics=st.lists(st.sampled_from(Tactic), unique=True),
    attempts=st.integers(1, 5),
    share=st.floats(0.01, 1.0),
    step=st.one_of(st.none(), st.integers(1, 50)),
)
PROSPECTS = st.builds(
    Prospects,
    full_now=st.booleans(),
    room_dedicated=st.one_of(st.none(), SMALL),
    other_vm_sizes=st.sampled_from([(), ("Standard_A",)]),
)


@given(
    st.builds(Targets, dedicated=SMALL, spot=SMALL),
    st.lists(st.tuples(SMALL, SMALL, st.lists(ERRORS, max_size=2)), min_size=1, max_size=4),
    RESIZES,
    PROSPECTS,
)
def test_no_pool_keeps_a_run_resizing_for_ever(
    targets: Targets, observed: list[tuple[int, int, list[ResizeError]]], resize: Resize, prospects: Prospects
) -> None:
    """A pool that ends each resize where it was ends every course within its attempts and tactics."""
    course = Course(goal=targets, step=resize.step)
    most = (len(Tactic) + 1) * (resize.attempts + 1) * (len(resize.other_vm_sizes) + 2)
    dedicated, spot, errors = observed[-1]
    steady = seen(dedicated, spot, *errors)

    verdicts, course = misses(course, steady, resize, prospects, most=most)

    last = verdicts[-1]
    assert last.advice
    assert last.reason
    assert course.goal.total == targets.total
    if last.kind is VerdictKind.PARTIAL:
        share = resize.smallest_acceptable_share
        assert Tactic.ACCEPT_SHARE in resize.tactics
        assert wanted(course.goal.dedicated, share.dedicated) <= dedicated <= course.goal.dedicated
        assert wanted(course.goal.spot, share.spot) <= spot <= course.goal.spot
    else:
        assert last.kind is VerdictKind.GIVE_UP


@given(st.builds(Targets, dedicated=SMALL, spot=SMALL), SMALL, SMALL, st.one_of(st.none(), st.integers(1, 50)))
def test_steps_lead_to_the_goal(targets: Targets, dedicated: int, spot: int, step: int | None) -> None:
    course, now = Course(goal=targets, step=step), seen(dedicated, spot)
    for _ in range(targets.total + 1):
        following = next_targets(now, course)
        added = max(0, following.dedicated - now.current_dedicated) + max(0, following.spot - now.current_spot)
        assert step is None or added <= step
        now = replace(now, current_dedicated=following.dedicated, current_spot=following.spot)
        if following == targets:
            return
    raise AssertionError("the steps do not lead there")


def test_a_course_survives_json() -> None:
    course = asked(Course(goal=TARGETS, step=3, misses=2, used=(Tactic.BACK_OFF,), vm_sizes=("A",), quota_since=NOW))

    assert Course.from_dict(course.to_dict()) == course
