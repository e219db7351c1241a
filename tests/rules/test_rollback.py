"""The way back: what is remembered of a pool, and the steps that put it back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from golden_pools.rules.facts import AllocationState, Pool, PoolStartTask
from golden_pools.rules.family import Role, with_role
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.rollback import (
    PoolBefore,
    RestoreKind,
    has_been_put_back,
    restore_step,
    targets_of,
    was_touched,
)
from golden_pools.spec.model import Targets

from tests.rules.build import plan, pool

NEW_IMAGE = plan().image_id
EMPTY: dict[str, Any] = {"current_dedicated": 0, "current_spot": 0, "target_dedicated": 0, "target_spot": 0}


def before(**changes: Any) -> PoolBefore:
    return PoolBefore.of(pool(**changes), plan().spec)


def moved(**changes: Any) -> Pool:
    """Return the pool after the run has put it on its image and grown it."""
    return pool(**{"image_id": NEW_IMAGE, "metadata": marked(Role.CURRENT), **changes})


def marked(role: Role, run: str = "manual__1", since: str = "2026-11-22") -> dict[str, str]:
    return with_role({}, role, alias="small", since=since, run_id=run)


def next_step(was: PoolBefore, *pools: Pool, run: RunPlan | None = None, work: bool = False) -> RestoreKind:
    return restore_step(was, pools, run or plan(), work_to_move=work).kind


# -- what is remembered ------------------------------------------------------------------------------------------------


def test_what_is_remembered_travels_as_json() -> None:
    was = PoolBefore.of(
        pool(start_task=PoolStartTask(command_line="x", environment={"A": "1"}), identities=("/i",)),
        plan().spec,
        candidate="small-2",
        adopted=before(name="small-2"),
    )

    assert PoolBefore.from_dict(json.loads(json.dumps(was.to_dict()))) == was


def test_environment_values_that_are_not_the_specs_are_not_kept() -> None:
    """They may be secrets, and this goes to XCom."""
    task = PoolStartTask(command_line="x", environment={"STAGE": "prod", "TOKEN": "hunter2", "MODE": "other"})
    run = plan(pool={"start_task": {"command_line": "x", "environment": {"STAGE": "prod", "MODE": "mine"}}})

    was = PoolBefore.of(pool(start_task=task), run.spec)

    assert was.start_task is not None
    assert was.start_task.environment == {"STAGE": "prod"}
    assert was.unknown_environment == ("MODE", "TOKEN")
    assert "hunter2" not in json.dumps(was.to_dict())


def test_what_nobody_remembers_keeps_its_present_value() -> None:
    task = PoolStartTask(command_line="x", environment={"MODE": "other"})
    was = PoolBefore.of(pool(start_task=task), plan().spec)
    present = pool(start_task=PoolStartTask(command_line="y", environment={"MODE": "mine", "NEW": "1"}))

    wanted = was.wanted(present).start_task

    assert wanted == PoolStartTask(command_line="x", environment={"MODE": "mine"})


def test_a_pool_with_a_formula_had_the_nodes_that_it_had() -> None:
    assert targets_of(pool(autoscale=True, target_dedicated=0, target_spot=0)) == Targets(dedicated=10, spot=5)
    assert targets_of(pool(current_dedicated=3)) == Targets(dedicated=10, spot=5)


@pytest.mark.parametrize(
    ("changes", "touched"),
    [
        ({}, False),
        ({"image_id": NEW_IMAGE}, True),
        ({"current_dedicated": 3}, True),
        ({"target_dedicated": 0}, True),
        ({"allocation_state": AllocationState.RESIZING}, True),
        ({"provisioning_state": "Deleting"}, True),
        ({"metadata": {"golden_pools_run": "x"}}, False),
    ],
)
def test_a_pool_is_touched_if_its_settings_or_its_size_differ(changes: dict[str, Any], touched: bool) -> None:
    assert was_touched(before(), pool(**changes)) is touched


def test_a_pool_that_is_gone_is_touched() -> None:
    assert was_touched(before(), None)


def test_a_drained_pool_has_not_been_put_back() -> None:
    assert not has_been_put_back(before(), pool(**EMPTY))
    assert not has_been_put_back(before(), moved())
    assert has_been_put_back(before(), pool(target_dedicated=4))


# -- the same pool -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (moved(), RestoreKind.DRAIN),
        (moved(allocation_state=AllocationState.RESIZING), RestoreKind.STOP),
        (moved(allocation_state=AllocationState.STOPPING), RestoreKind.SETTLE),
        (moved(**{**EMPTY, "current_dedicated": 3}, allocation_state=AllocationState.RESIZING), RestoreKind.SETTLE),
        (moved(**EMPTY), RestoreKind.PATCH),
        (pool(metadata=marked(Role.CURRENT)), RestoreKind.DONE),
        (pool(**EMPTY), RestoreKind.DONE),
        (pool(provisioning_state="Deleting"), RestoreKind.GONE),
    ],
)
def test_the_pool_goes_back_at_zero_nodes(seen: Pool, kind: RestoreKind) -> None:
    assert next_step(before(), seen) is kind


def test_a_pool_that_is_gone_is_made_anew() -> None:
    assert next_step(before()) is RestoreKind.CREATE


def test_settings_that_change_with_nodes_go_back_with_nodes() -> None:
    was = before(metadata={"team": "a"})

    assert next_step(was, pool(metadata=marked(Role.CURRENT) | {"team": "b"})) is RestoreKind.PATCH


@pytest.mark.parametrize(
    ("changes", "who"),
    [
        ({"target_dedicated": 11}, "somebody has asked for 11 dedicated and 5 Spot nodes"),
        ({"target_spot": 6}, "somebody has asked for 10 dedicated and 6 Spot nodes"),
        ({"autoscale": True}, "somebody has switched autoscale on"),
        ({"metadata": marked(Role.CURRENT, run="manual__2")}, "run manual__2 has changed the pool since"),
    ],
)
def test_nobody_is_fought(changes: dict[str, Any], who: str) -> None:
    step = restore_step(before(), [moved(**changes)], plan(), work_to_move=False)

    assert (step.kind, step.reason) == (RestoreKind.TAKEN_OVER, who)


@pytest.mark.parametrize(("dedicated", "spot"), [(0, 0), (4, 2), (10, 5), (12, 3)])
def test_what_a_resize_of_ours_may_have_asked_for_is_ours(dedicated: int, spot: int) -> None:
    """Steps on the way up, and missing Spot nodes asked for as dedicated ones."""
    assert next_step(before(), moved(target_dedicated=dedicated, target_spot=spot)) is RestoreKind.DRAIN


def test_the_size_from_before_is_nobody_elses_even_if_it_was_larger() -> None:
    was = before(target_dedicated=40)

    assert next_step(was, moved(target_dedicated=40)) is RestoreKind.DRAIN


def test_an_image_that_is_no_gallery_version_cannot_be_brought_back() -> None:
    assert next_step(before(image_id=None), moved()) is RestoreKind.IMPOSSIBLE
    assert next_step(before(image_id=None), pool(image_id=None, **EMPTY)) is RestoreKind.DONE


# -- the second pool ---------------------------------------------------------------------------------------------------

OLD = pool(name="small-1", metadata=marked(Role.CURRENT, run="manual__0", since="2026-11-20"))
CANDIDATE = pool(name="small-2", image_id=NEW_IMAGE, metadata=marked(Role.CANDIDATE))
SWITCHED = replace(CANDIDATE, metadata=marked(Role.CURRENT, since="2026-11-23"))
FORMER = replace(OLD, metadata=marked(Role.FORMER, since="2026-11-23"))
WAS = PoolBefore.of(OLD, plan().spec, candidate="small-2")
ADOPTED = replace(WAS, adopted=before(name="small-2"))


@pytest.mark.parametrize(
    ("pools", "kind"),
    [
        ((OLD,), RestoreKind.DONE),
        ((OLD, CANDIDATE), RestoreKind.DELETE),
        ((OLD, replace(CANDIDATE, provisioning_state="Deleting")), RestoreKind.GONE),
        ((OLD, SWITCHED), RestoreKind.ALIAS_BACK),
        ((FORMER, SWITCHED), RestoreKind.ALIAS_BACK),
        ((FORMER,), RestoreKind.ALIAS_BACK),
        ((OLD, replace(CANDIDATE, metadata=marked(Role.CANDIDATE, run="manual__2"))), RestoreKind.DONE),
        ((SWITCHED,), RestoreKind.IMPOSSIBLE),
        ((replace(OLD, metadata=marked(Role.RETIRING)), SWITCHED), RestoreKind.IMPOSSIBLE),
        (
            (FORMER, CANDIDATE, replace(SWITCHED, name="small-3")),
            RestoreKind.TAKEN_OVER,
        ),
    ],
)
def test_jobs_and_alias_are_back_before_the_second_pool_goes(pools: tuple[Pool, ...], kind: RestoreKind) -> None:
    assert next_step(WAS, *pools) is kind


@pytest.mark.parametrize("pools", [(OLD,), (OLD, CANDIDATE), (FORMER, SWITCHED)])
def test_work_is_moved_back_first(pools: tuple[Pool, ...]) -> None:
    assert next_step(WAS, *pools, work=True) is RestoreKind.MOVE_BACK


def test_a_pool_that_was_there_before_the_run_is_not_deleted() -> None:
    assert next_step(ADOPTED, OLD, CANDIDATE) is RestoreKind.RELEASE
    moving = replace(CANDIDATE, allocation_state=AllocationState.RESIZING)
    assert next_step(ADOPTED, OLD, moving) is RestoreKind.SETTLE
    assert next_step(ADOPTED, OLD, replace(CANDIDATE, metadata=marked(Role.FORMER))) is RestoreKind.DONE
