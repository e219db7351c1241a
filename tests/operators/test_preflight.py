"""Stage ``preflight`` against the simulator, and runs that only say what they would do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from golden_pools.errors import AzureBusyError, AzureRefusedError, PreflightError, ReadOnlyError
from golden_pools.operators.base import StageOperator
from golden_pools.operators.golden_vm import StopGoldenVmOperator
from golden_pools.operators.preflight import PreflightOperator
from golden_pools.rules.markdown import escaped
from golden_pools.rules.passport import new_passport, with_pool
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.resource_names import resource_name
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import NEW, OLD, STAMP, Cloud, Run
from tests.operators.test_golden_vm import VM, snapshots_of
from tests.operators.test_whole_run import stages

WRITERS = ("stop", "snapshot", "start", "managed_image", "publish", "refresh", "resize")


POOL = Asset(name="pool")


def preflight() -> PreflightOperator:
    return PreflightOperator(task_id="preflight", history_of=POOL, inlets=[POOL])


def answer(run: Run) -> dict[str, Any]:
    """Return what a plan-only run pushes for the page."""
    run.do(preflight())
    return dict(run.pushed["preflight", "plan_table"])


def changed(spec: PoolSpec, **parts: dict[str, Any]) -> PoolSpec:
    """Return the spec with single fields of its parts changed."""
    whole = spec.model_dump(mode="json")
    for part, fields in parts.items():
        whole[part] |= fields
    return PoolSpec.model_validate(whole)


def stopped(run: Run) -> PreflightError:
    with pytest.raises(PreflightError) as found:
        run.do(preflight())
    return found.value


def test_all_blockers_come_at_once(cloud: Cloud, spec: PoolSpec) -> None:
    wrong = changed(
        spec,
        image={"gallery": "no_such_gallery"},
        pool={"vm_size": "Standard_D2ps_v5", "node_agent_sku": "batch.node.windows amd64"},
    )
    error = stopped(Run(wrong))
    for check in ("gallery-exists", "vm-size-architecture", "node-agent-system"):
        assert f"{check}:" in error.what
    assert "no_such_gallery" in error.what
    assert "az sig create" in error.advice


def test_blockers_stop_the_run_before_anything_is_written(cloud: Cloud, spec: PoolSpec) -> None:
    stopped(Run(changed(spec, image={"gallery": "no_such_gallery"})))
    assert cloud.writes() == []


def test_a_quota_that_does_not_suffice_is_found_before_the_run(cloud: Cloud, spec: PoolSpec) -> None:
    """Pitfall 24: quotas are checked at the start."""
    error = stopped(Run(changed(spec, pool={"vm_size": "Standard_A2_v2", "targets": {"dedicated": 500}})))
    assert "quota" in error.what


def test_a_golden_vm_that_nobody_calls_generalized_is_refused(cloud: Cloud, run: Run) -> None:
    """Pitfall 15: nodes from such an image end unusable."""
    cloud.arm("PATCH", VM, {"tags": {}})
    cloud.advance(minutes=1)
    error = stopped(run)
    assert "generalized:" in error.what
    assert "golden.generalized" in error.advice


def test_an_account_that_takes_shared_keys_only_is_refused(cloud: Cloud, run: Run) -> None:
    """Pitfall 16: with a gallery image that ends in an authentication error."""
    account = cloud.world.batch.account("goldenbatch")
    assert account is not None
    account.facts = account.facts.model_copy(update={"allowed_authentication_modes": ("SharedKey",)})
    error = stopped(run)
    assert "account-authentication:" in error.what
    assert "AAD" in error.advice


@pytest.mark.parametrize(
    ("parts", "check", "advice"),
    [
        ({"golden_vm": {"name": "nobody"}}, "golden-vm-exists", "correct golden_vm in the spec"),
        ({"golden_vm": {"resource_group": "nowhere"}}, "golden-vm-exists", "correct golden_vm in the spec"),
        ({"pool": {"account": "nobatch"}}, "account-exists", "correct pool.account"),
        ({"image": {"resource_group": "nowhere"}}, "gallery-exists", "correct image.gallery"),
    ],
)
def test_what_is_missing_is_called_missing(
    spec: PoolSpec, parts: dict[str, dict[str, Any]], check: str, advice: str
) -> None:
    """A 404 is not a matter of permissions: nobody is sent to grant a right."""
    error = stopped(Run(changed(spec, **parts)))
    assert f"{check}: there is no" in error.what
    assert advice in error.advice
    assert "grant" not in error.advice


def test_a_refused_vital_look_up_stops_the_run(cloud: Cloud, run: Run) -> None:
    cloud.fault(path="/virtualMachines/golden-vm", status=403, code="AuthorizationFailed", count=None)
    error = stopped(run)
    assert "golden-vm-readable: the golden VM could not be read: HTTP 403 AuthorizationFailed" in error.what
    assert "grant Microsoft.Compute/virtualMachines/read" in error.advice


def test_a_connection_that_is_not_there_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be looked at: that is no matter of permissions."""
    monkeypatch.delenv("AIRFLOW_CONN_AZURE_DEFAULT")
    with pytest.raises(AzureRefusedError) as refused:
        run.do(preflight())
    assert refused.value.code == "ConnectionNotFound"
    assert "make a connection azure_default of type azure" in refused.value.advice


