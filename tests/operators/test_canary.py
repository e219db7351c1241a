"""The canary against the simulator: a good image, bad ones, and nothing that stays behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import repeat
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from golden_pools.errors import AzureBusyError, GoldenPoolsError, OwnershipError, ProbeFailedError, ResizeGaveUpError
from golden_pools.operators import canary
from golden_pools.operators import probe as probing
from golden_pools.operators.canary import CanaryPoolOperator, MarkImageOperator, RemoveCanaryOperator
from golden_pools.operators.probe import ProbeOperator
from golden_pools.rules.family import ALIAS, ROLE, RUN
from golden_pools.rules.plan import ImageVerdict, verdict_tags
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import ACCOUNT, DEFINITION, NEW, OLD, SPEED, STAMP, Cloud, Run, kill_at_write
from tests.operators.test_preflight import changed
from tests.operators.test_safe_to_repeat import short

CANARY = "canary-20261122T020005-small"
START_TASK = {"command_line": "/bin/bash -c 'mount /share'"}
QUOTA = {"code": "AccountCoreQuotaReached", "message": "The account has no core left"}
TIMEOUT = {"code": "AllocationTimedout", "message": "Desired number of dedicated nodes could not be allocated"}


def stages() -> dict[str, BaseOperator]:
    """Return the tasks of the canary, as the DAG file wires them."""
    return {
        "pool": CanaryPoolOperator(task_id="canary.pool"),
        "probe": ProbeOperator(task_id="canary.probe", pool_task_id="canary.pool"),
        "mark_bad": MarkImageOperator(task_id="canary.mark_bad", failing_task_ids=["canary.pool", "canary.probe"]),
        "remove": RemoveCanaryOperator(task_id="canary.remove"),
    }


@pytest.fixture
def image(cloud: Cloud) -> str:
    """An image version with two data disks that nobody has tried."""
    version = cloud.make_version(NEW, data_disks=2)
    cloud.forget()
    return version


@pytest.fixture
def make_run(spec: PoolSpec, image: str) -> Callable[..., Run]:
    """Make a run on the new version; keyword arguments change the spec."""

    def make(**parts: Any) -> Run:
        return Run(changed(spec, **parts), conf={"image_version": NEW})

    return make


def walk(run: Run) -> GoldenPoolsError | None:
    """Run the tasks of the canary as the graph does, to its end; returns what failed."""
    tasks, failure = stages(), None
    try:
        if not str(run.do(tasks["pool"])).startswith("skipped"):
            run.do(tasks["probe"])
    except GoldenPoolsError as error:
        failure = error
        run.do(tasks["mark_bad"])
    run.do(tasks["remove"])
    return failure


def left(cloud: Cloud) -> tuple[list[str], list[str]]:
    """Return the pools and jobs of the account."""
    pools = [pool["name"] for pool in cloud.arm("GET", f"{ACCOUNT}/pools")["value"]]
    return pools, [job["id"] for job in cloud.plane("GET", "/jobs")["value"]]


def version(cloud: Cloud, name: str = NEW) -> tuple[dict[str, str], bool]:
    """Return the tags of an image version, and whether it is excluded from ``latest``."""
    found = cloud.arm("GET", f"{DEFINITION}/versions/{name}")
    return found.get("tags", {}), bool(found["properties"]["publishingProfile"].get("excludeFromLatest"))


def made_pool(cloud: Cloud) -> dict[str, Any]:
    """Return the body that made the canary pool."""
    (body,) = [json.loads(entry["request_body"]) for entry in cloud.requests() if entry["method"] == "PUT"]
    return dict(body)


# -- a good image ------------------------------------------------------------------------------------------------------


def test_a_good_image_passes_and_nothing_stays(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run()
    assert walk(run) is None
    assert left(cloud) == ([], [])
    assert run.xcom("canary.pool") == {"pool": CANARY, "image": run.plan.image_id}
    probes = {probe["probe"]: probe["outcome"] for probe in run.xcom("canary.probe")["probes"]}
    assert probes == dict.fromkeys(
        ("default-node-agent", "default-data-disk-0", "default-data-disk-1", "default-temp-drive"), "passed"
    )
    assert version(cloud) == ({}, False)


def test_the_node_is_made_with_the_pool_in_one_request(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run(pool={"start_task": START_TASK, "metadata": {"team": "rendering"}})
    run.do(stages()["pool"])
    body = made_pool(cloud)
    properties = body["properties"]
    assert properties["scaleSettings"]["fixedScale"] == {
        "targetDedicatedNodes": 1,
        "targetLowPriorityNodes": 0,
        "resizeTimeout": "PT15M",
    }
    assert properties["vmSize"] == "Standard_D2s_v5"
    assert properties["startTask"]["commandLine"] == START_TASK["command_line"]
    assert body["tags"] == run.plan.tags
    metadata = {item["name"]: item["value"] for item in properties["metadata"]}
    assert metadata["team"] == "rendering"
    assert (metadata[ALIAS], metadata[ROLE], metadata[RUN]) == ("small", "canary", "manual__1")


def test_a_pool_of_spot_nodes_gets_a_spot_canary(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    make_run(pool={"targets": {"spot": 2}}).do(stages()["pool"])
    scale = made_pool(cloud)["properties"]["scaleSettings"]["fixedScale"]
    assert (scale["targetDedicatedNodes"], scale["targetLowPriorityNodes"]) == (0, 1)


def test_an_image_that_this_run_builds_is_probed_for_its_data_disks(cloud: Cloud, spec: PoolSpec) -> None:
    run = Run(spec)
    cloud.make_version(run.plan.version_name, data_disks=2)
    assert walk(run) is None
    assert [probe["probe"] for probe in run.xcom("canary.probe")["probes"]] == [
        "default-node-agent",
        "default-data-disk-0",
        "default-data-disk-1",
        "default-temp-drive",
    ]


@pytest.mark.parametrize(("size", "asked"), [("Standard_D2s_v5", False), ("Standard_D4s_v3", True)])
def test_the_temp_drive_is_asked_for_where_the_vm_size_has_one(
    cloud: Cloud, make_run: Callable[..., Run], size: str, asked: bool
) -> None:
    run, tasks = make_run(pool={"vm_size": size}), stages()
    run.do(tasks["pool"])
    run.do(tasks["probe"])
    task = cloud.plane("GET", f"/jobs/{CANARY}/tasks/default-temp-drive")
    assert ("stat -c %d" in task["commandLine"]) is asked
    assert task["userIdentity"]["autoUser"]["elevationLevel"] == "admin"


# -- when there is nothing to try --------------------------------------------------------------------------------------


def test_plan_only_writes_nothing(cloud: Cloud, spec: PoolSpec, image: str) -> None:
    run = Run(spec, conf={"image_version": NEW, "plan_only": True})
    run.xcoms["canary.pool"] = {"pool": CANARY}
    for task in stages().values():
        assert run.do(task).startswith("skipped: plan only")
    assert cloud.writes() == []


def test_a_spec_without_canary_has_none(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run(canary={"enabled": False})
    assert run.do(stages()["pool"]).startswith("skipped: canary.enabled is false")
    assert run.do(stages()["remove"]) is None
    assert cloud.writes() == []


def test_a_version_that_is_good_already_is_not_tried_again(cloud: Cloud, spec: PoolSpec) -> None:
    cloud.make_version(OLD, **verdict_tags(ImageVerdict.GOOD, "pool small runs on it"))
    cloud.forget()
    run = Run(spec, conf={"image_version": OLD})
    assert run.do(stages()["pool"]) == f"skipped: version {OLD} is marked good: an earlier run has tried it"
    assert cloud.writes() == []


def test_a_version_that_was_bad_is_tried_again(cloud: Cloud, spec: PoolSpec) -> None:
    cloud.make_version(OLD, **verdict_tags(ImageVerdict.BAD, "no GPU"))
    assert walk(Run(spec, conf={"image_version": OLD, "force": True})) is None


# -- bad images --------------------------------------------------------------------------------------------------------


def blames_the_image(cloud: Cloud, run: Run, *, why: str) -> ProbeFailedError:
    """Walk, and make sure that the failure marks the version and that the canary and nothing else was touched."""
    failure = walk(run)
    assert isinstance(failure, ProbeFailedError)
    assert failure.resource == run.plan.id_of_pool(CANARY)
    assert failure.advice
    tags, excluded = version(cloud)
    assert excluded
    assert tags["golden-pools-verdict"] == "bad"
    assert why in tags["golden-pools-why"]
    assert left(cloud) == ([], [])
    writes = short(cloud)
    assert [write for write in writes if "versions/" in write] == [
        f"PATCH galleries/golden_gallery/images/small/versions/{NEW}"
    ]
    assert all(CANARY in write or "versions/" in write or write.startswith("POST jobs") for write in writes)
    return failure


def test_an_unusable_node_means_a_bad_image(
    cloud: Cloud, make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    error = {"code": "BatchAgentInstallationFailure", "message": "no agent"}
    cloud.allocation(pool="canary-*", node_outcomes=[{"state": "unusable", "nodes": 1, "error": error}])
    failure = blames_the_image(cloud, make_run(), why="BatchAgentInstallationFailure: no agent")
    assert failure.what == "The canary node did not get ready"
    assert "is unusable: BatchAgentInstallationFailure: no agent" in capsys.readouterr().out


def test_a_failed_start_task_means_a_bad_image_and_its_output_is_in_the_log(
    cloud: Cloud, make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """Pitfall 13: what is needed to understand it is fetched before the node goes."""
    cloud.command(pool="canary-*", kind="starttask", exit_code=32, stdout="mounting\n", stderr="mount: no such share\n")
    blames_the_image(cloud, make_run(pool={"start_task": START_TASK}), why="FailureExitCode")
    log = capsys.readouterr().out
    assert "stdout.txt of the start task:\nmounting" in log
    assert "stderr.txt of the start task:\nmount: no such share" in log


def test_every_probe_that_fails_is_named_with_its_output_in_the_log(
    cloud: Cloud, make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    probes = [
        {"name": "licence", "command_line": "lic --check", "exit_code": 4},
        {"name": "version", "command_line": "renderer --version", "output": r"^version 4\."},
        {"name": "fine", "command_line": "/bin/true"},
    ]
    cloud.command(task="default-data-disk-1", exit_code=1, stdout="/sys/block/sda\n", stderr="")
    cloud.command(task="spec-licence", exit_code=1, stderr="password=hunter2 is wrong\n")
    cloud.command(task="spec-version", stdout="version 3.9\n")
    failure = blames_the_image(cloud, make_run(canary={"probes": probes}), why="default-data-disk-1: exit code 1")
    assert failure.what == f"3 of 7 probes failed on pool {CANARY}"
    assert failure.answer == (
        "default-data-disk-1: exit code 1 instead of 0; spec-licence: exit code 1 instead of 4; "
        r"spec-version: nothing in its standard output matches '^version 4\\.'"
    )
    log = capsys.readouterr().out
    assert "stdout.txt of default-data-disk-1:\n/sys/block/sda" in log
    assert "stderr.txt of spec-licence:\npassword=*** is wrong" in log
    assert "stdout.txt of spec-version:\nversion 3.9" in log
    assert "spec-fine passed" in log
    assert "hunter2" not in log


def test_a_probe_that_hangs_is_a_failure(
    cloud: Cloud, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pitfall 1: an end, and not a hang."""
    cloud.command(task="default-temp-drive", duration="P2D")
    run, tasks = make_run(), stages()
    run.do(tasks["pool"])
    monkeypatch.setattr(probing, "now", lambda: canary.now() - timedelta(minutes=15))
    run.in_waits = [lambda: cloud.advance(minutes=15)]
    with pytest.raises(ProbeFailedError) as failed:
        run.do(tasks["probe"])
    assert failed.value.answer == "default-temp-drive: it still ran when the time for probes was over"


