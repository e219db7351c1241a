"""Stage ``refresh``: what becomes of a pool that has nodes, drifts, is moved by others, or does not get empty."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from itertools import repeat

import pytest
from golden_pools.errors import AzureBusyError, AzureRefusedError, OwnershipError, ResizeGaveUpError
from golden_pools.operators.refresh import RefreshPoolOperator
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import NEW, OLD, Cloud, Run, with_refresh


@pytest.fixture
def run(spec: PoolSpec) -> Run:
    """A run that puts the pool on the version that is there already."""
    return Run(spec, conf={"image_version": NEW})


def refresh() -> RefreshPoolOperator:
    return RefreshPoolOperator(task_id="refresh")


def scales_sent(cloud: Cloud) -> list[dict[str, object]]:
    """Return the ``fixedScale`` of every resize that was asked for, in order."""
    bodies = [json.loads(entry["request_body"]) for entry in cloud.requests() if entry["method"] == "PATCH"]
    properties = [body["properties"] for body in bodies]
    return [changed["scaleSettings"]["fixedScale"] for changed in properties if "scaleSettings" in changed]


def test_a_pool_with_nodes_is_drained_and_changed_and_its_new_nodes_run_the_new_version(
    cloud: Cloud, images: dict[str, str], run: Run
) -> None:
    """Pitfall 19: the image changes in place; proof is what the nodes themselves say."""
    cloud.make_pool(images[OLD], dedicated=2)
    run.in_waits = repeat(lambda: cloud.advance(minutes=10))
    assert run.do(refresh()) == {
        "action": "refreshed",
        "strategy": "in_place",
        "pool": "small",
        "image": images[NEW],
        "image_before": images[OLD],
        "pool_before": "small",
    }
    run.do(ResizePoolOperator(task_id="resize"))
    assert cloud.node_images() == [images[NEW]] * 3


def test_the_pool_keeps_its_id_and_is_never_deleted(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    run.in_waits = repeat(lambda: cloud.advance(minutes=10))
    run.do(refresh())
    assert {write.split()[0] for write in cloud.writes()} == {"PATCH"}
    assert cloud.pool()["name"] == "small"


@pytest.mark.parametrize(
    ("option", "wire"), [("requeue", "Requeue"), ("terminate", "Terminate"), ("task_completion", "TaskCompletion")]
)
def test_the_drain_treats_running_tasks_as_the_spec_says(
    cloud: Cloud, images: dict[str, str], spec: PoolSpec, option: str, wire: str
) -> None:
    cloud.make_pool(images[OLD], dedicated=1)
    run = Run(with_refresh(spec, deallocation=option), conf={"image_version": NEW})
    run.in_waits = [lambda: cloud.advance(minutes=10)]
    run.do(refresh())
    (drain,) = scales_sent(cloud)
    assert drain["targetDedicatedNodes"] == 0
    assert drain["nodeDeallocationOption"] == wire


def test_a_pool_is_pinned_to_one_version(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    """Pitfall 23: a reference to "latest" would roll nodes to an image that nobody put there."""
    run.do(refresh())
    machine = cloud.pool()["properties"]["deploymentConfiguration"]["virtualMachineConfiguration"]
    assert machine["imageReference"] == {"id": images[NEW]}


def test_a_running_task_is_finished_first(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    """The drain outlives a resize timeout and goes on until the task is done."""
    cloud.make_pool(images[OLD], dedicated=1)
    cloud.run_task(minutes=70)
    run.in_waits = [lambda: cloud.advance(minutes=65), lambda: cloud.advance(minutes=20)]
    assert run.do(refresh())["action"] == "refreshed"
    assert run.deferrals == ["DrainTrigger", "DrainTrigger"]
    assert cloud.plane("GET", "/jobs/work/tasks/long")["state"] == "completed"


def test_a_pool_on_the_image_is_left_alone(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    cloud.make_pool(images[NEW], dedicated=2)
    assert run.do(refresh())["action"] == "left as it was"
    assert cloud.writes() == []


def test_drifted_metadata_is_mended_without_a_drain(cloud: Cloud, images: dict[str, str], spec: PoolSpec) -> None:
    """Pitfall 21: a pool that is there does not silently keep what the spec has changed."""
    cloud.make_pool(images[NEW], dedicated=2, metadata=[{"name": "team", "value": "old"}])
    changed = spec.model_dump(mode="json")
    changed["pool"]["metadata"] = {"team": "new"}
    run = Run(PoolSpec.model_validate(changed), conf={"image_version": NEW})
    assert run.do(refresh())["action"] == "refreshed"
    assert run.deferrals == []
    metadata = cloud.marks()
    assert datetime.fromisoformat(metadata.pop("golden_pools_since")).tzinfo is not None
    assert metadata == {
        "team": "new",
        "golden_pools_alias": "small",
        "golden_pools_role": "current",
        "golden_pools_run": "manual__1",
    }
    assert cloud.pool()["properties"]["currentDedicatedNodes"] == 2


def test_a_resize_of_somebody_else_is_waited_out(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    """Pitfall 12: a pool takes no change while another resize is going on."""
    cloud.make_pool(images[OLD], dedicated=1)
    cloud.resize(dedicated=4)
    cloud.forget()
    run.in_waits = repeat(lambda: cloud.advance(minutes=15))
    assert run.do(refresh())["action"] == "refreshed"
    assert run.deferrals == ["SettleTrigger", "DrainTrigger"]


def test_a_pool_that_is_being_deleted_is_made_anew(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    """Pitfall 22: the id is free only when the deletion is done."""
    cloud.make_pool(images[OLD], dedicated=1)
    cloud.delete_pool()
    run.in_waits = repeat(lambda: cloud.advance(minutes=10))
    assert run.do(refresh())["action"] == "created"
    assert run.deferrals == ["GoneTrigger"]
    assert cloud.pool()["properties"]["provisioningState"] == "Succeeded"


# -- tasks that outlast the deadline -----------------------------------------------------------------------------------


def outlasting(cloud: Cloud, later: Callable[..., None]) -> Callable[[], None]:
    """Return what happens in a wait for a drain that runs into its deadline."""

    def after_the_deadline() -> None:
        cloud.advance(minutes=65)  # Azure's own timeout ends the resize
        later(minutes=65)

    return after_the_deadline


def gives_up(run: Run) -> ResizeGaveUpError:
    with pytest.raises(ResizeGaveUpError) as gave_up:
        run.do(refresh())
    return gave_up.value


def test_a_drain_past_its_deadline_gives_the_pool_its_nodes_back(
    cloud: Cloud, images: dict[str, str], run: Run, later: Callable[..., None]
) -> None:
    """Pitfall 1: an end, and not a hang. The default: `drain_fallback: restore`."""
    cloud.make_pool(images[OLD], dedicated=2)
    cloud.run_task(minutes=300)
    run.in_waits = [outlasting(cloud, later), lambda: cloud.advance(minutes=20)]
    error = gives_up(run)
    assert error.what == (
        f"The pool could not be emptied; the pool has its old size back, 2 dedicated and 0 Spot nodes on {OLD}"
    )
    assert error.answer == "1 node still there after 1 resize to zero, with 1h for running tasks"
    assert "refresh.drain_fallback: requeue" in error.advice
    assert cloud.image_of() == images[OLD]
    assert cloud.node_images() == [images[OLD]] * 2
    assert cloud.task() == {"state": "running", "exit_code": None, "requeues": 0}


def test_a_drain_that_still_goes_on_at_the_deadline_is_stopped(
    cloud: Cloud, images: dict[str, str], run: Run, later: Callable[..., None]
) -> None:
    """The worker looks before Azure's own timeout has come: the node that left comes back, the other one stays."""
    cloud.make_pool(images[OLD], dedicated=2)
    cloud.run_task(minutes=300)
    first = run.begin(refresh())
    assert type(first).__name__ == "DrainTrigger"
    cloud.advance(minutes=5)
    later(minutes=65)
    run.in_waits = repeat(lambda: cloud.advance(minutes=20))
    with pytest.raises(ResizeGaveUpError) as gave_up:
        run.resume(refresh())
    assert "the pool has its old size back, 2 dedicated and 0 Spot nodes" in gave_up.value.what
    assert [write for write in cloud.writes() if write.endswith("/stopResize")] != []
    assert cloud.task()["requeues"] == 0


