"""What a pool asks of a person, decided without Airflow and Azure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from golden_pools.rules.board.attention import Attention, Case, Nodes, attention
from golden_pools.rules.board.facts import FindingSeen, RunSeen, TaskSeen
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 30, 6, 30, tzinfo=UTC)
ALL_THERE = Nodes(target=20, ready=20, starting=0, bad=0, missing=0)
WELL = RunSeen(
    number=7,
    dag_id="golden_pool_small",
    run_id="r",
    state="success",
    run_type="scheduled",
    started=NOW - timedelta(hours=5),
    ended=NOW - timedelta(hours=4),
    tasks={"pool.refresh": TaskSeen(id="pool.refresh", state="success")},
    values={"pool.refresh": {"action": "image changed"}},
)
FAILED = replace(
    WELL,
    state="failed",
    tasks={"pool.resize": TaskSeen(id="pool.resize", state="failed")},
    failures={"pool.resize": {"what": "quota is used up"}},
)
GOES_ON = replace(WELL, number=8, state="running", ended=None, tasks={"plan": TaskSeen(id="plan", state="running")})
RESIZE_FAILED = replace(FAILED, number=6, dag_id="resize_pool")
FINE = Case(
    in_airflow=True,
    paused=False,
    scheduled=True,
    refreshed=WELL,
    resized=None,
    nodes=ALL_THERE,
    missing_spot=0,
    looked=True,
    there=True,
    newest=True,
    newest_since=NOW - timedelta(hours=5),
    next_run_at=NOW + timedelta(hours=18),
    findings=(),
)
BAD = Nodes(target=20, ready=18, starting=0, bad=2, missing=0)
SHORT = Nodes(target=20, ready=19, starting=0, bad=0, missing=1)
ERROR = FindingSeen(level="error", check="quota", seen="the quota is too small", advice="ask for more")
WARNING = replace(ERROR, level="warning")
BEHIND = {"newest": False, "newest_since": NOW - timedelta(days=3)}


@pytest.mark.parametrize(
    ("word", "why", "changes"),
    [
        ("fine", "", {}),
        ("act", "Task pool.resize failed: quota is used up.", {"refreshed": FAILED}),
        ("act", "Task pool.resize failed: quota is used up.", {"resized": replace(RESIZE_FAILED, number=9)}),
        ("fine", "", {"resized": RESIZE_FAILED}),  # the refresh after it went well
        ("act", "2 of 20 nodes are not usable: unusable, failed start task, or out of contact.", {"nodes": BAD}),
        ("act", "1 of 20 nodes is missing, and no run is bringing them.", {"nodes": SHORT}),
        ("busy", "Running: plan.", {"nodes": SHORT, "refreshed": GOES_ON}),
        ("busy", "Running: plan.", {"nodes": BAD, "refreshed": GOES_ON}),
        (
            "look",
            "Azure has taken 1 Spot node away; Batch refills the pool when it can.",
            {"nodes": SHORT, "missing_spot": 1},
        ),
        ("act", "The quota is too small.", {"findings": (WARNING, ERROR)}),
        ("look", "The quota is too small.", {"findings": (WARNING,)}),
        ("fine", "", {"findings": (replace(ERROR, level="info"),)}),
        (
            "act",
            "The pool is gone from its Batch account; refresh it to make it anew.",
            {"there": False, "nodes": None},
        ),
        (
            "look",
            "There is no pool yet: refresh it to make it.",
            {"there": False, "nodes": None, "refreshed": None},
        ),
        ("look", "Its DAG is paused, so its schedule does nothing.", {"paused": True, "next_run_at": None}),
        ("fine", "", {"paused": True, "scheduled": False, "next_run_at": None}),
        ("look", "Airflow does not have its DAG: look at the import errors there.", {"in_airflow": False}),
        (
            "look",
            "A run was due 3 hours ago and has not begun: is the scheduler up?",
            {"next_run_at": NOW - timedelta(hours=3)},
        ),
        ("look", "It is not on the newest good image version, though a run has had the time to bring it.", BEHIND),
        ("busy", "Running: plan.", {**BEHIND, "refreshed": GOES_ON}),
        ("fine", "", {"newest": False, "newest_since": NOW - timedelta(hours=1)}),
        ("unknown", "", {"looked": False, "there": None, "nodes": None, "newest": None, "refreshed": None}),
    ],
)
def test_the_most_urgent_reason_is_told(word: str, why: str, changes: dict[str, object]) -> None:
    assert attention(replace(FINE, **changes), NOW) == (Attention(word), why)  # type: ignore[arg-type]


def test_an_answer_that_a_run_waits_for_comes_before_everything_else() -> None:
    waiting = replace(GOES_ON, tasks={"approve": TaskSeen(id="approve", state="awaiting_input")})

    word, why = attention(replace(FINE, refreshed=waiting, findings=(ERROR,)), NOW)

    assert (word, why) == (Attention.ACT, "A run waits for an answer before the pool moves.")


NODES = st.builds(
    Nodes, target=st.just(20), **dict.fromkeys(("ready", "starting", "bad", "missing"), st.integers(0, 20))
)
CASES = st.builds(
    Case,
    in_airflow=st.booleans(),
    paused=st.sampled_from([None, True, False]),
    scheduled=st.booleans(),
    refreshed=st.sampled_from([None, WELL, FAILED, GOES_ON]),
    resized=st.sampled_from([None, RESIZE_FAILED, replace(GOES_ON, number=9)]),
    nodes=st.none() | NODES,
    missing_spot=st.integers(0, 3),
    looked=st.booleans(),
    there=st.sampled_from([None, True, False]),
    newest=st.sampled_from([None, True, False]),
    newest_since=st.sampled_from([None, NOW]),
    next_run_at=st.sampled_from([None, NOW, NOW - timedelta(days=3)]),
    findings=st.lists(st.sampled_from([ERROR, WARNING]), max_size=2).map(tuple),
)


@given(CASES)
def test_who_is_called_is_told_why_in_one_sentence(case: Case) -> None:
    word, why = attention(case, NOW)

    assert bool(why) == (word in (Attention.ACT, Attention.LOOK, Attention.BUSY))
    assert "\n" not in why
    assert why == "" or (why[0].upper() == why[0] and why.endswith((".", "?")))


@given(CASES)
def test_another_error_never_makes_a_pool_less_urgent(case: Case) -> None:
    order = list(Attention)

    before, _ = attention(case, NOW)
    after, _ = attention(replace(case, findings=(*case.findings, ERROR)), NOW)

    assert order.index(after) <= order.index(before)
