"""Stage ``resize``: every way in which a resize can end, and what the run makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import repeat
from typing import Any

import pytest
from golden_pools.errors import AzureBusyError, NeverFitsError, OwnershipError, ResizeGaveUpError
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import NEW, Cloud, Run

BAD_GENERATION = {
    "code": "Provider Error Json",
    "message": '{"error":{"code":"BadRequest","message":"cannot boot Hypervisor Generation \'2\'"}}',
}
FORMULA = {"autoScale": {"formula": "$TargetDedicatedNodes=1;", "evaluationInterval": "PT5M"}}


@pytest.fixture
def image(cloud: Cloud) -> str:
    """An image version, and a clock that stands still."""
    cloud.freeze()
    return cloud.make_version()


@pytest.fixture
def make_run(cloud: Cloud, spec: PoolSpec, image: str) -> Callable[..., Run]:
    """Make a run that resizes the pool; keyword arguments are those of the spec's ``resize``."""

    def make(*, dedicated: int = 3, spot: int = 0, **resize: Any) -> Run:
        settings = {"back_off_minutes": 0, **resize}
        changed = PoolSpec.model_validate({**spec.model_dump(mode="json"), "resize": settings})
        run = Run(changed, conf={"image_version": NEW, "dedicated": dedicated, "spot": spot})
        run.in_waits = repeat(lambda: cloud.advance(minutes=20))
        return run

    return make


def resize() -> ResizePoolOperator:
    return ResizePoolOperator(task_id="resize")


def targets_sent(cloud: Cloud) -> list[tuple[int, int]]:
    """Return the targets of every resize that was asked for, in order."""
    bodies = [json.loads(entry["request_body"]) for entry in cloud.requests() if entry["method"] == "PATCH"]
    scales = [body["properties"]["scaleSettings"]["fixedScale"] for body in bodies]
    return [(scale["targetDedicatedNodes"], scale["targetLowPriorityNodes"]) for scale in scales]


def gives_up(run: Run) -> ResizeGaveUpError:
    with pytest.raises(ResizeGaveUpError) as gave_up:
        run.do(resize())
    assert gave_up.value.resource == run.plan.pool_id
    assert gave_up.value.advice
    return gave_up.value


