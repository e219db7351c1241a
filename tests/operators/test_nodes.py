"""Stage ``nodes``: nodes that are ready, that get ready by a reboot, that are replaced, and that are given up."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import repeat
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from golden_pools.errors import AzureBusyError, OwnershipError, ResizeGaveUpError
from golden_pools.failures import noted_failure
from golden_pools.operators.nodes import ReadyNodesOperator
from golden_pools.rules.resize.chart import Chart
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import NEW, Cloud, Run, kill_at_write

TASK = {"commandLine": "/bin/sh -c 'echo preparing; exit 0'", "waitForSuccess": True}
FULL_DISK = {"code": "DiskFull", "message": "There is not enough disk space"}


@pytest.fixture
def image(cloud: Cloud) -> str:
    """An image version, and a clock that stands still."""
    cloud.freeze()
    return cloud.make_version()


@pytest.fixture
def make_run(cloud: Cloud, spec: PoolSpec, image: str) -> Callable[..., Run]:
    """Make a run that waits for nodes; keyword arguments are those of the spec's clinic, or ``resize`` as a whole."""

    def make(*, dedicated: int = 5, spot: int = 0, resize: dict[str, Any] | None = None, **clinic: Any) -> Run:
        settings = {"back_off_minutes": 0, **(resize or {}), "clinic": clinic}
        changed = PoolSpec.model_validate({**spec.model_dump(mode="json"), "resize": settings})
        run = Run(changed, conf={"image_version": NEW, "dedicated": dedicated, "spot": spot})
        run.in_waits = repeat(lambda: cloud.advance(minutes=20))
        return run

    return make


def stage(**arguments: Any) -> ReadyNodesOperator:
    return ReadyNodesOperator(task_id="nodes", **arguments)


def writes(cloud: Cloud) -> list[str]:
    """Return what was done to the pool, in order, without names."""
    return [
        "reboot" if write.endswith("/reboot") else "remove" if write.endswith("/removenodes") else write.split()[0]
        for write in cloud.writes()
    ]


def ready(cloud: Cloud) -> int:
    """Return how many nodes are ready."""
    return sum(node["state"] in ("idle", "running") for node in cloud.plane("GET", "/pools/small/nodes")["value"])


def bad_nodes(cloud: Cloud) -> list[str]:
    """Return the ids of the nodes that do not take work."""
    nodes = cloud.plane("GET", "/pools/small/nodes")["value"]
    return [node["id"] for node in nodes if node["state"] not in ("idle", "running")]


def gives_up(run: Run) -> tuple[ResizeGaveUpError, dict[str, Any]]:
    """Return the error of the stage, and what it left for the rollback."""
    with pytest.raises(ResizeGaveUpError) as gave_up:
        run.do(stage())
    assert gave_up.value.advice
    noted = noted_failure(run.context(stage()), "nodes")  # type: ignore[arg-type]
    assert noted is not None
    return gave_up.value, dict(noted)


def outcome(cloud: Cloud, *, state: str = "unusable", nodes: int = 1, **more: Any) -> None:
    error = {"error": FULL_DISK} if state == "unusable" else {}
    cloud.allocation(node_outcomes=[{"state": state, "nodes": nodes, **error, **more}])


def test_nodes_that_are_ready_need_no_wait(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=5)
    run = make_run()
    assert run.do(stage()) == {"pool": "small", "dedicated": 5, "spot": 0, "rebooted": [], "replaced": 0}
    assert run.deferrals == []


def test_nodes_on_their_way_are_waited_for_without_a_worker(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image)
    cloud.resize(dedicated=5)
    cloud.advance(minutes=3)
    cloud.forget()
    run = make_run()
    assert run.do(stage()) == {"pool": "small", "dedicated": 5, "spot": 0, "rebooted": [], "replaced": 0}
    assert run.deferrals == ["ClinicTrigger"]
    assert writes(cloud) == []


