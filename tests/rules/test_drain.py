"""Emptying a pool: what an observation means, and when patience ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from golden_pools.rules.drain import (
    FORCED_TIME,
    SHORTEST_TIMEOUT,
    UNSEEN_LIMIT,
    Drain,
    DrainState,
    drain_state,
    is_shrinking_to_zero,
)
from golden_pools.rules.facts import AllocationState, Pool

from tests.rules.build import NOW, pool

LATER = NOW + timedelta(minutes=1)
DRAIN = Drain(until=NOW + timedelta(hours=1)).asking(pool())
"""A drain that has asked for a resize; the pool's last one before it started at ``NOW``."""

OURS = {"resize_started": LATER, "target_dedicated": 0, "target_spot": 0}


def shrinking(**changes: Any) -> Pool:
    return pool(**{**OURS, "allocation_state": AllocationState.RESIZING, **changes})


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (None, DrainState.GONE),
        (pool(provisioning_state="Deleting"), DrainState.GONE),
        (shrinking(), DrainState.GOING_ON),
        (shrinking(current_dedicated=0, current_spot=0), DrainState.GOING_ON),
        (pool(**OURS, current_dedicated=0, current_spot=0), DrainState.EMPTY),
        (pool(**OURS), DrainState.ENDED),
        (pool(**{**OURS, "target_dedicated": 5}), DrainState.TAKEN_OVER),
        (shrinking(resize_target_dedicated=5), DrainState.TAKEN_OVER),
        (pool(**OURS, autoscale=True), DrainState.TAKEN_OVER),
    ],
)
def test_an_observation_means(seen: Pool | None, state: DrainState) -> None:
    assert drain_state(seen, DRAIN) is state


def test_a_pool_that_does_not_show_our_resize_yet_is_given_some_looks() -> None:
    assert drain_state(pool(), DRAIN, unseen=UNSEEN_LIMIT - 1) is DrainState.NOT_SEEN_YET
    assert drain_state(pool(), DRAIN, unseen=UNSEEN_LIMIT) is DrainState.ENDED


def test_targets_after_our_own_stop_are_not_somebody_elses() -> None:
    """What a stopped pool's targets are is not documented."""
    stopped = pool(resize_started=LATER, target_dedicated=3)

    assert drain_state(stopped, DRAIN.stopped()) is DrainState.ENDED


def test_azure_refuses_a_short_timeout() -> None:
    assert DRAIN.timeout(NOW) == timedelta(hours=1)
    assert DRAIN.timeout(DRAIN.until - timedelta(minutes=1)) == SHORTEST_TIMEOUT
    assert DRAIN.left(DRAIN.until + timedelta(minutes=1)) == timedelta(0)


def test_force_gives_a_bounded_time_more() -> None:
    forced = DRAIN.force(DRAIN.until)

    assert (forced.forced, forced.attempts, forced.left(DRAIN.until)) == (True, 0, FORCED_TIME)


@pytest.mark.parametrize("drain", [DRAIN, Drain(until=NOW), DRAIN.stopped(), DRAIN.force(NOW)])
def test_a_drain_survives_the_store(drain: Drain) -> None:
    assert Drain.from_dict(drain.to_dict()) == drain


def test_only_a_resize_to_nothing_is_a_drain() -> None:
    assert is_shrinking_to_zero(shrinking())
    assert is_shrinking_to_zero(shrinking(allocation_state=AllocationState.STOPPING))
    assert not is_shrinking_to_zero(shrinking(resize_target_spot=1))
    assert not is_shrinking_to_zero(pool(**OURS))
