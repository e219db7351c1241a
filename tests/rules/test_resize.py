"""Verdicts on a resize: what Azure's states and errors mean, and that no verdict goes on for ever."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from golden_pools.rules.facts import AllocationState, Pool, ResizeError
from golden_pools.rules.resize import (
    ResizeRequest,
    Verdict,
    VerdictKind,
    at_target,
    judge,
    resize_timeout,
    wanted,
)
from golden_pools.rules.resize.allocation import UNSEEN_LIMIT, is_acceptable
from golden_pools.rules.resize.codes import CODES, OWN_CODES, PROVIDER_CODES, REASONS
from golden_pools.rules.resize.diagnosis import diagnose
from golden_pools.spec.model import Resize, Shares, Targets, Treatment
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.build import NOW, pool, resize_error

BEFORE, OURS, LATER = NOW - timedelta(hours=1), NOW, NOW + timedelta(hours=1)


def request(**changes: Any) -> ResizeRequest:
    facts: dict[str, Any] = {
        "targets": Targets(dedicated=10, spot=5),
        "started_before": BEFORE,
        "started": OURS,
        "number": 1,
        "had": Targets(),
    }
    return ResizeRequest(**{**facts, **changes})


def steady(dedicated: int = 10, spot: int = 5, *errors: ResizeError, **changes: Any) -> Pool:
    return pool(
        current_dedicated=dedicated, current_spot=spot, resize_errors=errors, **{"resize_started": OURS, **changes}
    )


def on(pool_: Pool | None, asked: ResizeRequest | None = None, unseen: int = 0) -> Verdict:
    return judge(pool_, asked or request(), unseen=unseen)


# The states


def test_steady_at_target_without_errors_is_reached() -> None:
    assert on(steady()).kind is VerdictKind.REACHED


def test_reached_in_spite_of_errors_names_them() -> None:
    verdict = on(steady(10, 5, resize_error("AllocationTimedout", "timed out")))

    assert verdict.kind is VerdictKind.REACHED
    assert "AllocationTimedout: timed out" in verdict.reason


@pytest.mark.parametrize("state", [AllocationState.RESIZING, AllocationState.STOPPING])
def test_a_pool_in_motion_is_waited_for_even_at_its_targets(state: AllocationState) -> None:
    verdict = on(steady(allocation_state=state))

    assert verdict.kind is VerdictKind.WAIT
    assert "10 of 10 dedicated and 5 of 5 Spot nodes" in verdict.reason


def test_steady_below_target_is_no_success_though_azure_names_no_error() -> None:
    verdict = on(steady(9))

    assert (verdict.kind, verdict.code) == (VerdictKind.MISSED, "ShortWithoutError")


def test_steady_above_target_is_no_success() -> None:
    assert on(steady(11)).kind is VerdictKind.MISSED


@pytest.mark.parametrize("gone", [None, pool(provisioning_state="Deleting")])
def test_a_pool_that_goes_away_ends_the_run(gone: Pool | None) -> None:
    verdict = on(gone)

    assert (verdict.kind, verdict.code) == (VerdictKind.GIVE_UP, "PoolGone")
    assert "trigger the run again" in verdict.advice


# Whose resize


def test_pitfall_5_a_stale_error_does_not_count() -> None:
    """nextflow #7312: an AllocationTimedout of days ago made a healthy pool fail."""
    stale = steady(3, 0, resize_error("AccountCoreQuotaReached"), resize_started=BEFORE)

    verdict = on(stale)

    assert (verdict.kind, verdict.code) == (VerdictKind.WAIT, "NotSeenYet")
    assert "AccountCoreQuotaReached" not in verdict.reason


def test_old_nodes_at_target_are_not_our_success() -> None:
    assert on(steady(resize_started=BEFORE)).kind is VerdictKind.WAIT


def test_a_patch_without_effect_counts_as_lost_after_a_bounded_wait() -> None:
    stale = steady(3, 0, resize_started=BEFORE)

    verdicts = [on(stale, unseen=unseen) for unseen in range(UNSEEN_LIMIT + 1)]

    assert [verdict.kind for verdict in verdicts] == [VerdictKind.WAIT] * UNSEEN_LIMIT + [VerdictKind.MISSED]
    assert (verdicts[-1].code, bool(verdicts[-1].advice)) == ("NotSeenYet", True)


