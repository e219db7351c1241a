"""The canary: what its pool is, and what each observation of its one node means."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from golden_pools.rules.canary import (
    CanaryKind,
    CanaryVerdict,
    allocation_timeout,
    canary_metadata,
    canary_targets,
    is_canary_of,
    judge_canary,
    left_over,
)
from golden_pools.rules.facts import AllocationState, Pool, PoolNodes, ResizeError
from golden_pools.rules.family import RUN, current_pool
from golden_pools.spec.model import Targets

from tests.rules import build
from tests.rules.build import NOW, nodes

PLAN = build.plan()
QUOTA = ResizeError(code="AccountCoreQuotaReached", message="The account has no core left")
TIMEOUT = ResizeError(code="AllocationTimedout", message="Too late")


def canary(**changes: Any) -> Pool:
    """Return the canary pool at rest with its node."""
    facts = {
        "name": PLAN.canary_name,
        "current_dedicated": 1,
        "current_spot": 0,
        "target_dedicated": 1,
        "target_spot": 0,
        "metadata": canary_metadata(PLAN, NOW),
    }
    return build.pool(**{**facts, **changes})


def judged(pool: Pool, seen: PoolNodes | None = None, **changes: Any) -> CanaryVerdict:
    return judge_canary(pool, seen, **{"resize_before": None, "patient": False, "late": False, **changes})


@pytest.mark.parametrize(
    ("targets", "kind"),
    [
        ({"dedicated": 4, "spot": 2}, Targets(dedicated=1)),
        ({"dedicated": 4}, Targets(dedicated=1)),
        ({"spot": 2}, Targets(spot=1)),
        ({}, Targets(spot=1)),
    ],
)
def test_the_node_is_of_the_kind_that_the_pool_has(targets: dict[str, int], kind: Targets) -> None:
    assert canary_targets(build.plan(pool={"targets": targets})) == kind


@pytest.mark.parametrize(("ready", "allocation"), [(30, 15), (60, 30), (5, 5)])
def test_the_node_has_half_of_the_time_for_its_start(ready: int, allocation: int) -> None:
    assert allocation_timeout(build.plan(canary={"ready_minutes": ready})) == timedelta(minutes=allocation)


def test_a_run_knows_its_own_canary() -> None:
    other = dataclasses.replace(canary(), metadata={**canary().metadata, RUN: "manual__other"})
    assert is_canary_of(canary(), PLAN)
    assert not is_canary_of(other, PLAN)
    assert not is_canary_of(build.pool(), PLAN)


def test_what_other_runs_left_is_swept_and_nothing_else() -> None:
    theirs = dataclasses.replace(canary(), metadata={**canary().metadata, RUN: "manual__killed"})
    of_another_spec = canary(metadata={**theirs.metadata, "golden_pools_alias": "large"})
    assert left_over([canary(), theirs, of_another_spec, build.pool()], PLAN) == [theirs]


def test_a_canary_is_never_the_pool_that_the_spec_stands_for() -> None:
    assert current_pool([canary()], "small") is None


@pytest.mark.parametrize("state", ["idle", "running"])
def test_a_node_that_takes_work_is_ready(state: str) -> None:
    assert judged(canary(), nodes({state: 1})).kind is CanaryKind.READY
    assert judged(canary(), nodes(spot={state: 1}), late=True).kind is CanaryKind.READY


@pytest.mark.parametrize("state", ["creating", "starting", "waitingforstarttask", "unknown", "rebooting"])
def test_a_node_on_its_way_is_waited_for_until_it_is_late(state: str) -> None:
    assert judged(canary(), nodes({state: 1})).kind is CanaryKind.WAIT
    late = judged(canary(), nodes({state: 1}), late=True)
    assert late.kind is CanaryKind.NODE_LATE
    assert late.reason == f"the node is {state}"


def test_a_failed_start_task_ends_the_wait_at_once() -> None:
    assert judged(canary(), nodes({"starttaskfailed": 1}), patient=True).kind is CanaryKind.NODE_FAILED


def test_an_unusable_node_may_recover_for_a_while() -> None:
    assert judged(canary(), nodes({"unusable": 1}), patient=True).kind is CanaryKind.WAIT
    assert judged(canary(), nodes({"unusable": 1})).kind is CanaryKind.NODE_FAILED


@pytest.mark.parametrize(("error", "passes"), [(QUOTA, False), (TIMEOUT, True)])
def test_a_resize_error_is_no_fault_of_the_image(error: ResizeError, passes: bool) -> None:
    verdict = judged(canary(current_dedicated=0, resize_errors=(error,)))
    assert (verdict.kind, verdict.passes) == (CanaryKind.NOT_ALLOCATED, passes)
    assert error.code in verdict.reason
    assert verdict.advice


def test_the_gravest_error_decides() -> None:
    assert not judged(canary(current_dedicated=0, resize_errors=(TIMEOUT, QUOTA))).passes


def test_errors_of_an_earlier_resize_are_stale() -> None:
    """Pitfall 5: an old error must not end the wait for a new resize."""
    pool = canary(current_dedicated=0, resize_errors=(QUOTA,), resize_started=NOW)
    assert judged(pool, resize_before=NOW).kind is CanaryKind.WAIT
    assert judged(pool, resize_before=NOW - timedelta(hours=1)).kind is CanaryKind.NOT_ALLOCATED


def test_errors_count_only_at_rest() -> None:
    pool = canary(current_dedicated=0, resize_errors=(QUOTA,), allocation_state=AllocationState.RESIZING)
    assert judged(pool).kind is CanaryKind.WAIT


def test_a_node_that_never_came_is_no_fault_of_the_image() -> None:
    empty = canary(current_dedicated=0, allocation_state=AllocationState.RESIZING)
    assert judged(empty).kind is CanaryKind.WAIT
    assert judged(empty, late=True).kind is CanaryKind.NOT_ALLOCATED


def test_a_preempted_node_is_no_fault_of_the_image() -> None:
    """Spot nodes come and go; Batch counts a preempted one among the current ones."""
    spot = canary(current_dedicated=0, current_spot=1, target_dedicated=0, target_spot=1)
    assert judged(spot, nodes(spot={"preempted": 1})).kind is CanaryKind.WAIT
    late = judged(spot, nodes(spot={"preempted": 1}), late=True)
    assert (late.kind, late.reason) == (CanaryKind.NOT_ALLOCATED, "the node was preempted")


def test_a_verdict_survives_the_way_to_the_worker() -> None:
    verdict = judged(canary(current_dedicated=0, resize_errors=(TIMEOUT,)))
    assert CanaryVerdict.from_dict(verdict.to_dict()) == verdict
