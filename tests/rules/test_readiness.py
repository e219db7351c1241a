"""Verdicts on nodes: allocated is not ready, and a node that will never be ready ends the wait."""

from __future__ import annotations

from datetime import timedelta

import pytest
from golden_pools.rules.facts import PoolNodes
from golden_pools.rules.resize import Lasting, Verdict, VerdictKind, duration, headcount, judge_nodes, wanted
from golden_pools.spec.model import Shares, Targets
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.build import NOW, nodes, pool

TARGETS = Targets(dedicated=10, spot=5)
ALLOWED = timedelta(minutes=30)


def on(seen: PoolNodes | None, *, share: float = 1.0, waited: timedelta = timedelta(minutes=4)) -> Verdict:
    return judge_nodes(seen, TARGETS, shares=Shares(dedicated=share, spot=share), waited=waited, allowed=ALLOWED)


def test_idle_and_running_nodes_are_ready() -> None:
    assert on(nodes({"idle": 7, "running": 3}, {"idle": 5})).kind is VerdictKind.REACHED


@pytest.mark.parametrize("state", ["starting", "creating", "waitingforstarttask", "unknown", "rebooting", "offline"])
def test_a_node_on_its_way_is_waited_for(state: str) -> None:
    verdict = on(nodes({"idle": 9, state: 1}, {"idle": 5}))

    assert verdict.kind is VerdictKind.WAIT
    assert f"1 {state}" in verdict.reason


def test_nodes_of_one_kind_do_not_stand_in_for_the_other() -> None:
    assert on(nodes({"idle": 15})).kind is VerdictKind.WAIT


def test_a_pool_without_counts_is_waited_for() -> None:
    assert on(None).kind is VerdictKind.WAIT
    assert on(None, waited=ALLOWED).kind is VerdictKind.GIVE_UP


def test_no_targets_no_wait() -> None:
    verdict = judge_nodes(None, Targets(), shares=Shares(), waited=timedelta(0), allowed=ALLOWED)

    assert verdict.kind is VerdictKind.REACHED


@pytest.mark.parametrize("state", ["unusable", "starttaskfailed"])
def test_pitfall_8_nodes_that_never_become_usable_end_the_wait_at_once(state: str) -> None:
    """ga4gh-tes #574: an endless wait for nodes that an NSG cut off."""
    verdict = on(nodes({"idle": 9, state: 1}, {"idle": 5}), waited=timedelta(0))

    assert (verdict.kind, verdict.code) == (VerdictKind.GIVE_UP, "NodesFailed")
    for hint in ("stdout.txt", "NSG", "node_agent_sku"):
        assert hint in verdict.advice


def test_failed_nodes_within_the_share_are_waited_out() -> None:
    seen = nodes({"idle": 9, "unusable": 1}, {"idle": 5})

    assert on(seen, share=0.9).kind is VerdictKind.WAIT
    late = on(seen, share=0.9, waited=ALLOWED)
    assert (late.kind, late.code) == (VerdictKind.PARTIAL, "NodesLate")
    assert "waited 30m" in late.reason


def test_failed_spot_nodes_count_against_spot_alone() -> None:
    assert on(nodes({"idle": 10}, {"unusable": 2, "idle": 3}), share=0.8).kind is VerdictKind.GIVE_UP


def test_the_deadline_without_the_share_gives_up() -> None:
    verdict = on(nodes({"idle": 8, "starting": 2}, {"idle": 5}), share=0.9, waited=ALLOWED)

    assert (verdict.kind, verdict.code) == (VerdictKind.GIVE_UP, "NodesLate")
    assert "resize.ready_minutes" in verdict.advice


def test_pitfall_6_preempted_spot_nodes_are_no_failure() -> None:
    seen = nodes({"idle": 10}, {"preempted": 5})

    assert on(seen).kind is VerdictKind.WAIT
    assert on(seen, waited=ALLOWED).kind is VerdictKind.PARTIAL


def test_the_log_line() -> None:
    seen = nodes({"idle": 10, "running": 2, "starting": 1})

    assert headcount(pool(), seen, Targets(dedicated=20)) == "12/20 ready, 1 starting, 0 failed"


def test_the_log_line_names_failed_and_preempted_nodes() -> None:
    seen = nodes({"idle": 7, "unusable": 1, "starttaskfailed": 1, "unknown": 1}, {"idle": 3, "preempted": 2})

    assert headcount(pool(), seen, TARGETS) == "10/15 ready, 0 starting, 2 failed, 2 preempted, 1 unknown"


def test_the_log_line_counts_allocated_nodes_while_there_are_no_states() -> None:
    assert headcount(pool(current_dedicated=4, current_spot=1), None, TARGETS) == "5/15 allocated"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.9, "59s"), (60, "1m"), (250, "4m10s"), (3600, "1h"), (7500, "2h05m")]
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


def test_nodes_that_count_as_failed_may_be_more_than_the_states_say() -> None:
    """Nodes that are unknown for too long: their state alone does not tell."""
    seen = nodes({"idle": 9, "unknown": 1}, {"idle": 5})
    judged = {
        failed: judge_nodes(seen, TARGETS, shares=Shares(), waited=timedelta(0), allowed=ALLOWED, failed=(failed, 0))
        for failed in (0, 1)
    }

    assert judged[0].kind is VerdictKind.WAIT
    assert (judged[1].kind, judged[1].code) == (VerdictKind.GIVE_UP, "NodesFailed")
    assert "unknown: the node lost contact" in judged[1].advice


def test_counts_tell_how_many_nodes_have_stayed_as_they_are() -> None:
    lasting = Lasting()
    for minute, count in enumerate([2, 5, 3, 3, 0, 1]):
        lasting.see(count, NOW + timedelta(minutes=minute))
        if minute == 3:
            stayed = [lasting.longer_than(timedelta(minutes=span), NOW + timedelta(minutes=3)) for span in range(5)]

    assert stayed == [3, 3, 3, 2, 0]
    assert lasting.longer_than(timedelta(minutes=1), NOW + timedelta(minutes=5)) == 0


@given(st.lists(st.integers(0, 9), min_size=1), st.integers(0, 20))
def test_what_lasts_is_the_smallest_count_of_the_span(counts: list[int], span: int) -> None:
    lasting, last = Lasting(), NOW + timedelta(minutes=len(counts) - 1)
    for minute, count in enumerate(counts):
        lasting.see(count, NOW + timedelta(minutes=minute))

    seen_long_enough = span < len(counts)
    expected = min(counts[len(counts) - 1 - span :]) if seen_long_enough else 0
    assert lasting.longer_than(timedelta(minutes=span), last) == expected


STATES = st.dictionaries(
    st.sampled_from(["idle", "running", "starting", "unusable", "starttaskfailed", "preempted", "unknown", "offline"]),
    st.integers(0, 12),
)


@given(STATES, STATES, st.floats(0.01, 1.0), st.booleans())
def test_every_verdict_keeps_its_promises(
    dedicated: dict[str, int], spot: dict[str, int], share: float, late: bool
) -> None:
    seen = nodes(dedicated, spot)

    verdict = on(seen, share=share, waited=ALLOWED if late else timedelta(0))

    assert verdict.reason
    if verdict.kind is VerdictKind.REACHED:
        assert seen.dedicated.ready >= 10
        assert seen.spot.ready >= 5
    if verdict.kind is VerdictKind.PARTIAL:
        assert seen.dedicated.ready >= wanted(10, share)
    if verdict.kind in (VerdictKind.GIVE_UP, VerdictKind.PARTIAL):
        assert verdict.advice
    if late:
        assert verdict.kind is not VerdictKind.WAIT
