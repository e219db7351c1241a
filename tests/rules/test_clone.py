"""The script that generalizes a clone, and what it came to."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from golden_pools.rules.clone import ENDED_WITH, LINUX, WINDOWS, script, script_failure
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.source import ImageSource, System

from tests.rules.build import SUBSCRIPTION, plan

SUBNET = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/golden/providers/Microsoft.Network/virtualNetworks/n/subnets/s"
SUCCEEDED, STDOUT, STDERR = (
    "ProvisioningState/succeeded",
    "ComponentStatus/StdOut/succeeded",
    "ComponentStatus/StdErr/succeeded",
)


def cloning(os_type: str = "Linux", **clone: Any) -> RunPlan:
    """Return the plan of a run that generalizes a clone."""
    system = System(location="westeurope", os_type=os_type, generation="V2")
    planned = plan(golden_vm={"generalize": "clone", "clone": {"subnet_id": SUBNET, **clone}})
    return planned.model_copy(update={"source": ImageSource(builds=True, reason="", system=system)})


def run(script_: str) -> str:
    """Return what Azure's agent hands over of a script on Linux."""
    done = subprocess.run(["/bin/sh", "-c", script_], capture_output=True, text=True, check=False)
    return f"Enable succeeded: \n[stdout]\n{done.stdout}\n[stderr]\n{done.stderr}"


def failure(planned: RunPlan, *said: tuple[str, str | None]) -> str:
    return script_failure(planned, [{"code": code, "message": message} for code, message in said])


def test_the_script_is_what_the_spec_says_or_the_systems_own_way() -> None:
    assert LINUX in script(cloning())
    assert script(cloning("Windows")) == WINDOWS
    assert "/opt/seal" in script(cloning(command="/opt/seal --all"))


@pytest.mark.parametrize("command", ["true", "echo done; exit 0", "false\ntrue", "#!/bin/sh\ntrue", "set -e\ntrue"])
def test_a_script_of_linux_that_succeeds(command: str) -> None:
    planned = cloning(command=command)
    assert failure(planned, (SUCCEEDED, run(script(planned)))) == ""


@pytest.mark.parametrize(
    ("command", "code"),
    [("false", 1), ("exit 3", 3), ("set -e\nfalse\ntrue", 1), ("#!/bin/sh\nexit 7", 7), ("no-such-command", 127)],
)
def test_a_script_of_linux_that_fails_says_so_itself(command: str, code: int) -> None:
    """Azure/azure-cli#14425, #25948: the action says "succeeded" all the same."""
    planned = cloning(command=command)
    said = run(script(planned))
    assert failure(planned, (SUCCEEDED, said)) == f"exit code {code}; it said: {said.strip()}"


def test_a_line_that_names_the_shell_stays_the_first() -> None:
    assert script(cloning(command="#!/bin/bash\ntrue")).startswith("#!/bin/bash\n(\ntrue\n)\n")


@pytest.mark.parametrize("said", [[], [(SUCCEEDED, None)], [(SUCCEEDED, "Enable succeeded: \n[stdout]\nbegun\n")]])
def test_a_script_of_linux_that_says_nothing_at_its_end_was_cut_short(said: list[tuple[str, str | None]]) -> None:
    assert "it does not say its exit code" in failure(cloning(), *said)


def test_what_the_script_says_counts_less_than_an_agent_that_could_not_run_it() -> None:
    message = f"Enable failed: failed to execute command: {ENDED_WITH}0"
    assert failure(cloning(), (SUCCEEDED, message)) == message
    assert failure(cloning(), ("ProvisioningState/failed/3", None)) == "provisioningstate/failed/3"


def test_on_windows_the_error_stream_says_that_the_script_failed() -> None:
    windows = cloning("Windows")
    assert failure(windows, (STDOUT, "done"), (STDERR, " \n")) == ""
    assert failure(windows, (STDOUT, "begun"), (STDERR, "sysprep.exe: not found")) == "sysprep.exe: not found"
    assert failure(windows) == "", "a guest that shuts down may take the answer with it: that it shut down tells"