def test_another_refused_look_up_is_a_warning_and_the_run_goes_on(cloud: Cloud, run: Run) -> None:
    cloud.fault(path="/supportedimages", status=403, code="InsufficientAccountPermissions", count=None)
    (warning,) = run.do(preflight())["findings"]
    assert (warning["level"], warning["check"]) == ("WARNING", "supported-images-readable")
    assert "not checked: " in warning["seen"]
    assert "Azure Batch Data Contributor" in warning["advice"]


def test_a_throttled_look_up_is_not_taken_for_a_refusal(cloud: Cloud, run: Run) -> None:
    cloud.fault(path="/supportedimages", status=429, retry_after_seconds=31, count=None)
    with pytest.raises(AzureBusyError):
        run.do(preflight())


def test_a_clear_after_the_vm_was_stopped_still_knows_that_it_ran(cloud: Cloud, run: Run) -> None:
    run.do(preflight())
    run.do(StopGoldenVmOperator(task_id="stop"))
    assert run.do(preflight())["golden_vm_was_running"] is True


def test_findings_are_in_the_log_as_a_table(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.do(preflight())
    log = capsys.readouterr().out
    assert "Preflight of pool small:" in log
    assert "INFO     definition-is-made  there is no image definition small" in log


# -- plan only ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def dry(spec: PoolSpec) -> Run:
    """A run that writes nothing."""
    return Run(spec, conf={"plan_only": True})


def test_plan_only_says_what_the_run_would_do(dry: Run, capsys: pytest.CaptureFixture[str]) -> None:
    rows = answer(dry)["rows"]
    assert [row["stage"] for row in rows] == [
        "stop_golden_vm",
        *["snapshot"] * 3,
        "start_golden_vm",
        "managed_image",
        *["publish"] * 2,
        *["canary"] * 2,
        "replicate",
        "refresh",
        "resize",
        "record",
    ]
    log = capsys.readouterr().out
    assert "Plan only: this is what the run would do, and nothing is done." in log
    for row in rows:
        assert escaped(row["what"]) in log
        assert resource_name(row["resource"]) in log


def test_plan_only_names_every_change_of_a_pool_that_is_there(cloud: Cloud, spec: PoolSpec) -> None:
    cloud.freeze()
    old = cloud.make_version(OLD)
    cloud.make_version(NEW)
    cloud.make_pool(old, dedicated=2, vmSize="STANDARD_D4S_V5")
    quiet = changed(spec, pool={"metadata": {"team": "x"}}, canary={"enabled": False})
    run = Run(quiet, conf={"plan_only": True, "image_version": NEW})
    assert [(row["what"], row["before"], row["after"]) for row in answer(run)["rows"]] == [
        (
            "shrink: running tasks end first; if not within 60 minutes, it gets its nodes back and the run fails",
            "2 nodes",
            "0 nodes",
        ),
        ("change image", f"small/{OLD}", f"small/{NEW}"),
        ("change vm_size", "STANDARD_D4S_V5", "Standard_D2s_v5"),
        ("change metadata.team", "none", "x"),
        ("resize", "0 nodes", "3 dedicated, 0 Spot nodes"),
        ("tag as good", "", ""),
    ]


def test_plan_only_of_a_pool_that_is_as_it_should_be(
    cloud: Cloud, spec: PoolSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.freeze()
    cloud.make_pool(cloud.make_version(**{"golden-pools-verdict": "good"}), dedicated=3)
    cloud.mark("small", alias="small", role="current")
    assert answer(Run(spec, conf={"plan_only": True, "image_version": NEW}))["rows"] == []
    assert "None: everything is as it should be." in capsys.readouterr().out


def test_plan_only_names_the_jobs_that_would_move(cloud: Cloud, spec: PoolSpec) -> None:
    cloud.freeze()
    old = cloud.make_version(OLD)
    cloud.make_version(NEW)
    cloud.make_pool(old, dedicated=2)
    cloud.make_job("render")
    cloud.make_schedule("nightly")
    cloud.forget()
    run = Run(spec, conf={"plan_only": True, "image_version": NEW, "refresh_strategy": "blue_green"})
    (moved,) = [row for row in answer(run)["rows"] if row["what"].startswith("move")]
    assert moved["what"] == "move 2 jobs and 1 job schedule here: running tasks end first"
    assert moved["before"] == "on pool small: nightly:job-1, render, schedule nightly"
    assert cloud.writes() == []


def test_plan_only_goes_on_where_jobs_may_not_be_read(cloud: Cloud, spec: PoolSpec) -> None:
    cloud.freeze()
    cloud.make_pool(cloud.make_version(OLD), dedicated=2)
    cloud.make_version(NEW)
    cloud.fault(path="/jobs", status=403, code="AuthorizationFailed", count=None)
    run = Run(spec, conf={"plan_only": True, "image_version": NEW, "refresh_strategy": "blue_green"})
    assert any(row["what"].startswith("move the jobs and job schedules of pool small") for row in answer(run)["rows"])


def test_plan_only_that_a_blocker_stops_says_what_it_can(
    cloud: Cloud, spec: PoolSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(changed(spec, image={"gallery": "no_such_gallery"}), conf={"plan_only": True})
    stopped(run)
    table = run.pushed["preflight", "plan_table"]
    assert [row["stage"] for row in table["rows"]][-2:] == ["resize", "record"]
    assert "- gallery-exists: there is no gallery no_such_gallery" in table["markdown"]
    assert table["markdown"] in capsys.readouterr().out


def test_plan_only_tells_by_the_pools_events_how_long_such_runs_took(dry: Run) -> None:
    """What somebody sent by hand, and runs with another strategy, tell nothing."""
    sent = [
        {},
        {"image": "by hand"},
        took(dry, minutes=60),
        took(dry, minutes=90),
        took(dry, minutes=999, strategy="recreate"),
    ]
    dry.log["pool"] = [SimpleNamespace(timestamp=STAMP, extra=extra) for extra in sent]
    assert answer(dry)["durations"] == [
        {"stage": "in all", "runs": 2, "median_seconds": 4500.0, "longest_seconds": 5400.0}
    ]


def took(run: Run, *, minutes: float, strategy: str = "in_place") -> dict[str, Any]:
    """Return the passport of a run that moved the pool and took so long."""
    passport = new_passport(run.plan, snapshots=None, managed_image=None, findings=[])
    passport["run"]["params"] = {"refresh_strategy": strategy}
    return with_pool(
        passport,
        run.plan,
        refresh={"pool": "small", "action": "refreshed", "image_before": None},
        nodes={"dedicated": 3, "spot": 0},
        since=(run.stamp + timedelta(minutes=minutes)).isoformat(),
    )


def test_a_run_that_goes_on_has_no_plan_table(run: Run) -> None:
    run.do(preflight())
    assert run.pushed == {}


@pytest.mark.parametrize("stage", WRITERS)
def test_plan_only_skips_every_stage_that_writes(cloud: Cloud, dry: Run, stage: str) -> None:
    dry.xcoms |= xcoms(dry)
    assert dry.do(stages(dry)[stage]).startswith("skipped: plan only")  # type: ignore[arg-type]
    assert cloud.requests() == []


def xcoms(run: Run) -> dict[str, Any]:
    """Return what the stages before each writing stage leave behind."""
    return {
        "preflight": {"golden_vm_was_running": True, "findings": []},
        "snapshot": snapshots_of(run),
        "managed_image": run.plan.managed_image_id,
    }


def a_stopped_vm(cloud: Cloud) -> None:
    cloud.arm("POST", f"{VM}/deallocate")
    cloud.advance(minutes=5)


def an_empty_pool(cloud: Cloud) -> None:
    cloud.freeze()
    cloud.make_pool(cloud.make_version())


ARRANGEMENTS: dict[str, Callable[[Cloud], None]] = {
    "start": a_stopped_vm,
    "snapshot": a_stopped_vm,
    "resize": an_empty_pool,
}


@pytest.mark.parametrize("stage", WRITERS)
def test_the_hook_refuses_a_stage_of_a_plan_only_run_that_forgot_to_skip(
    cloud: Cloud, dry: Run, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second guard: nothing leaves the machine."""
    ARRANGEMENTS.get(stage, lambda cloud: None)(cloud)
    cloud.forget()

    def forgets(self: StageOperator, context: Any) -> RunPlan:
        return self.plan(context)

    monkeypatch.setattr(StageOperator, "plan_for_writing", forgets)
    dry.xcoms |= xcoms(dry)
    with pytest.raises(ReadOnlyError) as refused:
        dry.do(stages(dry)[stage])  # type: ignore[arg-type]
    assert "plan-only run" in refused.value.what
    assert cloud.writes() == []
