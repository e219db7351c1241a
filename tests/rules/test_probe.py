"""Probes: which commands they are, what they find on a real shell, and what their results mean."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from golden_pools.rules.facts import Job, JobState, Node, Task
from golden_pools.rules.probe import (
    Guest,
    Outcome,
    ProbeResult,
    ProbeTask,
    is_probe_job,
    judge_nodes,
    judge_tasks,
    probe_tasks,
)
from golden_pools.spec.model import Probe

from tests.rules import build
from tests.rules.build import VERSION_ID

LINUX = Guest(windows=False, luns=(0, 5), temp_disk=True)
WINDOWS = Guest(windows=True, luns=(0, 5), temp_disk=True)


def command(guest: Guest, task: str) -> str:
    return next(probe.command_line for probe in probe_tasks(guest, ()) if probe.id == task)


# -- which commands ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guest", [LINUX, WINDOWS])
def test_every_data_disk_and_the_temp_drive_are_probed(guest: Guest) -> None:
    assert [probe.id for probe in probe_tasks(guest, ())] == [
        "default-data-disk-0",
        "default-data-disk-5",
        "default-temp-drive",
    ]


def test_probes_of_the_spec_come_beside_the_default_ones() -> None:
    probe = Probe(name="temp-drive", command_line="renderer --version", exit_code=3, output="4[.]", elevated=True)
    assert probe_tasks(Guest(windows=False, luns=(), temp_disk=None), (probe,))[1:] == [
        ProbeTask(id="spec-temp-drive", command_line="renderer --version", exit_code=3, output="4[.]", elevated=True)
    ]


def test_the_longest_name_of_a_probe_makes_an_id_that_batch_takes() -> None:
    (*_, probe) = probe_tasks(LINUX, (Probe(name="p" * 56, command_line="true"),))
    assert len(probe.id) <= 64


def test_a_probe_survives_the_store() -> None:
    for probe in probe_tasks(LINUX, (Probe(name="p", command_line="true", output="x"),)):
        assert ProbeTask.from_dict(probe.to_dict()) == probe


@pytest.mark.parametrize("guest", [LINUX, WINDOWS])
def test_a_command_line_is_one_argument_for_its_shell(guest: Guest) -> None:
    """Batch runs no shell itself, so the quotes around the script must not occur in it."""
    for probe in probe_tasks(guest, ()):
        quote = "'" if not guest.windows else '"'
        assert probe.command_line.count(quote) == 2
        assert probe.command_line.endswith(quote)


# -- on a real shell ---------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a node's root directory with the block devices of three disks: system, temporary, data."""
    for name in ("sda", "sdb", "sdc"):
        (tmp_path / "sys/block" / name).mkdir(parents=True)
    return tmp_path


def link(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).touch()