def test_tasks_that_outlast_the_deadline_go_back_into_the_queue_if_the_spec_says_so(
    cloud: Cloud, images: dict[str, str], spec: PoolSpec, later: Callable[..., None]
) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    cloud.run_task(minutes=300)
    run = Run(with_refresh(spec, drain_fallback="requeue"), conf={"image_version": NEW})
    run.in_waits = [outlasting(cloud, later), lambda: cloud.advance(minutes=10)]
    assert run.do(refresh())["action"] == "refreshed"
    options = [scale["nodeDeallocationOption"] for scale in scales_sent(cloud)]
    assert options == ["TaskCompletion", "Requeue"]
    assert cloud.task()["requeues"] == 1
    run.in_waits = repeat(lambda: cloud.advance(minutes=10))
    run.do(ResizePoolOperator(task_id="resize"))
    cloud.advance(minutes=3)
    assert cloud.task()["state"] == "running"


def test_a_clear_after_the_deadline_starts_a_new_one(
    cloud: Cloud, images: dict[str, str], run: Run, later: Callable[..., None]
) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    cloud.run_task(minutes=300)
    run.in_waits = [outlasting(cloud, later), lambda: cloud.advance(minutes=20)]
    gives_up(run)
    run.in_waits = repeat(lambda: cloud.advance(minutes=300))
    assert run.do(refresh())["action"] == "refreshed"