def test_the_first_resize_of_a_pool_has_no_start_before_it() -> None:
    first = request(started_before=None, started=None)

    assert on(steady(resize_started=None), first).kind is VerdictKind.WAIT
    assert on(steady(), first).kind is VerdictKind.REACHED


def test_a_resize_whose_answer_was_lost_is_known_by_its_new_start() -> None:
    """The worker died after the PATCH: what it kept before the PATCH is enough."""
    before = steady(4, 0, resize_started=BEFORE)

    kept = ResizeRequest.of(before, Targets(dedicated=10, spot=5), number=1)

    assert on(steady(4, 0, allocation_state=AllocationState.RESIZING), kept).kind is VerdictKind.WAIT
    assert on(steady(), kept).kind is VerdictKind.REACHED


def test_an_answer_that_shows_the_old_resize_does_not_make_it_ours() -> None:
    old = steady(3, 0, resize_error("AllocationTimedout"), resize_started=BEFORE)

    sent = ResizeRequest.of(old, Targets(dedicated=10, spot=5), number=1).answered(old)

    assert sent.started is None
    assert on(old, sent).code == "NotSeenYet"


def test_a_request_has_both_starts_and_what_the_pool_had() -> None:
    before = pool(resize_started=BEFORE, current_dedicated=4, current_spot=1)

    sent = ResizeRequest.of(before, Targets(), number=2).answered(pool(resize_started=OURS))

    assert sent == request(targets=Targets(), number=2, had=Targets(dedicated=4, spot=1))


def test_a_resize_that_the_run_stopped_is_not_taken_for_somebody_elses() -> None:
    """What a stopped pool's targets are is not documented."""
    stopped = steady(6, 0, resize_error("ResizeStopped"), target_dedicated=6, target_spot=0)

    assert on(stopped).kind is VerdictKind.OWNED_BY_OTHER
    verdict = on(stopped, request(stopped=True))
    assert (verdict.kind, verdict.code) == (VerdictKind.MISSED, "Stalled")


@pytest.mark.parametrize(
    ("had", "has", "targets", "moved"),
    [
        ((0, 0), (1, 0), (10, 5), True),
        ((4, 0), (4, 0), (10, 5), False),
        ((4, 4), (2, 4), (0, 0), True),
        ((4, 4), (4, 4), (0, 0), False),
        ((8, 5), (10, 3), (10, 5), False),
    ],
)
def test_whether_a_resize_brought_the_pool_nearer_to_its_targets(
    had: tuple[int, int], has: tuple[int, int], targets: tuple[int, int], moved: bool
) -> None:
    asked = request(had=Targets(dedicated=had[0], spot=had[1]), targets=Targets(dedicated=targets[0], spot=targets[1]))

    assert asked.has_moved(steady(*has)) is moved


@pytest.mark.parametrize(
    "changes",
    [
        {"target_dedicated": 3},
        {"target_spot": 0},
        {"resize_target_dedicated": 3},
        {"resize_target_spot": 0},
        {"target_dedicated": 3, "allocation_state": AllocationState.RESIZING},
    ],
)
def test_somebody_elses_targets_are_left_to_them(changes: dict[str, Any]) -> None:
    verdict = on(steady(resize_started=LATER, **changes))

    assert (verdict.kind, verdict.code) == (VerdictKind.OWNED_BY_OTHER, "OtherTargets")
    assert "resize to 10 and 5" in verdict.reason
    assert verdict.advice


def test_a_later_resize_to_the_same_targets_serves_us_too() -> None:
    assert on(steady(resize_started=LATER)).kind is VerdictKind.REACHED


def test_autoscale_switched_on_is_left_to_whoever_did_it() -> None:
    verdict = on(steady(autoscale=True))

    assert (verdict.kind, verdict.code) == (VerdictKind.OWNED_BY_OTHER, "AutoscaleOn")


# The errors


