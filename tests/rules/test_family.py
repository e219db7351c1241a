"""The alias: which pool of an account a spec stands for."""

from __future__ import annotations

import dataclasses

import pytest
from golden_pools.rules.facts import Pool
from golden_pools.rules.family import (
    ALIAS,
    ROLE,
    SINCE,
    Role,
    candidate_name,
    current_pool,
    family,
    moment_of_role,
    pool_of,
    role_of,
    since_when,
    with_role,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.rules import build

VERSION = f"{build.DEFINITION_ID}/versions/2026.1121.41500"


def member(name: str, role: Role | None = None, *, alias: str = "small", since: str = "2026-11-22") -> Pool:
    metadata = {ALIAS: alias, SINCE: since} | ({ROLE: role.value} if role else {})
    return dataclasses.replace(build.pool(), name=name, metadata=metadata)


def bare(name: str = "small") -> Pool:
    """Return a pool from before its first run."""
    return dataclasses.replace(build.pool(), name=name, metadata={})


def test_the_pool_that_says_it_is_current_is() -> None:
    pools = [member("small-a", Role.FORMER), member("small-b", Role.CURRENT), member("small-c", Role.CANDIDATE)]
    assert current_pool(pools, "small") is pools[1]


def test_between_the_two_writes_of_a_switch_the_later_one_is_current() -> None:
    old, new = member("small-z", Role.CURRENT), member("small-a", Role.CURRENT, since="2026-11-23")
    assert current_pool([old, new], "small") is new


def test_a_pool_from_before_its_first_run_is_current() -> None:
    assert current_pool([bare()], "SMALL") == bare()
    assert current_pool([bare("other")], "small") is None


def test_a_former_pool_with_the_alias_as_its_id_is_not_current() -> None:
    assert current_pool([member("small", Role.FORMER)], "small") is None


def test_a_pool_that_is_being_deleted_is_not_current() -> None:
    assert current_pool([dataclasses.replace(bare(), provisioning_state="Deleting")], "small") is None


def test_a_pool_of_another_spec_with_such_a_name_is_no_relative() -> None:
    assert family([member("small", Role.CURRENT, alias="large")], "small") == []


def test_an_unknown_role_is_none() -> None:
    assert role_of(dataclasses.replace(bare(), metadata={ROLE: "queen"})) is None


def test_a_candidate_carries_the_version() -> None:
    assert candidate_name("small", VERSION) == "small-2026-1121-41500"


def test_where_only_settings_change_the_candidate_has_another_name() -> None:
    assert candidate_name("small", VERSION, ["SMALL-2026-1121-41500"]) == "small-2026-1121-41500-b"


def test_names_run_out_with_an_error() -> None:
    with pytest.raises(ValueError, match="is taken"):
        candidate_name("s", "1.0.0", [f"s-1-0-0{suffix}" for suffix in ("", *(f"-{one}" for one in "bcdefgh"))])


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?", fullmatch=True), st.text(max_size=100))
def test_a_candidates_name_is_one_that_batch_takes(alias: str, last: str) -> None:
    first = candidate_name(alias, last)
    second = candidate_name(alias, last, [first])
    assert first.casefold() != second.casefold()
    for name in (first, second):
        assert 1 <= len(name) <= 64
        assert all(sign in "-_" or sign.isalnum() for sign in name)


def test_a_name_is_an_alias_first_and_an_id_second() -> None:
    pools = [member("small", Role.FORMER), member("small-b", Role.CURRENT)]
    assert pool_of(pools, "small") is pools[1]
    assert pool_of(pools, "SMALL-B") is pools[1]
    assert pool_of([member("small", Role.FORMER)], "small") == member("small", Role.FORMER)
    assert pool_of(pools, "other") is None


@pytest.mark.parametrize("since", ["2026-11-23T00:00:00+00:00", "2026-11-23T00:00:00.500000+00:00", "2026-11-23"])
def test_a_role_given_now_is_the_latest_whatever_the_other_clocks_say(since: str) -> None:
    """The other worker's clock is a day ahead: the switch must win all the same."""
    old = member("small-a", Role.CURRENT, since=since)
    new = member("small-b", Role.CURRENT, since=moment_of_role([old], build.NOW))
    assert current_pool([new, old], "small") is new


def test_a_role_says_whose_the_pool_is_since_when_and_by_which_run() -> None:
    metadata = with_role({"team": "a", ROLE: "former"}, Role.CURRENT, alias="small", since="2026", run_id="manual__1")
    assert metadata == {
        "team": "a",
        ALIAS: "small",
        ROLE: "current",
        SINCE: "2026",
        "golden_pools_run": "manual__1",
    }


@pytest.mark.parametrize(("text", "known"), [("2026-11-22", True), ("2026-11-22T00:00:00+00:00", True), ("?", False)])
def test_since_when_is_a_time_or_nothing(text: str, known: bool) -> None:
    moment = since_when(member("small", since=text))
    assert (moment is not None and moment.tzinfo is not None) is known
