"""Emptying a pool, on one clock with Azure: until its deadline, past it, and what others do to it meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import repeat
from types import SimpleNamespace
from typing import Any

import pytest
from golden_pools.errors import AzureBusyError, AzureRefusedError, OwnershipError, ResizeGaveUpError
from golden_pools.operators import drain
from golden_pools.operators.refresh import RefreshPoolOperator
from golden_pools.rules.drain import ATTEMPTS
from golden_pools.spec.model import Deallocation

from tests.operators.conftest import ACCOUNT, NEW, OLD, Cloud, Run
from tests.operators.roads import Scene
from tests.operators.test_refresh import scales_sent

REFUSED = {"status": 400, "code": "InvalidPropertyValue", "message": "The image cannot be used."}


def refresh() -> RefreshPoolOperator:
    return RefreshPoolOperator(task_id="refresh")


def draining(scene: Scene, *in_waits: Callable[[], object], **refresh: Any) -> Run:
    """Return a run that has to empty the pool; keywords are those of the spec's ``refresh``."""
    run = scene.run("in_place", refresh=refresh)
    run.in_waits = in_waits
    return run


def gives_up(run: Run) -> ResizeGaveUpError:
    with pytest.raises(ResizeGaveUpError) as gave_up:
        run.do(refresh())
    return gave_up.value


def on_old(scene: Scene, nodes: int = 2) -> None:
    """The pool is on the old image with all its nodes."""
    assert scene.pools()["small"] == {"image": OLD, "targets": (nodes, 0), "nodes": [OLD] * nodes, "role": None}


def drains(cloud: Cloud) -> list[tuple[str, str]]:
    """Return deallocation option and timeout of every resize to zero."""
    return [
        (str(scale["nodeDeallocationOption"]), str(scale["resizeTimeout"]))
        for scale in scales_sent(cloud)
        if scale["targetDedicatedNodes"] == 0
    ]


# -- in time -----------------------------------------------------------------------------------------------------------


def test_a_pool_without_work_is_empty_in_minutes(scene: Scene) -> None:
    begun, run = scene.virtual.now(), draining(scene)
    assert run.do(refresh())["action"] == "refreshed"
    assert scene.virtual.now() - begun < timedelta(minutes=3)
    assert drains(scene.cloud) == [("TaskCompletion", "PT60M")]


def test_a_task_that_ends_in_time_is_waited_for(scene: Scene) -> None:
    scene.cloud.run_task(minutes=50)
    run = draining(scene)
    assert run.do(refresh())["action"] == "refreshed"
    assert scene.cloud.task() == {"state": "completed", "exit_code": 0, "requeues": 0}
    assert len(drains(scene.cloud)) == 1


@pytest.mark.parametrize(
    ("deallocation", "task"),
    [
        ("requeue", {"state": "active", "exit_code": None, "requeues": 1}),
        ("terminate", {"state": "completed", "exit_code": None, "requeues": 0}),
    ],
)
def test_tasks_that_are_not_waited_for_end_as_the_spec_says(
    scene: Scene, deallocation: str, task: dict[str, object]
) -> None:
    scene.cloud.run_task(minutes=6000)
    begun, run = scene.virtual.now(), draining(scene, deallocation=deallocation)
    assert run.do(refresh())["action"] == "refreshed"
    assert scene.virtual.now() - begun < timedelta(minutes=3)
    assert scene.cloud.task() == task


def test_reads_that_still_show_the_pool_before_the_drain_are_no_end(scene: Scene) -> None:
    scene.cloud.configure(batch={"steady_after_resize_request": "PT1M"})
    run = draining(scene)
    assert run.do(refresh())["action"] == "refreshed"
    assert len(drains(scene.cloud)) == 1


def test_spot_nodes_go_too(scene: Scene) -> None:
    scene.cloud.resize(dedicated=2, spot=3)
    scene.cloud.advance(minutes=30)
    assert draining(scene).do(refresh())["action"] == "refreshed"
    assert scene.pools()["small"]["nodes"] == []


# -- past the deadline -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["AllocationTimedout", "RemoveNodesFailed"])
def test_restore_brings_the_old_size_back_right_after_the_deadline(scene: Scene, code: str) -> None:
    """The default. Whichever code Azure has for a drain that took too long."""
    scene.cloud.configure(batch={"drain_timeout_code": code})
    scene.cloud.run_task(minutes=6000)
    begun = scene.virtual.now()
    error = gives_up(draining(scene, drain_minutes=45))
    assert timedelta(minutes=45) <= scene.virtual.now() - begun < timedelta(minutes=70)
    assert f"the pool has its old size back, 2 dedicated and 0 Spot nodes on {OLD}" in error.what
    assert error.answer == "1 node still there after 1 resize to zero, with 45m for running tasks"
    on_old(scene)
    assert scene.cloud.task() == {"state": "running", "exit_code": None, "requeues": 0}
    assert drains(scene.cloud) == [("TaskCompletion", "PT45M")]


def test_restore_brings_both_kinds_of_nodes_back(scene: Scene) -> None:
    scene.cloud.resize(dedicated=2, spot=3)
    scene.cloud.advance(minutes=30)
    scene.cloud.run_task(minutes=6000)
    error = gives_up(draining(scene))
    assert "2 dedicated and 3 Spot nodes" in error.what
    assert scene.pools()["small"]["targets"] == (2, 3)
    assert len(scene.pools()["small"]["nodes"]) == 5


