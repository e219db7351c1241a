"""The throwaway VM that is generalized in the golden VM's place: its names, its script, and what the script came to.

Rules: "Deprovision or generalize a VM before creating an image", "Run scripts in your VM by using action Run Commands".
What the action does not tell: the exit code, on Linux (Azure/azure-cli#14425, #25948: "succeeded", whatever it was) as
on Windows (MicrosoftDocs/azure-docs-cli#4542).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from golden_pools.rules.plan import RunPlan
from golden_pools.spec.source import Clone

THROWAWAY_TAG = "golden-pools-throwaway"
"""Tag of everything that lives only as long as one clone or restore point; nothing without it is ever generalized, or
deleted with it."""

LINUX = "/usr/sbin/waagent -force -deprovision+user && sync"
WINDOWS = '& "$env:SystemRoot\\System32\\Sysprep\\sysprep.exe" /generalize /oobe /shutdown /quiet'
"""Sysprep goes on after the script has ended, and shuts the guest down when it is done."""

FAILED_SCRIPT = "enable failed"
"""Beginning of what the Linux agent says where it could not run a script at all."""

ENDED_WITH = "golden-pools: the script ended with exit code "
"""What the script itself says at its end on Linux, since Azure does not: its last lines are those that are kept."""


def clone_of(plan: RunPlan) -> Clone:
    """Return what the spec says of the clone."""
    assert plan.golden_vm.clone is not None, "the spec asks for it with generalize: clone"
    return plan.golden_vm.clone


def clone_tags(plan: RunPlan) -> dict[str, str]:
    """Return the tags of a clone's VM, disks and network card."""
    return {**plan.tags, THROWAWAY_TAG: "clone"}


def is_throwaway(plan: RunPlan, tags: Mapping[str, str]) -> bool:
    """Return whether a run of this DAG, this one or an earlier one, made something to be thrown away."""
    return tags.get(THROWAWAY_TAG) == "clone" and tags.get("golden-pools-dag") == plan.dag_id


def disk_name(plan: RunPlan, lun: int | None) -> str:
    """Return the name of a disk of the clone."""
    return f"{plan.clone_name}-os" if lun is None else f"{plan.clone_name}-data-{lun}"


def command(plan: RunPlan) -> str:
    """Return what generalizes the guest."""
    return clone_of(plan).command or (WINDOWS if is_windows(plan) else LINUX)


def script(plan: RunPlan) -> str:
    """Return the script that runs it, and on Linux says its exit code; a line ``#!`` stays the first."""
    if is_windows(plan):
        return command(plan)
    lines = command(plan).splitlines()
    shebang = lines[:1] if lines[0].startswith("#!") else []
    return "\n".join([*shebang, "(", *lines[len(shebang) :], ")", f'echo "{ENDED_WITH}$?"'])


def is_windows(plan: RunPlan) -> bool:
    """Return whether the guest is Windows, which has to shut itself down when it is generalized."""
    return plan.system.os_type.casefold() == "windows"


def script_failure(plan: RunPlan, statuses: Iterable[Mapping[str, Any]]) -> str:
    """Return what says that the script failed, or nothing.

    On Linux that is the exit code that the script tells, and no word of it; of Windows only what PowerShell wrote to
    its error stream.

    :param statuses: what the run command answered: ``code`` and ``message``, one for each stream on Windows
    """
    said = ""
    for status in statuses:
        code, message = str(status.get("code") or "").casefold(), str(status.get("message") or "").strip()
        said += message
        if not code.endswith("/succeeded") or message.casefold().startswith(FAILED_SCRIPT):
            return message or code
        if "/stderr/" in code and message:
            return message
    if is_windows(plan):
        return ""
    ended = re.search(rf"{re.escape(ENDED_WITH)}(\d+)", said)
    if ended is None:
        return f"it does not say its exit code, so it was cut short; it said: {said or 'nothing'}"
    return "" if ended[1] == "0" else f"exit code {ended[1]}; it said: {said}"