def test_the_pool_and_its_targets_come_from_an_earlier_task(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    """A resize that moved missing Spot nodes to dedicated ones says so."""
    cloud.make_pool(image, dedicated=4)
    run = make_run(dedicated=2, spot=2)
    run.xcoms["resize"] = {"pool": "small", "targets": {"dedicated": 4, "spot": 0}}
    assert run.do(stage(pool_task_id="resize"))["dedicated"] == 4


def test_a_pool_with_a_role_is_found_by_its_alias(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Blue/green pools have ids of their own; their metadata say which one is current."""
    cloud.make_pool(image, dedicated=2, metadata=[{"name": "golden_pools_role", "value": "former"}])
    metadata = {"golden_pools_alias": "small", "golden_pools_role": "current"}
    pool = cloud.pool()
    pool["properties"] = {
        "vmSize": pool["properties"]["vmSize"],
        "deploymentConfiguration": pool["properties"]["deploymentConfiguration"],
        "scaleSettings": {"fixedScale": {"targetDedicatedNodes": 5}},
        "metadata": [{"name": name, "value": value} for name, value in metadata.items()],
    }
    cloud.arm(
        "PUT", pool["id"].split("/", 3)[3].replace("pools/small", "pools/small-new"), {"properties": pool["properties"]}
    )
    cloud.advance(minutes=30)
    assert make_run().do(stage())["pool"] == "small-new"


def test_what_a_node_says_is_read_before_it_is_lost(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Pitfall 13: a reboot clears the start task's files, a removal takes them along."""
    outcome(cloud, state="starttaskfailed")
    cloud.make_pool(image, dedicated=5, startTask=TASK)
    make_run().do(stage())
    steps = [entry["url"].rpartition("/")[2].partition("?")[0] for entry in cloud.requests()]
    told = [step for step in steps if step in ("stderr.txt", "reboot", "removenodes")]
    assert told == ["stderr.txt", "stderr.txt", "reboot", "stderr.txt", "stderr.txt", "removenodes"]


@pytest.mark.parametrize("state", ["starttaskfailed", "unusable"])
def test_a_failed_node_gets_ready_by_a_reboot(
    cloud: Cloud, image: str, make_run: Callable[..., Run], state: str
) -> None:
    outcome(cloud, state=state, cured_by_reboots=1)
    cloud.make_pool(image, dedicated=5, startTask=TASK)
    node = bad_nodes(cloud)
    result = make_run().do(stage())
    assert result == {"pool": "small", "dedicated": 5, "spot": 0, "rebooted": node, "replaced": 0}
    assert writes(cloud) == ["reboot"]


def test_a_node_is_rebooted_as_often_as_the_spec_says(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    outcome(cloud, cured_by_reboots=2)
    cloud.make_pool(image, dedicated=5)
    result = make_run(reboots=2).do(stage())
    assert (len(result["rebooted"]), result["replaced"]) == (1, 0)
    assert writes(cloud) == ["reboot", "reboot"]


def test_a_node_that_no_reboot_helps_is_replaced(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Its place in the pool goes with it, so the pool is resized back to its targets."""
    outcome(cloud, nodes=2)
    cloud.make_pool(image, dedicated=10)
    nodes, run = bad_nodes(cloud), make_run(dedicated=10)
    result = run.do(stage())
    assert result == {"pool": "small", "dedicated": 10, "spot": 0, "rebooted": nodes, "replaced": 2}
    assert writes(cloud) == ["reboot", "reboot", "remove", "PATCH"]
    assert ready(cloud) == 10
    assert {"RemovalTrigger", "ResizeTrigger"} <= set(run.deferrals)


@pytest.mark.parametrize("lowered", ["size", "targets"])
def test_whatever_a_removal_does_to_the_targets(
    cloud: Cloud, image: str, make_run: Callable[..., Run], lowered: str
) -> None:
    """The pool has one node less than its targets, which the spec accepts; Azure does not say what remains of them."""
    cloud.configure(batch={"remove_nodes_lowers": lowered})
    cloud.allocation(max_dedicated_nodes=9, node_outcomes=[{"state": "unusable", "nodes": 1, "error": FULL_DISK}])
    cloud.make_pool(image, dedicated=10)
    run = make_run(dedicated=10, resize={"smallest_acceptable_share": {"dedicated": 0.8}}, reboots=0)
    result = run.do(stage())
    assert (result["dedicated"], result["replaced"]) == (10, 1)
    assert writes(cloud) == ["remove", "PATCH"]


def test_a_removal_that_azure_shows_late_is_not_asked_for_again(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    outcome(cloud)
    cloud.make_pool(image, dedicated=5)
    cloud.configure(batch={"steady_after_resize_request": "PT30S"})
    run = make_run(reboots=0)
    run.in_waits = ()
    cloud.control("PATCH", "clock", {"speed": 20})
    assert run.do(stage())["replaced"] == 1
    assert writes(cloud) == ["remove", "PATCH"]


def test_a_node_that_azure_does_not_reboot_is_replaced(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Pitfall 13: the API reference lets only idle and running nodes be rebooted."""
    cloud.configure(batch={"reboot_states": ["idle", "running"]})
    outcome(cloud)
    cloud.make_pool(image, dedicated=5)
    result = make_run(reboots=3).do(stage())
    assert (len(result["rebooted"]), result["replaced"]) == (0, 1)
    assert writes(cloud) == ["reboot", "remove", "PATCH"]


def test_nodes_that_batch_recovers_itself_are_left_alone(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image, dedicated=5)
    cloud.allocation(incident={"state": "unknown", "nodes": 1, "recovers_after": "PT5M"})
    cloud.allocation(incident={"state": "unusable", "nodes": 1, "recovers_after": "PT5M"})
    result = make_run().do(stage())
    assert (result["dedicated"], result["rebooted"], result["replaced"]) == (5, [], 0)
    assert writes(cloud) == []


def test_a_lost_node_is_treated_when_its_time_is_over(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Nobody reaches it, so no reboot does either."""
    cloud.make_pool(image, dedicated=5)
    cloud.allocation(incident={"state": "unknown", "nodes": 1})
    result = make_run(grace_minutes=0).do(stage())
    assert (result["dedicated"], result["replaced"]) == (5, 1)


def test_preempted_spot_nodes_are_no_failure(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Pitfall 6: Batch brings them back by itself."""
    cloud.make_pool(image, spot=5)
    cloud.allocation(incident={"state": "preempted", "nodes": 4, "recovers_after": "PT10M"})
    assert make_run(dedicated=0, spot=5).do(stage())["spot"] == 5
    assert writes(cloud) == []


def test_a_bad_image_ends_the_stage_in_the_first_look(
    cloud: Cloud, image: str, make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """Pitfall 8 and pitfall 13: nothing is tried, and the log says what the start task said."""
    cloud.command(kind="starttask", exit_code=7, stderr="no licence server\n")
    cloud.make_pool(image, dedicated=5, startTask=TASK)
    run = make_run()
    error, noted = gives_up(run)
    assert "5 nodes failed, more than 1, so nothing is tried" in error.answer
    assert "billed" in error.advice
    assert noted["blames_image"] is True
    assert (run.deferrals, writes(cloud)) == ([], [])
    log = capsys.readouterr().out
    assert "5 nodes starttaskfailed (FailureExitCode" in log
    assert "exit code 7" in log
    assert "end of stdout.txt:" in log
    assert "preparing" in log
    assert "end of stderr.txt:\nno licence server" in log


def test_a_bad_image_is_seen_in_the_poll_that_shows_it(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    outcome(cloud, state="starttaskfailed", nodes=5)
    cloud.make_pool(image, startTask=TASK)
    cloud.resize(dedicated=5)
    cloud.advance(minutes=3)
    run = make_run()
    before = len(cloud.requests())
    gives_up(run)
    assert run.deferrals == ["ClinicTrigger"]
    counts = [entry for entry in cloud.requests()[before:] if entry["route"] == "/nodecounts"]
    assert len(counts) == 3  # the first look, one poll, the worker that the poll woke


def test_a_used_budget_gives_up(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.allocation(resizes=5, node_outcomes=[{"state": "unusable", "nodes": 1, "error": FULL_DISK}])
    cloud.make_pool(image, dedicated=5)
    error, noted = gives_up(make_run(replacements=2))
    assert "3 nodes rebooted, 2 nodes replaced in 2 rounds" in error.answer
    assert noted["blames_image"] is True
    assert writes(cloud) == ["reboot", "remove", "PATCH"] * 2 + ["reboot"]


def test_a_used_budget_is_no_failure_within_the_share(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Pitfall 2: 9 of 10 is a warning."""
    cloud.allocation(resizes=5, node_outcomes=[{"state": "unusable", "nodes": 1, "error": FULL_DISK}])
    cloud.make_pool(image, dedicated=10)
    result = make_run(dedicated=10, resize={"smallest_acceptable_share": {"dedicated": 0.9}}).do(stage())
    assert (result["dedicated"], len(result["rebooted"]), result["replaced"]) == (9, 2, 1)


def test_a_place_that_cannot_be_filled_again_does_not_blame_the_image(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    outcome(cloud)
    cloud.make_pool(image, dedicated=5)
    cloud.allocation(error={"code": "AccountCoreQuotaReached"}, resizes=9)
    error, noted = gives_up(make_run(reboots=0))
    assert "AccountCoreQuotaReached" in error.answer
    assert noted["blames_image"] is False


def test_nodes_that_come_too_late_do_not_blame_the_image(
    cloud: Cloud, image: str, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.make_pool(image)
    cloud.resize(dedicated=5)
    run = make_run()
    run.in_waits = ()
    monkeypatch.setattr(Chart, "deadline", lambda self, ready: datetime.fromisoformat(self.since) + ready / 900)
    error, noted = gives_up(run)
    assert "resize.ready_minutes" in error.advice
    assert noted["blames_image"] is False


def test_a_pool_that_is_gone_ends_the_stage(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Pitfall 1: nobody waits for the nodes of a pool that was deleted."""
    error, noted = gives_up(make_run())
    assert "find out who deleted it" in error.advice
    assert noted["blames_image"] is False


def test_a_formula_that_steers_the_pool_is_not_overridden(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    outcome(cloud)
    cloud.make_pool(image, dedicated=5)
    formula = {"autoScale": {"formula": "$TargetDedicatedNodes = 5;", "evaluationInterval": "PT168H"}}
    cloud.arm("PATCH", cloud.pool()["id"].split("/", 3)[3], {"properties": {"scaleSettings": formula}})
    cloud.advance(minutes=30)
    cloud.forget()
    with pytest.raises(OwnershipError) as refused:
        make_run(reboots=0).do(stage())
    assert "switch autoscale off" in refused.value.advice
    assert writes(cloud) == []


# -- killed, lost and done twice ---------------------------------------------------------------------------------------

UNDISTURBED = ["reboot", "reboot", "remove", "PATCH"]


@pytest.fixture
def ward(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> Run:
    """A run whose pool has two nodes that no reboot helps, of ten."""
    outcome(cloud, nodes=2)
    cloud.make_pool(image, dedicated=10)
    return make_run(dedicated=10)


@pytest.mark.parametrize("sent", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("number", range(1, len(UNDISTURBED) + 1))
def test_killed_at_any_write_the_retry_ends_as_an_undisturbed_run(
    cloud: Cloud, ward: Run, number: int, sent: bool
) -> None:
    nodes = bad_nodes(cloud)
    kill_at_write(ward, stage(), number, sent=sent)
    assert ward.do(stage()) == {"pool": "small", "dedicated": 10, "spot": 0, "rebooted": nodes, "replaced": 2}
    assert writes(cloud) == UNDISTURBED
    assert ready(cloud) == 10


def test_killed_before_any_deferral_the_retry_ends_as_an_undisturbed_run(cloud: Cloud, ward: Run) -> None:
    """What it deferred to is lost with the worker; the next try begins from the top, again and again."""
    nodes = bad_nodes(cloud)
    assert without_waits(cloud, ward) == {
        "pool": "small",
        "dedicated": 10,
        "spot": 0,
        "rebooted": nodes,
        "replaced": 2,
    }
    assert writes(cloud) == UNDISTURBED


def without_waits(cloud: Cloud, run: Run) -> Any:
    """Run the stage again and again from the top, each time up to where it defers."""
    for _ in range(20):
        with suppress(TaskDeferred):
            return stage().execute(run.context(stage()))  # type: ignore[arg-type]
        cloud.advance(minutes=20)
    pytest.fail("the stage does not come to an end")


@pytest.mark.parametrize("number", range(len(UNDISTURBED)))
def test_a_lost_reply_costs_nothing(cloud: Cloud, ward: Run, number: int) -> None:
    """Pitfall 27: Azure did it, the answer never came."""
    path = ("/reboot", "/reboot", "/removenodes", "/pools/small$")[number]
    cloud.fault(method="POST|PATCH", path=path, lose_reply=True, skip=int(number == 1))
    assert ward.do_with_retries(stage())["dedicated"] == 10
    assert ready(cloud) == 10
    assert len(cloud.plane("GET", "/pools/small/nodes")["value"]) == 10


def test_a_node_that_got_well_meanwhile_is_not_removed(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """Killed between the note and the removal; until the retry one of the two nodes has recovered."""
    cloud.make_pool(image, dedicated=10)
    cloud.allocation(incident={"state": "unknown", "nodes": 2, "recovers_after": "PT30M"})
    cloud.allocation(incident={"state": "unknown", "nodes": 1})
    run = make_run(dedicated=10, grace_minutes=0, reboots=0)
    kill_at_write(run, stage(), 1, sent=False)
    assert len(bad_nodes(cloud)) == 2
    cloud.advance(hours=1)
    healthy = {node["id"] for node in cloud.plane("GET", "/pools/small/nodes")["value"] if node["state"] == "idle"}
    assert run.do(stage())["replaced"] == 1
    bodies = [json.loads(entry["request_body"]) for entry in cloud.requests() if entry["url"].count("/removenodes")]
    assert len(bodies) == 1
    assert not healthy & set(bodies[0]["nodeList"])


def test_the_budget_is_the_runs_and_not_the_trys(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    """A worker that is lost again and again does not reboot a node again and again."""
    outcome(cloud)
    cloud.make_pool(image, dedicated=5)
    run = make_run(replacements=0)
    with pytest.raises(ResizeGaveUpError):
        without_waits(cloud, run)
    assert writes(cloud) == ["reboot"]


def test_a_wait_that_ends_in_an_outage_keeps_the_budget(cloud: Cloud, ward: Run) -> None:
    """The task is tried again by itself, which must not be a way to more reboots."""
    ward.begin(stage())
    before = ward.stores["nodes"].values
    outage = {"failure": AzureBusyError("Could not list the pools", answer="HTTP 503").to_dict()}
    with pytest.raises(AzureBusyError):
        stage().go_on(ward.context(stage()), outage)  # type: ignore[arg-type]
    assert ward.stores["nodes"].values == before
    assert "reboots" in next(iter(before.values()))


def test_throttling_is_tried_again(cloud: Cloud, ward: Run) -> None:
    """Pitfall 26: a 429 in the middle costs no node."""
    cloud.fault(method="POST", path="/reboot$", status=429, code="TooManyRequests", count=4, retry_after_seconds=0)
    with pytest.raises(AzureBusyError):
        ward.do(stage())
    assert ward.do_with_retries(stage())["dedicated"] == 10
