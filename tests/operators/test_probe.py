"""Probes on the refreshed pool: on its own nodes, beside its own work, and nothing of them stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from golden_pools.errors import AzureBusyError, AzureRefusedError, ProbeFailedError, ResizeGaveUpError
from golden_pools.failures import noted_failure
from golden_pools.operators import probe as probing
from golden_pools.operators.base import now
from golden_pools.operators.probe import ProbeOperator
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import NEW, OLD, Cloud, Run, kill_at_write
from tests.operators.test_preflight import changed

JOB = "probe-20261122T020005-small"


def probe() -> ProbeOperator:
    return ProbeOperator(task_id="probe", pool_task_id="refresh")


@pytest.fixture
def make_run(cloud: Cloud, spec: PoolSpec) -> Callable[..., Run]:
    """Make a run whose pool has two nodes on the new version; keyword arguments change the spec."""
    cloud.make_pool(cloud.make_version(), dedicated=2)

    def make(**parts: Any) -> Run:
        run = Run(changed(spec, **{"refresh": {"probe_pool": True}, **parts}), conf={"image_version": NEW})
        run.xcoms["refresh"] = {"pool": "small", "action": "refreshed", "image_before": None}
        return run

    return make


def outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {one["probe"]: one["outcome"] for one in result["probes"]}


def jobs(cloud: Cloud) -> list[str]:
    """Return the jobs that are to stay: a deletion takes a moment."""
    return [job["id"] for job in cloud.plane("GET", "/jobs")["value"] if job["state"] != "deleting"]


def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time for probes be over when the wait begins."""
    monkeypatch.setattr(probing, "now", lambda: now() - timedelta(minutes=15))


