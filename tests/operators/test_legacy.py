"""The road that Azure closed on 2026-03-31: a pool straight on the managed image."""

from __future__ import annotations

import pytest
from golden_pools.errors import AzureRefusedError
from golden_pools.operators.gallery import PublishImageVersionOperator
from golden_pools.operators.preflight import PreflightOperator
from golden_pools.operators.refresh import RefreshPoolOperator
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import COMPUTE, Cloud, Run
from tests.operators.test_golden_vm import put_snapshot, snapshots_of


@pytest.fixture
def run(cloud: Cloud, spec: PoolSpec) -> Run:
    """A run with ``publish: managed_image`` whose managed image is there."""
    changed = spec.model_dump(mode="json")
    changed["image"] = {"resource_group": "images", "publish": "managed_image", "legacy_direct_pool": True}
    run = Run(PoolSpec.model_validate(changed))
    cloud.freeze()
    source = put_snapshot(cloud, run.plan.snapshot_name(None), "golden-vm-os", run.plan.tags)
    disk = {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": source}}
    properties = {"hyperVGeneration": "V2", "storageProfile": {"osDisk": disk}}
    body = {"location": "westeurope", "tags": run.plan.tags, "properties": properties}
    cloud.arm("PUT", f"{COMPUTE}/images/{run.plan.managed_image_name}", body)
    cloud.advance(minutes=5)
    run.xcoms |= {
        "snapshot": snapshots_of(run),
        "managed_image": run.plan.managed_image_id,
        "preflight": {"golden_vm_was_running": True, "findings": []},
    }
    return run


def test_where_azure_still_takes_it_the_pool_grows_on_the_managed_image(cloud: Cloud, run: Run) -> None:
    cloud.configure(batch={"legacy_managed_image_pools": True})
    assert run.do(RefreshPoolOperator(task_id="refresh"))["image"] == run.plan.managed_image_id
    run.in_waits = [lambda: cloud.advance(minutes=20)]
    assert run.do(ResizePoolOperator(task_id="resize"))["dedicated"] == 3
    assert cloud.node_images() == [run.plan.managed_image_id] * 3


def test_todays_azure_refuses_it_with_a_clear_error(cloud: Cloud, run: Run) -> None:
    with pytest.raises(AzureRefusedError) as refused:
        run.do(RefreshPoolOperator(task_id="refresh"))
    assert refused.value.code == "InvalidPropertyValue"
    assert "retired on 2026-03-31" in refused.value.answer
    assert refused.value.resource == run.plan.pool_id
    assert refused.value.advice


def test_nothing_is_published(cloud: Cloud, run: Run) -> None:
    cloud.forget()
    publish = PublishImageVersionOperator(task_id="publish", snapshot_task_id="snapshot", image_task_id="managed_image")
    passport = run.do(publish)
    assert passport["image"] == passport["managed_image"] == run.plan.managed_image_id
    assert cloud.requests() == []


def test_preflight_says_so_loudly(run: Run) -> None:
    findings = run.do(PreflightOperator(task_id="preflight"))["findings"]
    loud = next(finding for finding in findings if finding["check"] == "direct-managed-image")
    assert loud["level"] == "WARNING"
    assert "AZURE RETIRED POOLS MADE DIRECTLY FROM A MANAGED IMAGE ON 2026-03-31" in loud["seen"]
    assert "use publish: gallery" in loud["advice"]
