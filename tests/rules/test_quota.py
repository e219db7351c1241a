"""Core quotas: what fits, what does not fit now, what never fits, and how many nodes have room."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from golden_pools.errors import FullNowError, NeverFitsError
from golden_pools.rules.facts import AllocationState, BatchAccount, Pool
from golden_pools.rules.quota import QuotaKind, QuotaQuestion, QuotaVerdict, known_sizes, nodes_taken, quota_verdict
from golden_pools.spec.model import Targets
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.build import account, pool, resize_error, vm_size

D2 = vm_size()
F4 = vm_size(name="Standard_F4s_v2", family="standardFSv2Family", vcpus=4)
SIZES = {"standard_d2s_v5": D2, "standard_f4s_v2": F4}


def ask(
    *others: Pool, of: BatchAccount | None = None, dedicated: int = 10, spot: int = 0, **asked: Any
) -> QuotaVerdict:
    question = {"pool": "small", "vm_size": "STANDARD_D2S_V5", **asked}
    return quota_verdict(of or account(), others, SIZES, targets=Targets(dedicated=dedicated, spot=spot), **question)


def other(name: str = "render", **changes: Any) -> Pool:
    empty = {"current_dedicated": 0, "current_spot": 0, "target_dedicated": 0, "target_spot": 0}
    return pool(name=name, **{**empty, **changes})


def test_targets_that_have_room_fit() -> None:
    verdict = ask(other(current_dedicated=20))
    assert (verdict.kind, verdict.advice, verdict.error("id")) == (QuotaKind.FITS, "", None)
    assert (verdict.room_dedicated, verdict.room_spot) == (10, 25)


@pytest.mark.parametrize(
    ("quotas", "reason"),
    [
        ({"dedicated_core_quota": 19}, "the targets need 20 dedicated cores, the account's quota is 19"),
        (
            {"family_quotas": {"standarddsv5family": 19}},
            "need 20 cores of standardDSv5Family, the account's quota is 19",
        ),
    ],
)
def test_targets_above_a_quota_never_fit(quotas: dict[str, Any], reason: str) -> None:
    """Pitfall 24: the quota is named, with its numbers, before anything is tried."""
    verdict = ask(of=account(**quotas))
    assert verdict.kind is QuotaKind.NEVER
    assert reason in verdict.reason
    error = verdict.error("the pool")
    assert isinstance(error, NeverFitsError)
    assert (error.resource, error.answer) == ("the pool", verdict.reason)
    assert "ask for more" in error.advice


def test_spot_nodes_meet_the_low_priority_quota_only() -> None:
    tight = account(low_priority_core_quota=9, family_quotas={}, family_quotas_enforced=False)
    verdict = ask(of=tight, dedicated=0, spot=5)
    assert verdict.kind is QuotaKind.NEVER
    assert "10 Spot/low-priority cores, the account's quota is 9" in verdict.reason


def test_targets_that_others_leave_no_room_for_do_not_fit_now() -> None:
    """The holders are named, the largest first."""
    verdict = ask(other("lab", vm_size="Standard_F4s_v2", current_dedicated=5), other("render", current_dedicated=31))
    assert verdict.kind is QuotaKind.FULL_NOW
    assert "other pools take 82 of 100: render 62, lab 20" in verdict.reason
    error = verdict.error("the pool")
    assert isinstance(error, FullNowError)
    assert "shrink render, lab" in error.advice


def test_the_pools_own_nodes_are_given_back_before_it_grows() -> None:
    assert ask(other("SMALL", current_dedicated=30)).kind is QuotaKind.FITS


def test_a_pool_that_stays_makes_the_peak() -> None:
    """Blue/green: the old pool goes only after the new one is there, so no waiting makes room."""
    verdict = ask(other("small-old", current_dedicated=25), beside=("Small-Old",), pool="small-new")
    assert verdict.kind is QuotaKind.NEVER
    assert "need 20 cores of standardDSv5Family beside small-old 50, 70 in all" in verdict.reason
    assert "make room in small-old first" in verdict.advice


def test_a_family_quota_counts_pools_of_the_family_only() -> None:
    assert ask(other(vm_size="Standard_F4s_v2", current_dedicated=20)).kind is QuotaKind.FITS


def test_a_family_quota_that_is_not_enforced_does_not_count() -> None:
    assert ask(of=account(family_quotas={"standarddsv5family": 1}, family_quotas_enforced=False)).kind is QuotaKind.FITS


def test_a_family_without_a_quota_is_told_and_the_total_still_holds() -> None:
    verdict = ask(of=account(family_quotas={}))
    assert verdict.kind is QuotaKind.FITS
    assert "no core quota for the family standardDSv5Family" in verdict.reason


@pytest.mark.parametrize(
    ("of", "asked", "why"),
    [
        (account(allocation_mode="UserSubscription", dedicated_core_quota=0), {}, "in your subscription"),
        (account(), {"vm_size": "Standard_Odd"}, "how many cores Standard_Odd has"),
    ],
)
def test_what_nobody_knows_stands_in_nobodys_way(of: BatchAccount, asked: dict[str, Any], why: str) -> None:
    verdict = ask(of=of, **asked)
    assert (verdict.kind, verdict.error("id"), verdict.room_dedicated) == (QuotaKind.UNKNOWN, None, None)
    assert why in verdict.reason


def test_a_holder_of_unknown_size_is_named() -> None:
    verdict = ask(other(current_dedicated=41), other("odd", vm_size="Standard_Odd", current_dedicated=1))
    assert "not counted, size unknown: odd" in verdict.reason


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({"current_dedicated": 4}, (4, 0)),
        ({"target_spot": 7}, (0, 7)),
        (
            {"current_dedicated": 4, "target_dedicated": 9, "resize_errors": (resize_error("AllocationTimedout"),)},
            (4, 0),
        ),
        ({"current_dedicated": 4, "target_dedicated": 9, "allocation_state": AllocationState.RESIZING}, (9, 0)),
        ({"current_dedicated": 9, "target_dedicated": 0, "allocation_state": AllocationState.RESIZING}, (9, 0)),
        ({"current_dedicated": 4, "target_dedicated": 9, "provisioning_state": "Deleting"}, (4, 0)),
        (
            {
                "autoscale": True,
                "current_dedicated": 4,
                "resize_target_dedicated": 6,
                "allocation_state": AllocationState.RESIZING,
            },
            (6, 0),
        ),
        ({"autoscale": True, "current_dedicated": 4, "resize_target_dedicated": 6}, (4, 0)),
    ],
)
def test_a_pool_takes_what_it_has_or_is_after(changes: dict[str, Any], taken: tuple[int, int]) -> None:
    assert nodes_taken(other(**changes)) == taken


def test_what_batch_leaves_out_of_a_size_comes_from_compute() -> None:
    sizes = known_sizes({"a": replace(D2, vcpus=0), "b": F4}, {"a": replace(D2, family=""), "c": F4})
    assert (sizes["a"].vcpus, sizes["a"].family) == (2, "standardDSv5Family")
    assert set(sizes) == {"a", "b", "c"}


def test_a_question_travels_as_json() -> None:
    """Of the region's hundreds of sizes only those of the account's pools go along."""
    question = QuotaQuestion(
        account=account(),
        sizes={**SIZES, "standard_e2s_v5": vm_size(name="Standard_E2s_v5")},
        pool="small",
        vm_size="Standard_D2s_v5",
        targets=Targets(dedicated=10, spot=5),
        beside=("small-old",),
    )
    pools = [other("render", vm_size="STANDARD_F4S_V2", current_dedicated=30), other("small-old", current_spot=21)]
    value = json.loads(json.dumps(question.to_dict(pools)))
    assert set(value["sizes"]) == {"standard_d2s_v5", "standard_f4s_v2"}
    assert QuotaQuestion.from_dict(value).verdict(pools) == question.verdict(pools)
    assert QuotaQuestion.from_dict(value).account == account()


nodes = st.integers(min_value=0, max_value=60)


@given(dedicated=nodes, spot=nodes, held=nodes, held_spot=nodes, staying=nodes, quota=nodes, family=nodes)
def test_targets_fit_exactly_up_to_the_room(
    dedicated: int, spot: int, held: int, held_spot: int, staying: int, quota: int, family: int
) -> None:
    """The three answers are one ruler: never above the quota, full above the room, and what fits is within it."""
    of = account(
        dedicated_core_quota=quota * 2, family_quotas={"standarddsv5family": family * 2}, low_priority_core_quota=60
    )
    verdict = ask(
        other("held", current_dedicated=held, current_spot=held_spot),
        other("staying", current_dedicated=staying),
        of=of,
        dedicated=dedicated,
        spot=spot,
        beside=("staying",),
    )
    least = min(quota, family)
    assert verdict.room_dedicated == max(0, least - held - staying)
    assert verdict.room_spot == max(0, 30 - held_spot)
    if (dedicated and dedicated + staying > least) or spot > 30:
        assert verdict.kind is QuotaKind.NEVER
    elif dedicated > verdict.room_dedicated or spot > verdict.room_spot:
        assert verdict.kind is QuotaKind.FULL_NOW
    else:
        assert verdict.kind is QuotaKind.FITS
