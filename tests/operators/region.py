"""A pool in a region that gives nodes or does not, on a clock that nobody waits for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import NEW, Cloud, Run, small_pool
from tests.virtual_time import VirtualTime, virtual_cloud

CAPACITY = {"code": "AllocationFailed", "message": "Desired number of dedicated nodes could not be allocated"}


@dataclass
class Region:
    """A pool without nodes on an image, and time that passes only in waits."""

    cloud: Cloud
    time: VirtualTime
    image: str

    def run(
        self,
        *,
        dedicated: int = 0,
        spot: int = 0,
        refresh: dict[str, Any] | None = None,
        make: Callable[..., Run] = Run,
        **resize: Any,
    ) -> Run:
        """Return a run; other keyword arguments are those of the spec's ``resize``."""
        parts = {**small_pool(self.cloud).model_dump(mode="json"), "resize": resize, "refresh": refresh or {}}
        conf = {"image_version": NEW, "dedicated": dedicated, "spot": spot}
        return make(PoolSpec.model_validate(parts), conf=conf, fire=self.time.fire)

    def asked(self, pool: str = "small") -> list[tuple[int, int]]:
        """Return the targets of every resize of a pool that was asked for, in order."""
        return [
            (scale["fixedScale"]["targetDedicatedNodes"], scale["fixedScale"]["targetLowPriorityNodes"])
            for entry in self.cloud.requests()
            if entry["method"] == "PATCH" and f"/pools/{pool}?" in entry["url"]
            if (scale := json.loads(entry["request_body"])["properties"].get("scaleSettings"))
        ]

    def stops(self) -> int:
        return sum(write.endswith("/stopResize") for write in self.cloud.writes())

    def size(self, pool: str = "small") -> tuple[int, int]:
        found = self.cloud.pool(pool)["properties"]
        return found["currentDedicatedNodes"], found["currentLowPriorityNodes"]

    def quota(self, **cores: int) -> None:
        account = self.cloud.world.batch.account("goldenbatch")
        assert account is not None
        account.facts = account.facts.model_copy(update=cores)


@contextmanager
def make_region() -> Iterator[Region]:
    """Serve one to a test."""
    with virtual_cloud() as (cloud, virtual):
        image = cloud.make_version(NEW)
        cloud.make_pool(image)
        yield Region(cloud, virtual, image)
