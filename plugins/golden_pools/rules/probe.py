"""Which commands show that an image is good, and what their results mean.

Sources: "Files and directories in Azure Batch" (the node's root directory is on the temporary disk, if there is one),
"Troubleshoot Linux VM device names" and "Azure VM Utilities" (links of data disks by LUN).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from golden_pools.rules.facts import Job, Node, NodeCounts, Task
from golden_pools.rules.family import LONGEST_ID
from golden_pools.spec.model import Probe
from golden_pools.words import counted

NODE_AGENT = "default-node-agent"
"""Name of the probe that is no command: the nodes themselves show it."""


@dataclass(frozen=True, kw_only=True)
class ProbeTask:
    """A command that runs as a Batch task, and what it has to come to.

    :param id: id of the task: ``default-...`` for a probe of our own, ``spec-...`` for one of the spec
    :param output: regular expression that has to be found in the standard output
    """

    id: str
    command_line: str
    exit_code: int = 0
    output: str | None = None
    elevated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the probe as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the probe that :meth:`to_dict` wrote."""
        return cls(**value)


@dataclass(frozen=True, kw_only=True)
class Guest:
    """What a node of the image is to have.

    :param luns: LUNs of the image's data disks
    :param temp_disk: whether the VM size has a temporary disk; None: not known
    """

    windows: bool
    luns: tuple[int, ...]
    temp_disk: bool | None


def probe_tasks(guest: Guest, of_spec: Sequence[Probe]) -> list[ProbeTask]:
    """Return the probes that run as tasks: the data disks, the temp drive, and those of the spec."""
    data_disk, temp_drive = (
        (_windows_data_disk, _windows_temp_drive) if guest.windows else (_linux_data_disk, _linux_temp_drive)
    )
    return [
        *(ProbeTask(id=f"default-data-disk-{lun}", command_line=data_disk(guest, lun)) for lun in sorted(guest.luns)),
        ProbeTask(id="default-temp-drive", command_line=temp_drive(guest), elevated=True),
        *(
            ProbeTask(
                id=f"spec-{probe.name}",
                command_line=probe.command_line,
                exit_code=probe.exit_code,
                output=probe.output,
                elevated=probe.elevated,
            )
            for probe in of_spec
        ),
    ]


def _linux_data_disk(guest: Guest, lun: int) -> str:
    """Look for the link that udev's rules for Azure make; without such rules, whether there are disks enough."""
    disks = 1 + len(guest.luns) + bool(guest.temp_disk)
    return (
        "/bin/sh -c '"
        "links=$(ls -d /dev/disk/azure/scsi1/lun* /dev/disk/azure/data/by-lun/* 2>/dev/null); "
        "disks=$(ls -d /sys/block/sd* /sys/block/nvme*n* 2>/dev/null); "
        'echo "$links"; echo "$disks"; '
        f'if [ -n "$links" ]; then [ -b /dev/disk/azure/scsi1/lun{lun} ] || [ -b /dev/disk/azure/data/by-lun/{lun} ]; '
        f'else [ $(echo "$disks" | wc -l) -ge {disks} ]; fi'
        "'"
    )


def _linux_temp_drive(guest: Guest) -> str:
    not_the_os_disk = ' && [ "$(stat -c %d "$AZ_BATCH_NODE_ROOT_DIR")" != "$(stat -c %d /)" ]'
    return (
        "/bin/sh -c '"
        'file="${AZ_BATCH_NODE_ROOT_DIR:?}/golden-pools-probe.$$"; '
        'df -P / "$AZ_BATCH_NODE_ROOT_DIR"; '
        'echo probe > "$file" && rm "$file"' + (not_the_os_disk if guest.temp_disk else "") + "'"
    )


def _windows_data_disk(guest: Guest, lun: int) -> str:
    """Look for a disk of this LUN that is neither the system's nor the temporary one; else whether they are enough.

    Each controller counts its LUNs anew, so the number alone does not tell a data disk.
    """
    return _powershell(
        "$temp = @(Get-Volume | Where-Object { $_.FileSystemLabel -eq 'Temporary Storage' } | Get-Partition "
        "| ForEach-Object { $_.DiskNumber })",
        "$disks = @(Get-Disk | Where-Object { -not $_.IsBoot -and $temp -notcontains $_.Number })",
        "$disks | Format-List Number, Location, Size",
        f"if (-not ($disks | Where-Object {{ $_.Location -match 'LUN {lun}\\s*$' }}) "
        f"-and $disks.Count -lt {len(guest.luns)}) {{ throw 'there is no data disk at LUN {lun}' }}",
    )


def _windows_temp_drive(guest: Guest) -> str:
    steps = [
        "$root = $env:AZ_BATCH_NODE_ROOT_DIR",
        "if (-not $root) { throw 'AZ_BATCH_NODE_ROOT_DIR is not set' }",
        "$root",
        "$file = Join-Path $root ('golden-pools-probe.' + $PID)",
        "Set-Content -Path $file -Value probe",
        "Remove-Item -Path $file",
    ]
    if guest.temp_disk:
        steps.append(
            "if ((Split-Path -Qualifier $root) -eq $env:SystemDrive) { throw 'the temp drive is the system drive' }"
        )
    return _powershell(*steps)


