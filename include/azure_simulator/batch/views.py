"""Pools, nodes, jobs and tasks as the two planes show them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from include.azure_simulator.batch.nodes import COUNT_NAMES, Node, NodeState, count_states
from include.azure_simulator.batch.older_versions import arm_pool_in, data_plane_pool_in, node_counts_in, node_in
from include.azure_simulator.batch.planes import image_to_data_plane, pool_properties_to_data_plane
from include.azure_simulator.batch.pool_spec import DEFAULT_RESIZE_TIMEOUT, without_secrets
from include.azure_simulator.batch.pools import AllocationState, Pool, Resize, Targets
from include.azure_simulator.batch.scripts import ScriptedError
from include.azure_simulator.batch.wire import duration
from include.azure_simulator.resources import JsonObject, timestamp

if TYPE_CHECKING:
    from include.azure_simulator.batch.accounts import BatchAccount
    from include.azure_simulator.batch.autoscale import AutoScaleRun

_NODE_AGENT_VERSION = "1.12.9.0"


def arm_pool(account: BatchAccount, pool: Pool, now: datetime, version: str, *, fresh: bool = False) -> JsonObject:
    """A pool as ARM shows it.

    :param fresh: the answer of a write, which is never stale.
    """
    resource: JsonObject = {
        "id": str(account.id.child("pools", pool.name)),
        "name": pool.name,
        "type": "Microsoft.Batch/batchAccounts/pools",
        "etag": pool.etag,
        "properties": _arm_properties(pool, now, fresh=fresh),
    }
    if pool.identity is not None:
        resource["identity"] = pool.identity
    if pool.tags:
        resource["tags"] = cast(JsonObject, dict(pool.tags))
    return arm_pool_in(version, resource)


def data_plane_pool(pool: Pool, now: datetime, base: str, version: str) -> JsonObject:
    """A pool as the data plane shows it.

    :param base: URL of the account.
    """
    state, since, resize = pool.visible_resize(now)
    out: JsonObject = {
        "id": pool.name,
        "url": f"{base}/pools/{pool.name}",
        "eTag": plain_etag(pool.etag),
        "lastModified": timestamp(pool.modified),
        "creationTime": timestamp(pool.created),
        "state": "deleting" if pool.deleting else "active",
        "stateTransitionTime": timestamp(pool.deleting_since or pool.created),
        "allocationState": state.value.lower(),
        "allocationStateTransitionTime": timestamp(since),
        "currentDedicatedNodes": pool.current(dedicated=True),
        "currentLowPriorityNodes": pool.current(dedicated=False),
    }
    spec = cast(JsonObject, without_secrets(pool.spec.to_json()))
    out |= pool_properties_to_data_plane(spec) | _data_plane_scale(pool, resize)
    if resize is not None and resize.errors and state is AllocationState.STEADY:
        out["resizeErrors"] = [_error(error, "values", "name", "value") for error in resize.errors]
    if pool.identity is not None:
        out["identity"] = _data_plane_identity(pool.identity)
    return data_plane_pool_in(version, out)


def data_plane_node(node: Node, pool: Pool, now: datetime, base: str, version: str) -> JsonObject:
    """A node as the data plane shows it, with every property that the model of 2025-06-01 requires."""
    state = node.state(now)
    octets = f"{node.index // 65536 % 256}.{node.index // 256 % 256}.{node.index % 256}"
    out: JsonObject = {
        "id": node.id,
        "url": f"{base}/pools/{pool.name}/nodes/{node.id}",
        "state": state.value,
        "schedulingState": "disabled" if node.scheduling_disabled else "enabled",
        "stateTransitionTime": timestamp(node.state_since(now)),
        "lastBootTime": timestamp(min(node.booted, now)),
        "allocationTime": timestamp(node.allocated),
        "ipAddress": f"10.{octets}",
        "ipv6Address": f"fd00::{node.index + 4:x}",
        "affinityId": f"TVM:{node.id}",
        "vmSize": pool.spec.vm_size.lower(),
        "totalTasksRun": node.tasks_run,
        "totalTasksSucceeded": node.tasks_succeeded,
        "runningTasksCount": len(node.tasks),
        "runningTaskSlotsCount": sum(task.slots for task in node.tasks),
        "isDedicated": node.is_dedicated,
        "virtualMachineInfo": {"imageReference": image_to_data_plane(node.image)},
        "endpointConfiguration": {
            "inboundEndpoints": [
                {
                    "name": "SSHRule.0",
                    "protocol": "tcp",
                    "publicIPAddress": f"20.{octets}",
                    "publicFQDN": f"{node.id}.batch.localhost",
                    "frontendPort": 50000,
                    "backendPort": 22,
                }
            ]
        },
    }
    if node.start_task is not None:
        out["startTask"] = without_secrets(node.start_task)
    if (info := _start_task_info(node, now)) is not None:
        out["startTaskInfo"] = info
    if errors := node.errors(now):
        out["errors"] = [_error(error, "errorDetails", "name", "value") for error in errors]
    if state not in (NodeState.CREATING, NodeState.STARTING, NodeState.UNUSABLE):
        out["nodeAgentInfo"] = {"version": _NODE_AGENT_VERSION, "lastUpdateTime": timestamp(min(node.booted, now))}
    return node_in(version, out)


def node_counts(pool: Pool, now: datetime, version: str) -> JsonObject:
    """The numbers of nodes by state, for both kinds of nodes."""
    kinds: JsonObject = {"poolId": pool.name}
    for name, dedicated in (("dedicated", True), ("lowPriority", False)):
        counted = count_states((node for node in pool.nodes if node.is_dedicated == dedicated), now)
        counts: JsonObject = {word: counted[state] for state, word in COUNT_NAMES.items()}
        kinds[name] = {**counts, "total": counted.total()}
    return node_counts_in(version, kinds)


def auto_scale_run(run: AutoScaleRun) -> JsonObject:
    """An evaluation of a formula as the data plane shows it."""
    out: JsonObject = {"timestamp": timestamp(run.at), "results": run.results}
    if run.error is not None:
        out["error"] = {"code": run.error.code, "message": run.error.message}
    return out


def plain_etag(etag: str) -> str:
    """An ETag as the body of the data plane writes it: ``0x8D...``."""
    return etag.removeprefix("W/").strip('"')


def _arm_properties(pool: Pool, now: datetime, *, fresh: bool) -> JsonObject:
    state, since, resize = pool.visible_resize(now)
    if fresh:
        state, since, resize = pool.allocation_state, pool.allocation_since, pool.resize
    spec = cast(JsonObject, without_secrets(pool.spec.to_json()))
    spec["vmSize"] = pool.spec.vm_size.upper()
    spec["scaleSettings"] = _arm_scale(pool)
    out: JsonObject = {
        **spec,
        "lastModified": timestamp(pool.modified),
        "creationTime": timestamp(pool.created),
        "provisioningState": "Deleting" if pool.deleting else "Succeeded",
        "provisioningStateTransitionTime": timestamp(pool.deleting_since or pool.created),
        "allocationState": state.value,
        "allocationStateTransitionTime": timestamp(since),
        "currentDedicatedNodes": pool.current(dedicated=True),
        "currentLowPriorityNodes": pool.current(dedicated=False),
    }
    if resize is not None:
        out["resizeOperationStatus"] = _resize_status(resize, state)
    if pool.auto_scale_run is not None:
        run = pool.auto_scale_run
        shown: JsonObject = {"evaluationTime": timestamp(run.at), "results": run.results}
        if run.error is not None:
            shown["error"] = {"code": run.error.code, "message": run.error.message}
        out["autoScaleRun"] = shown
    return out


def _arm_scale(pool: Pool) -> JsonObject:
    """Scale settings; the deallocation option is write-only there and read back in the resize status."""
    scale = pool.spec.scale_settings
    if scale.auto_scale is not None:
        return {"autoScale": scale.auto_scale.to_json()}
    fixed = scale.fixed_scale
    return {
        "fixedScale": {
            "targetDedicatedNodes": (fixed.target_dedicated_nodes or 0) if fixed else 0,
            "targetLowPriorityNodes": (fixed.target_low_priority_nodes or 0) if fixed else 0,
            "resizeTimeout": duration(fixed.resize_timeout if fixed else DEFAULT_RESIZE_TIMEOUT),
        }
    }


def _resize_status(resize: Resize, state: AllocationState) -> JsonObject:
    status: JsonObject = {
        "targetDedicatedNodes": resize.targets.dedicated,
        "targetLowPriorityNodes": resize.targets.low_priority,
        "resizeTimeout": duration(resize.timeout),
        "nodeDeallocationOption": resize.option.value,
        "startTime": timestamp(resize.started),
    }
    if resize.errors and state is AllocationState.STEADY:
        status["errors"] = [_error(error, "details", "code", "message") for error in resize.errors]
    return status


def _data_plane_scale(pool: Pool, resize: Resize | None) -> JsonObject:
    scale = pool.spec.scale_settings
    if scale.auto_scale is not None:
        targets = resize.targets if resize is not None else Targets(0, 0)
        out: JsonObject = {
            "enableAutoScale": True,
            "autoScaleFormula": scale.auto_scale.formula,
            "autoScaleEvaluationInterval": duration(scale.auto_scale.evaluation_interval),
            "targetDedicatedNodes": targets.dedicated,
            "targetLowPriorityNodes": targets.low_priority,
        }
        if pool.auto_scale_run is not None:
            out["autoScaleRun"] = auto_scale_run(pool.auto_scale_run)
        return out
    fixed = cast(JsonObject, _arm_scale(pool)["fixedScale"])
    return {"enableAutoScale": False, **fixed}


def _data_plane_identity(identity: JsonObject) -> JsonObject:
    assigned = identity.get("userAssignedIdentities") or {}
    ids: list[JsonValue] = [{"resourceId": resource_id} for resource_id in cast(JsonObject, assigned)]
    return {"type": identity.get("type", "UserAssigned"), "userAssignedIdentities": ids}


def _error(error: ScriptedError, pairs: str, key: str, value: str) -> JsonObject:
    out: JsonObject = {"code": error.code, "message": error.message}
    if error.details:
        out[pairs] = [{key: detail.code, value: detail.message} for detail in error.details]
    return out


def _start_task_info(node: Node, now: datetime) -> JsonObject | None:
    run = node.start_task_run
    if run is None or now < run.started:
        return None
    info: JsonObject = {"state": "running", "startTime": timestamp(run.started), "retryCount": 0}
    if now < run.ended:
        return info
    info |= {
        "state": "completed",
        "endTime": timestamp(run.ended),
        "exitCode": run.exit_code,
        "retryCount": run.retries,
        "result": "failure" if run.exit_code else "success",
    }
    if run.exit_code:
        info["failureInfo"] = failure_info(run.exit_code)
    return info


def failure_info(exit_code: int) -> JsonObject:
    """Why a task failed that ended with a code other than 0."""
    return {
        "category": "usererror",
        "code": "FailureExitCode",
        "message": "The task exited with an exit code representing a failure",
        "details": [{"name": "Message", "value": f"The task exited with exit code {exit_code}"}],
    }
