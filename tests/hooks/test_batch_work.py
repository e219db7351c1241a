"""What the hook of jobs, nodes and files sends, word by word, and what it makes of odd answers."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from golden_pools.errors import AzureBusyError, AzureRefusedError, OwnershipError
from golden_pools.hooks.batch_work import TAIL_BYTES, AsyncBatchWorkHook, BatchWorkHook
from golden_pools.hooks.connection import AzureConnection
from golden_pools.rules.facts import Job, JobSchedule, JobState, Task
from golden_pools.spec.model import Deallocation, MoveTasks

from .wire import SUBSCRIPTION, Answer, Wire

PLACE = ("batch", "acc")
MINUTES = timedelta(minutes=15)
JOB = Job(id="j", state=JobState.DISABLED, pool="old", etag="0x1")
SCHEDULE = JobSchedule(id="s", state="active", pool="old", etag="0x1")
LONGEST = "P10675199DT2H48M5.4775807S"
"""The longest duration that Batch knows, which it shows where no limit was set; Python's clock is not so fine."""


@pytest.fixture
def known(connection: AzureConnection) -> AzureConnection:
    """A connection that knows the data plane, so that nothing is asked for it."""
    extra = {"arm_endpoint": connection.arm_endpoint, "batch_endpoint": "http://localhost:8070/{account}"}
    return AzureConnection.parse("c", extra=extra)


@pytest.fixture
def hook(wire: Wire, known: AzureConnection) -> BatchWorkHook:
    return BatchWorkHook("c", SUBSCRIPTION, connection=known, transport=wire.transport)


def refusal(status: int, code: str) -> Answer:
    return Answer(status, {"code": code, "message": {"lang": "en-us", "value": "m"}})


def job(job_id: str, pool: str, state: str = "active") -> dict[str, Any]:
    return {"id": job_id, "state": state, "eTag": "0x1", "poolInfo": {"poolId": pool}}


def query(wire: Wire, index: int = -1) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(wire.requests[index].url).query).items()}


def asked(wire: Wire) -> list[str]:
    return [f"{request.method} {urlsplit(request.url).path.removeprefix('/acc')}" for request in wire.requests]