def test_the_pool_is_probed_and_the_job_goes(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    result = make_run().do(probe())
    assert result["pool"] == "small"
    assert outcomes(result) == {"default-node-agent": "passed", "default-temp-drive": "passed"}
    assert jobs(cloud) == []
    assert f"DELETE /jobs/{JOB}" in cloud.writes()


def test_the_pool_itself_is_not_touched(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    before = cloud.pool()["etag"]
    make_run().do(probe())
    assert cloud.pool()["etag"] == before
    assert not [write for write in cloud.writes() if "/pools/" in write]


def test_probes_go_before_the_pools_own_work(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    make_run().begin(probe())
    assert cloud.plane("GET", f"/jobs/{JOB}")["priority"] == 1000


def test_without_probe_pool_only_the_canary_is_probed(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    assert make_run(refresh={"probe_pool": False}).do(probe()).startswith("skipped: refresh.probe_pool is false")
    assert cloud.writes() == []


def test_a_pool_without_nodes_has_nothing_to_probe(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run()
    cloud.resize(dedicated=0)
    cloud.advance(minutes=10)
    cloud.forget()
    assert run.do(probe()) == "skipped: the pool has no node that could be probed"
    assert cloud.writes() == []


def test_a_pool_that_is_gone_is_told(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run()
    cloud.delete_pool()
    cloud.advance(hours=1)
    with pytest.raises(ResizeGaveUpError, match="does not exist"):
        run.do(probe())


def test_a_failed_probe_blames_the_image_and_the_job_goes(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    cloud.command(task="default-temp-drive", exit_code=2)
    run = make_run()
    with pytest.raises(ProbeFailedError) as failed:
        run.do(probe())
    assert failed.value.resource == run.plan.pool_id
    assert failed.value.answer == "default-temp-drive: exit code 2 instead of 0"
    assert noted_failure(run.context(probe()), "probe") == {
        **failed.value.to_dict(),
        "text": "1 of 2 probes failed on pool small: default-temp-drive: exit code 2 instead of 0",
        "blames_image": True,
        "done": "",
    }
    assert jobs(cloud) == []


def test_a_job_that_cannot_be_removed_does_not_hide_the_failure(
    cloud: Cloud, make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.command(task="default-temp-drive", exit_code=2)
    cloud.fault(method="DELETE", path="/jobs/", status=403, code="InsufficientAccountPermissions", count=None)
    with pytest.raises(ProbeFailedError):
        make_run().do(probe())
    assert "The probes' job could not be removed" in capsys.readouterr().out


def test_a_node_on_an_old_version_is_found(cloud: Cloud, make_run: Callable[..., Run], spec: PoolSpec) -> None:
    make_run()
    cloud.make_version(OLD)
    run = Run(changed(spec, refresh={"probe_pool": True}), conf={"image_version": OLD})
    run.xcoms["refresh"] = {"pool": "small"}
    with pytest.raises(ProbeFailedError, match=r"runs on .*2026.1121.20005") as failed:
        run.do(probe())
    assert "default-node-agent" in failed.value.answer
    failure = noted_failure(run.context(probe()), "probe")
    assert failure is not None
    assert not failure["blames_image"]


def test_a_pool_that_is_busy_all_the_time_is_not_failed(
    cloud: Cloud, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nodes that take work are what the refresh is for: a rollback would stop it."""
    run = make_run()
    cloud.freeze()
    cloud.plane("POST", "/jobs", {"id": "work", "poolInfo": {"poolId": "small"}})
    for number in range(2):
        cloud.plane("POST", "/jobs/work/tasks", {"id": f"{number}", "commandLine": "/bin/sleep 90000"})
    cloud.advance(minutes=1)
    late(monkeypatch)
    assert outcomes(run.do(probe())) == {"default-node-agent": "passed", "default-temp-drive": "not_run"}
    assert "Every node was busy" in capsys.readouterr().out
    cloud.advance(minutes=1)
    assert JOB not in jobs(cloud)


def test_probes_that_idle_nodes_do_not_take_are_tried_again(
    cloud: Cloud, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    cloud.freeze()  # no node takes anything now
    with monkeypatch.context() as patch:
        late(patch)
        run.in_waits = [lambda: cloud.plane("POST", f"/jobs/{JOB}/disable", {"disableTasks": "requeue"})]
        with pytest.raises(AzureBusyError) as busy:
            run.do(probe())
    assert "says nothing about the image" in busy.value.what
    cloud.control("PATCH", "clock", {"advance": "PT10M", "speed": 1200})
    run.in_waits = ()
    assert set(outcomes(run.do(probe())).values()) == {"passed"}


def test_a_job_that_is_still_being_deleted_is_waited_for(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run()
    cloud.freeze()
    cloud.plane("POST", "/jobs", {"id": JOB, "poolInfo": {"poolId": "small"}})
    cloud.plane("DELETE", f"/jobs/{JOB}")
    with pytest.raises(AzureBusyError):
        run.do(probe())
    cloud.control("PATCH", "clock", {"advance": "PT10M", "speed": 1200})
    assert set(outcomes(run.do(probe())).values()) == {"passed"}


def test_jobs_that_killed_runs_left_are_removed(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    cloud.plane("POST", "/jobs", {"id": "probe-20261101T020005-small", "poolInfo": {"poolId": "small"}})
    cloud.plane("POST", "/jobs", {"id": "probe-the-market", "poolInfo": {"poolId": "small"}})
    make_run().do(probe())
    cloud.advance(minutes=10)
    assert jobs(cloud) == ["probe-the-market"]


@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_worker_killed_at_any_write_leaves_nothing(cloud: Cloud, make_run: Callable[..., Run], write: int) -> None:
    run = make_run()
    kill_at_write(run, probe(), write, sent=True)
    assert set(outcomes(run.do_with_retries(probe())).values()) == {"passed"}
    cloud.advance(minutes=10)
    assert jobs(cloud) == []


def test_without_the_right_to_list_sizes_the_temp_drive_is_only_written_to(
    cloud: Cloud, make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fault(path="/Microsoft.Compute/skus", status=403, code="AuthorizationFailed", count=None)
    assert set(outcomes(make_run().do(probe())).values()) == {"passed"}
    assert "temporary disk could not be read" in capsys.readouterr().out


def test_a_job_that_vanishes_is_told_and_does_not_blame_the_image(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run()

    def somebody_deletes_it() -> None:
        cloud.plane("DELETE", f"/jobs/{JOB}")
        cloud.advance(minutes=10)

    run.in_waits = [somebody_deletes_it]
    with pytest.raises(AzureRefusedError):
        run.do(probe())
    failure = noted_failure(run.context(probe()), "probe")
    assert failure is not None
    assert not failure["blames_image"]
