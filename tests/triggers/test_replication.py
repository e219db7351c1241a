"""Waits for image versions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from golden_pools.errors import AzureRefusedError, from_dict
from golden_pools.hooks.compute import ComputeHook
from golden_pools.rules.facts import ImageVersion, RegionReplication
from golden_pools.rules.origin import Origin
from golden_pools.triggers.replication import ReplicationTrigger, progress

from tests.operators.conftest import COMPUTE, DEFINITION, NEW, OLD, SPEED, Cloud, fire, reborn
from tests.rules import build
from tests.virtual_time import virtual_cloud


@pytest.fixture
def begun(cloud: Cloud) -> dict[str, Any]:
    """A version that is being made, in two regions."""
    return begin(cloud)


def begin(cloud: Cloud) -> dict[str, Any]:
    cloud.freeze()
    cloud.make_version(OLD)
    snapshot = f"/subscriptions/{cloud.subscription}/{COMPUTE}/snapshots/by-hand-{OLD}-os"
    image = f"/subscriptions/{cloud.subscription}/{COMPUTE}/images/by-hand"
    disk = {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": snapshot}}
    profile = {"hyperVGeneration": "V2", "storageProfile": {"osDisk": disk}}
    cloud.arm("PUT", f"{COMPUTE}/images/by-hand", {"location": "westeurope", "properties": profile})
    cloud.advance(minutes=5)
    with ComputeHook("azure_default", cloud.subscription) as hook:
        operation = hook.begin_image_version(
            version_id(cloud),
            location="westeurope",
            origin=Origin(image_id=image),
            target_regions={"westeurope": 1, "northeurope": 1},
            tags={},
        )
    cloud.forget()
    return operation.to_dict()


def version_id(cloud: Cloud) -> str:
    return f"/subscriptions/{cloud.subscription}/{DEFINITION}/versions/{NEW}"


def trigger(cloud: Cloud, operation: dict[str, Any] | None) -> ReplicationTrigger:
    return ReplicationTrigger(
        connection="azure_default", subscription=cloud.subscription, version_id=version_id(cloud), operation=operation
    )


def test_the_wait_ends_when_every_region_has_the_version(cloud: Cloud, begun: dict[str, Any]) -> None:
    cloud.control("PATCH", "clock", {"speed": SPEED})
    assert fire(trigger(cloud, begun)).payload == {"done": version_id(cloud)}
    version = cloud.world.compute.image_version(version_id(cloud))
    assert version is not None
    assert version.regions_ready == {"westeurope", "northeurope"}


def test_the_log_tells_each_region_and_only_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    """Pitfall 33: replication takes long; the log shows that it moves."""
    with virtual_cloud() as (cloud, virtual):
        virtual.fire(trigger(cloud, begin(cloud)), timedelta(hours=4))
    lines = [line.split("[golden_pools")[0].split("] ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(set(lines)) >= 3
    assert "northeurope 100 %" in lines[-1]


def test_a_failed_version_ends_with_azures_reason(cloud: Cloud) -> None:
    cloud.fault(
        method="PUT",
        path="/versions/2026.1121",
        operation_error={"code": "GalleryImageUnprovisioned", "message": "no capacity in northeurope"},
    )
    operation = begin(cloud)
    cloud.advance(hours=1)
    error = failure(trigger(cloud, operation))
    assert "GalleryImageUnprovisioned: no capacity in northeurope" in error.answer


def failure(waiting: ReplicationTrigger) -> AzureRefusedError:
    error = from_dict(fire(waiting).payload["failure"])
    assert isinstance(error, AzureRefusedError)
    return error


def test_without_the_operation_the_regions_say_what_failed(cloud: Cloud) -> None:
    cloud.fault(method="PUT", path="/versions/2026.1121", operation_error={"code": "InternalServerError"})
    begin(cloud)
    cloud.advance(hours=1)
    error = failure(trigger(cloud, None))
    assert error.what == "The image version could not be built or replicated"
    assert "westeurope Failed" in error.answer
    assert "clear the task" in error.advice


def test_a_version_that_was_deleted_meanwhile(cloud: Cloud, begun: dict[str, Any]) -> None:
    version = cloud.world.compute.image_version(version_id(cloud))
    assert version is not None
    cloud.world.compute.versions.discard(version.rid)
    error = failure(trigger(cloud, begun))
    assert error.what == "The image version disappeared while it was being replicated"
    assert "find out who deleted it" in error.advice


def test_throttling_is_survived(cloud: Cloud, begun: dict[str, Any]) -> None:
    cloud.advance(hours=1)
    cloud.fault(method="GET", path="/versions/", status=429, code="TooManyRequests", retry_after_seconds=1, count=2)
    assert fire(trigger(cloud, begun)).payload == {"done": version_id(cloud)}


def test_a_trigger_is_the_same_after_a_restart_of_the_triggerer(cloud: Cloud, begun: dict[str, Any]) -> None:
    made = trigger(cloud, begun)
    assert reborn(made).serialize() == made.serialize()


def test_the_log_tells_of_every_tenth_of_the_way() -> None:
    """Azure counts in single percents, for hours."""
    lines = {progress(in_region(percent), steps_of=10) for percent in range(101)}
    assert len(lines) == 11
    assert progress(in_region(37)).endswith("replicated: westeurope 37 %")


def in_region(percent: int) -> ImageVersion:
    region = RegionReplication(region="westeurope", state="Replicating", progress_percent=percent, details="")
    return build.version(regions=(region,))
