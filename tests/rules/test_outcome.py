from __future__ import annotations

import pytest
from golden_pools.rules.outcome import LEFT_ALONE, Outcome, outcome_of

RAN = {"plan": "success", "pool.refresh": "success", "rollback.restore": "skipped"}
SKIPPED = {**RAN, "pool.refresh": "skipped"}


@pytest.mark.parametrize(
    ("expected", "states", "about"),
    [
        (Outcome.REFRESHED, RAN, {"action": "image changed"}),
        (Outcome.UNCHANGED, RAN, {"action": LEFT_ALONE}),
        (Outcome.UNCHANGED, SKIPPED, {}),
        (Outcome.PLAN_ONLY, SKIPPED, {"plan_only": True}),
        (Outcome.REJECTED, {**SKIPPED, "approve": "success"}, {}),
        (Outcome.PLAN_ONLY, {**SKIPPED, "approve": "skipped"}, {"plan_only": True}),
        (Outcome.RESIZED, {"plan": "success", "resize": "success"}, {}),
        (Outcome.DONE, {"plan": "success", "retire": "success"}, {}),
        (Outcome.FAILED, {**RAN, "pool.refresh": "failed"}, {"failed": True}),
        (Outcome.FAILED, {"plan": "failed"}, {"failed": True, "plan_only": True}),
        (Outcome.ROLLED_BACK, {**RAN, "rollback.restore": "success"}, {"failed": True}),
        (Outcome.FAILED, {**RAN, "rollback.restore": "failed"}, {"failed": True}),
    ],
)
def test_the_states_of_the_tasks_tell_what_came_of_a_run(
    expected: Outcome, states: dict[str, str], about: dict[str, object]
) -> None:
    assert outcome_of(states, **{"failed": False, **about}) is expected  # type: ignore[arg-type]


def test_every_outcome_has_words_and_two_are_failures() -> None:
    assert all(outcome.words for outcome in Outcome)
    assert {outcome for outcome in Outcome if outcome.is_failure} == {Outcome.FAILED, Outcome.ROLLED_BACK}