def test_a_size_that_somebody_changed_meanwhile_is_left_alone(
    cloud: Cloud, images: dict[str, str], run: Run, later: Callable[..., None]
) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    cloud.run_task(minutes=300)
    cloud.fault(method="PATCH", status=503, code="ServerBusy", count=None, skip=1)
    run.in_waits = [outlasting(cloud, later)]
    with pytest.raises(AzureBusyError):
        run.do(refresh())
    cloud.control("DELETE", "faults")
    cloud.resize(dedicated=7)
    error = gives_up(run)
    assert "somebody else has resized the pool meanwhile, so it stays as it is" in error.what


# -- Azure refuses -----------------------------------------------------------------------------------------------------


def refuse_the_image(cloud: Cloud) -> None:
    """Let Azure refuse the second PATCH, which changes the image of the empty pool."""
    cloud.fault(method="PATCH", status=400, code="InvalidPropertyValue", message="The image cannot be used.", skip=1)


def test_a_pool_that_shrank_and_could_not_be_changed_is_grown_again(
    cloud: Cloud, images: dict[str, str], run: Run
) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    refuse_the_image(cloud)
    run.in_waits = repeat(lambda: cloud.advance(minutes=15))
    with pytest.raises(AzureRefusedError) as refused:
        run.do(refresh())
    assert "Could not change the pool's image" in refused.value.what
    assert f"the pool has its old size back, 2 dedicated and 0 Spot nodes on {OLD}" in refused.value.what
    assert "InvalidPropertyValue: The image cannot be used." in refused.value.answer
    assert cloud.node_images() == [images[OLD]] * 2


def test_a_pool_that_cannot_be_grown_again_is_told_with_both_errors(
    cloud: Cloud, images: dict[str, str], run: Run
) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    refuse_the_image(cloud)
    cloud.allocation(max_dedicated_nodes=1, resizes=9)
    run.in_waits = repeat(lambda: cloud.advance(minutes=20))
    with pytest.raises(AzureRefusedError) as refused:
        run.do(refresh())
    assert "of its old size, 2 dedicated and 0 Spot nodes, it has less again" in refused.value.what
    assert "1 of 2 dedicated and 0 of 0 Spot nodes allocated after" in refused.value.what
    assert "InvalidPropertyValue" in refused.value.answer


def test_a_pool_that_no_quota_lets_grow_again_is_told_with_both_errors(
    cloud: Cloud, images: dict[str, str], run: Run
) -> None:
    """The quota was lowered while the pool was empty: it gets what fits."""
    cloud.make_pool(images[OLD], dedicated=2)
    refuse_the_image(cloud)
    account = cloud.world.batch.account("goldenbatch")
    assert account is not None
    account.facts = account.facts.model_copy(update={"dedicated_core_quota": 2})
    run.in_waits = repeat(lambda: cloud.advance(minutes=20))
    with pytest.raises(AzureRefusedError) as refused:
        run.do(refresh())
    assert "it does not have its old size back" in refused.value.what
    assert "the account's quota is 2" in refused.value.what
    assert "InvalidPropertyValue" in refused.value.answer
    assert len(cloud.node_images()) == 1


def test_a_refused_change_of_a_pool_that_had_no_nodes_is_just_told(
    cloud: Cloud, images: dict[str, str], run: Run
) -> None:
    cloud.make_pool(images[OLD])
    cloud.fault(method="PATCH", status=400, code="InvalidPropertyValue", message="The image cannot be used.")
    with pytest.raises(AzureRefusedError):
        run.do(refresh())
    assert len(cloud.writes()) == 1


