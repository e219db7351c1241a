"""Every stage run twice, and killed in between, makes nothing twice and loses nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred
from golden_pools.errors import OwnershipError
from golden_pools.operators.snapshots import SnapshotGoldenVmOperator
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import Cloud, Run, fire, kill_at_write, left_running, reborn
from tests.operators.test_whole_run import stages

WRITERS = (
    "stop",
    "snapshot",
    "start",
    "managed_image",
    "publish",
    "replicate",
    "refresh",
    "resize",
    "record",
    "announce",
)


UNDISTURBED = [
    "POST virtualMachines/golden-vm/deallocate",
    "PUT snapshots/small-20261122T020005-os",
    "PUT snapshots/small-20261122T020005-data-0",
    "PUT snapshots/small-20261122T020005-data-1",
    "POST virtualMachines/golden-vm/start",
    "PUT images/small-20261122T020005",
    "PUT galleries/golden_gallery/images/small",
    "PUT galleries/golden_gallery/images/small/versions/2026.1122.20005",
    "PATCH galleries/golden_gallery/images/small/versions/2026.1122.20005",
    "PUT batchAccounts/goldenbatch/pools/small",
    "PATCH batchAccounts/goldenbatch/pools/small",
    "PATCH galleries/golden_gallery/images/small/versions/2026.1122.20005",
    "PATCH galleries/golden_gallery/images/small/versions/2026.1122.20005",
]


def short(cloud: Cloud) -> list[str]:
    """Return the writes without subscription and resource group."""
    lines = []
    for write in cloud.writes():
        method, path = write.split(" ")
        lines.append(f"{method} {path.split('/providers/Microsoft.')[-1].split('/', 1)[-1]}")
    return lines


def test_the_undisturbed_run_writes_this(cloud: Cloud, run: Run) -> None:
    for task in stages(run).values():
        run.do(task)
    assert short(cloud) == UNDISTURBED


def test_every_stage_done_twice_makes_nothing_twice(cloud: Cloud, run: Run) -> None:
    for name, task in stages(run).items():
        run.do(task)
        if name != "stop":  # stopping again is right until the start
            run.do(task)
    assert short(cloud) == UNDISTURBED
    assert run.xcom("nodes") == {"pool": "small", "dedicated": 3, "spot": 0}


@pytest.mark.parametrize("victim", WRITERS)
def test_a_worker_killed_before_its_deferral_changes_nothing(cloud: Cloud, run: Run, victim: str) -> None:
    """The worker dies after the write, before the wait begins: Airflow starts the task again from the top."""
    for name, task in stages(run).items():
        if name == victim:
            with suppress(TaskDeferred):  # what it deferred to is lost with the worker
                task.execute(run.context(task))
        run.do(task)
    assert short(cloud) == UNDISTURBED
    assert run.xcom("nodes") == {"pool": "small", "dedicated": 3, "spot": 0}


@pytest.mark.parametrize("victim", [writer for writer in WRITERS if writer != "snapshot"])
def test_a_worker_killed_right_after_a_write_changes_nothing(cloud: Cloud, run: Run, victim: str) -> None:
    """The worker dies before it has kept anything about the write that it has just made.

    A snapshot set that it leaves in pieces is made anew: see the tests of the golden VM.
    """
    for name, task in stages(run).items():
        if name == victim:
            kill_at_write(run, task, 1, sent=True)
        run.do(task)
    assert short(cloud) == UNDISTURBED
    assert run.xcom("nodes") == {"pool": "small", "dedicated": 3, "spot": 0}


@pytest.mark.parametrize("victim", WRITERS)
def test_a_lost_reply_makes_nothing_twice(cloud: Cloud, run: Run, victim: str) -> None:
    """Azure did it, the answer never came: pitfall 27, a retry that makes a second snapshot."""
    for name, task in stages(run).items():
        if name == victim:
            _lose_next_reply(cloud)
        run.do_with_retries(task)
    assert run.xcom("nodes") == {"pool": "small", "dedicated": 3, "spot": 0}
    snapshots = {write for write in short(cloud) if "snapshots/" in write}
    assert len(snapshots) == 3


def _lose_next_reply(cloud: Cloud) -> None:
    cloud.fault(method="PUT|POST|PATCH", lose_reply=True)


def test_a_snapshot_of_somebody_else_is_not_adopted(spec: PoolSpec) -> None:
    run = Run(left_running(spec))
    run.do(SnapshotGoldenVmOperator(task_id="snapshot"))
    other = Run(left_running(spec), run_id="manual__2")
    with pytest.raises(OwnershipError) as refused:
        other.do(SnapshotGoldenVmOperator(task_id="snapshot"))
    assert "run manual__1 of DAG golden_pool_small" in str(refused.value)
    assert "not to run manual__2" in str(refused.value)
    assert "trigger a new run" in refused.value.advice


def test_a_restarted_triggerer_finishes_the_wait(spec: PoolSpec) -> None:
    """The trigger is thrown away in mid-wait and made anew from its arguments: nothing is written, the wait ends."""
    run = Run(left_running(spec))
    task: BaseOperator = SnapshotGoldenVmOperator(task_id="snapshot")
    trigger = run.begin(task)
    event = fire(reborn(trigger))
    assert event.xcoms["return_value"]["os"]["snapshot"] == run.plan.snapshot_id(None)  # type: ignore[attr-defined]