def test_a_resize_that_missed_its_targets_says_why_and_what_to_do() -> None:
    verdict = on(
        steady(6, 5, resize_error("AllocationTimedout", "slow"), resize_error("UnsupportedVMSize", "no such size"))
    )

    assert (verdict.kind, verdict.code) == (VerdictKind.MISSED, "UnsupportedVMSize")  # the gravest decides
    assert verdict.reason == (
        "6 of 10 dedicated and 5 of 5 Spot nodes allocated, resize 1; UnsupportedVMSize: no such size; "
        "AllocationTimedout: slow"
    )
    assert "pool.vm_size" in verdict.advice


@pytest.mark.parametrize(
    ("code", "treatment", "advice"),
    [
        ("AccountCoreQuotaReached", Treatment.GIVE_UP, "dedicated cores"),
        ("AccountVMSeriesCoreQuotaReached", Treatment.GIVE_UP, "VM family"),
        ("CommunicationEnabledPoolReachedMaxVMCount", Treatment.GIVE_UP, "100 nodes"),
        ("DependentResourceNotFound", Treatment.GIVE_UP, "image version"),
        ("DiskEncryptionFailure", Treatment.GIVE_UP, "disk encryption"),
        ("IncompatibleVMSize", Treatment.GIVE_UP, "generation"),
        ("UnsupportedVMSize", Treatment.GIVE_UP, "pool.vm_size"),
        ("MissingPublisherPropertyInMarketPlacePlan", Treatment.GIVE_UP, "purchase plan"),
        ("ResizeStopped", Treatment.GIVE_UP, "who stopped it"),
        ("AllocationTimedOut", Treatment.AGAIN, "resize.timeout_minutes"),
        ("allocationtimedout", Treatment.AGAIN, "resize.timeout_minutes"),
        ("RemoveNodesFailed", Treatment.AGAIN, "refresh.drain_minutes"),
        ("AllocationFailed", Treatment.LATER, "run again later"),
        ("FailedIdentityOperation", Treatment.LATER, "pool.identities"),
        ("OverconstrainedAllocationRequestError", Treatment.SMALLER, "choose another vm_size"),
        ("Unknown", Treatment.LATER, "support request"),
        ("SomethingNew", Treatment.LATER, "support request"),
    ],
)
def test_every_code_has_its_treatment_and_advice(code: str, treatment: Treatment, advice: str) -> None:
    told = diagnose(resize_error(code, "text of Azure"))

    assert (told.treatment, told.code, told.text) == (treatment, code, f"{code}: text of Azure")
    assert advice in told.row.advice


@pytest.mark.parametrize("name", ["AllocationFailed/BadRequest", "badrequest", "ALLOCATIONFAILED"])
def test_the_spec_may_treat_a_code_otherwise(name: str) -> None:
    told = diagnose(provider(json.dumps({"code": "BadRequest"})), {name: Treatment.LATER})

    assert told.treatment is Treatment.LATER
    assert "generation" in told.row.advice


def test_the_spec_may_treat_what_the_run_sees_otherwise() -> None:
    assert OWN_CODES["shortwithouterror"].treatment is Treatment.LATER
    verdict = judge(steady(3), request(), overrides={"ShortWithoutError": Treatment.GIVE_UP})
    assert verdict.kind is VerdictKind.MISSED


@pytest.mark.parametrize(("code", "blames"), [("IncompatibleVMSize", True), ("AccountCoreQuotaReached", False)])
def test_only_what_speaks_against_the_image_blames_it(code: str, blames: bool) -> None:
    assert on(steady(6, 5, resize_error(code))).blames_image is blames


@pytest.mark.parametrize(
    ("reason", "treatment"),
    [
        ("The server encountered an internal error.", Treatment.LATER),
        ("Allocation failed as subnet has delegation to external resources.", Treatment.GIVE_UP),
        (
            "Azure Batch Service does not have the desired permissions to perform a pool operation.",
            Treatment.GIVE_UP,
        ),
        ("Allocation failed as Batch is not authorized to access the key vault.", Treatment.GIVE_UP),
    ],
)
def test_allocation_failed_is_read_by_its_reason(reason: str, treatment: Treatment) -> None:
    told = diagnose(resize_error("AllocationFailed", "Desired number of nodes could not be allocated", Reason=reason))

    assert (told.treatment, told.code) == (treatment, "AllocationFailed")
    assert reason in told.text


GENERATION = "The selected VM size 'STANDARD_A1_V2' cannot boot Hypervisor Generation '2'."