def test_requeue_puts_the_tasks_back_and_goes_on(scene: Scene) -> None:
    scene.cloud.run_task(minutes=6000)
    begun = scene.virtual.now()
    run = draining(scene, drain_minutes=45, drain_fallback="requeue")
    assert run.do(refresh())["action"] == "refreshed"
    assert timedelta(minutes=45) <= scene.virtual.now() - begun < timedelta(minutes=70)
    assert [option for option, _ in drains(scene.cloud)] == ["TaskCompletion", "Requeue"]
    assert scene.cloud.task() == {"state": "active", "exit_code": None, "requeues": 1}


def test_requeue_stops_a_drain_that_azure_lets_run_on(scene: Scene) -> None:
    """The worker comes late, and Azure's own timeout is later still: the drain would go on with the old option."""
    scene.cloud.run_task(minutes=6000)
    run = draining(scene, drain_minutes=45, drain_fallback="requeue")
    run.begin(refresh())
    scene.cloud.arm("POST", f"{ACCOUNT}/pools/small/stopResize")
    scene.cloud.advance(minutes=50)
    assert run.resume(refresh())["action"] == "refreshed"
    assert scene.cloud.task()["requeues"] == 1


def test_a_removal_that_hangs_ends_in_an_error(scene: Scene) -> None:
    """Pitfall 1: whatever Azure does, the wait has an end."""
    scene.cloud.configure(batch={"node_removal": "PT20H"})
    begun = scene.virtual.now()
    error = gives_up(draining(scene, drain_fallback="requeue"))
    assert scene.virtual.now() - begun < timedelta(hours=6)
    assert error.what == "The pool did not come to rest"
    assert "stop its resize, then clear this task" in error.advice
    assert scene.pools()["small"]["image"] == OLD


def test_a_pool_that_ends_every_drain_at_once_is_asked_a_bounded_number_of_times(scene: Scene) -> None:
    """Somebody's automation stops each of our resizes."""
    scene.cloud.run_task(minutes=6000)

    def somebody_stops_it() -> None:
        scene.cloud.arm("POST", f"{ACCOUNT}/pools/small/stopResize")

    run = draining(scene, *repeat(somebody_stops_it, ATTEMPTS), drain_minutes=600)
    assert gives_up(run).answer == f"1 node still there after {ATTEMPTS} resizes to zero, with 10h for running tasks"
    assert len(drains(scene.cloud)) == ATTEMPTS
    on_old(scene)


def test_nodes_that_do_not_even_go_by_force_are_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure ends each forced drain with the nodes still there."""
    scene.cloud.run_task(minutes=6000)
    monkeypatch.setattr(drain, "Deallocation", SimpleNamespace(REQUEUE=Deallocation.TASK_COMPLETION))
    error = gives_up(draining(scene, drain_fallback="requeue"))
    assert error.answer.endswith("with 1h for running tasks, which were put back into the queue then")
    assert "resize errors" in error.advice
    on_old(scene)


def test_a_retry_of_the_refresh_has_a_deadline_of_its_own(scene: Scene) -> None:
    scene.cloud.run_task(minutes=80)
    run = draining(scene)
    gives_up(run)
    assert run.do(refresh())["action"] == "refreshed"
    assert scene.cloud.task() == {"state": "completed", "exit_code": 0, "requeues": 0}


# -- Azure refuses the change ------------------------------------------------------------------------------------------


def test_a_change_that_is_refused_after_the_drain_grows_the_pool_again_on_the_old_image(scene: Scene) -> None:
    scene.cloud.fault(method="PATCH", path="/pools/small$", skip=1, **REFUSED)
    with pytest.raises(AzureRefusedError) as refused:
        draining(scene).do(refresh())
    assert f"the pool has its old size back, 2 dedicated and 0 Spot nodes on {OLD}" in refused.value.what
    on_old(scene)


def test_a_retry_goes_on_giving_the_size_back(scene: Scene) -> None:
    """An outage begins right after the refusal: the retry must neither drain again nor forget why the task fails."""
    scene.cloud.fault(method="PATCH", path="/pools/small$", skip=1, **REFUSED)
    scene.cloud.fault(method="PATCH", path="/pools/small$", skip=1, status=503, code="ServerBusy", count=None)
    run = draining(scene)
    with pytest.raises(AzureBusyError):
        run.do(refresh())
    assert scene.pools()["small"]["nodes"] == []
    scene.cloud.control("DELETE", "faults")
    with pytest.raises(AzureRefusedError) as refused:
        run.do(refresh())
    assert "InvalidPropertyValue: The image cannot be used." in refused.value.answer
    on_old(scene)
    assert len(drains(scene.cloud)) == 1


# -- who else is there -------------------------------------------------------------------------------------------------


def test_a_size_that_somebody_asks_for_during_the_drain_is_his(scene: Scene) -> None:
    def somebody_resizes() -> None:
        scene.cloud.advance(minutes=2)
        scene.cloud.resize(dedicated=7)

    run = draining(scene, somebody_resizes)
    with pytest.raises(OwnershipError) as owned:
        run.do(refresh())
    assert "somebody asked for 7 dedicated and 0 Spot nodes during our resize to 0 and 0" in owned.value.answer
    scene.cloud.advance(minutes=30)
    on_old(scene, nodes=7)


def test_a_pool_that_is_deleted_during_the_drain_is_made_anew(scene: Scene) -> None:
    run = draining(scene, scene.cloud.delete_pool)
    assert run.do(refresh())["action"] == "created"
    assert scene.pools()["small"]["image"] == NEW
