"""What users do to single nodes."""

from __future__ import annotations

from datetime import datetime

from include.azure_simulator.batch.errors import BatchServiceError, invalid_body, invalid_value
from include.azure_simulator.batch.nodes import Node, NodeState, boot
from include.azure_simulator.batch.pool_spec import NodeDeallocationOption
from include.azure_simulator.batch.pools import Pool
from include.azure_simulator.batch.settings import BatchSettings
from include.azure_simulator.resources import JsonObject

_REFUSALS = {
    NodeState.CREATING: ("NodeBeingCreated", "The specified node is being created."),
    NodeState.STARTING: ("NodeBeingStarted", "The specified node is being started."),
    NodeState.REBOOTING: ("NodeBeingRebooted", "The specified node is being rebooted."),
    NodeState.REIMAGING: ("NodeBeingReimaged", "The specified node is being reimaged."),
    NodeState.UNUSABLE: ("NodeStateUnusable", "The state of the specified node is unusable."),
}
"""Codes of the states that have one of their own (Batch status and error codes)."""


def reboot(pool: Pool, node: Node, body: JsonObject, now: datetime, settings: BatchSettings) -> None:
    """Reboot a node; its start task runs again. A node that was bad when it came stays bad, unless reboots cure it.

    :raises BatchServiceError: 409 in a state that cannot be rebooted (a switch).
    """
    option = _option(body, "nodeRebootOption")
    state = node.state(now)
    if state not in settings.reboot_states:
        code, message = _REFUSALS.get(
            state,
            (
                "OperationInvalidForCurrentState",
                "The specified operation is not valid for the current state of the node.",
            ),
        )
        raise BatchServiceError(409, code, message, [("CurrentState", state.value)])
    _let_tasks_go(node, option, now)
    node.count_reboot(now)
    boot(node, now, pool.boot_plan(settings), from_state=NodeState.REBOOTING, first=settings.node_reboot)


def disable_scheduling(node: Node, body: JsonObject, now: datetime) -> None:
    """Give a node no more tasks; with ``taskcompletion`` those that run end first.

    :raises BatchServiceError: 409 when that is so already.
    """
    option = _option(body, "nodeDisableSchedulingOption")
    if node.scheduling_disabled:
        raise BatchServiceError(
            409, "NodeAlreadyInTargetSchedulingState", "The specified node is already in the target scheduling state."
        )
    node.scheduling_disabled = True
    if option is not NodeDeallocationOption.TASK_COMPLETION:
        _let_tasks_go(node, option, now)
    node.changed_at = now


def enable_scheduling(node: Node, now: datetime) -> None:
    """Give a node tasks again.

    :raises BatchServiceError: 409 when that is so already.
    """
    if not node.scheduling_disabled:
        raise BatchServiceError(
            409, "NodeAlreadyInTargetSchedulingState", "The specified node is already in the target scheduling state."
        )
    node.scheduling_disabled = False
    node.changed_at = now


def _option(body: JsonObject, name: str) -> NodeDeallocationOption:
    if unknown := set(body) - {name}:
        raise invalid_body(f"The property '{min(unknown)}' does not exist.")
    value = body.get(name, "requeue")
    try:
        return NodeDeallocationOption(str(value))
    except ValueError as error:
        raise invalid_value(name, value, "The value is not one of those that the operation takes.") from error


def _let_tasks_go(node: Node, option: NodeDeallocationOption, now: datetime) -> None:
    for task in tuple(node.tasks):
        if option is NodeDeallocationOption.TERMINATE:
            task.end_early(now)
        else:
            task.requeue(now)
