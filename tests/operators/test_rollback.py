"""Rollback: after a stage that failed the pool is what it was, and one message says so."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

import pytest
from golden_pools.errors import GoldenPoolsError, OwnershipError
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import DEFINITION, NEW, OLD, SECOND, Cloud, Run
from tests.operators.roads import back, forth, go_back, go_forth, report
from tests.operators.test_preflight import changed

REFUSED = {"status": 400, "code": "InvalidPropertyValue", "message": "The value cannot be used."}
FULL = {"code": "AccountCoreQuotaReached", "message": "The account has no core left"}


@pytest.fixture
def make_run(cloud: Cloud, images: dict[str, str], spec: PoolSpec) -> Callable[..., Run]:
    """Make a run from two nodes on the old version to three on the new one; keywords are those of ``refresh``."""
    cloud.make_pool(images[OLD], dedicated=2, metadata=[{"name": "team", "value": "rendering"}])

    def make(strategy: str = "in_place", **refresh: object) -> Run:
        parts = {"refresh": {"strategy": strategy, "probe_pool": True, "move_tasks": "requeue", **refresh}}
        run = Run(changed(spec, **parts, resize={"back_off_minutes": 0}), conf={"image_version": NEW, "force": True})
        run.in_waits = repeat(lambda: cloud.advance(minutes=20))
        return run

    return make


def fail_at(cloud: Cloud, strategy: str, stage: str) -> None:
    """Let a stage of the refresh fail, and no stage of the way back."""
    new = SECOND if strategy == "blue_green" else "small"
    if stage == "refresh":  # the write that follows the drain or the deletion, or that makes the second pool
        method = "PATCH" if strategy == "in_place" else "PUT"
        cloud.fault(method=method, path=f"/pools/{new}$", skip=int(strategy == "in_place"), **REFUSED)
    elif stage == "resize":
        skipped = {"after_resizes": 1} if strategy == "in_place" else {}
        cloud.allocation(pool=new, error=FULL, max_dedicated_nodes=1, **skipped)
    elif stage == "nodes":
        cloud.allocation(pool=new, node_outcomes=[{"state": "unusable", "nodes": 3}])
    elif stage == "probe":
        cloud.command(task="default-temp-drive", exit_code=2)
    else:
        cloud.fault(method="PATCH", path=f"/pools/{new}$", skip={"in_place": 3, "recreate": 1}.get(strategy, 1), **REFUSED)


def tags(cloud: Cloud) -> dict[str, str]:
    return dict(cloud.arm("GET", f"{DEFINITION}/versions/{NEW}").get("tags") or {})


def state(cloud: Cloud) -> dict[str, Any]:
    pools = {name: pool for name, pool in cloud.pools().items() if name.startswith("small")}
    return {
        name: {
            "image": cloud.image_of(name).rpartition("/")[2],
            "nodes": cloud.node_images(name),
            "role": cloud.marks(name).get("golden_pools_role"),
            "team": cloud.marks(name).get("team"),
        }
        for name in pools
    }


@pytest.mark.parametrize("strategy", ["in_place", "recreate", "blue_green"])
@pytest.mark.parametrize("stage", ["refresh", "resize", "nodes", "probe", "switch"])
def test_x(cloud: Cloud, images: dict[str, str], make_run: Callable[..., Run], strategy: str, stage: str) -> None:
    run = make_run(strategy)
    cloud.make_job()
    fail_at(cloud, strategy, stage)
    failed = go_forth(run)
    print("FAILED", failed)
    print(state(cloud))
    reported = go_back(run)
    print("REPORT", reported)
    print(state(cloud), cloud.job(), tags(cloud))
    print(run.deferrals)