def test_the_reason_fits_into_a_tag(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    probes = [{"name": f"probe-{number:03}", "command_line": "/bin/false"} for number in range(20)]
    cloud.command(task="spec-", exit_code=1)
    blames_the_image(cloud, make_run(canary={"probes": probes}), why="20 of 24 probes failed")
    assert len(version(cloud)[0]["golden-pools-why"]) == 256


def test_an_unusable_node_without_a_cause_may_recover(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    cloud.freeze()
    run = make_run()

    def gets_lost() -> None:
        cloud.advance(minutes=10)
        incident = {"state": "unusable", "nodes": 1, "recovers_after": "PT8M"}
        cloud.allocation(pool="canary-*", incident=incident)

    run.in_waits = [gets_lost, lambda: cloud.advance(minutes=20)]
    assert run.do(stages()["pool"])["pool"] == CANARY
    assert run.deferrals == ["CanaryTrigger", "CanaryTrigger"]


def test_an_unusable_node_that_does_not_recover_in_its_grace_is_bad(
    cloud: Cloud, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.allocation(pool="canary-*", node_outcomes=[{"state": "unusable", "nodes": 1}])
    run = make_run()
    eleven = timedelta(minutes=11)
    present = canary.now
    monkeypatch.setattr(canary, "now", lambda: present() - eleven)  # the grace ends before the second wait
    with pytest.raises(ProbeFailedError):
        run.do(stages()["pool"])
    assert run.deferrals == ["CanaryTrigger", "CanaryTrigger"]


# -- what says nothing about the image ---------------------------------------------------------------------------------


def spares_the_image(cloud: Cloud, run: Run) -> GoldenPoolsError:
    """Walk, and make sure that the failure leaves the version as it is."""
    failure = walk(run)
    assert failure is not None
    assert version(cloud) == ({}, False)
    assert left(cloud) == ([], [])
    return failure


def test_a_full_quota_is_not_a_bad_image(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    cloud.allocation(pool="canary-*", error=QUOTA, max_dedicated_nodes=0)
    run = make_run()
    failure = spares_the_image(cloud, run)
    assert isinstance(failure, ResizeGaveUpError)
    assert "says nothing about the image" in failure.what
    assert "AccountCoreQuotaReached" in failure.answer
    assert "ask for more dedicated cores" in failure.advice
    assert run.do(stages()["mark_bad"]).startswith("skipped: nothing speaks against the image (The canary node could")


def test_a_shortage_is_asked_again_by_the_next_try(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    """Pitfall 3: a region without capacity does not kill the night."""
    cloud.allocation(pool="canary-*", error=TIMEOUT, max_dedicated_nodes=0)
    run, tasks = make_run(), stages()
    with pytest.raises(AzureBusyError):
        run.do(tasks["pool"])
    assert run.do(tasks["pool"])["pool"] == CANARY
    assert short(cloud) == [
        f"PUT batchAccounts/goldenbatch/pools/{CANARY}",
        f"PATCH batchAccounts/goldenbatch/pools/{CANARY}",
    ]


def test_a_pool_that_somebody_deletes_is_not_a_bad_image(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run()
    run.in_waits = [lambda: cloud.arm("DELETE", f"{ACCOUNT}/pools/{CANARY}")]
    failure = spares_the_image(cloud, run)
    assert "does not exist" in failure.what


def test_a_spot_node_that_is_taken_away_during_the_probes_is_not_a_bad_image(
    cloud: Cloud, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, tasks = make_run(pool={"targets": {"spot": 2}}), stages()
    run.do(tasks["pool"])
    cloud.command(duration="PT5M")
    cloud.freeze()
    incident = {"state": "preempted", "nodes": 1, "recovers_after": "PT1H"}
    run.in_waits = [lambda: cloud.allocation(pool=CANARY, incident=incident)]
    present = canary.now
    with monkeypatch.context() as patch:
        patch.setattr(probing, "now", lambda: present() - timedelta(minutes=15))
        with pytest.raises(AzureBusyError) as busy:
            run.do(tasks["probe"])
    assert "says nothing about the image" in busy.value.what
    run.in_waits = repeat(lambda: cloud.control("PATCH", "clock", {"advance": "PT2H", "speed": SPEED}))
    assert {probe["outcome"] for probe in run.do(tasks["probe"])["probes"]} == {"passed"}


# -- other people ------------------------------------------------------------------------------------------------------


def test_somebody_elses_pool_of_that_name_is_refused_and_stays(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run()
    machine = {"imageReference": {"id": run.plan.image_id}, "nodeAgentSkuId": "batch.node.ubuntu 24.04"}
    body = {"vmSize": "STANDARD_D2S_V5", "deploymentConfiguration": {"virtualMachineConfiguration": machine}}
    cloud.arm("PUT", f"{ACCOUNT}/pools/{CANARY}", {"properties": body})
    cloud.forget()
    with pytest.raises(OwnershipError) as refused:
        run.do(stages()["pool"])
    assert "somebody else" in refused.value.answer
    assert run.do(stages()["remove"]) is None
    assert cloud.writes() == []


def test_somebody_elses_job_of_that_name_is_refused_and_stays(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run, tasks = make_run(), stages()
    cloud.plane("POST", "/jobs", {"id": CANARY, "poolInfo": {"poolId": "theirs"}})
    run.do(tasks["pool"])
    with pytest.raises(OwnershipError) as refused:
        run.do(tasks["probe"])
    assert "bound to pool theirs" in refused.value.answer
    run.do(tasks["remove"])
    assert left(cloud) == ([], [CANARY])


def test_what_a_killed_run_left_is_swept_and_nothing_else(cloud: Cloud, spec: PoolSpec, image: str) -> None:
    killed = Run(spec, conf={"image_version": NEW}, run_id="manual__killed", stamp=STAMP - timedelta(days=1))
    killed.do(stages()["pool"])
    killed.do(stages()["probe"])
    of_another_spec = Run(spec, pool="large", conf={"image_version": NEW}, stamp=STAMP - timedelta(days=1))
    of_another_spec.do(stages()["pool"])
    cloud.plane("POST", "/jobs", {"id": "work", "poolInfo": {"poolId": killed.plan.canary_name}})
    run = Run(spec, conf={"image_version": NEW})
    assert walk(run) is None
    cloud.advance(minutes=10)
    assert left(cloud) == ([of_another_spec.plan.canary_name], ["work"])


# -- killed workers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("victim", "write"),
    [("pool", 1), ("probe", 1), ("probe", 2), ("probe", 3), ("probe", 4), ("remove", 1), ("remove", 2)],
)
def test_a_worker_killed_at_any_write_leaves_nothing_and_makes_nothing_twice(
    cloud: Cloud, make_run: Callable[..., Run], victim: str, write: int
) -> None:
    run, tasks = make_run(), stages()
    for name in ("pool", "probe", "remove"):
        if name == victim:
            kill_at_write(run, tasks[name], write, sent=True)
        run.do(tasks[name])
        if name == "probe":
            assert len(cloud.plane("GET", f"/jobs/{CANARY}/tasks")["value"]) == 3
    assert left(cloud) == ([], [])
    assert {probe["outcome"] for probe in run.xcom("canary.probe")["probes"]} == {"passed"}
    assert short(cloud).count(f"PUT batchAccounts/goldenbatch/pools/{CANARY}") == 1


def test_a_worker_killed_while_it_marks_the_version_marks_it_in_the_end(
    cloud: Cloud, make_run: Callable[..., Run]
) -> None:
    cloud.command(task="default-temp-drive", exit_code=1)
    run, tasks = make_run(), stages()
    run.do(tasks["pool"])
    with pytest.raises(ProbeFailedError):
        run.do(tasks["probe"])
    kill_at_write(run, tasks["mark_bad"], 1, sent=True)
    assert run.do(tasks["mark_bad"])["verdict"] == "bad"
    assert len([write for write in short(cloud) if "versions/" in write]) == 1
    assert version(cloud)[1]


@pytest.mark.parametrize("victim", ["pool", "probe", "remove"])
def test_a_lost_reply_makes_nothing_twice(cloud: Cloud, make_run: Callable[..., Run], victim: str) -> None:
    """Pitfall 27: Azure did it, the answer never came."""
    run, tasks = make_run(), stages()
    for name in ("pool", "probe", "remove"):
        if name == victim:
            cloud.fault(method="PUT|POST|DELETE", lose_reply=True)
        run.do_with_retries(tasks[name])
    assert left(cloud) == ([], [])
    assert {probe["outcome"] for probe in run.xcom("canary.probe")["probes"]} == {"passed"}


def test_the_teardown_removes_what_a_dead_setup_made(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run()
    kill_at_write(run, stages()["pool"], 1, sent=True)
    run.do(stages()["remove"])
    assert left(cloud) == ([], [])


def test_a_clear_after_the_removal_tries_again(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run()
    assert walk(run) is None
    assert walk(run) is None
    assert left(cloud) == ([], [])


def test_a_clear_during_the_removal_waits_for_the_name(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    """Pitfall 22: a pool's id is free only when its deletion is done."""
    run, tasks = make_run(), stages()
    run.do(tasks["pool"])
    cloud.arm("DELETE", f"{ACCOUNT}/pools/{CANARY}")
    run.deferrals.clear()
    assert run.do(tasks["pool"])["pool"] == CANARY
    assert run.deferrals == ["GoneTrigger", "CanaryTrigger"]
