"""From Batch's JSON (management and data plane) to facts, and from a pool's spec to the JSON that Batch takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from golden_pools.hooks.compute_facts import Json, dig, moment, vm_size
from golden_pools.hooks.failures import mask
from golden_pools.rules import facts
from golden_pools.spec.model import Deallocation, Pool, Targets
from golden_pools.spec.part import normal_region

DEALLOCATION = {
    Deallocation.REQUEUE: "Requeue",
    Deallocation.TERMINATE: "Terminate",
    Deallocation.TASK_COMPLETION: "TaskCompletion",
}


DATA_PLANE_DEALLOCATION = {
    Deallocation.REQUEUE: "requeue",
    Deallocation.TERMINATE: "terminate",
    Deallocation.TASK_COMPLETION: "taskcompletion",
}

NO_PUBLIC_ADDRESSES = "NoPublicIPAddresses"

TRUSTED_LAUNCH = {"securityType": "trustedLaunch", "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True}}
"""What a pool's security profile says of Trusted Launch."""


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """What a pool is to be, apart from its node counts: by a spec (:meth:`of`), or as somebody remembers it.

    :param image_id: full ARM id of the image version
    :param subnet_id: None: Batch's own network
    :param trusted_launch: None: as the pool has it, a new one without
    :param metadata: all metadata of the pool, the run's own included
    :param tags: ARM tags, set when the pool is made
    """

    vm_size: str
    image_id: str
    node_agent_sku: str
    task_slots_per_node: int = 1
    inter_node_communication: bool = False
    start_task: facts.PoolStartTask | None = None
    subnet_id: str | None = None
    public_addresses: bool = True
    identities: tuple[str, ...] = ()
    trusted_launch: bool | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        pool: Pool,
        *,
        image_id: str,
        trusted_launch: bool | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str],
    ) -> PoolSettings:
        """Return the settings of a pool spec on an image.

        :param metadata: the run's own, added to the spec's
        """
        task, network = pool.start_task, pool.network
        return cls(
            vm_size=pool.vm_size,
            image_id=image_id,
            node_agent_sku=pool.node_agent_sku,
            task_slots_per_node=pool.task_slots_per_node,
            inter_node_communication=pool.inter_node_communication,
            start_task=facts.PoolStartTask(**task.model_dump()) if task else None,
            subnet_id=network.subnet_id if network else None,
            public_addresses=network.public_addresses if network else True,
            identities=pool.identities,
            trusted_launch=trusted_launch,
            metadata={**pool.metadata, **(metadata or {})},
            tags=tags,
        )

    def new_pool(self, targets: Targets, timeout: timedelta | None) -> dict[str, Any]:
        """Return the body that makes the pool.

        :param targets: nodes that it gets at once
        :param timeout: time for its first resize; Batch's default of 15 minutes if absent
        """
        body = self.empty_pool({})
        body["tags"] = dict(self.tags)
        body["properties"]["scaleSettings"] = fixed_scale(
            dedicated=targets.dedicated, spot=targets.spot, timeout=timeout
        )
        return body

    def empty_pool(self, present: Json) -> dict[str, Any]:
        """Return the body that changes everything, which Batch takes only while the pool has no nodes.

        :param present: the pool's JSON, empty if it is to be made. Batch replaces an object as a whole, so what the
            spec does not speak of (extra disks, containers, encryption at host, inbound ports) is sent back as it is.
            Source: "Update Batch pool properties"
        """
        body = self.any_pool(present)
        body["properties"] |= {
            "vmSize": self.vm_size,
            "taskSlotsPerNode": self.task_slots_per_node,
            "interNodeCommunication": "Enabled" if self.inter_node_communication else "Disabled",
            "deploymentConfiguration": {
                "virtualMachineConfiguration": {
                    **self._security(_set(virtual_machine(present))),
                    "imageReference": {"id": self.image_id},
                    "nodeAgentSkuId": self.node_agent_sku,
                }
            },
        }
        has_network = _set(dig(present, "properties", "networkConfiguration") or {})
        if (network := self._network(has_network)) != has_network:
            body["properties"]["networkConfiguration"] = network
        has_identities = set(dig(present, "identity", "userAssignedIdentities") or ())
        if {name.lower() for name in has_identities} != {name.lower() for name in self.identities}:
            body["identity"] = self._identity()
        return body

    def any_pool(self, present: Json) -> dict[str, Any]:
        """Return the body that changes what Batch changes with nodes in the pool.

        :param present: as in :meth:`empty_pool`; a start task that is there and not in the spec is removed
        """
        properties: dict[str, Any] = {
            "metadata": [{"name": name, "value": value} for name, value in self.metadata.items()]
        }
        if self.start_task:
            properties["startTask"] = _start_task(self.start_task)
        elif dig(present, "properties", "startTask"):
            properties["startTask"] = {}
        return {"properties": properties}

    def _security(self, machine: dict[str, Any]) -> dict[str, Any]:
        """Return a virtual machine configuration with the security profile that it is to have.

        Trusted Launch that is there keeps its UEFI settings: somebody may have switched secure boot off for a driver.
        """
        profile = machine.pop("securityProfile", None) or {}
        if self.trusted_launch is False:
            profile = {name: item for name, item in profile.items() if name not in TRUSTED_LAUNCH}
        elif self.trusted_launch and not has_trusted_launch(profile):
            profile = {**profile, **TRUSTED_LAUNCH}
        return {**machine, "securityProfile": profile} if profile else machine

    def _network(self, has: Json) -> dict[str, Any]:
        addresses = has.get("publicIPAddressConfiguration")
        kept = {name: value for name, value in has.items() if name not in ("subnetId", "publicIPAddressConfiguration")}
        if not self.public_addresses:
            kept["publicIPAddressConfiguration"] = {"provision": NO_PUBLIC_ADDRESSES}
        elif addresses and addresses.get("provision") != NO_PUBLIC_ADDRESSES:
            kept["publicIPAddressConfiguration"] = addresses
        if self.subnet_id:
            kept["subnetId"] = self.subnet_id
        return kept

    def _identity(self) -> dict[str, Any]:
        if not self.identities:
            return {"type": "None"}
        return {"type": "UserAssigned", "userAssignedIdentities": {name: {} for name in self.identities}}


