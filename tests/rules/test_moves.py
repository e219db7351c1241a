"""Which jobs move to another pool, and how."""

from __future__ import annotations

from dataclasses import replace

import pytest
from golden_pools.rules.facts import Job, JobState
from golden_pools.rules.moves import MoveKind, is_active, moves
from hypothesis import given
from hypothesis import strategies as st

OVER = [state for state in JobState if state.is_over]


def job(state: JobState, name: str = "work", pool: str = "old") -> Job:
    return Job(id=name, state=state, pool=pool)


def kinds(there: list[Job], here: list[Job] | None = None, *ours: str) -> list[MoveKind]:
    return [move.kind for move in moves(there, here or [], disabled_by_us=ours)]


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (JobState.ACTIVE, MoveKind.DISABLE),
        (JobState.DISABLING, MoveKind.WAIT),
        (JobState.ENABLING, MoveKind.WAIT),
        (JobState.DISABLED, MoveKind.MOVE),
    ],
)
def test_a_job_on_the_old_pool_takes_its_next_step(state: JobState, kind: MoveKind) -> None:
    assert kinds([job(state)]) == [kind]


@pytest.mark.parametrize("state", OVER)
def test_a_job_that_is_over_needs_no_pool(state: JobState) -> None:
    assert kinds([job(state)], [job(state)], "work") == []


def test_a_moved_job_is_enabled_only_if_we_have_disabled_it() -> None:
    assert kinds([], [job(JobState.DISABLED)], "work") == [MoveKind.ENABLE]
    assert kinds([], [job(JobState.DISABLED)]) == []


def test_a_moved_job_that_runs_needs_nothing() -> None:
    assert kinds([], [job(JobState.ACTIVE)], "work") == []


@pytest.mark.parametrize(("state", "active"), [(state, state not in (*OVER, JobState.DISABLED)) for state in JobState])
def test_a_disabled_job_is_not_active(state: JobState, active: bool) -> None:
    assert is_active(job(state)) is active


@given(st.lists(st.sampled_from([JobState.ACTIVE, JobState.DISABLED, JobState.DISABLING]), max_size=5))
def test_every_job_ends_on_the_new_pool_as_its_owner_left_it(states: list[JobState]) -> None:
    """What the operator does between the questions is played here."""
    jobs = {f"job-{number}": job(state, f"job-{number}") for number, state in enumerate(states)}
    ours: set[str] = set()
    for _ in range(10):
        there = [one for one in jobs.values() if one.pool == "old"]
        here = [one for one in jobs.values() if one.pool == "new"]
        for move in moves(there, here, disabled_by_us=ours):
            name = move.job.id
            if move.kind is MoveKind.DISABLE:
                ours.add(name)
                jobs[name] = replace(move.job, state=JobState.DISABLING)
            elif move.kind is MoveKind.WAIT:
                jobs[name] = replace(move.job, state=JobState.DISABLED)
            elif move.kind is MoveKind.MOVE:
                jobs[name] = replace(move.job, pool="new")
            else:
                ours.discard(name)
                jobs[name] = replace(move.job, state=JobState.ACTIVE)

    assert {one.pool for one in jobs.values()} <= {"new"}
    assert [one.state for one in jobs.values()] == [
        JobState.ACTIVE if state is JobState.ACTIVE else JobState.DISABLED for state in states
    ]
    assert not ours
