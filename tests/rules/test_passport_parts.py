"""Parts of a passport, written by several DAGs: together they say one thing, in whatever order they are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from golden_pools.rules.passport import (
    Answer,
    AnswerOf,
    Became,
    FateOf,
    Nodes,
    Passport,
    PoolOf,
    new_passport,
    passport_schema,
    read_passport,
    with_answer,
)
from golden_pools.rules.passport_parts import merge, moved_off, noted
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.rules.build import plan

IMAGE = plan().image_id
START = datetime(2026, 11, 22, 2, tzinfo=UTC)


def at(hours: int) -> datetime:
    return START + timedelta(hours=hours)


def pool(name: str = "small", *, since: int = 0, until: int | None = None, ready: int = 3) -> PoolOf:
    return PoolOf(
        id=f"/accounts/a/pools/{name}",
        name=name,
        alias=name,
        account="a",
        action="refreshed",
        image_before=None,
        since=at(since),
        until=None if until is None else at(until),
        targets=Nodes(dedicated=3, spot=0),
        ready=Nodes(dedicated=ready, spot=0),
    )


def answer(hours: int, pool: str = "small", answered: Answer = Answer.APPROVED) -> AnswerOf:
    return AnswerOf(pool=pool, answer=answered, by="ada", when=at(hours), run=f"run {hours}")


def test_what_people_answered_stands_in_order_and_once() -> None:
    first, second = answer(1, answered=Answer.REJECTED), answer(5)
    other = answer(3, "farm")
    one = part().model_copy(update={"approvals": (second, first)})
    whole = merge([one, part(dag="two").model_copy(update={"approvals": (other,)}), one])
    assert whole.approvals == (first, other, second)


def test_an_answer_is_added_to_a_passport() -> None:
    whole = new_passport(plan(), snapshots=None, managed_image=None, findings=[])
    written = with_answer(with_answer(whole, answer(1)), answer(2))
    assert [one["run"] for one in written["approvals"]] == ["run 1", "run 2"]
    Draft202012Validator(passport_schema()).validate(written)


def test_a_passport_from_before_there_was_approval_is_read() -> None:
    whole = new_passport(plan(), snapshots=None, managed_image=None, findings=[])
    del whole["approvals"]
    assert read_passport(whole).approvals == ()


def fate(became: Became, hours: int, by: str = "dag") -> FateOf:
    return FateOf(became=became, why=f"{became} it is", when=at(hours), by=by)  # type: ignore[arg-type]


def part(
    *pools: PoolOf, history: tuple[FateOf, ...] = (), built: bool = False, dag: str = "one", began: int = 0
) -> Passport:
    whole = new_passport(plan(), snapshots=None, managed_image=None, findings=[])
    whole["run"] |= {"dag": dag, "stamp": at(began).isoformat()}
    return merge([read_passport({**whole, "built": built, "pools": pools, "history": history})])


hours = st.integers(0, 12)
pools = st.builds(pool, st.sampled_from(["a", "b"]), since=hours, until=st.none() | hours, ready=st.integers(0, 3))
fates = st.builds(fate, st.sampled_from([Became.CURRENT, Became.BAD, Became.RETIRED]), hours, st.sampled_from("xy"))
parts = st.builds(
    lambda used, history, **more: part(*used, history=tuple(history), **more),
    st.lists(pools.filter(lambda one: one.until is None or one.until >= one.since), max_size=4),
    st.lists(fates, max_size=3),
    built=st.booleans(),
    dag=st.sampled_from(["one", "two"]),
    began=hours,
) | st.builds(lambda one: noted(IMAGE, one), fates)


@given(st.lists(parts, min_size=1, max_size=5).flatmap(lambda made: st.tuples(st.just(made), st.permutations(made))))
@settings(max_examples=150)
def test_the_order_of_the_parts_does_not_matter(both: tuple[list[Passport], list[Passport]]) -> None:
    assert merge(both[0]) == merge(both[1])


@given(st.lists(parts, min_size=1, max_size=4))
@settings(max_examples=100)
def test_what_is_known_already_changes_nothing(made: list[Passport]) -> None:
    together = merge(made)
    assert merge([together, together]) == together
    assert read_passport(json.loads(together.model_dump_json())) == together
    Draft202012Validator(passport_schema()).validate(json.loads(together.model_dump_json()))


@given(st.lists(parts, min_size=1, max_size=4))
@settings(max_examples=100)
def test_the_uses_of_one_pool_never_overlap(made: list[Passport]) -> None:
    uses = merge(made).pools
    for name in ("a", "b"):
        mine = [use for use in uses if use.name == name]
        assert all(one.until and one.until <= other.since for one, other in pairwise(mine))


def test_the_builders_word_counts_for_what_was_made() -> None:
    builder, follower = part(built=True, dag="builder", began=5), part(pool("b"), dag="follower", began=1)
    together = merge([follower, builder])
    assert together.run is not None
    assert (together.run.dag, together.built) == ("builder", True)
    assert [one.name for one in together.pools] == ["b"]


def test_a_pool_that_is_seen_again_has_been_on_it_since_the_first_time() -> None:
    (use,) = merge([part(pool(since=1, ready=1)), part(pool(since=7, ready=3))]).pools
    assert (use.since, use.until, use.ready.dedicated) == (at(1), None, 3)


def test_a_pool_that_left_and_came_back_has_used_it_twice() -> None:
    left = moved_off(part(pool(since=1)), "small", to="another", when=at(5))
    first, second = merge([left, part(pool(since=9))]).pools
    assert (first.until, first.image_after) == (at(5), "another")
    assert (second.since, second.until) == (at(9), None)


def test_the_move_of_a_pool_is_not_undone_by_what_was_seen_before() -> None:
    left = moved_off(part(pool(since=1)), "small", to="another", when=at(5))
    together = merge([left, part(pool(since=1))])
    assert (together.became, together.when) == (Became.SUPERSEDED, at(5))


def test_a_version_is_current_as_long_as_one_pool_runs_on_it() -> None:
    left = moved_off(part(pool("a", since=1)), "a", to="another", when=at(5))
    together = merge([left, part(pool("b", since=2), dag="two")])
    assert (together.became, together.why, together.when) == (Became.CURRENT, "pool b runs on it", at(2))


@pytest.mark.parametrize(
    ("history", "became"),
    [
        ((fate(Became.CURRENT, 1), fate(Became.BAD, 2)), Became.BAD),
        ((fate(Became.BAD, 1), fate(Became.CURRENT, 2)), Became.CURRENT),
        ((fate(Became.RETIRED, 1), fate(Became.BAD, 2)), Became.RETIRED),
    ],
)
def test_of_good_and_bad_the_later_word_counts_and_deleted_is_for_ever(
    history: tuple[FateOf, ...], became: Became
) -> None:
    together = merge([part(pool()), *(noted(IMAGE, one) for one in reversed(history))])
    assert together.became is became


def test_parts_of_two_images_are_not_put_together() -> None:
    with pytest.raises(ValueError, match="parts of one image"):
        merge([part(), noted(f"{IMAGE}1", fate(Became.BAD, 1))])


def test_azure_does_not_keep_the_case_of_an_id() -> None:
    assert merge([part(pool()), noted(IMAGE.upper(), fate(Became.BAD, 1))]).became is Became.BAD