def _set(value: Json) -> dict[str, Any]:
    """Return an object without its nulls: sent back, a null would reset what Azure did not mention."""
    return {name: item for name, item in value.items() if item is not None}


def _start_task(task: facts.PoolStartTask) -> dict[str, Any]:
    return {
        "commandLine": task.command_line,
        "userIdentity": {"autoUser": {"scope": "Pool", "elevationLevel": "Admin" if task.elevated else "NonAdmin"}},
        "waitForSuccess": task.wait_for_success,
        "maxTaskRetryCount": task.max_retries,
        "environmentSettings": [{"name": name, "value": value} for name, value in task.environment.items()],
    }


def fixed_scale(
    *, dedicated: int, spot: int, timeout: timedelta | None, deallocation: Deallocation | None = None
) -> dict[str, Any]:
    """Return the ``scaleSettings`` of a resize.

    :param timeout: time for this attempt; Azure refuses less than 5 minutes and takes 15 if it is absent
    :param deallocation: what happens to running tasks when the pool shrinks; absent: Batch's default, requeue
    """
    scale: dict[str, Any] = {"targetDedicatedNodes": dedicated, "targetLowPriorityNodes": spot}
    if timeout is not None:
        scale["resizeTimeout"] = iso_minutes(timeout)
    if deallocation is not None:
        scale["nodeDeallocationOption"] = DEALLOCATION[deallocation]
    return {"fixedScale": scale}


def iso_minutes(duration: timedelta) -> str:
    """Return a duration as Batch reads it, in whole minutes."""
    return f"PT{round(duration.total_seconds() / 60)}M"


