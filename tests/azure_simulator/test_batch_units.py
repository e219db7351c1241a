"""Small parts of the Batch side: filters, formulas, command lines, the words of the two planes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.azure_simulator.batch.autoscale import evaluate
from include.azure_simulator.batch.commands import Command, Commands
from include.azure_simulator.batch.errors import BatchServiceError
from include.azure_simulator.batch.odata import parse_filter
from include.azure_simulator.batch.planes import pool_properties_to_arm, pool_properties_to_data_plane
from include.azure_simulator.batch.pool_spec import ImageReference
from include.azure_simulator.batch.scripts import CommandKind, CommandScript
from include.azure_simulator.resources import JsonObject

NOW = datetime(2026, 11, 22, tzinfo=UTC)
NODE: JsonObject = {
    "id": "tvm-1",
    "state": "idle",
    "isDedicated": True,
    "count": 3,
    "stateTransitionTime": "2026-11-22T00:00:00Z",
    "properties": {"vmSize": "STANDARD_D2S_V5"},
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("state eq 'idle'", True),
        ("state ne 'idle'", False),
        ("state eq 'Idle'", False),
        ("count ge 3 and count lt 4", True),
        ("isDedicated eq false", False),
        ("state eq 'x' or (isDedicated eq true and count gt 2)", True),
        ("startswith(id, 'tvm')", True),
        ("properties/vmSize eq 'STANDARD_D2S_V5'", True),
        ("nothing eq null", True),
        ("stateTransitionTime gt datetime'2026-11-21T00:00:00Z'", True),
        ("stateTransitionTime lt 2026-11-21T00:00:00Z", False),
        ("id eq 'it''s'", False),
    ],
)
def test_filters(text: str, holds: bool) -> None:
    assert parse_filter(text)(NODE) is holds


@pytest.mark.parametrize("text", ["state", "state eq", "state like 'x'", "(state eq 'x'", "state eq 'x' 'y'", "#"])
def test_filters_that_are_not_understood_are_refused(text: str) -> None:
    with pytest.raises(BatchServiceError) as refused:
        parse_filter(text)

    assert (refused.value.status, refused.value.code) == (400, "InvalidQueryParameterValue")


@pytest.mark.parametrize(
    ("formula", "dedicated", "low_priority", "option"),
    [
        ("$TargetDedicatedNodes=3", 3, 1, "requeue"),
        ("$TargetDedicatedNodes=0; $TargetLowPriorityNodes = 7 ;", 0, 7, "requeue"),
        ("a = 2; b = a * 3;\n$TargetDedicatedNodes = min(b, 4) - 1", 3, 1, "requeue"),
        (
            "$TargetDedicatedNodes = $CurrentDedicatedNodes + 1; $NodeDeallocationOption = taskcompletion",
            6,
            1,
            "taskcompletion",
        ),
        ("$TargetDedicatedNodes = -4", 0, 1, "requeue"),
    ],
)
def test_formulas(formula: str, dedicated: int, low_priority: int, option: str) -> None:
    run = evaluate(formula, NOW, {"CurrentDedicatedNodes": 5, "CurrentLowPriorityNodes": 1})

    assert (run.dedicated, run.low_priority, run.option) == (dedicated, low_priority, option)


@pytest.mark.parametrize(
    "formula",
    [
        "$TargetDedicatedNodes",
        "x = y",
        "x = $PendingTasks.GetSample(1)",
        "x = 1/0",
        "x = __import__('os')",
        "x = 'text'",
    ],
)
def test_formulas_that_are_not_understood_are_refused(formula: str) -> None:
    with pytest.raises(BatchServiceError) as refused:
        evaluate(formula, NOW, {"CurrentDedicatedNodes": 0, "CurrentLowPriorityNodes": 0})

    assert refused.value.code == "AutoScalingFormulaSyntaxError"


@pytest.mark.parametrize(
    ("command", "retries", "seconds", "exit_code"),
    [
        ("/bin/bash -c 'echo hello'", 3, 60, 0),
        ("sleep 5", 0, 5, 0),
        ("/bin/sh -c 'sleep 2.5; exit 4'", 1, 5, 4),
        ("cmd /c timeout /t 9 && exit /b 2", 0, 9, 2),
        ("exit 1", -1, 60, 1),
    ],
)
def test_command_lines(command: str, retries: int, seconds: float, exit_code: int) -> None:
    run = Commands().run(Command("p", command, max_retries=retries), default=timedelta(seconds=60))

    assert (run.duration.total_seconds(), run.exit_code) == (seconds, exit_code)


def _scripted(*scripts: CommandScript) -> Commands:
    commands = Commands()
    for script in scripts:
        commands.scripts.add(script, script.count)
    return commands


def test_each_attempt_uses_up_a_script_and_the_last_one_counts() -> None:
    commands = _scripted(CommandScript(count=2, exit_code=7, duration=timedelta(seconds=5), stdout="bad"))

    run = commands.run(Command("p", "sleep 1", "t", max_retries=3), default=timedelta(0))

    assert (run.exit_code, run.retries, run.duration, run.stdout) == (0, 2, timedelta(seconds=11), None)


def test_scripts_that_get_used_up_come_before_those_without_end_and_the_newest_of_those_holds() -> None:
    commands = _scripted(
        CommandScript(exit_code=1),
        CommandScript(exit_code=2),
        CommandScript(count=1, exit_code=3),
        CommandScript(count=1, exit_code=4),
    )

    codes = [commands.run(Command("p", "true"), default=timedelta(0)).exit_code for _ in range(4)]

    assert codes == [3, 4, 2, 2]


@pytest.mark.parametrize(
    ("script", "fits"),
    [
        ({}, True),
        ({"pool": "SMALL-canary"}, True),
        ({"pool": "small-*"}, True),
        ({"pool": "small"}, False),
        ({"pool": "*canary"}, True),
        ({"kind": "task"}, True),
        ({"kind": "starttask"}, False),
        ({"task": "^PROBE-"}, True),
        ({"task": "^gpu"}, False),
        ({"command_line": "nvidia-smi"}, True),
        ({"command_line": "nvidia-smi$", "task": "probe"}, False),
    ],
)
def test_what_a_script_is_about(script: dict[str, str], fits: bool) -> None:
    found = CommandScript.model_validate({"exit_code": 1, **script})

    assert found.fits("small-Canary", "bash -c nvidia-smi -L", "probe-1") is fits


def test_a_script_about_a_task_is_not_about_a_start_task() -> None:
    assert not CommandScript(exit_code=1, task=".*").fits("p", "true", None)
    assert CommandScript(exit_code=1, kind=CommandKind.START_TASK).fits("p", "true", None)


def test_a_pool_keeps_its_meaning_from_plane_to_plane() -> None:
    body: JsonObject = {
        "vmSize": "standard_d2s_v5",
        "virtualMachineConfiguration": {
            "imageReference": {"virtualMachineImageId": "/an/id"},
            "nodeAgentSKUId": "batch.node.ubuntu 24.04",
            "dataDisks": [{"lun": 0, "diskSizeGB": 8, "caching": "readonly"}],
        },
        "enableInterNodeCommunication": True,
        "taskSchedulingPolicy": {"nodeFillType": "pack"},
        "userAccounts": [{"name": "me", "elevationLevel": "admin"}],
        "networkConfiguration": {
            "dynamicVNetAssignmentScope": "none",
            "endpointConfiguration": {"inboundNATPools": [{"name": "ssh", "protocol": "tcp"}]},
        },
        "applicationPackageReferences": [{"applicationId": "app", "version": "1"}],
        "mountConfiguration": [{"cifsMountConfiguration": {"username": "me"}}],
        "startTask": {
            "commandLine": "true",
            "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": "admin"}},
        },
    }

    arm = pool_properties_to_arm(body, "/account")

    task: JsonObject = {"autoUser": {"scope": "Pool", "elevationLevel": "Admin"}}
    assert arm["startTask"] == {"commandLine": "true", "userIdentity": task}
    assert arm["interNodeCommunication"] == "Enabled"
    assert arm["applicationPackages"] == [{"id": "/account/applications/app", "version": "1"}]
    assert arm["mountConfiguration"] == [{"cifsMountConfiguration": {"userName": "me"}}]
    assert pool_properties_to_data_plane(arm) == body


@pytest.mark.parametrize(
    ("image_id", "managed", "pinned"),
    [
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/i", True, False),
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/a/images/i", False, False),
        (
            "/SUBSCRIPTIONS/s/resourcegroups/g/providers/microsoft.compute/galleries/a/images/i/versions/1.0.0",
            False,
            True,
        ),
    ],
)
def test_image_ids(image_id: str, managed: bool, pinned: bool) -> None:
    image = ImageReference(id=image_id)

    assert (image.is_managed_image, image.pins_a_version) == (managed, pinned)