def provider(value: str, truncated: str = "False") -> ResizeError:
    return resize_error(
        "AllocationFailed", "failed", Provider_Error_Json=value, Provider_Error_Json_Truncated=truncated
    )


@pytest.mark.parametrize(
    ("value", "truncated"),
    [
        (json.dumps({"error": {"code": "BadRequest", "message": GENERATION}}), "False"),
        (json.dumps({"error": {"details": [{"code": "BadRequest", "message": GENERATION}]}}), "False"),
        (json.dumps({"error": {"code": "BadRequest", "message": GENERATION}})[:60], "True"),
        ('{\\"error\\":{\\"code\\":\\"BadRequest\\",\\"mess', "True"),
    ],
    ids=["whole", "nested", "cut off", "escaped and cut off"],
)
def test_the_embedded_compute_error_is_read_even_when_it_is_cut_off(value: str, truncated: str) -> None:
    told = diagnose(provider(value, truncated))

    assert (told.treatment, told.code) == (Treatment.GIVE_UP, "AllocationFailed/BadRequest")
    assert "generation" in told.row.advice


@pytest.mark.parametrize(
    ("code", "treatment"),
    [
        ("ScopeLocked", Treatment.GIVE_UP),
        ("InternalServerError", Treatment.LATER),
        ("NetworkingInternalOperationError", Treatment.LATER),
        ("NobodyKnows", Treatment.LATER),
    ],
)
def test_embedded_codes_decide(code: str, treatment: Treatment) -> None:
    assert diagnose(provider(json.dumps({"code": code}))).treatment is treatment


@pytest.mark.parametrize(
    "value", ["", "not json", "[]", "null", '"text"', "{", '{"code": 5}', '{"target": "BadRequest"}']
)
def test_a_provider_error_that_says_no_code_is_survived(value: str) -> None:
    assert diagnose(provider(value)).treatment is Treatment.LATER


def test_details_of_other_errors_do_not_change_their_meaning() -> None:
    told = diagnose(resize_error("AccountCoreQuotaReached", Reason="The server encountered an internal error."))

    assert told.treatment is Treatment.GIVE_UP


@pytest.mark.parametrize("table", [CODES, REASONS, PROVIDER_CODES, OWN_CODES])
def test_every_row_has_advice_and_a_source(table: Any) -> None:
    for name, row in table.items():
        assert name == row.name.casefold()
        assert row.meaning
        assert row.advice
        assert row.source


# The rest


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({}, True),
        ({"allocation_state": AllocationState.RESIZING}, False),
        ({"current_spot": 4}, False),
        ({"target_spot": 4}, False),
        ({"autoscale": True}, False),
    ],
)
def test_a_pool_that_is_at_its_targets_needs_no_resize(changes: dict[str, Any], there: bool) -> None:
    assert at_target(pool(**changes), Targets(dedicated=10, spot=5)) is there


@pytest.mark.parametrize(
    ("nodes", "minutes"), [(0, 15), (300, 15), (301, 30), (1000, 30), (2000, 30), (2001, 45), (2500, 45)]
)
def test_the_resize_timeout_grows_with_the_pool(nodes: int, minutes: int) -> None:
    assert resize_timeout(Resize(), nodes) == timedelta(minutes=minutes)


def test_the_specs_timeout_wins() -> None:
    assert resize_timeout(Resize(timeout_minutes=5), 2500) == timedelta(minutes=5)


@pytest.mark.parametrize(
    ("target", "share", "nodes"), [(20, 0.95, 19), (100, 0.07, 7), (3, 0.5, 2), (1, 0.01, 1), (0, 0.5, 0), (7, 1.0, 7)]
)
def test_the_share_is_rounded_up(target: int, share: float, nodes: int) -> None:
    assert wanted(target, share) == nodes


def test_request_and_verdict_survive_json() -> None:
    asked, first = request(), request(started_before=None, started=None)
    verdict = replace(on(steady(6, 5, resize_error("IncompatibleVMSize"))), delay=timedelta(minutes=2))

    assert ResizeRequest.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked
    assert ResizeRequest.from_dict(json.loads(json.dumps(first.to_dict()))) == first
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict
    assert verdict.blames_image


# What holds for every observation