def _powershell(*steps: str) -> str:
    script = "; ".join(("$ErrorActionPreference = 'Stop'", *steps))
    return f'powershell.exe -NoProfile -NonInteractive -Command "{script}"'


class Outcome(StrEnum):
    """What became of a probe."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not_run"


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """One probe's outcome, and what was seen, as one line without the command's output.

    :param blames_image: whether a failure speaks against the image
    """

    probe: str
    outcome: Outcome
    seen: str
    blames_image: bool = False

    def __str__(self) -> str:
        return f"{self.probe} {self.outcome.replace('_', ' ')}: {self.seen}"

    def to_dict(self) -> dict[str, str]:
        """Return the result as JSON, for the passport."""
        return {"probe": self.probe, "outcome": self.outcome.value, "seen": self.seen}


def judge_tasks(
    probes: Sequence[ProbeTask], tasks: Sequence[Task], outputs: Mapping[str, str], *, alone: bool
) -> list[ProbeResult]:
    """Return the result of every command, after all have ended or their time is over.

    :param tasks: of the probes' job
    :param outputs: standard output by the id of the task; absent: it could not be read
    :param alone: whether the node had nothing else to do, so that a command that is late has only itself to blame
    """
    seen = {task.id: task for task in tasks}
    return [_judge_task(probe, seen.get(probe.id), outputs.get(probe.id), alone=alone) for probe in probes]


def _judge_task(probe: ProbeTask, task: Task | None, output: str | None, *, alone: bool) -> ProbeResult:
    def result(outcome: Outcome, seen: str, *, blames_image: bool = False) -> ProbeResult:
        return ProbeResult(probe=probe.id, outcome=outcome, seen=seen, blames_image=blames_image)

    if task is None or (not task.is_over and task.state != "running"):
        return result(Outcome.NOT_RUN, "no node took it in the time for probes")
    if not task.is_over:
        return result(Outcome.FAILED, "it still ran when the time for probes was over", blames_image=alone)
    if task.exit_code is None:
        return result(
            Outcome.FAILED,
            f"it did not run to its end: {task.failure or 'Azure says no cause'}",
            blames_image=not task.service_failed,
        )
    if task.exit_code != probe.exit_code:
        return result(Outcome.FAILED, f"exit code {task.exit_code} instead of {probe.exit_code}", blames_image=True)
    if probe.output is None:
        return result(Outcome.PASSED, f"exit code {task.exit_code}")
    if output is None:
        return result(Outcome.FAILED, "its standard output could not be read")
    if not re.search(probe.output, output.replace("\r\n", "\n"), re.MULTILINE):
        return result(Outcome.FAILED, f"nothing in its standard output matches {probe.output!r}", blames_image=True)
    return result(Outcome.PASSED, f"exit code {task.exit_code}, the output matches")


def judge_nodes(nodes: Sequence[Node], image_id: str, tasks: Sequence[Task]) -> ProbeResult:
    """Return whether the node agent came up, on the image that was meant.

    A node that says no version of its agent is believed where no node says one and a task has ended: it was the agent
    that ran it.

    :param nodes: all nodes of the pool
    :param image_id: ARM id of the image
    :param tasks: of the probes' job
    """

    def result(outcome: Outcome, seen: str, *, blames_image: bool = False) -> ProbeResult:
        return ProbeResult(probe=NODE_AGENT, outcome=outcome, seen=seen, blames_image=blames_image)

    ready = [node for node in nodes if node.state in NodeCounts.READY]
    if not ready:
        failed = next((node for node in nodes if node.state in NodeCounts.FAILED), None)
        if failed is not None:
            causes = "; ".join((*failed.errors, failed.start_task_failure)).strip("; ")
            return result(
                Outcome.FAILED,
                f"node {failed.id} is {failed.state}" + (f": {causes}" if causes else ""),
                blames_image=True,
            )
        states = ", ".join(sorted({node.state for node in nodes}))
        return result(Outcome.NOT_RUN, f"no node takes work ({states or 'there is none'})")
    if other := next((node for node in ready if _is_another_image(node.image_id, image_id)), None):
        return result(Outcome.FAILED, f"node {other.id} runs on {other.image_id}")
    mute = [node for node in ready if not node.agent_version]
    if mute and (len(mute) < len(ready) or not any(task.is_over for task in tasks)):
        return result(Outcome.FAILED, f"node {mute[0].id} shows no node agent", blames_image=True)
    versions = ", ".join(sorted({node.agent_version for node in ready if node.agent_version}))
    return result(Outcome.PASSED, f"{counted(len(ready), 'node')} ready, agent {versions or 'of unknown version'}")


def _is_another_image(shown: str | None, wanted: str) -> bool:
    """Return whether a node shows another image than it should; one that names no version says nothing."""
    if not shown or ("/versions/" in wanted.casefold() and "/versions/" not in shown.casefold()):
        return False
    return shown.casefold() != wanted.casefold()


def is_probe_job(job: Job, alias: str) -> bool:
    """Return whether a job was made to probe the pool of a spec, by this run or an earlier one (``probe_name``)."""
    name = re.fullmatch(r"probe-\d{8}T\d{6}-(.+)", job.id, re.IGNORECASE)
    return name is not None and name[1].casefold() == alias[: LONGEST_ID - name.start(1)].casefold()
