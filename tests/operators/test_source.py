"""Stage ``source``: whether a run makes an image, against the simulator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import Asset
from golden_pools.errors import PreflightError
from golden_pools.operators.preflight import PreflightOperator
from golden_pools.operators.source import ResolveSourceOperator
from golden_pools.spec.model import PoolSpec

from dags.golden_pools import pool_dag
from tests.operators.conftest import COMPUTE, DEFINITION, NEW, OLD, STAMP, AssetStores, Cloud, Run
from tests.operators.dag_run import DagRun, State
from tests.operators.test_preflight import changed

IMAGE = Asset(name="image")
VM = "resourceGroups/golden/providers/Microsoft.Compute/virtualMachines/golden-vm"


def look(run: Run) -> dict[str, Any]:
    """Return what the stage says, as a run does that has not looked yet."""
    run.xcoms.pop("source", None)
    found: dict[str, Any] = run.do(ResolveSourceOperator(task_id="source", image=IMAGE))
    return found


def night(spec: PoolSpec, number: int, stores: AssetStores | None = None, **kwargs: Any) -> Run:
    """Return the run of a night."""
    return Run(
        spec,
        run_id=f"scheduled__{number}",
        stamp=STAMP + timedelta(days=number),
        scheduled=True,
        asset_stores=stores if stores is not None else AssetStores(),
        **kwargs,
    )


def whole(run: Run) -> DagRun:
    """Run the whole DAG."""
    run.xcoms.pop("source", None)
    return DagRun(pool_dag(run.pool, run.spec), run, run.do_with_retries).go()


def stop_vm(cloud: Cloud) -> None:
    cloud.arm("POST", f"{VM}/deallocate")
    cloud.advance(minutes=10)


def built(cloud: Cloud, spec: PoolSpec) -> Run:
    """Stop the golden VM, and let a first night build a version that is good."""
    stop_vm(cloud)
    run = night(spec, 0)
    assert whole(run).succeeded
    cloud.forget()
    return run


def test_an_unchanged_night_makes_and_starts_nothing(cloud: Cloud, spec: PoolSpec) -> None:
    first = built(cloud, spec)
    run = night(spec, 1)
    done = whole(run)
    assert done.succeeded
    assert done.states["image.snapshot"] is State.SKIPPED
    assert done.states["image.publish"] is State.SKIPPED
    assert done.states["canary.pool"] is State.SKIPPED
    assert done.states["pool.announce"] is State.SKIPPED
    assert run.xcoms["source"]["version_id"] == first.plan.version_id
    assert "unchanged since version" in run.xcoms["source"]["reason"]
    assert [write for write in cloud.writes() if "Microsoft.Compute" in write or "resize" in write.lower()] == []


def test_a_vm_that_was_started_and_stopped_is_built_again(cloud: Cloud, spec: PoolSpec) -> None:
    built(cloud, spec)
    cloud.arm("POST", f"{VM}/start")
    cloud.advance(minutes=10)
    assert "the VM is running" in look(night(spec, 1))["reason"]
    stop_vm(cloud)
    found = look(night(spec, 1))
    assert found["builds"]
    assert "was last attached, or its VM started or stopped" in found["reason"]


def test_looking_changes_nothing(cloud: Cloud, spec: PoolSpec) -> None:
    built(cloud, spec)
    cloud.advance(hours=5)
    assert look(night(spec, 1))["fingerprint"] == look(night(spec, 1))["fingerprint"]
    assert cloud.writes() == []


def test_a_clear_in_mid_run_decides_as_before(cloud: Cloud, spec: PoolSpec) -> None:
    stop_vm(cloud)
    run = night(spec, 0)
    assert whole(run).succeeded
    assert look(run)["builds"]


def test_force_rebuild_builds_though_nothing_changed(cloud: Cloud, spec: PoolSpec) -> None:
    built(cloud, spec)
    assert look(Run(spec, conf={"force_rebuild": True}))["reason"].endswith("force_rebuild was asked for")
    assert not look(Run(spec))["builds"], "a run by hand looks too"


def test_an_old_version_is_built_anew(cloud: Cloud, spec: PoolSpec, later: Callable[..., None]) -> None:
    built(cloud, spec)
    aging = changed(spec, image={"build": {"max_age_days": 30}})
    assert not look(night(aging, 1))["builds"]
    later(days=31)
    assert "max_age_days is 30" in look(night(aging, 1))["reason"]


def test_failed_builds_in_a_row_stop_the_nightly_ones(cloud: Cloud, spec: PoolSpec) -> None:
    good = built(cloud, spec)
    stores = AssetStores()
    cloud.arm("POST", f"{VM}/start")
    cloud.advance(minutes=10)
    for number in (1, 2, 3):
        run = night(spec, number, stores)
        assert look(run)["builds"]
        run.do(PreflightOperator(task_id="preflight", image=IMAGE))
        run.do(PreflightOperator(task_id="preflight", image=IMAGE))  # a clear: it is one build
    found = look(night(spec, 4, stores))
    assert not found["builds"]
    assert found["version_id"] == good.plan.version_id
    assert "3 builds in a row have failed" in found["warning"]
    run = night(spec, 4, stores)
    look(run)
    findings = run.do(PreflightOperator(task_id="preflight", image=IMAGE))["findings"]
    assert [finding["check"] for finding in findings if "in a row" in finding["seen"]] == ["source-warning"]
    by_hand = Run(spec, stamp=STAMP + timedelta(days=5), asset_stores=stores)
    assert look(by_hand)["builds"]
    by_hand.do(PreflightOperator(task_id="preflight", image=IMAGE))
    cloud.make_version(by_hand.plan.version_name, **by_hand.plan.tags)
    assert look(night(spec, 6, stores))["builds"], "one that succeeded lets the nights build again"


def test_plan_only_is_no_build(cloud: Cloud, spec: PoolSpec) -> None:
    run = Run(spec, conf={"plan_only": True})
    look(run)
    run.do(PreflightOperator(task_id="preflight", image=IMAGE))
    assert run.asset_stores[IMAGE].get("builds_begun") is None


def test_stopped_builds_without_a_good_version_fail_with_the_way_out(cloud: Cloud, spec: PoolSpec) -> None:
    run = night(spec, 1)
    run.asset_stores[IMAGE].set("builds_begun", ["1.1.1", "1.1.2", "1.1.3"])
    with pytest.raises(PreflightError, match="no version that proved good") as failed:
        look(run)
    assert "trigger the DAG by hand" in failed.value.advice


# -- image_version -----------------------------------------------------------------------------------------------------


def on_versions(cloud: Cloud, spec: PoolSpec, tail: str = "") -> PoolSpec:
    """Return the spec of a pool on versions that somebody else makes."""
    whole_spec = spec.model_dump(mode="json", exclude_none=True)
    whole_spec.pop("golden_vm")
    definition = f"/subscriptions/{cloud.subscription}/{DEFINITION}"
    whole_spec["image"] = {"source": {"image_version": {"id": f"{definition}{tail}"}}}
    return PoolSpec.model_validate(whole_spec)


def test_the_newest_version_of_a_definition_runs_to_ready_nodes(cloud: Cloud, spec: PoolSpec) -> None:
    versions = [cloud.make_version(name) for name in (OLD, NEW)]
    run = Run(on_versions(cloud, spec))
    done = whole(run)
    assert done.succeeded, done.errors
    assert cloud.image_of() == versions[1]
    assert run.xcoms["source"]["reason"] == "it is the newest of small"
    assert not any(task.startswith(("image.", "replicate")) for task in done.states)


LOCKED_OUT = {"method": "PATCH", "path": "/versions/", "status": 403, "code": "AuthorizationFailed", "count": None}


def test_a_good_version_that_may_not_be_marked_is_a_warning(
    cloud: Cloud, spec: PoolSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.make_version(NEW)
    cloud.fault(**LOCKED_OUT, message="does not have authorization to perform action 'Microsoft.Compute/x/write'")
    run = Run(on_versions(cloud, spec))
    done = whole(run)
    assert done.succeeded, done.errors
    [said] = [line for line in capsys.readouterr().out.splitlines() if "is not marked so" in line]
    assert "warning" in said
    assert "every run takes it for a new one" in said
    assert "AuthorizationFailed" in said
    assert "grant the identity of the Airflow connection Microsoft.Compute/x/write" in said


@pytest.mark.parametrize(("status", "code"), [(409, "ScopeLocked"), (400, "BadRequest")])
def test_other_refusals_of_a_mark_fail(cloud: Cloud, spec: PoolSpec, status: int, code: str) -> None:
    cloud.make_version(NEW)
    cloud.fault(**{**LOCKED_OUT, "status": status, "code": code}, message="no")
    done = whole(Run(on_versions(cloud, spec)))
    assert not done.succeeded
    assert code in done.errors["pool.record"].answer


def test_a_version_of_ones_own_that_may_not_be_marked_fails(cloud: Cloud, spec: PoolSpec) -> None:
    cloud.fault(**LOCKED_OUT, message="no")
    done = whole(Run(spec))
    assert not done.succeeded
    assert "AuthorizationFailed" in done.errors["pool.record"].answer


def test_a_bad_version_that_may_not_be_marked_is_a_warning(
    cloud: Cloud, spec: PoolSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.make_version(NEW)
    cloud.fault(**LOCKED_OUT, message="no")
    cloud.command(task="default-temp-drive", exit_code=2)
    done = whole(Run(on_versions(cloud, spec)))
    assert done.states["canary.mark_bad"] == State.SUCCESS
    [said] = [line for line in capsys.readouterr().out.splitlines() if "is not marked so" in line]
    assert "warning" in said
    assert "the next run takes it again" in said
    assert "Name another version in the spec" in said


def test_a_version_by_its_id_is_taken(cloud: Cloud, spec: PoolSpec) -> None:
    old = cloud.make_version(OLD)
    cloud.make_version(NEW)
    assert look(Run(on_versions(cloud, spec, f"/versions/{OLD}")))["version_id"] == old


@pytest.mark.parametrize("tags", [{"golden-pools-verdict": "bad"}, {"golden-pools-retired": "2026-11-01"}])
def test_a_newer_version_that_is_not_fit_is_not_the_newest(cloud: Cloud, spec: PoolSpec, tags: dict[str, str]) -> None:
    old = cloud.make_version(OLD)
    cloud.make_version(NEW, **tags)
    assert look(Run(on_versions(cloud, spec)))["version_id"] == old


def test_what_is_excluded_from_latest_is_not_the_newest(cloud: Cloud, spec: PoolSpec) -> None:
    old = cloud.make_version(OLD)
    new = cloud.make_version(NEW)
    version = cloud.arm("GET", f"{DEFINITION}/versions/{NEW}")
    version["properties"]["publishingProfile"]["excludeFromLatest"] = True
    version["properties"] = {
        "publishingProfile": {
            key: version["properties"]["publishingProfile"][key] for key in ("targetRegions", "excludeFromLatest")
        },
        "storageProfile": {},
    }
    cloud.arm("PATCH", f"{DEFINITION}/versions/{NEW}", {"properties": version["properties"]})
    cloud.advance(minutes=30)
    assert look(Run(on_versions(cloud, spec)))["version_id"] == old
    assert new != old


def test_a_definition_without_versions_is_refused_with_the_way_out(cloud: Cloud, spec: PoolSpec) -> None:
    with pytest.raises(PreflightError, match="No version of the image definition can be used in westeurope") as refused:
        look(Run(on_versions(cloud, spec)))
    assert "it has no version" in refused.value.answer
    assert "publish a version that is replicated in westeurope" in refused.value.advice
    assert COMPUTE in refused.value.resource