def run(root: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a node would, on a file system below ``root``; files stand for devices."""
    line = line.replace("/dev/disk", f"{root}/dev/disk").replace("/sys/block", f"{root}/sys/block")
    script = line.removeprefix("/bin/sh -c '").removesuffix("'").replace("[ -b ", "[ -e ")
    return subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )


@pytest.mark.parametrize("path", ["dev/disk/azure/scsi1/lun0", "dev/disk/azure/data/by-lun/0"])
def test_a_data_disk_is_found_by_its_link(root: Path, path: str) -> None:
    link(root, path)
    seen = run(root, command(LINUX, "default-data-disk-0"))
    assert seen.returncode == 0
    assert path in seen.stdout


def test_a_data_disk_that_other_disks_have_links_beside_is_missing(root: Path) -> None:
    link(root, "dev/disk/azure/scsi1/lun0")
    link(root, "dev/disk/azure/scsi1/lun0-part1")
    (root / "sys/block/sdd").mkdir()
    assert run(root, command(LINUX, "default-data-disk-5")).returncode != 0


def test_without_links_the_disks_are_counted(root: Path) -> None:
    """System, temporary and two data disks are four."""
    assert run(root, command(LINUX, "default-data-disk-0")).returncode != 0
    (root / "sys/block/nvme0n1").mkdir()
    assert run(root, command(LINUX, "default-data-disk-0")).returncode == 0


def test_without_a_temporary_disk_one_disk_less_is_enough(root: Path) -> None:
    guest = Guest(windows=False, luns=(0, 5), temp_disk=False)
    assert run(root, command(guest, "default-data-disk-0")).returncode == 0


def test_a_root_directory_that_can_be_written_passes_and_stays_clean(root: Path) -> None:
    guest = Guest(windows=False, luns=(), temp_disk=False)
    seen = run(root, command(guest, "default-temp-drive"), AZ_BATCH_NODE_ROOT_DIR=str(root / "sys"))
    assert seen.returncode == 0
    assert [path.name for path in (root / "sys").iterdir()] == ["block"]


@pytest.mark.parametrize("environment", [{}, {"AZ_BATCH_NODE_ROOT_DIR": "/nowhere"}])
def test_a_root_directory_that_is_not_there_fails(root: Path, environment: dict[str, str]) -> None:
    guest = Guest(windows=False, luns=(), temp_disk=False)
    assert run(root, command(guest, "default-temp-drive"), **environment).returncode != 0


def test_a_temporary_disk_that_is_not_used_fails(root: Path, tmp_path: Path) -> None:
    """A directory on the file system of ``/`` is not on a disk of its own."""
    line = command(LINUX, "default-temp-drive").replace("%d /)", f"%d {tmp_path})")
    on_the_os_disk = run(root, line, AZ_BATCH_NODE_ROOT_DIR=str(tmp_path))
    assert on_the_os_disk.returncode != 0
    elsewhere = run(root, line.replace(f"%d {tmp_path})", "%d /proc)"), AZ_BATCH_NODE_ROOT_DIR=str(tmp_path))
    assert elsewhere.returncode == 0


# -- judging commands --------------------------------------------------------------------------------------------------

PROBE = ProbeTask(id="spec-gpu", command_line="nvidia-smi", exit_code=0, output=r"^GPU \d$")


def ended(**changes: Any) -> Task:
    return Task(**{"id": "spec-gpu", "state": "completed", "exit_code": 0, "node": "n1", **changes})


def judged(
    tasks: Sequence[Task], output: str | None = "name\r\nGPU 0\r\n", *, alone: bool = True, probe: ProbeTask = PROBE
) -> ProbeResult:
    outputs = {} if output is None else {"spec-gpu": output}
    (result,) = judge_tasks([probe], tasks, outputs, alone=alone)
    return result


def test_the_right_exit_code_and_output_pass() -> None:
    assert judged([ended()]).outcome is Outcome.PASSED


def test_an_expected_failure_passes() -> None:
    probe = ProbeTask(id="spec-gpu", command_line="x", exit_code=3)
    assert judged([ended(exit_code=3, failure="FailureExitCode: failed")], None, probe=probe).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("task", "output", "seen", "blames"),
    [
        (ended(exit_code=1), "GPU 0", "exit code 1 instead of 0", True),
        (ended(), "no devices", r"nothing in its standard output matches '^GPU \\d$'", True),
        (ended(), None, "its standard output could not be read", False),
        (
            ended(exit_code=None, failure="CommandProgramNotFound: not found"),
            "",
            "it did not run to its end: CommandProgramNotFound: not found",
            True,
        ),
        (
            ended(exit_code=None, failure="DiskFull: x", service_failed=True),
            "",
            "it did not run to its end: DiskFull: x",
            False,
        ),
        (ended(state="running", exit_code=None), "", "it still ran when the time for probes was over", True),
    ],
)
def test_a_failure_says_what_was_seen_and_whom_it_blames(
    task: Task, output: str | None, seen: str, blames: bool
) -> None:
    result = judged([task], output)
    assert (result.outcome, result.blames_image) == (Outcome.FAILED, blames)
    assert result.seen == seen


def test_a_command_that_is_late_on_a_busy_node_does_not_blame_the_image() -> None:
    assert not judged([ended(state="running", exit_code=None)], alone=False).blames_image


@pytest.mark.parametrize("tasks", [[], [ended(state="active", exit_code=None, node=None)]])
def test_a_command_that_no_node_took_was_not_run(tasks: list[Task]) -> None:
    result = judged(tasks)
    assert (result.outcome, result.blames_image) == (Outcome.NOT_RUN, False)


# -- judging nodes -----------------------------------------------------------------------------------------------------


def node(**changes: Any) -> Node:
    facts = {"id": "n1", "state": "idle", "dedicated": True, "image_id": VERSION_ID, "agent_version": "1.13"}
    return Node(**{**facts, **changes})


def agent(nodes: Sequence[Node], tasks: Sequence[Task] = (), image: str = VERSION_ID) -> ProbeResult:
    return judge_nodes(nodes, image, tasks)


def test_a_ready_node_with_an_agent_on_the_image_passes() -> None:
    assert agent([node(), node(id="n2", state="running", image_id=VERSION_ID.upper())]).outcome is Outcome.PASSED


def test_a_node_without_an_agent_fails() -> None:
    result = agent([node(), node(id="n2", agent_version=None)], [ended()])
    assert (result.outcome, result.seen, result.blames_image) == (
        Outcome.FAILED,
        "node n2 shows no node agent",
        True,
    )


def test_where_no_node_says_its_agent_a_task_that_ran_proves_it() -> None:
    """Whether Azure always tells is not documented."""
    assert agent([node(agent_version=None)]).outcome is Outcome.FAILED
    assert agent([node(agent_version=None)], [ended()]).outcome is Outcome.PASSED


def test_a_node_on_another_image_fails_and_does_not_blame_this_one() -> None:
    result = agent([node(image_id=VERSION_ID.replace("1121", "1101"))])
    assert (result.outcome, result.blames_image) == (Outcome.FAILED, False)
    assert "2026.1101.41500" in result.seen


@pytest.mark.parametrize("shown", [None, VERSION_ID.rpartition("/versions/")[0]])
def test_a_node_that_does_not_name_a_version_is_believed(shown: str | None) -> None:
    assert agent([node(image_id=shown)]).outcome is Outcome.PASSED


def test_a_node_that_went_bad_meanwhile_blames_the_image() -> None:
    result = agent([node(state="unusable", errors=("DiskFull: no space",))])
    assert (result.outcome, result.blames_image) == (Outcome.FAILED, True)
    assert result.seen == "node n1 is unusable: DiskFull: no space"


@pytest.mark.parametrize("nodes", [[], [node(state="preempted", dedicated=False)]])
def test_a_node_that_was_taken_away_says_nothing(nodes: list[Node]) -> None:
    assert agent(nodes).outcome is Outcome.NOT_RUN


# -- jobs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job_id", "alias", "ours"),
    [
        (build.plan().probe_name, "small", True),
        ("probe-20261101T020005-SMALL", "small", True),
        ("probe-20261101T020005-small-2", "small", False),
        ("probe-of-mine-small", "small", False),
        (f"probe-20261101T020005-{'x' * 42}", "x" * 64, True),
    ],
)
def test_jobs_of_probes_are_known_by_their_name(job_id: str, alias: str, ours: bool) -> None:
    assert is_probe_job(Job(id=job_id, state=JobState.ACTIVE, pool="small"), alias) is ours