def test_a_timeout_is_asked_again_and_the_nodes_that_came_are_kept(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    """Pitfall 10: the default timeout is short for custom images."""
    cloud.make_pool(image)
    cloud.allocation(max_dedicated_nodes=2)
    result = make_run(dedicated=3).do(resize())
    assert (result["verdict"], result["resizes"], result["dedicated"]) == ("reached", 2, 3)
    assert targets_sent(cloud) == [(3, 0), (3, 0)]  # what brought nodes is asked again


def test_attempts_are_bounded(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Pitfall 8: no endless loop of resizes."""
    cloud.make_pool(image)
    cloud.allocation(max_dedicated_nodes=2, resizes=9)
    error = gives_up(make_run(attempts=3))
    assert "AllocationTimedout" in error.answer
    assert "2 of 3 dedicated" in error.answer
    assert "after 3 resizes" in error.answer
    assert "resize.timeout_minutes" in error.advice
    assert len(cloud.writes()) == 3


@pytest.mark.parametrize(
    ("code", "quota"),
    [
        ("AccountCoreQuotaReached", "dedicated cores"),
        ("AccountVMSeriesCoreQuotaReached", "cores of the VM family"),
        ("AccountSpotCoreQuotaReached", "Spot/low-priority cores"),
    ],
)
def test_a_quota_ends_the_run_at_the_first_verdict(
    cloud: Cloud, image: str, make_run: Callable[..., Run], code: str, quota: str
) -> None:
    """Pitfall 24: the quota is named, and where to ask for more."""
    cloud.make_pool(image)
    is_spot = "Spot" in code
    cloud.allocation(error={"code": code}, **{"max_low_priority_nodes" if is_spot else "max_dedicated_nodes": 1})
    error = gives_up(make_run(dedicated=0, spot=3) if is_spot else make_run())
    assert code in error.answer
    assert f"ask for more {quota}" in error.advice
    assert len(cloud.writes()) == 1


def test_what_can_never_fit_fails_before_anything_is_asked_for(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    """Four cores are two nodes of this size."""
    cloud.make_pool(image, dedicated=1)
    cloud.forget()
    dedicated_quota(cloud, 4)
    with pytest.raises(NeverFitsError) as never:
        make_run(dedicated=3).do(resize())
    assert "the targets need 6 dedicated cores, the account's quota is 4" in never.value.answer
    assert cloud.writes() == []


def test_a_rollback_takes_what_fits(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """A pool that lost its nodes gets back those that a quota, lowered meanwhile, lets through; and the run says so."""
    cloud.make_pool(image)
    dedicated_quota(cloud, 4)
    with pytest.raises(NeverFitsError):
        make_run(dedicated=3).do(ResizePoolOperator(task_id="resize", even_partly=True))
    assert cloud.pool()["properties"]["currentDedicatedNodes"] == 2


def dedicated_quota(cloud: Cloud, cores: int) -> None:
    account = cloud.world.batch.account("goldenbatch")
    assert account is not None
    account.facts = account.facts.model_copy(update={"dedicated_core_quota": cores})


def test_an_unknown_code_is_tried_a_bounded_number_of_times(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image)
    cloud.allocation(error={"code": "SomethingNew", "message": "never seen before"}, resizes=9)
    error = gives_up(make_run(attempts=2, tactics=["back_off"]))
    assert "SomethingNew: never seen before" in error.answer
    assert len(cloud.writes()) == 2


def test_an_internal_error_of_the_service_is_asked_again(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image)
    reason = {"code": "Reason", "message": "The server encountered an internal error."}
    cloud.allocation(error={"code": "AllocationFailed", "details": [reason]})
    assert make_run().do(resize())["resizes"] == 2


def test_a_refusal_of_compute_is_not_asked_again(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """The same code as an internal error; only the details tell that no repetition helps."""
    cloud.make_pool(image)
    cloud.allocation(error={"code": "AllocationFailed", "details": [BAD_GENERATION]})
    error = gives_up(make_run())
    assert error.answer.startswith("AllocationFailed/BadRequest")
    assert "generation" in error.advice
    assert len(cloud.writes()) == 1


def test_a_generation_that_the_size_cannot_boot_is_told_by_the_simulator_itself(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image, vmSize="STANDARD_A2_V2")
    error = gives_up(make_run())
    assert "cannot boot Hypervisor Generation" in error.answer


def test_errors_of_an_earlier_resize_do_not_count(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Pitfall 5 and pitfall 7: a pool is not stuck on the error that its last resize left behind."""
    cloud.make_pool(image)
    cloud.allocation(max_dedicated_nodes=0, error={"code": "AccountCoreQuotaReached"})
    cloud.resize(dedicated=2)
    cloud.advance(minutes=20)
    assert cloud.pool()["properties"]["resizeOperationStatus"]["errors"][0]["code"] == "AccountCoreQuotaReached"
    assert make_run().do(resize())["verdict"] == "reached"


def test_old_errors_that_reads_still_show_do_not_count(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Pitfall 5: after our PATCH, reads may show the pool as it was before for a while."""
    cloud.make_pool(image)
    cloud.allocation(max_dedicated_nodes=0, error={"code": "AccountCoreQuotaReached"})
    cloud.resize(dedicated=2)
    cloud.advance(minutes=20)
    cloud.configure(batch={"steady_after_resize_request": 600})
    run = make_run()
    run.in_waits = [lambda: _later(cloud, 0.5)]
    assert run.do(resize())["verdict"] == "reached"


def _later(cloud: Cloud, real_seconds: float) -> None:
    """Let twenty simulated minutes pass some real time from now: the trigger looks before and after."""
    cloud.control("PATCH", "clock", {"speed": 1200 / real_seconds})


def test_steady_alone_is_no_success(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Pitfall 9: a pool without nodes that rests has not reached anything."""
    cloud.make_pool(image)
    cloud.allocation(max_dedicated_nodes=0, error={"code": "ResizeStopped"})
    error = gives_up(make_run())
    assert cloud.pool()["properties"]["allocationState"] == "Steady"
    assert "0 of 3 dedicated" in error.answer


def test_an_acceptable_share_is_a_success_with_a_warning(
    cloud: Cloud, image: str, make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """Pitfall 2: 98 of 100 nodes are a warning, not a crash."""
    cloud.make_pool(image)
    cloud.allocation(max_dedicated_nodes=98, resizes=9)
    run = make_run(dedicated=100, attempts=2, smallest_acceptable_share={"dedicated": 0.95, "spot": 0.95})
    result = run.do(resize())
    # two resizes at once, one of a single node
    assert (result["verdict"], result["resizes"], result["dedicated"], result["spot"]) == ("partial", 4, 98, 0)
    assert "98 of 100 dedicated" in capsys.readouterr().out


def test_too_small_a_share_fails(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image)
    cloud.allocation(max_dedicated_nodes=94, resizes=9)
    error = gives_up(make_run(dedicated=100, attempts=2, smallest_acceptable_share={"dedicated": 0.95, "spot": 0.95}))
    assert "94 of 100 dedicated" in error.answer


def test_somebody_elses_resize_during_ours_is_a_conflict(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image)

    def somebody_resizes() -> None:
        cloud.advance(minutes=5)
        cloud.resize(dedicated=7)

    run = make_run()
    run.in_waits = [somebody_resizes]
    with pytest.raises(OwnershipError) as conflict:
        run.do(resize())
    assert conflict.value.resource == run.plan.pool_id
    assert "somebody asked for 7 dedicated and 0 Spot nodes during our resize to 3 and 0" in conflict.value.answer
    assert "let the other resize finish" in conflict.value.advice


def test_a_clear_after_a_conflict_waits_for_the_other_and_resizes(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image)
    run = make_run(attempts=1)
    run.in_waits = [lambda: (cloud.advance(minutes=5), cloud.resize(dedicated=7))]
    with pytest.raises(OwnershipError):
        run.do(resize())
    run.in_waits = repeat(lambda: cloud.advance(minutes=20))
    assert run.do(resize()) == {
        "pool": "small",
        "targets": {"dedicated": 3, "spot": 0},
        "verdict": "reached",
        "reason": "3 of 3 dedicated and 0 of 0 Spot nodes allocated, resize 1",
        "resizes": 1,
        "dedicated": 3,
        "spot": 0,
    }
    assert run.deferrals == ["ResizeTrigger", "SettleTrigger", "ResizeTrigger"]


def test_an_image_that_was_deleted_before_the_scale_out(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image)
    cloud.world.compute.versions.discard(cloud.world.compute.versions.find(image).rid)  # type: ignore[union-attr]
    error = gives_up(make_run())
    assert error.answer.startswith("DependentResourceNotFound")
    assert "check that the image version" in error.advice
    assert len(cloud.writes()) == 1


def test_a_pool_that_was_deleted_meanwhile(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image)
    run = make_run()
    run.in_waits = [cloud.delete_pool]
    error = gives_up(run)
    assert "PoolGone" in error.answer


def test_a_pool_that_is_not_there_at_all(image: str, make_run: Callable[..., Run]) -> None:
    error = gives_up(make_run())
    assert error.answer == "PoolGone: the pool does not exist any more"
    assert "it makes the pool anew" in error.advice


def test_an_autoscale_pool_gets_fixed_targets(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image, scaleSettings=FORMULA)
    assert make_run(autoscale="switch_off").do(resize())["verdict"] == "reached"
    assert "autoScale" not in cloud.pool()["properties"]["scaleSettings"]


def test_an_autoscale_pool_is_left_alone_where_the_spec_does_not_say_otherwise(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image, scaleSettings=FORMULA)
    with pytest.raises(OwnershipError) as owned:
        make_run().do(resize())
    assert "resize.autoscale: switch_off" in owned.value.advice
    assert "autoScale" in cloud.pool()["properties"]["scaleSettings"]


def test_a_clear_after_giving_up_starts_with_fresh_attempts(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image)
    cloud.allocation(max_dedicated_nodes=2, resizes=3)
    run = make_run(attempts=2)
    gives_up(run)
    assert run.do(resize())["resizes"] == 2  # the first of the new ones still found no capacity


def test_a_clear_after_a_partial_success_starts_with_fresh_attempts(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image)
    cloud.allocation(max_dedicated_nodes=2)
    run = make_run(attempts=1, smallest_acceptable_share={"dedicated": 0.6, "spot": 0.6})
    assert run.do(resize())["verdict"] == "partial"
    assert run.do(resize())["verdict"] == "reached"


def test_a_resize_that_azure_was_too_busy_to_take_costs_no_attempt(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image)
    cloud.fault(method="PATCH", status=409, code="PoolBeingResized")
    run = make_run(attempts=1)
    with pytest.raises(AzureBusyError):
        run.do(resize())
    assert run.do(resize())["resizes"] == 1


def test_a_resize_whose_answer_is_lost_is_adopted(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image)
    cloud.fault(method="PATCH", lose_reply=True)
    assert make_run().do_with_retries(resize())["resizes"] == 1
    assert len(cloud.writes()) == 1


def test_a_pool_can_be_kept_empty(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Pitfall 10: scaling to zero is no alarm."""
    cloud.make_pool(image, dedicated=2)
    result = make_run(dedicated=0).do(resize())
    assert (result["verdict"], result["dedicated"]) == ("reached", 0)


def test_a_pool_at_its_targets_is_left_alone(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=3)
    assert make_run().do(resize())["resizes"] == 0
    assert cloud.writes() == []


def test_somebody_elses_resize_is_waited_out_first(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Pitfall 12: a resize cannot begin while another one goes on."""
    cloud.make_pool(image)
    cloud.resize(dedicated=9)
    run = make_run()
    assert run.do(resize())["verdict"] == "reached"
    assert run.deferrals == ["SettleTrigger", "ResizeTrigger"]
