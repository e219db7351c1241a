"""Stage ``refresh``: what becomes of a pool that has nodes, drifts, is moved by others, or does not get empty."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from itertools import repeat

import pytest
from golden_pools.errors import AzureBusyError, OwnershipError, ResizeGaveUpError
from golden_pools.operators import pools
from golden_pools.operators.refresh import RefreshPoolOperator
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import NEW, OLD, Cloud, Run


@pytest.fixture
def images(cloud: Cloud) -> dict[str, str]:
    """Two image versions, and a clock that stands still."""
    cloud.freeze()
    return {version: cloud.make_version(version) for version in (OLD, NEW)}


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
    assert run.do(refresh()) == {"action": "refreshed", "image": images[NEW], "image_before": images[OLD]}
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


def with_refresh(spec: PoolSpec, **refresh: object) -> PoolSpec:
    return PoolSpec.model_validate({**spec.model_dump(mode="json"), "refresh": refresh})


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
    assert run.deferrals == ["ResizeTrigger", "ResizeTrigger"]
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
    metadata = {item["name"]: item["value"] for item in cloud.pool()["properties"]["metadata"]}
    assert metadata == {"team": "new", "golden_pools_run": "manual__1"}
    assert cloud.pool()["properties"]["currentDedicatedNodes"] == 2


def test_a_resize_of_somebody_else_is_waited_out(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    """Pitfall 12: a pool takes no change while another resize is going on."""
    cloud.make_pool(images[OLD], dedicated=1)
    cloud.resize(dedicated=4)
    cloud.forget()
    run.in_waits = repeat(lambda: cloud.advance(minutes=15))
    assert run.do(refresh())["action"] == "refreshed"
    assert run.deferrals == ["SettleTrigger", "ResizeTrigger"]


def test_a_pool_that_is_being_deleted_is_made_anew(cloud: Cloud, images: dict[str, str], run: Run) -> None:
    """Pitfall 22: the id is free only when the deletion is done."""
    cloud.make_pool(images[OLD], dedicated=1)
    cloud.delete_pool()
    run.in_waits = repeat(lambda: cloud.advance(minutes=10))
    assert run.do(refresh())["action"] == "created"
    assert run.deferrals == ["SettleTrigger"]
    assert cloud.pool()["properties"]["provisioningState"] == "Succeeded"


class Tomorrow(datetime):
    """A clock that shows the next day."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(days=1)  # type: ignore[arg-type]


def drained_too_long(
    cloud: Cloud, run: Run, monkeypatch: pytest.MonkeyPatch
) -> pytest.ExceptionInfo[ResizeGaveUpError]:
    """Let a drain end with nodes that still work, after the deadline."""

    def after_the_deadline() -> None:
        cloud.advance(minutes=65)  # Azure's own timeout ends the resize
        monkeypatch.setattr(pools, "now", lambda: Tomorrow.now(tz=cloud.world.clock.now().tzinfo))

    run.in_waits = [after_the_deadline]
    with pytest.raises(ResizeGaveUpError) as gave_up:
        run.do(refresh())
    return gave_up


def test_a_drain_past_its_deadline_gives_up_with_advice(
    cloud: Cloud, images: dict[str, str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pitfall 1: an end, and not a hang."""
    cloud.make_pool(images[OLD], dedicated=2)
    cloud.run_task(minutes=300)
    gave_up = drained_too_long(cloud, run, monkeypatch)
    assert gave_up.value.what == "The pool was not empty by the drain deadline"
    assert gave_up.value.answer == "1 node(s) still there after 1h"
    assert "refresh.deallocation: requeue" in gave_up.value.advice
    assert cloud.pool()["properties"]["deploymentConfiguration"]["virtualMachineConfiguration"]["imageReference"] == {
        "id": images[OLD]
    }


def test_a_clear_after_the_deadline_starts_a_new_one(
    cloud: Cloud, images: dict[str, str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    cloud.run_task(minutes=300)
    drained_too_long(cloud, run, monkeypatch)
    run.in_waits = repeat(lambda: cloud.advance(minutes=300))
    assert run.do(refresh())["action"] == "refreshed"


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
    assert run.do_with_retries(refresh()) == {
        "action": "refreshed",
        "image": images[NEW],
        "image_before": images[OLD],
    }
    assert len(cloud.writes()) == 1