MOMENTS = st.one_of(st.none(), st.sampled_from([BEFORE, OURS, LATER]))
SMALL = st.integers(0, 12)
ERRORS = st.builds(
    ResizeError,
    code=st.one_of(st.sampled_from([row.name for row in CODES.values()]), st.text(max_size=8)),
    message=st.text(max_size=20),
    details=st.lists(
        st.tuples(
            st.sampled_from(["Reason", "Provider Error Json", "x"]),
            st.one_of(st.text(max_size=30), st.sampled_from([row.name for row in REASONS.values()])),
        ),
        max_size=2,
    ).map(tuple),
)
POOLS = st.builds(
    lambda **changes: pool(**changes),
    provisioning_state=st.sampled_from(["Succeeded", "Deleting"]),
    allocation_state=st.sampled_from(AllocationState),
    current_dedicated=SMALL,
    current_spot=SMALL,
    target_dedicated=SMALL,
    target_spot=SMALL,
    autoscale=st.booleans(),
    resize_started=MOMENTS,
    resize_errors=st.lists(ERRORS, max_size=3).map(tuple),
)
REQUESTS = st.builds(
    lambda **changes: request(**changes),
    targets=st.builds(Targets, dedicated=SMALL, spot=SMALL),
    started_before=MOMENTS,
    started=MOMENTS,
    number=st.integers(1, 5),
    stopped=st.booleans(),
)


def aimed(observed: Pool, asked: ResizeRequest) -> Pool:
    return replace(observed, target_dedicated=asked.targets.dedicated, target_spot=asked.targets.spot)


@given(POOLS, REQUESTS, st.integers(0, 9), st.booleans())
def test_every_verdict_keeps_its_promises(observed: Pool, asked: ResizeRequest, unseen: int, ours: bool) -> None:
    if ours:
        observed = aimed(observed, asked)

    verdict = judge(observed, asked, unseen=unseen)

    current = (observed.current_dedicated, observed.current_spot)
    targets = (asked.targets.dedicated, asked.targets.spot)
    assert verdict.reason
    assert verdict.code
    if verdict.kind is VerdictKind.REACHED:
        assert current == targets
        assert asked.is_ours(observed)
        assert observed.allocation_state is AllocationState.STEADY
    if verdict.kind is VerdictKind.MISSED and asked.is_ours(observed):
        assert current != targets
    if verdict.kind in (VerdictKind.GIVE_UP, VerdictKind.OWNED_BY_OTHER, VerdictKind.MISSED):
        assert verdict.advice
    assert verdict.kind not in (VerdictKind.PARTIAL, VerdictKind.RESIZE_AGAIN)
    if observed.allocation_state is AllocationState.STEADY and unseen >= UNSEEN_LIMIT:
        assert verdict.kind is not VerdictKind.WAIT


@given(POOLS, st.builds(Targets, dedicated=SMALL, spot=SMALL), st.floats(0.01, 1.0), st.floats(0.0, 1.0))
def test_an_acceptable_pool_has_its_share_of_both_kinds(
    observed: Pool, targets: Targets, dedicated: float, spot: float
) -> None:
    acceptable = is_acceptable(observed, targets, Shares(dedicated=dedicated, spot=spot))

    assert acceptable == (
        wanted(targets.dedicated, dedicated) <= observed.current_dedicated <= targets.dedicated
        and wanted(targets.spot, spot) <= observed.current_spot <= targets.spot
    )


@given(st.integers(0, 2500), st.floats(0.0001, 1.0))
def test_the_wanted_share_is_never_nothing_of_something(target: int, share: float) -> None:
    count = wanted(target, share)

    assert count <= target
    assert (count > 0) == (target > 0)
    assert count >= target * share - 1e-6


@given(st.integers(0, 2500))
def test_a_timeout_is_never_below_what_azure_takes(nodes: int) -> None:
    assert resize_timeout(Resize(), nodes) >= timedelta(minutes=15)


def test_a_naive_clock_is_not_needed() -> None:
    """Only Azure's own moments are compared: a worker whose clock is a day off judges alike."""
    long_ago = datetime(1999, 1, 1, tzinfo=UTC)

    assert on(steady(resize_started=long_ago), request(started=long_ago)).kind is VerdictKind.REACHED
