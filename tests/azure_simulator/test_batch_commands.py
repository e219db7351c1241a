"""Commands of tasks and start tasks: what a script makes of them, what they leave behind, how long they may run."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import Batch, pool_body, reasons, refusal

STDOUT = "/jobs/work/tasks/{}/files/stdout.txt"


@pytest.fixture
def batch(client: TestClient, world: World) -> Batch:
    batch = Batch(client, world)
    batch.change(node_spread=0, task_duration="PT1M")
    return batch


def _work(batch: Batch, pool: str = "nightly-20261122", nodes: int = 1) -> None:
    """A pool with idle nodes and a job on it."""
    batch.make(pool, pool_body(nodes))
    batch.plane("POST", "/jobs", {"id": "work", "poolInfo": {"poolId": pool}})


def _texts(batch: Batch, folder: str) -> dict[str, str]:
    return {name: batch.plane("GET", f"{folder}/{name}.txt").text for name in ("stdout", "stderr")}


def _ended(batch: Batch, name: str) -> tuple[int, str]:
    info = batch.task(name)["executionInfo"]
    return info["exitCode"], info["result"]


def test_a_task_comes_to_what_a_script_says(batch: Batch) -> None:
    _work(batch)
    batch.command(pool="nightly-*", task="^probe", exit_code=9, stdout="looking\n", stderr="no GPU\n", duration="PT5M")
    batch.add_task("probe-gpu", "nvidia-smi")
    batch.wait(minutes=4)
    running = batch.task("probe-gpu")["state"]
    batch.wait(minutes=1)

    assert (running, _ended(batch, "probe-gpu")) == ("running", (9, "failure"))
    assert batch.task("probe-gpu")["executionInfo"]["failureInfo"]["code"] == "FailureExitCode"
    assert _texts(batch, "/jobs/work/tasks/probe-gpu/files") == {"stdout": "looking\n", "stderr": "no GPU\n"}


def test_without_a_script_a_command_line_speaks_for_itself(batch: Batch) -> None:
    _work(batch)
    batch.command(pool="other-*", exit_code=9)
    batch.command(command_line="nvidia", exit_code=9)
    batch.add_task("one", "exit 3")
    batch.wait(minutes=2)

    assert _ended(batch, "one") == (3, "failure")
    assert _texts(batch, "/jobs/work/tasks/one/files") == {
        "stdout": "exit 3\n",
        "stderr": "The command line ended with exit code 3\n",
    }


def test_what_a_script_leaves_out_stays_as_it_was(batch: Batch) -> None:
    _work(batch)
    batch.command(stdout="hello")
    batch.add_task("one", "sleep 30; exit 3")
    batch.wait(seconds=30)

    assert _ended(batch, "one") == (3, "failure")
    assert _texts(batch, "/jobs/work/tasks/one/files") == {
        "stdout": "hello",
        "stderr": "The command line ended with exit code 3\n",
    }


def test_a_script_is_used_up(batch: Batch) -> None:
    _work(batch)
    batch.command(count=1, exit_code=1)
    for name in ("one", "two"):
        batch.add_task(name)
        batch.wait(minutes=2)

    assert (_ended(batch, "one"), _ended(batch, "two")) == ((1, "failure"), (0, "success"))
    assert batch.client.get("/_simulator/commands").json() == []


def test_a_retry_is_a_command_of_its_own(batch: Batch) -> None:
    _work(batch)
    batch.command(count=1, exit_code=1)
    batch.add_task("one", constraints={"maxTaskRetryCount": 2})
    batch.wait(minutes=3)

    assert _ended(batch, "one") == (0, "success")
    assert batch.task("one")["executionInfo"]["retryCount"] == 1


def test_the_script_counts_that_is_there_when_a_task_starts(batch: Batch) -> None:
    batch.plane("POST", "/jobs", {"id": "work", "poolInfo": {"poolId": "later"}})
    batch.add_task("one")
    batch.command(pool="later", exit_code=4)
    batch.make("later", pool_body(1))
    batch.command(pool="later", exit_code=5)

    assert _ended(batch, "one") == (4, "failure")


def test_a_start_task_comes_to_what_a_script_says(batch: Batch) -> None:
    batch.command(pool="nightly-*", kind="starttask", count=1, exit_code=2, stdout="mounting", stderr="no share")
    batch.make("nightly-1", pool_body(2, startTask={"commandLine": "mount"}))

    failed, healthy = sorted(batch.nodes("nightly-1"), key=lambda node: node["state"], reverse=True)
    assert (failed["state"], healthy["state"]) == ("starttaskfailed", "idle")
    assert failed["startTaskInfo"]["exitCode"] == 2
    folder = f"/pools/nightly-1/nodes/{failed['id']}/files/startup"
    assert _texts(batch, folder) == {"stdout": "mounting", "stderr": "no share"}
    assert _texts(batch, folder.replace(failed["id"], healthy["id"])) == {"stdout": "mount\n", "stderr": ""}


def test_a_reboot_runs_the_start_task_as_it_is_scripted_then(batch: Batch) -> None:
    batch.command(kind="starttask", count=1, exit_code=2)
    batch.make("nightly", pool_body(1, startTask={"commandLine": "mount"}))
    before = batch.counts("nightly")
    batch.plane("POST", f"/pools/nightly/nodes/{batch.nodes('nightly')[0]['id']}/reboot", {})
    batch.wait(minutes=10)

    assert (before, batch.counts("nightly")) == ({"startTaskFailed": 1, "total": 1}, {"idle": 1, "total": 1})


def test_scripts_are_listed_and_forgotten(batch: Batch) -> None:
    batch.command(task="probe", exit_code=1, count=3)
    listed = batch.client.get("/_simulator/commands").json()
    forgotten = batch.client.delete("/_simulator/commands").status_code

    assert listed == [{"pool": "*", "task": "probe", "count": 3, "exit_code": 1, "left": 3}]
    assert (forgotten, batch.client.get("/_simulator/commands").json()) == (204, [])


@pytest.mark.parametrize(
    "script",
    [
        {},
        {"pool": "small-.*", "exit_code": 1},
        {"task": "(", "exit_code": 1},
        {"kind": "starttask", "task": "probe", "exit_code": 1},
        {"exit_code": 1, "count": 0},
        {"exit_code": 1, "exit": 1},
    ],
)
def test_a_script_that_is_not_understood_is_refused(batch: Batch, script: dict[str, Any]) -> None:
    assert batch.command(**script).status_code == 422


def test_a_script_for_an_account_that_does_not_exist_is_refused(batch: Batch) -> None:
    assert refusal(batch.command(account="nobody", exit_code=1)) == (404, "ResourceNotFound")


# -- how long a task may run -------------------------------------------------------------------------------------------


def test_a_task_that_runs_for_too_long_is_ended_by_batch(batch: Batch) -> None:
    """As the article on error handling says: completed, 0xC000013A, TaskEnded by the server."""
    _work(batch)
    batch.command(duration="PT10H")
    batch.add_task("one", constraints={"maxWallClockTime": "PT10M"})
    batch.wait(minutes=9)
    running = batch.task("one")["state"]
    batch.wait(minutes=1)

    info = batch.task("one")["executionInfo"]
    assert (running, _ended(batch, "one")) == ("running", (-1073741510, "failure"))
    assert (info["failureInfo"]["category"], info["failureInfo"]["code"]) == ("servererror", "TaskEnded")
    assert batch.counts("nightly-20261122") == {"idle": 1, "total": 1}


def test_a_task_that_ends_in_time_is_left_alone(batch: Batch) -> None:
    _work(batch)
    batch.add_task("one", "sleep 600", constraints={"maxWallClockTime": "PT10M"})
    batch.wait(minutes=10)

    assert _ended(batch, "one") == (0, "success")


def test_a_time_limit_is_a_duration(batch: Batch) -> None:
    _work(batch)
    body = {"id": "one", "commandLine": "true", "constraints": {"maxWallClockTime": "soon"}}
    answer = batch.plane("POST", "/jobs/work/tasks", body)

    assert refusal(answer) == (400, "InvalidPropertyValue")
    assert reasons(answer)["PropertyName"] == "maxWallClockTime"


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "expected"), [("bytes=0-3", "long"), ("bytes=5-9999", "line"), ("bytes=8-8", "e"), (None, "long line")]
)
def test_a_part_of_a_file_can_be_read(batch: Batch, part: str | None, expected: str) -> None:
    _work(batch)
    batch.command(stdout="long line")
    batch.add_task("one")
    batch.wait(minutes=2)

    headers = {} if part is None else {"ocp_range": part}
    answer = batch.plane("GET", STDOUT.format("one"), **headers)

    assert (answer.status_code, answer.text, answer.headers["content-length"]) == (200, expected, str(len(expected)))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("bytes=9-12", (416, "InvalidRange")),
        ("bytes=3-1", (416, "InvalidRange")),
        ("bytes=-4", (400, "InvalidHeaderValue")),
    ],
)
def test_a_part_that_is_not_there_is_refused(batch: Batch, part: str, expected: tuple[int, str]) -> None:
    _work(batch)
    batch.command(stdout="long line")
    batch.add_task("one")
    batch.wait(minutes=2)

    assert refusal(batch.plane("GET", STDOUT.format("one"), ocp_range=part)) == expected
    assert batch.plane("HEAD", STDOUT.format("one"), ocp_range=part).headers["content-length"] == "9"


def test_a_task_that_waits_has_no_files(batch: Batch) -> None:
    _work(batch, nodes=0)
    batch.add_task("one")

    answer = batch.plane("GET", STDOUT.format("one"))

    assert refusal(answer) == (409, "OperationInvalidForCurrentState")
    assert "task state is still active" in reasons(answer)["Reason"]


def test_a_task_that_was_ended_before_it_ran_has_no_files(batch: Batch) -> None:
    _work(batch, nodes=0)
    batch.add_task("one")
    batch.plane("POST", "/jobs/work/tasks/one/terminate")

    assert refusal(batch.plane("GET", STDOUT.format("one"))) == (409, "TaskFilesUnavailable")


@pytest.mark.parametrize(("code", "status"), [("NodeNotFound", 404), ("TaskFilesUnavailable", 409)])
def test_files_go_with_their_node(batch: Batch, code: str, status: int) -> None:
    batch.change(gone_files_code=code)
    _work(batch)
    batch.add_task("one")
    batch.wait(minutes=2)
    batch.plane("DELETE", "/pools/nightly-20261122")
    leaving = refusal(batch.plane("GET", STDOUT.format("one")))
    batch.wait(minutes=10)

    assert leaving == (409, "NodeNotReady")
    assert refusal(batch.plane("GET", STDOUT.format("one"))) == (status, code)
    assert refusal(batch.plane("GET", "/jobs/work/tasks/one/files")) == (status, code)


@pytest.mark.parametrize("state", ["unusable", "unknown"])
def test_a_node_that_does_not_answer_gives_no_files(batch: Batch, state: str) -> None:
    """Trap 13: no logs on an unusable node."""
    batch.make("nightly", pool_body(1, startTask={"commandLine": "true"}))
    batch.script(pool="nightly", incident={"state": state, "nodes": 1})
    folder = f"/pools/nightly/nodes/{batch.nodes('nightly')[0]['id']}/files"

    assert refusal(batch.plane("GET", folder)) == (409, "NodeNotReady")
    assert refusal(batch.plane("GET", f"{folder}/startup/stderr.txt")) == (409, "NodeNotReady")