class TestJobs:
    def test_jobs_of_a_pool_are_found_whatever_the_case_of_its_id(self, wire: Wire, hook: BatchWorkHook) -> None:
        own = {"id": "own", "state": "active", "poolInfo": {"autoPoolSpecification": {"poolLifetimeOption": "job"}}}
        wire.script(Answer(body={"value": [job("a", "Old"), job("b", "other", "disabled"), own]}))
        assert hook.jobs(*PLACE, pool="OLD") == [Job(id="a", state=JobState.ACTIVE, pool="Old", etag="0x1")]

    def test_jobs_that_are_over_are_not_even_sent(self, wire: Wire, hook: BatchWorkHook) -> None:
        """An account keeps every completed job until somebody deletes it: there may be a hundred thousand."""
        wire.script(Answer(body={"value": []}))
        hook.jobs(*PLACE, pool="old")
        assert query(wire)["$filter"] == (
            "state eq 'active' or state eq 'disabling' or state eq 'disabled' or state eq 'enabling'"
        )
        assert query(wire)["$select"] == "id,state,poolInfo,eTag"

    def test_a_missing_job_is_none(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(refusal(404, "JobNotFound"))
        assert hook.job(*PLACE, "j") is None

    @pytest.mark.parametrize(
        ("tasks", "word"),
        [(MoveTasks.REQUEUE, "requeue"), (MoveTasks.WAIT, "wait"), (MoveTasks.TERMINATE, "terminate")],
    )
    def test_disabling_says_what_becomes_of_running_tasks(
        self, wire: Wire, hook: BatchWorkHook, tasks: MoveTasks, word: str
    ) -> None:
        wire.script(Answer(202))
        hook.disable_job(*PLACE, "nightly:job-1", tasks)
        assert asked(wire) == ["POST /jobs/nightly%3Ajob-1/disable"]
        assert wire.body() == {"disableTasks": word}

    def test_what_takes_time_is_only_begun(self, wire: Wire, hook: BatchWorkHook) -> None:
        """The SDK's pollers would ask on, in a thread of the worker."""
        before = set(threading.enumerate())
        wire.script(Answer(202))
        hook.disable_job(*PLACE, "j", MoveTasks.WAIT)
        hook.enable_job(*PLACE, "j")
        hook.delete_job(*PLACE, "j")
        hook.reboot_node(*PLACE, "p", "n")
        hook.remove_nodes(*PLACE, "p", ["n"], timeout=MINUTES, deallocation=Deallocation.REQUEUE)
        assert len(wire.requests) == 5
        assert set(threading.enumerate()) == before

    def test_plain_requests_speak_the_sdks_version(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(Answer(202))
        hook.enable_job(*PLACE, "j")
        wire.script(Answer(body=job("j", "old")))
        hook.job(*PLACE, "j")
        assert query(wire, 0)["api-version"] == query(wire, 1)["api-version"]

    def test_a_move_changes_the_pool_only_and_only_of_the_job_that_was_seen(
        self, wire: Wire, hook: BatchWorkHook
    ) -> None:
        hook.move_job(*PLACE, JOB, "new")
        assert asked(wire) == ["PATCH /jobs/j"]
        assert wire.body() == {"poolInfo": {"poolId": "new"}}
        assert wire.requests[0].headers["If-Match"].strip('"') == "0x1"

    def test_a_job_that_has_moved_is_left_alone(self, wire: Wire, hook: BatchWorkHook) -> None:
        """Batch may take the same pool once more for a change, which needs a disabled job."""
        hook.move_job(*PLACE, JOB, "OLD")
        assert wire.requests == []

    def test_the_loser_of_a_race_is_told(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(refusal(412, "ConditionNotMet"))
        with pytest.raises(OwnershipError):
            hook.move_job(*PLACE, JOB, "new")

    @pytest.mark.parametrize(
        ("code", "advice"),
        [
            ("JobCompleted", "the job is over"),
            ("JobBeingDeleted", "the job is over"),
            ("OperationInvalidForCurrentState", "state of the pool, job or node"),
        ],
    )
    def test_with_a_condition_a_refusal_is_no_lost_race(
        self, wire: Wire, hook: BatchWorkHook, code: str, advice: str
    ) -> None:
        """The SDK makes "modified" of every error of a request with If-Match."""
        wire.script(refusal(409, code))
        with pytest.raises(AzureRefusedError) as refused:
            hook.move_job(*PLACE, JOB, "new")
        assert (refused.value.status, refused.value.code) == (409, code)
        assert advice in refused.value.advice

    def test_a_missing_right_is_told_as_such(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(refusal(403, "InsufficientAccountPermissions"))
        with pytest.raises(AzureRefusedError, match="Azure Batch Data Contributor"):
            hook.disable_job(*PLACE, "j", MoveTasks.WAIT)

    @pytest.mark.parametrize("state", ["active", "enabling"])
    def test_a_job_that_runs_can_be_enabled_again(self, wire: Wire, hook: BatchWorkHook, state: str) -> None:
        """Whether Batch refuses it is not documented."""
        wire.script(refusal(409, "OperationInvalidForCurrentState"), Answer(body=job("j", "new", state)))
        hook.enable_job(*PLACE, "j")
        assert asked(wire) == ["POST /jobs/j/enable", "GET /jobs/j"]

    def test_a_job_that_is_over_cannot(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(refusal(409, "JobCompleted"), Answer(body=job("j", "new", "completed")))
        with pytest.raises(AzureRefusedError, match="JobCompleted"):
            hook.enable_job(*PLACE, "j")

    @pytest.mark.parametrize("answer", [refusal(404, "JobNotFound"), refusal(409, "JobBeingDeleted"), Answer(202)])
    def test_deleting_is_safe_to_do_twice(self, wire: Wire, hook: BatchWorkHook, answer: Answer) -> None:
        wire.script(answer)
        hook.delete_job(*PLACE, "j")
        assert asked(wire) == ["DELETE /jobs/j"]

    def test_a_job_that_must_not_be_deleted_is_told(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(refusal(403, "AuthenticationFailed"))
        with pytest.raises(AzureRefusedError):
            hook.delete_job(*PLACE, "j")


class TestCreateJob:
    def test_the_body_says_id_and_pool(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(Answer(201))
        hook.create_job(*PLACE, "j", pool="p", priority=7)
        assert wire.body() == {"id": "j", "poolInfo": {"poolId": "p"}, "priority": 7}

    def test_what_an_earlier_try_made_is_adopted(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(refusal(409, "JobExists"), Answer(body=job("j", "P")))
        hook.create_job(*PLACE, "j", pool="p")

    @pytest.mark.parametrize(
        ("pool", "state"), [("other", "active"), ("p", "completed"), ("p", "terminating")], ids=str
    )
    def test_what_is_of_no_use_is_not(self, wire: Wire, hook: BatchWorkHook, pool: str, state: str) -> None:
        wire.script(refusal(409, "JobExists"), Answer(body=job("j", pool, state)))
        with pytest.raises(AzureRefusedError) as refused:
            hook.create_job(*PLACE, "j", pool="p")
        assert refused.value.code == "JobExists"
        assert "delete it" in refused.value.advice

    @pytest.mark.parametrize(
        ("first", "then"),
        [
            (refusal(409, "JobBeingDeleted"), Answer(body=job("j", "p", "deleting"))),
            (refusal(409, "JobExists"), Answer(body=job("j", "p", "deleting"))),
            (refusal(409, "JobBeingDeleted"), refusal(404, "JobNotFound")),
        ],
        ids=["being deleted", "exists and goes", "just gone"],
    )
    def test_an_id_that_is_not_free_yet_is_waited_for(
        self, wire: Wire, hook: BatchWorkHook, first: Answer, then: Answer
    ) -> None:
        wire.script(first, then)
        with pytest.raises(AzureBusyError, match="still being deleted"):
            hook.create_job(*PLACE, "j", pool="p")

    def test_a_full_account_is_waited_for(self, wire: Wire, hook: BatchWorkHook) -> None:
        """nextflow 5575: wait for job quota instead of failing."""
        wire.script(refusal(409, "ActiveJobAndScheduleQuotaReached"))
        with pytest.raises(AzureBusyError) as busy:
            hook.create_job(*PLACE, "j", pool="p")
        assert "higher quota" in busy.value.advice


class TestJobSchedules:
    def schedule(self, pool: str, **more: Any) -> dict[str, Any]:
        specification = {"poolInfo": {"poolId": pool}, **more}
        return {"id": "s", "state": "active", "eTag": "0x2", "jobSpecification": specification}

    def test_schedules_of_a_pool_are_found(self, wire: Wire, hook: BatchWorkHook) -> None:
        own = {"id": "own", "state": "active", "jobSpecification": {"poolInfo": {"autoPoolSpecification": {}}}}
        wire.script(Answer(body={"value": [self.schedule("Old"), {**self.schedule("x"), "id": "t"}, own]}))
        (found,) = hook.job_schedules(*PLACE, pool="old")
        assert (found.id, found.pool, found.is_over) == ("s", "Old", False)
        assert query(wire)["$filter"] == "state eq 'active' or state eq 'disabled'"

    def test_a_move_sends_the_specification_back_as_it_was(self, wire: Wire, hook: BatchWorkHook) -> None:
        """A PATCH replaces it as a whole, and what the SDK does not know, or cannot write, is in it as well."""
        constraints = {"maxWallClockTime": LONGEST, "maxTaskRetryCount": 0}
        rest = {
            "priority": 7,
            "constraints": constraints,
            "commonEnvironmentSettings": [{"name": "TOKEN", "value": "s3cret"}],
            "jobManagerTask": {"id": "m", "commandLine": "run", "constraints": {**constraints, "retentionTime": "P7D"}},
            "ofALaterVersion": {"a": [1]},
        }
        wire.script(Answer(body=self.schedule("old", **rest)), Answer())
        hook.move_job_schedule(*PLACE, SCHEDULE, "new")
        assert asked(wire) == ["GET /jobschedules/s", "PATCH /jobschedules/s"]
        assert wire.body() == {"jobSpecification": {"poolInfo": {"poolId": "new"}, **rest}}
        assert wire.requests[1].headers["If-Match"].strip('"') == "0x2", "the ETag of what was read, not of the list"

    def test_its_secrets_are_told_nobody(
        self, wire: Wire, hook: BatchWorkHook, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = [{"name": "TOKEN", "value": "s3cret"}]
        wire.script(
            Answer(body=self.schedule("old", commonEnvironmentSettings=settings)), refusal(400, "InvalidPropertyValue")
        )
        with caplog.at_level("DEBUG"), pytest.raises(AzureRefusedError) as refused:
            hook.move_job_schedule(*PLACE, SCHEDULE, "new")
        assert "s3cret" not in caplog.text + str(refused.value) + str(refused.value.__cause__)

    def test_a_schedule_that_has_moved_is_left_alone(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(Answer(body=self.schedule("New")))
        hook.move_job_schedule(*PLACE, SCHEDULE, "new")
        assert asked(wire) == ["GET /jobschedules/s"]

    def test_a_schedule_that_somebody_bound_elsewhere_is_theirs(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(Answer(body=self.schedule("theirs")))
        with pytest.raises(OwnershipError, match="bound to theirs"):
            hook.move_job_schedule(*PLACE, SCHEDULE, "new")
        assert asked(wire) == ["GET /jobschedules/s"]

    def test_a_change_in_between_is_a_lost_race(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(Answer(body=self.schedule("old")), refusal(412, "ConditionNotMet"))
        with pytest.raises(OwnershipError):
            hook.move_job_schedule(*PLACE, SCHEDULE, "new")


class TestTasks:
    @pytest.mark.parametrize(("elevated", "level"), [(False, "nonadmin"), (True, "admin")])
    def test_the_body_says_command_and_user(self, wire: Wire, hook: BatchWorkHook, elevated: bool, level: str) -> None:
        wire.script(Answer(201))
        hook.add_task(*PLACE, "j", "t", command_line="/bin/true", elevated=elevated)
        assert wire.body() == {
            "id": "t",
            "commandLine": "/bin/true",
            "userIdentity": {"autoUser": {"scope": "task", "elevationLevel": level}},
        }

    def test_a_task_that_is_there_is_adopted(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(refusal(409, "TaskExists"))
        hook.add_task(*PLACE, "j", "t", command_line="/bin/true")

    def test_a_job_that_is_over_takes_none(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(refusal(409, "JobCompleted"))
        with pytest.raises(AzureRefusedError, match="the job is over"):
            hook.add_task(*PLACE, "j", "t", command_line="/bin/true")

    def test_how_tasks_ended_is_read_and_masked(self, wire: Wire, hook: BatchWorkHook) -> None:
        failure = {
            "category": "usererror",
            "code": "ResourceFileFailed",
            "message": "no\nfile",
            "details": [{"name": "Url", "value": "https://a/b?sig=abcdef&x=1"}],
        }
        tasks = [
            {"id": "a", "state": "completed", "executionInfo": {"exitCode": 3}, "nodeInfo": {"nodeId": "n1"}},
            {"id": "b", "state": "completed", "executionInfo": {"failureInfo": failure}},
            {"id": "c", "state": "active"},
        ]
        wire.script(Answer(body={"value": tasks}))
        seen = hook.tasks(*PLACE, "j")
        assert seen[0] == Task(id="a", state="completed", exit_code=3, node="n1")
        assert seen[1].failure == "ResourceFileFailed: no file (Url=https://a/b?sig=***&x=1)"
        assert [task.is_over for task in seen] == [True, True, False]
        assert query(wire)["$select"] == "id,state,executionInfo,nodeInfo"


def file_of(length: int) -> Answer:
    """The answer to a HEAD."""
    return Answer(headers={"Content-Length": str(length), "ocp-batch-file-isdirectory": "False"})


class TestFiles:
    def test_only_the_end_of_a_file_is_read(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(file_of(1_000_000), Answer(body="x" * 16_384))
        assert hook.task_output(*PLACE, "j", "t") == "x" * TAIL_BYTES
        assert asked(wire) == ["HEAD /jobs/j/tasks/t/files/stdout.txt", "GET /jobs/j/tasks/t/files/stdout.txt"]
        assert wire.requests[1].headers["ocp-range"] == "bytes=983616-999999"

    def test_a_short_file_is_read_whole(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(file_of(4), Answer(body="done"))
        assert hook.start_task_output(*PLACE, "p", "n", "stderr.txt") == "done"
        assert asked(wire)[1] == "GET /pools/p/nodes/n/files/startup%2Fstderr.txt"
        assert wire.requests[1].headers["ocp-range"] == "bytes=0-3"

    def test_an_empty_file_is_not_asked_for(self, wire: Wire, hook: BatchWorkHook) -> None:
        """A range of it would be refused."""
        wire.script(file_of(0))
        assert hook.task_output(*PLACE, "j", "t") == ""
        assert len(wire.requests) == 1

    def test_who_does_not_know_ranges_does_not_flood_the_log(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(file_of(100_000), Answer(body="x" * 99_997 + "end"))
        output = hook.task_output(*PLACE, "j", "t")
        assert len(output) == TAIL_BYTES
        assert output.endswith("xend")

    def test_secrets_are_masked_even_where_the_cut_goes_through_them(self, wire: Wire, hook: BatchWorkHook) -> None:
        text = "a" * 8000 + "\nclient_secret=" + "s" * 200 + "\n" + "c" * (TAIL_BYTES - 100)
        wire.script(file_of(len(text)), Answer(body=text))
        assert "sss" not in hook.task_output(*PLACE, "j", "t")

    def test_bytes_that_are_no_text_do_not_stop_it(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(file_of(3), Answer(body="\N{EURO SIGN}"))
        assert hook.task_output(*PLACE, "j", "t") == "\N{EURO SIGN}"

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (404, "FileNotFound"),
            (404, "TaskNotFound"),
            (404, "NodeNotFound"),
            (404, "PoolNotFound"),
            (409, "NodeNotReady"),
            (409, "NodeStateUnusable"),
            (409, "TaskFilesUnavailable"),
            (409, "TaskFilesCleanedup"),
            (416, "InvalidRange"),
        ],
    )
    def test_what_cannot_be_had_is_empty(self, wire: Wire, hook: BatchWorkHook, status: int, code: str) -> None:
        """doAzureParallel 328: the nodes that need it most are those that do not answer."""
        wire.script(Answer(status))  # a HEAD has no body
        assert hook.start_task_output(*PLACE, "p", "n", "stdout.txt") == ""
        wire.script(file_of(4), refusal(status, code))
        assert hook.task_output(*PLACE, "j", "t") == ""

    def test_a_missing_file_is_no_traceback_in_the_log(
        self, wire: Wire, hook: BatchWorkHook, caplog: pytest.LogCaptureFixture
    ) -> None:
        wire.script(Answer(404))
        with caplog.at_level("DEBUG"):
            hook.task_output(*PLACE, "j", "t")
        assert [record.name for record in caplog.records] == ["golden_pools.hooks.pipeline"]

    def test_what_must_not_be_read_is_told(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(Answer(403))
        with pytest.raises(AzureRefusedError):
            hook.task_output(*PLACE, "j", "t")


class TestNodes:
    def test_a_node_says_what_it_runs_and_why_it_does_not(self, wire: Wire, hook: BatchWorkHook) -> None:
        failure = {"code": "FailureExitCode", "message": "exit", "category": "usererror"}
        good = {
            "id": "n1",
            "state": "idle",
            "isDedicated": True,
            "stateTransitionTime": "2026-11-22T02:00:00.1234567Z",
            "virtualMachineInfo": {"imageReference": {"virtualMachineImageId": "/v"}},
            "nodeAgentInfo": {"version": "1.2.3"},
        }
        bad = {"id": "n2", "state": "startTaskFailed", "startTaskInfo": {"exitCode": 3, "failureInfo": failure}}
        error = {"code": "DiskFull", "message": "No\nspace", "errorDetails": [{"name": "Disk", "value": "/mnt"}]}
        full = {"id": "n3", "state": "unusable", "isDedicated": False, "errors": [error]}
        wire.script(Answer(body={"value": [good, bad, full]}))
        first, second, third = hook.nodes(*PLACE, "p")
        assert (first.image_id, first.agent_version) == ("/v", "1.2.3")
        assert first.state_since == datetime(2026, 11, 22, 2, 0, 0, 123456, tzinfo=UTC)
        assert (second.state, second.start_task_exit_code) == ("starttaskfailed", 3)
        assert second.start_task_failure == "FailureExitCode: exit"
        assert third.errors == ("DiskFull: No space (Disk=/mnt)",)
        assert (second.dedicated, third.dedicated) == (True, False)
        assert "$filter" not in query(wire)

    def test_only_bad_nodes_are_asked_for(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(Answer(body={"value": []}))
        hook.nodes(*PLACE, "p", bad_only=True)
        assert query(wire)["$filter"] == "state eq 'unusable' or state eq 'starttaskfailed' or state eq 'unknown'"

    def test_a_reboot_gives_tasks_back(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(Answer(202))
        hook.reboot_node(*PLACE, "p", "tvm_1-d")
        assert asked(wire) == ["POST /pools/p/nodes/tvm_1-d/reboot"]
        assert wire.body() == {"nodeRebootOption": "requeue"}

    def test_a_reboot_is_safe_to_do_twice(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(refusal(409, "NodeBeingRebooted"))
        hook.reboot_node(*PLACE, "p", "n")

    def test_a_node_that_batch_cannot_reach_is_to_be_removed(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(refusal(409, "NodeStateUnusable"))
        with pytest.raises(AzureRefusedError) as refused:
            hook.reboot_node(*PLACE, "p", "n")
        assert "remove it" in refused.value.advice

    def test_a_hundred_nodes_are_removed_at_a_time(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(Answer(202))
        nodes = [f"n{number}" for number in range(250)]
        hook.remove_nodes(*PLACE, "p", nodes, timeout=MINUTES, deallocation=Deallocation.TASK_COMPLETION)
        assert asked(wire) == ["POST /pools/p/removenodes"]
        assert wire.body() == {
            "nodeList": nodes[:100],
            "resizeTimeout": "PT15M",
            "nodeDeallocationOption": "taskcompletion",
        }

    def test_nodes_of_a_pool_that_is_being_resized_go_later(self, wire: Wire, hook: BatchWorkHook) -> None:
        wire.script(refusal(409, "PoolBeingResized"))
        with pytest.raises(AzureBusyError):
            hook.remove_nodes(*PLACE, "p", ["n"], timeout=MINUTES, deallocation=Deallocation.REQUEUE)


class TestTriggers:
    @pytest.fixture
    def waiting(self, wire: Wire, known: AzureConnection) -> AsyncBatchWorkHook:
        return AsyncBatchWorkHook("c", SUBSCRIPTION, connection=known, transport=wire.async_transport)

    async def test_one_list_serves_any_number_of_jobs(self, wire: Wire, waiting: AsyncBatchWorkHook) -> None:
        wire.script(Answer(body={"value": [job("Work", "p", "disabling"), job("other", "q")]}))
        async with waiting:
            seen = await waiting.jobs(*PLACE)
        assert {name: one.state for name, one in seen.items()} == {"work": "disabling", "other": "active"}
        assert len(wire.requests) == 1
        assert "state eq 'disabling'" in query(wire)["$filter"]

    async def test_tasks_are_seen(self, wire: Wire, waiting: AsyncBatchWorkHook) -> None:
        wire.script(Answer(body={"value": [{"id": "t", "state": "completed", "executionInfo": {"exitCode": 0}}]}))
        async with waiting:
            assert await waiting.tasks(*PLACE, "j") == [Task(id="t", state="completed", exit_code=0)]

    async def test_an_outage_is_told_as_busy(self, wire: Wire, waiting: AsyncBatchWorkHook) -> None:
        wire.script(refusal(503, "ServerBusy"))
        async with waiting:
            with pytest.raises(AzureBusyError):
                await waiting.jobs(*PLACE)
