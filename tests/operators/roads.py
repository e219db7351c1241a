"""The stages from an image version to a pool's nodes, and those of the way back, in the order of the DAG file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow.sdk import BaseOperator
from golden_pools.errors import GoldenPoolsError, RolledBackError
from golden_pools.operators.canary import MarkImageOperator
from golden_pools.operators.nodes import ReadyNodesOperator
from golden_pools.operators.probe import ProbeOperator
from golden_pools.operators.refresh import RefreshPoolOperator
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.operators.retire_pool import RetireFormerPoolsOperator
from golden_pools.operators.rollback import ReportRollbackOperator, RestorePoolOperator
from golden_pools.operators.switch import SwitchPoolOperator

from tests.operators.conftest import NEW, OLD, Cloud, Run, small_pool
from tests.operators.test_preflight import changed
from tests.virtual_time import VirtualTime, virtual_cloud

AnyRun = TypeVar("AnyRun", bound=Run)

STAGES = ["refresh", "resize", "nodes", "probe", "switch"]


@dataclass
class Scene:
    """A pool of two nodes on the old version, a new version beside it, and one clock for all.

    :param images: ARM ids of the versions
    """

    cloud: Cloud
    virtual: VirtualTime
    images: dict[str, str]

    def run(
        self,
        strategy: str,
        *,
        run_id: str = "manual__1",
        version: str = NEW,
        make: Callable[..., AnyRun] = Run,  # type: ignore[assignment]
        **parts: Any,
    ) -> AnyRun:
        """Make a run to three nodes on a version; ``parts`` change the spec."""
        refresh = {"strategy": strategy, **parts.pop("refresh", {})}
        spec = changed(small_pool(self.cloud), refresh=refresh, resize={"back_off_minutes": 0}, **parts)
        return make(spec, conf={"image_version": version}, run_id=run_id, fire=self.virtual.fire)

    def pools(self) -> dict[str, dict[str, Any]]:
        """Return what the pools of the alias are, by id: image, targets, images of the nodes, metadata."""
        found = {}
        for name, pool in self.cloud.pools().items():
            if name.startswith("small") and pool["properties"]["provisioningState"] != "Deleting":
                fixed = pool["properties"]["scaleSettings"]["fixedScale"]
                found[name] = {
                    "image": self.cloud.image_of(name).rpartition("/")[2],
                    "targets": (fixed["targetDedicatedNodes"], fixed["targetLowPriorityNodes"]),
                    "nodes": [image.rpartition("/")[2] for image in self.cloud.node_images(name)],
                    "role": self.cloud.marks(name).get("golden_pools_role"),
                }
        return found


@contextmanager
def make_scene() -> Iterator[Scene]:
    """Make the scene; it ends with the block."""
    with virtual_cloud() as (cloud, virtual):
        images = {version: cloud.make_version(version) for version in (OLD, NEW)}
        cloud.make_pool(images[OLD], dedicated=2)
        yield Scene(cloud, virtual, images)


@contextmanager
def again(scene: Scene) -> Iterator[Scene]:
    """Make a scene as another one was left; what happens in it leaves no trace there."""
    with virtual_cloud(deepcopy(scene.cloud.world)) as (cloud, virtual):
        yield Scene(cloud, virtual, scene.images)


def forth() -> dict[str, BaseOperator]:
    """Return the stages of a refresh."""
    return {
        "refresh": RefreshPoolOperator(task_id="refresh"),
        "resize": ResizePoolOperator(task_id="resize", pool_task_id="refresh"),
        "nodes": ReadyNodesOperator(task_id="nodes", pool_task_id="refresh"),
        "probe": ProbeOperator(task_id="probe", pool_task_id="refresh", snapshot_task_id="snapshot"),
        "switch": SwitchPoolOperator(task_id="switch", pool_task_id="refresh"),
    }


def retire() -> RetireFormerPoolsOperator:
    return RetireFormerPoolsOperator(task_id="retire")


def back() -> dict[str, BaseOperator]:
    """Return the stages of a rollback, without the one that fails at its end."""
    return {
        "mark": MarkImageOperator(task_id="mark", failing_task_ids=STAGES),
        "restore": RestorePoolOperator(
            task_id="restore", refresh_task_id="refresh", switch_task_id="switch", stage_task_ids=STAGES
        ),
        "regrow": ResizePoolOperator(task_id="regrow", pool_task_id="restore"),
    }


def report() -> ReportRollbackOperator:
    return ReportRollbackOperator(task_id="report", restore_task_id="restore", stage_task_ids=["regrow"])


def go_forth(run: Run) -> tuple[str, GoldenPoolsError] | None:
    """Run the stages of a refresh until one fails for good; returns its name and its error."""
    for name, task in forth().items():
        try:
            run.do_with_retries(task)
        except GoldenPoolsError as error:
            return name, error
    return None


def go_back(run: Run) -> GoldenPoolsError | None:
    """Run the stages of a rollback, as after a failed stage; returns the error of the report, if it fails."""
    for name, task in back().items():
        try:
            skipped = str(run.do_with_retries(task)).startswith("skipped")
        except GoldenPoolsError:
            skipped = True
        if skipped and name != "mark":
            break
    try:
        run.do(report())
    except RolledBackError as reported:
        return reported
    return None
