"""The stages in their order, from the golden VM to ready nodes."""

from __future__ import annotations

from airflow.sdk import Asset
from golden_pools.operators.announce import AnnounceImageOperator
from golden_pools.operators.gallery import PublishImageVersionOperator
from golden_pools.operators.golden_vm import StartGoldenVmOperator, StopGoldenVmOperator
from golden_pools.operators.image import CreateManagedImageOperator
from golden_pools.operators.passport import RecordPassportOperator
from golden_pools.operators.preflight import PreflightOperator
from golden_pools.operators.refresh import RefreshPoolOperator
from golden_pools.operators.replicate import ReplicateVersionOperator
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.operators.snapshots import SnapshotGoldenVmOperator
from golden_pools.operators.source import ResolveSourceOperator
from golden_pools.sensors.pools import PoolNodesSensor

from tests.operators.conftest import Cloud, Run

IMAGE, POOL = Asset(name="image"), Asset(name="pool")


def stages(run: Run) -> dict[str, object]:
    """Return the tasks of a run, as the DAG file wires them."""
    pool = run.spec.pool
    return {
        "source": ResolveSourceOperator(task_id="source"),
        "preflight": PreflightOperator(task_id="preflight"),
        "stop": StopGoldenVmOperator(task_id="stop"),
        "snapshot": SnapshotGoldenVmOperator(task_id="snapshot"),
        "start": StartGoldenVmOperator(task_id="start", stop_task_id="stop"),
        "managed_image": CreateManagedImageOperator(task_id="managed_image", snapshot_task_id="snapshot"),
        "publish": PublishImageVersionOperator(
            task_id="publish", snapshot_task_id="snapshot", image_task_id="managed_image"
        ),
        "replicate": ReplicateVersionOperator(task_id="replicate"),
        "refresh": RefreshPoolOperator(task_id="refresh"),
        "resize": ResizePoolOperator(task_id="resize"),
        "nodes": PoolNodesSensor(
            task_id="nodes",
            connection=run.spec.connection,
            subscription=run.spec.subscription,
            resource_group=pool.resource_group,
            account=pool.account,
            pool_name=run.pool,
            dedicated=str(run.plan.targets.dedicated),
            spot=str(run.plan.targets.spot),
        ),
        "record": RecordPassportOperator(
            task_id="record", publish_task_id="publish", refresh_task_id="refresh", nodes_task_id="nodes", asset=POOL
        ),
        "announce": AnnounceImageOperator(task_id="announce", record_task_id="record", asset=IMAGE),
    }


def test_a_run_ends_with_ready_nodes_on_the_new_version(cloud: Cloud, run: Run) -> None:
    for task in stages(run).values():
        run.do(task)
    assert run.xcom("nodes") == {"pool": "small", "dedicated": 3, "spot": 0}
    passport = run.events["pool"]
    assert passport["image"] == run.plan.version_id
    assert passport["pools"][0]["ready"] == {"dedicated": 3, "spot": 0}
    assert passport["pools"][0]["action"] == "created"
    assert len(passport["snapshots"]) == 3