# -- what rollback needs -----------------------------------------------------------------------------------------------


def test_what_was_there_is_pushed_ahead_of_the_first_write_and_again_by_a_retry(
    cloud: Cloud, images: dict[str, str], run: Run
) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    cloud.fault(method="PATCH", status=503, code="ServerBusy", count=None)
    for _ in range(2):
        with pytest.raises(AzureBusyError):
            run.do(refresh())
        before = run.pushed["refresh", "before"]
        assert (before["pool"], before["image_id"]) == ("small", images[OLD])
        assert before["targets"] == {"dedicated": 2, "spot": 0}


def test_a_retry_of_a_drained_pool_still_knows_its_old_size(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    run.begin(refresh())
    cloud.advance(minutes=10)
    run.do(refresh())
    assert run.pushed["refresh", "before"]["targets"] == {"dedicated": 2, "spot": 0}


@pytest.mark.parametrize("there", [True, False], ids=["on the image", "no pool"])
def test_nothing_is_pushed_where_no_pool_is_touched(
    cloud: Cloud, images: dict[str, str], run: Run, there: bool
) -> None:
    if there:
        cloud.make_pool(images[NEW], dedicated=2)
    result = run.do(refresh())
    assert run.pushed == {}
    assert result["pool_before"] == ("small" if there else None)


def test_secrets_of_a_start_task_are_neither_pushed_nor_kept(
    cloud: Cloud, images: dict[str, str], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = [{"name": "TOKEN", "value": "hunter2"}]
    cloud.make_pool(images[OLD], startTask={"commandLine": "/bin/true", "environmentSettings": environment})
    run.do(refresh())
    assert run.pushed["refresh", "before"]["unknown_environment"] == ["TOKEN"]
    assert "hunter2" not in json.dumps([list(run.pushed.values()), run.xcoms, run.stores["refresh"].values])
    assert "hunter2" not in capsys.readouterr().out


# -- who else is there -------------------------------------------------------------------------------------------------


def test_a_pool_that_scales_by_formula_is_left_alone(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    """The default: `resize.autoscale: refuse`."""
    cloud.make_pool(images[OLD], scaleSettings={"autoScale": {"formula": "$TargetDedicatedNodes = 2;"}})
    with pytest.raises(OwnershipError) as refused:
        run.do(refresh())
    assert "resize.autoscale: switch_off" in refused.value.advice
    assert cloud.writes() == []


def test_a_second_conflict_is_believed_and_names_the_pool(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    cloud.make_pool(images[OLD])
    cloud.fault(method="PATCH", status=412, code="ConditionNotMet", count=None, message="The ETag does not match.")
    with pytest.raises(OwnershipError) as conflict:
        run.do(refresh())
    assert conflict.value.resource == run.plan.pool_id
    assert "ConditionNotMet" in conflict.value.answer
    assert "let the other run or person finish" in conflict.value.advice
    assert len(cloud.writes()) == 2


def test_one_conflict_makes_the_task_look_again(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    cloud.make_pool(images[OLD])
    cloud.fault(method="PATCH", status=412, code="ConditionNotMet")
    assert run.do(refresh())["action"] == "refreshed"


def test_another_resize_during_the_drain_names_both_targets(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    cloud.make_pool(images[OLD], dedicated=2)

    def somebody_resizes() -> None:
        cloud.advance(minutes=10)
        cloud.resize(dedicated=5)

    run.in_waits = [somebody_resizes]
    with pytest.raises(OwnershipError) as conflict:
        run.do(refresh())
    assert conflict.value.resource == run.plan.pool_id
    assert "somebody asked for 5 dedicated and 0 Spot nodes during our resize to 0 and 0" in conflict.value.answer


def test_a_drain_whose_answer_is_lost_is_adopted(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    cloud.fault(method="PATCH", lose_reply=True)
    run.in_waits = repeat(lambda: cloud.advance(minutes=10))
    with pytest.raises(AzureBusyError):
        run.do(refresh())
    assert run.do(refresh())["action"] == "refreshed"
    assert len(cloud.writes()) == 2  # one drain, one change of the image


def test_an_image_change_whose_answer_is_lost_is_not_repeated(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    cloud.make_pool(images[OLD])
    cloud.fault(method="PATCH", lose_reply=True)
    result = run.do_with_retries(refresh())
    assert (result["action"], result["image_before"]) == ("refreshed", images[OLD])
    assert len(cloud.writes()) == 1
