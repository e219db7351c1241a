"""Jobs, schedules, tasks, nodes and files: every method with the real SDK against a live simulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from golden_pools.errors import AzureBusyError, AzureRefusedError, OwnershipError
from golden_pools.hooks.batch_work import AsyncBatchWorkHook, BatchWorkHook
from golden_pools.rules.facts import JobState, Pool
from golden_pools.spec.model import Deallocation, MoveTasks, Targets

from .test_against_simulator import WHERE, Cloud, publish, serve, settings

PLACE = WHERE[:2]
MINUTES = timedelta(minutes=15)


@dataclass
class Work:
    """A pool ``small`` with two idle nodes, and the hook to it."""

    cloud: Cloud
    hook: BatchWorkHook
    version_id: str

    def pass_time(self, **span: float) -> None:
        self.cloud.world.clock.advance(timedelta(**span))

    def pool(self) -> Pool:
        seen = self.hook.pool(*WHERE)
        assert seen is not None
        return seen

    def job_state(self, job_id: str = "work") -> JobState:
        seen = self.hook.job(*PLACE, job_id)
        assert seen is not None
        return seen.state


@pytest.fixture
def work() -> Iterator[Work]:
    with serve() as cloud:
        version = publish(cloud)
        with BatchWorkHook("azure_default", cloud.subscription, connection=cloud.connection) as hook:
            hook.create_pool(*WHERE, settings(version), targets=Targets(dedicated=2), timeout=MINUTES)
            cloud.world.clock.advance(timedelta(minutes=30))
            yield Work(cloud, hook, version)


def test_a_pool_can_be_made_with_its_nodes(work: Work) -> None:
    assert work.pool().current_dedicated == 2


def test_a_job_is_made_once_and_runs_its_tasks(work: Work) -> None:
    for _ in range(2):
        work.hook.create_job(*PLACE, "work", pool="small")
        work.hook.add_task(*PLACE, "work", "good", command_line="/bin/true", elevated=True)
        work.hook.add_task(*PLACE, "work", "bad", command_line="/bin/sh -c 'exit 3'")
    work.pass_time(minutes=5)
    tasks = {task.id: task for task in work.hook.tasks(*PLACE, "work")}
    assert {task.is_over for task in tasks.values()} == {True}
    assert (tasks["good"].exit_code, tasks["bad"].exit_code) == (0, 3)
    assert tasks["bad"].failure
    assert tasks["good"].node
    assert "/bin/true" in work.hook.task_output(*PLACE, "work", "good")
    assert "exit code 3" in work.hook.task_output(*PLACE, "work", "bad", "stderr.txt")


def test_a_job_on_another_pool_is_not_adopted(work: Work) -> None:
    work.hook.create_job(*PLACE, "work", pool="other")
    with pytest.raises(AzureRefusedError) as refused:
        work.hook.create_job(*PLACE, "work", pool="small")
    assert refused.value.code == "JobExists"


def test_what_is_not_there_has_no_output(work: Work) -> None:
    assert work.hook.task_output(*PLACE, "work", "gone") == ""
    assert work.hook.job(*PLACE, "work") is None


def test_only_the_end_of_a_long_output_is_read(work: Work) -> None:
    work.hook.create_job(*PLACE, "work", pool="small")
    work.hook.add_task(*PLACE, "work", "long", command_line="begin " + "x" * 20_000 + " end")
    work.pass_time(minutes=5)
    output = work.hook.task_output(*PLACE, "work", "long")
    assert len(output) == 8192
    assert output.endswith(" end\n")


def test_a_job_moves_to_another_pool(work: Work) -> None:
    work.hook.create_job(*PLACE, "work", pool="small")
    work.hook.create_job(*PLACE, "elsewhere", pool="other")
    (job,) = work.hook.jobs(*PLACE, pool="SMALL")
    work.hook.disable_job(*PLACE, job.id, MoveTasks.REQUEUE)
    assert work.job_state() is JobState.DISABLING
    work.pass_time(minutes=1)
    (job,) = work.hook.jobs(*PLACE, pool="small")
    assert job.state is JobState.DISABLED
    work.hook.move_job(*PLACE, job, "green")
    work.hook.enable_job(*PLACE, job.id)
    work.hook.enable_job(*PLACE, job.id)
    work.pass_time(minutes=1)
    assert work.hook.jobs(*PLACE, pool="small") == []
    (moved,) = work.hook.jobs(*PLACE, pool="green")
    assert moved.state is JobState.ACTIVE


def test_waiting_for_tasks_can_be_sharpened_to_requeueing(work: Work) -> None:
    work.hook.create_job(*PLACE, "work", pool="small")
    work.hook.add_task(*PLACE, "work", "long", command_line="/bin/sleep 86400")
    work.pass_time(minutes=1)
    work.hook.disable_job(*PLACE, "work", MoveTasks.WAIT)
    work.pass_time(hours=1)
    assert work.job_state() is JobState.DISABLING
    work.hook.disable_job(*PLACE, "work", MoveTasks.REQUEUE)
    work.pass_time(minutes=1)
    assert work.job_state() is JobState.DISABLED


def test_an_active_job_does_not_move(work: Work) -> None:
    work.hook.create_job(*PLACE, "work", pool="small")
    (job,) = work.hook.jobs(*PLACE, pool="small")
    with pytest.raises(AzureRefusedError) as refused:
        work.hook.move_job(*PLACE, job, "green")
    assert refused.value.status == 409


def test_the_loser_of_a_race_for_a_job_is_told(work: Work) -> None:
    work.hook.create_job(*PLACE, "work", pool="small")
    (job,) = work.hook.jobs(*PLACE, pool="small")
    work.hook.disable_job(*PLACE, "work", MoveTasks.REQUEUE)
    work.pass_time(minutes=1)
    with pytest.raises(OwnershipError):
        work.hook.move_job(*PLACE, job, "green")


def test_jobs_that_are_over_are_not_listed(work: Work) -> None:
    work.hook.create_job(*PLACE, "work", pool="small")
    work.hook.delete_job(*PLACE, "work")
    work.hook.delete_job(*PLACE, "work")
    assert work.hook.jobs(*PLACE, pool="small") == []
    with pytest.raises(AzureBusyError, match="still being deleted"):
        work.hook.create_job(*PLACE, "work", pool="small")
    work.pass_time(minutes=5)
    work.hook.delete_job(*PLACE, "work")
    work.hook.create_job(*PLACE, "work", pool="small")


def test_a_schedule_moves_with_all_it_says(work: Work) -> None:
    specification = {
        "poolInfo": {"poolId": "small"},
        "priority": 7,
        "commonEnvironmentSettings": [{"name": "TOKEN", "value": "secret"}],
        "jobManagerTask": {"id": "manager", "commandLine": "/bin/true", "killJobOnCompletion": True},
    }
    body = {"id": "nightly", "schedule": {"recurrenceInterval": "PT1H"}, "jobSpecification": specification}
    client = work.hook._data_plane(*PLACE)
    client.create_job_schedule(body)
    (schedule,) = work.hook.job_schedules(*PLACE, pool="Small")
    work.hook.move_job_schedule(*PLACE, schedule, "green")
    assert work.hook.job_schedules(*PLACE, pool="small") == []
    moved = client.get_job_schedule("nightly").as_dict()["jobSpecification"]
    assert moved["poolInfo"] == {"poolId": "green"}
    assert moved["priority"] == 7
    assert moved["commonEnvironmentSettings"] == specification["commonEnvironmentSettings"]
    assert moved["jobManagerTask"]["commandLine"] == "/bin/true"


def test_nodes_say_what_they_run_and_when_they_changed(work: Work) -> None:
    nodes = work.hook.nodes(*WHERE)
    assert [node.state for node in nodes] == ["idle", "idle"]
    assert {node.image_id for node in nodes} == {work.version_id}
    assert all(node.agent_version and node.state_since for node in nodes)
    assert work.hook.nodes(*WHERE, bad_only=True) == []
    assert "/bin/true" in work.hook.start_task_output(*WHERE, nodes[0].id)


def test_a_node_is_rebooted_and_another_removed(work: Work) -> None:
    first, second = work.hook.nodes(*WHERE)
    work.hook.reboot_node(*WHERE, first.id)
    assert {node.id: node.state for node in work.hook.nodes(*WHERE)}[first.id] == "rebooting"
    work.hook.remove_nodes(*WHERE, [second.id], timeout=MINUTES, deallocation=Deallocation.REQUEUE)
    work.pass_time(minutes=30)
    assert [node.id for node in work.hook.nodes(*WHERE)] == [first.id]
    assert work.pool().target_dedicated == 1


def test_bad_nodes_alone_are_listed(work: Work) -> None:
    outcome = {"state": "starttaskfailed", "nodes": 1, "exit_code": 3}
    work.cloud.world.batch.script_allocation({"pool": "small", "node_outcomes": [outcome]})
    work.hook.resize_pool(*WHERE, dedicated=4, spot=0, timeout=MINUTES, etag=work.pool().etag)
    work.pass_time(minutes=30)
    (bad,) = work.hook.nodes(*WHERE, bad_only=True)
    assert (bad.state, bad.start_task_exit_code) == ("starttaskfailed", 3)
    assert "exit code 3" in work.hook.start_task_output(*WHERE, bad.id, "stderr.txt")


def test_many_nodes_are_removed_a_hundred_at_a_time(work: Work) -> None:
    work.hook.resize_pool(*WHERE, dedicated=152, spot=0, timeout=MINUTES, etag=work.pool().etag)
    work.pass_time(hours=1)
    nodes = [node.id for node in work.hook.nodes(*WHERE)]
    work.hook.remove_nodes(*WHERE, nodes[2:], timeout=MINUTES, deallocation=Deallocation.REQUEUE)
    with pytest.raises(AzureBusyError, match="PoolBeingResized"):
        work.hook.remove_nodes(*WHERE, nodes[102:], timeout=MINUTES, deallocation=Deallocation.REQUEUE)
    work.pass_time(hours=1)
    left = [node.id for node in work.hook.nodes(*WHERE)]
    assert left == nodes[:2] + nodes[102:]
    work.hook.remove_nodes(*WHERE, left[2:], timeout=MINUTES, deallocation=Deallocation.REQUEUE)
    work.pass_time(hours=1)
    assert (work.pool().current_dedicated, work.pool().target_dedicated) == (2, 2)


def test_a_resize_is_stopped_only_as_it_was_seen(work: Work) -> None:
    growing = work.hook.resize_pool(*WHERE, dedicated=5, spot=0, timeout=MINUTES, etag=work.pool().etag)
    with pytest.raises(OwnershipError):
        work.hook.stop_resize(*WHERE, etag='W/"0x0"')
    for _ in range(2):
        assert work.hook.stop_resize(*WHERE, etag=growing.etag).allocation_state == "Stopping"
    work.pass_time(minutes=30)
    assert work.hook.stop_resize(*WHERE, etag=growing.etag).allocation_state == "Steady"


def test_a_pool_is_emptied_changed_and_deleted(work: Work) -> None:
    marked = work.hook.set_metadata(*WHERE, {"golden_pools_role": "former"}, etag=work.pool().etag)
    assert marked.metadata == {"golden_pools_role": "former"}
    work.hook.resize_pool(*WHERE, dedicated=0, spot=0, timeout=MINUTES, etag=marked.etag)
    work.pass_time(minutes=30)
    assert work.hook.update_vm_size(*WHERE, "Standard_D4s_v5", etag=work.pool().etag).vm_size.lower().endswith("d4s_v5")
    work.hook.delete_pool(*WHERE)
    work.hook.delete_pool(*WHERE)
    work.pass_time(minutes=30)
    assert work.hook.pool(*WHERE) is None
    work.hook.delete_pool(*WHERE)


def test_a_formula_is_switched_off(work: Work) -> None:
    work.hook._data_plane(*PLACE).enable_pool_auto_scale("small", {"autoScaleFormula": "$TargetDedicatedNodes=2;"})
    work.pass_time(minutes=1)
    assert work.pool().autoscale
    assert not work.hook.disable_autoscale(*WHERE).autoscale


def test_a_version_is_marked_once_and_keeps_its_regions(work: Work) -> None:
    with work.cloud.compute() as compute:
        marking = compute.mark_version(work.version_id, tags={"golden-pools-verdict": "bad"}, exclude_from_latest=True)
        assert marking is not None
        work.cloud.finish(marking)
        version = compute.image_version(work.version_id)
        assert version is not None
        assert version.exclude_from_latest
        assert version.tags["golden-pools-verdict"] == "bad"
        assert version.target_regions == {"westeurope": 1, "northeurope": 1}
        again = compute.mark_version(work.version_id, tags={"golden-pools-verdict": "bad"}, exclude_from_latest=True)
        assert again is None


async def test_a_trigger_sees_jobs_and_tasks(work: Work) -> None:
    work.hook.create_job(*PLACE, "Work", pool="small")
    work.hook.add_task(*PLACE, "Work", "one", command_line="/bin/true")
    cloud = work.cloud
    async with AsyncBatchWorkHook("azure_default", cloud.subscription, connection=cloud.connection) as hook:
        assert (await hook.jobs(*PLACE))["work"].state is JobState.ACTIVE
        assert [task.id for task in await hook.tasks(*PLACE, "Work")] == ["one"]


def test_moments_are_aware(work: Work) -> None:
    since = work.hook.nodes(*WHERE)[0].state_since
    assert since is not None
    assert since.tzinfo is not None
    assert since < datetime(2026, 12, 31, tzinfo=UTC)