def account(value: Json) -> facts.BatchAccount:
    """Return a Batch account."""
    properties = value["properties"]
    return facts.BatchAccount(
        id=value["id"],
        name=value["name"],
        location=normal_region(value["location"]),
        endpoint=str(properties.get("accountEndpoint") or ""),
        allocation_mode=str(properties.get("poolAllocationMode") or "BatchService"),
        provisioning_state=properties.get("provisioningState"),
        authentication_modes=tuple(properties.get("allowedAuthenticationModes") or ()),
        public_network_access=properties.get("publicNetworkAccess"),
        dedicated_core_quota=properties.get("dedicatedCoreQuota"),
        low_priority_core_quota=properties.get("lowPriorityCoreQuota"),
        family_quotas={
            str(family["name"]).lower(): int(family.get("coreQuota") or 0)
            for family in properties.get("dedicatedCoreQuotaPerVMFamily") or ()
        },
        family_quotas_enforced=bool(properties.get("dedicatedCoreQuotaPerVMFamilyEnforced")),
        pool_quota=properties.get("poolQuota"),
    )


def pool(value: Json) -> facts.Pool:
    """Return a pool; a list with ``$select`` leaves most of it out."""
    properties = value.get("properties") or {}
    fixed = dig(properties, "scaleSettings", "fixedScale") or {}
    resize = properties.get("resizeOperationStatus") or {}
    machine = virtual_machine(value)
    return facts.Pool(
        id=value["id"],
        name=value["name"],
        etag=str(value.get("etag") or ""),
        provisioning_state=str(properties.get("provisioningState") or ""),
        allocation_state=facts.AllocationState(properties.get("allocationState") or "Steady"),
        vm_size=str(properties.get("vmSize") or ""),
        node_agent_sku=machine.get("nodeAgentSkuId"),
        image_id=dig(machine, "imageReference", "id"),
        current_dedicated=int(properties.get("currentDedicatedNodes") or 0),
        current_spot=int(properties.get("currentLowPriorityNodes") or 0),
        target_dedicated=int(fixed.get("targetDedicatedNodes") or 0),
        target_spot=int(fixed.get("targetLowPriorityNodes") or 0),
        autoscale=bool(dig(properties, "scaleSettings", "autoScale")),
        inter_node_communication=str(properties.get("interNodeCommunication") or "").lower() == "enabled",
        last_modified=moment(properties.get("lastModified")),
        resize_started=moment(resize.get("startTime")),
        resize_target_dedicated=resize.get("targetDedicatedNodes"),
        resize_target_spot=resize.get("targetLowPriorityNodes"),
        resize_errors=tuple(_resize_error(error) for error in resize.get("errors") or ()),
        metadata={str(item["name"]): str(item.get("value") or "") for item in properties.get("metadata") or ()},
        tags=value.get("tags") or {},
        inbound_nat_pools=len(
            dig(properties, "networkConfiguration", "endpointConfiguration", "inboundNatPools") or ()
        ),
        task_slots_per_node=int(properties.get("taskSlotsPerNode") or 1),
        start_task=_pool_start_task(properties.get("startTask")),
        subnet_id=dig(properties, "networkConfiguration", "subnetId"),
        public_addresses=dig(properties, "networkConfiguration", "publicIPAddressConfiguration", "provision")
        != NO_PUBLIC_ADDRESSES,
        identities=tuple(dig(value, "identity", "userAssignedIdentities") or ()),
        trusted_launch=has_trusted_launch(machine.get("securityProfile") or {}),
    )


def has_trusted_launch(profile: Json) -> bool:
    """Return whether a pool's security profile says Trusted Launch."""
    return str(profile.get("securityType") or "").casefold() == "trustedlaunch"


def virtual_machine(pool: Json) -> Json:
    """Return a pool's ``virtualMachineConfiguration``, empty where there is none."""
    found: Json = dig(pool, "properties", "deploymentConfiguration", "virtualMachineConfiguration") or {}
    return found


def _resize_error(error: Json) -> facts.ResizeError:
    """Return one error. Batch's ARM errors carry names and values in the details' ``code`` and ``message``."""
    return facts.ResizeError(
        code=str(error.get("code") or "Unknown"),
        message=mask(str(error.get("message") or "")),
        details=tuple(
            (str(detail.get("code") or ""), mask(str(detail.get("message") or "")))
            for detail in error.get("details") or ()
        ),
    )


