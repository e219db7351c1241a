"""The stages from an image version to a pool's nodes, and those of the way back, in the order of the DAG file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow.sdk import BaseOperator
from golden_pools.errors import GoldenPoolsError, RolledBackError
from golden_pools.operators.retire_pool import RetireFormerPoolsOperator

from dags.golden_pools import pool_dag
from tests.operators.conftest import NEW, OLD, Cloud, Run, small_pool
from tests.operators.test_preflight import changed
from tests.virtual_time import VirtualTime, virtual_cloud

AnyRun = TypeVar("AnyRun", bound=Run)


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


def task_of(run: Run, task_id: str) -> BaseOperator:
    """Return a task of the pool's DAG."""
    return pool_dag(run.pool, run.spec).task_dict[task_id]


def forth(run: Run) -> list[BaseOperator]:
    """Return the stages of a refresh that a rollback takes back."""
    tasks = pool_dag(run.pool, run.spec).task_dict
    return [tasks[f"pool.{name}"] for name in ("refresh", "resize", "nodes", "probe", "switch")]


def back(run: Run) -> list[BaseOperator]:
    """Return the stages of a rollback, without the report."""
    tasks = pool_dag(run.pool, run.spec).task_dict
    return [tasks[f"rollback.{name}"] for name in ("mark_bad", "restore", "resize")]


def retire() -> RetireFormerPoolsOperator:
    return RetireFormerPoolsOperator(task_id="retire")


def go_forth(run: Run) -> tuple[str, GoldenPoolsError] | None:
    """Run the stages of a refresh until one fails for good; returns its name and its error."""
    for task in forth(run):
        try:
            run.do_with_retries(task)
        except GoldenPoolsError as error:
            return task.task_id.removeprefix("pool."), error
    return None


def go_back(run: Run) -> RolledBackError | None:
    """Run the stages of a rollback, as after a stage that failed; returns the error of the report, if it fails."""
    mark, restore, resize = back(run)
    run.do_with_retries(mark)
    if not str(run.do_with_retries(restore)).startswith("skipped"):
        with suppress(GoldenPoolsError):
            run.do_with_retries(resize)
    return report(run)


def report(run: Run) -> RolledBackError | None:
    """Return the error with which a run reports its rollback; None where it has nothing to report."""
    try:
        assert run.do(task_of(run, "rollback.report")) == "skipped: nothing was rolled back"
    except RolledBackError as reported:
        return reported
    return None