def _pool_start_task(task: Json | None) -> facts.PoolStartTask | None:
    if not task or not task.get("commandLine"):
        return None
    return facts.PoolStartTask(
        command_line=task["commandLine"],
        elevated=str(dig(task, "userIdentity", "autoUser", "elevationLevel") or "").lower() == "admin",
        wait_for_success=bool(task.get("waitForSuccess")),
        max_retries=int(task.get("maxTaskRetryCount") or 0),
        environment={str(item["name"]): str(item.get("value") or "") for item in task.get("environmentSettings") or ()},
    )


def supported_size(sku: Json) -> facts.VmSize:
    """Return a VM size that Batch supports."""
    size = vm_size(str(sku["name"]), str(sku.get("familyName") or ""), sku.get("capabilities") or ())
    return replace(size, batch_support_ends=moment(sku.get("batchSupportEndOfLife")))


def supported_image(value: Json) -> facts.SupportedImage:
    """Return a base image with the node agent that fits it."""
    reference = value.get("imageReference") or {}
    return facts.SupportedImage(
        node_agent_sku=str(value["nodeAgentSKUId"]),
        publisher=str(reference.get("publisher") or ""),
        offer=str(reference.get("offer") or ""),
        sku=str(reference.get("sku") or ""),
        os_type=str(value.get("osType") or "").lower(),
        verified=str(value.get("verificationType") or "").lower() == "verified",
        support_ends=moment(value.get("batchSupportEndOfLife")),
    )


def pool_nodes(value: Json) -> facts.PoolNodes:
    """Return a pool's node counts; states without nodes are left out."""
    return facts.PoolNodes(
        pool=str(value["poolId"]),
        dedicated=_counts(value.get("dedicated") or {}),
        spot=_counts(value.get("lowPriority") or {}),
    )


def _counts(value: Json) -> facts.NodeCounts:
    return facts.NodeCounts(
        by_state={state.lower(): int(count) for state, count in value.items() if count and state.lower() != "total"}
    )


def node(value: Json) -> facts.Node:
    """Return a node, with the causes that Azure names where it is out of order."""
    start_task = value.get("startTaskInfo") or {}
    failure = start_task.get("failureInfo")
    return facts.Node(
        id=str(value["id"]),
        state=str(value.get("state") or "").lower(),
        dedicated=value.get("isDedicated") is not False,
        errors=tuple(_cause(error, "errorDetails") for error in value.get("errors") or ()),
        start_task_failure=_cause(failure, "details") if failure else "",
        start_task_exit_code=start_task.get("exitCode"),
        state_since=moment(value.get("stateTransitionTime")),
        image_id=dig(value, "virtualMachineInfo", "imageReference", "virtualMachineImageId"),
        agent_version=dig(value, "nodeAgentInfo", "version"),
    )


def job(value: Json) -> facts.Job:
    """Return a job; one with an auto pool has an empty ``pool``."""
    return facts.Job(
        id=str(value["id"]),
        state=facts.JobState(str(value.get("state") or "active").lower()),
        pool=str(dig(value, "poolInfo", "poolId") or ""),
        etag=str(value.get("eTag") or ""),
    )


def job_schedule(value: Json) -> facts.JobSchedule:
    """Return a job schedule; one whose jobs get auto pools has an empty ``pool``."""
    return facts.JobSchedule(
        id=str(value["id"]),
        state=str(value.get("state") or "active").lower(),
        pool=str(dig(value, "jobSpecification", "poolInfo", "poolId") or ""),
        etag=str(value.get("eTag") or ""),
    )


def task(value: Json) -> facts.Task:
    """Return a task with how it ended."""
    execution = value.get("executionInfo") or {}
    failure = execution.get("failureInfo")
    return facts.Task(
        id=str(value["id"]),
        state=str(value.get("state") or "").lower(),
        exit_code=execution.get("exitCode"),
        failure=_cause(failure, "details") if failure else "",
        service_failed=str((failure or {}).get("category") or "").lower() == "servererror",
        node=dig(value, "nodeInfo", "nodeId"),
    )


def _cause(error: Json, details: str) -> str:
    values = "; ".join(f"{item.get('name')}={item.get('value')}" for item in error.get(details) or ())
    text = f"{error.get('code')}: {error.get('message')}" + (f" ({values})" if values else "")
    return mask(" ".join(text.split()))
