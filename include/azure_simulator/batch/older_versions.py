"""What api-versions before 2025-06-01 show differently; states and rules are the same in all of them."""

from __future__ import annotations

from typing import cast

from pydantic import JsonValue

from include.azure_simulator.resources import JsonObject

NEWEST_API = "2025-06-01"
_DEALLOCATION_SINCE = "2024-07-01"
"""Since then nodes can be deallocated and pools have ARM tags."""

_WHOLE_PROFILE = frozenset({"securityType", "encryptionAtHost", "uefiSettings"})
"""Before 2024-07-01 the data plane knows a security profile with all of these, or none."""


def arm_pool_in(version: str, resource: JsonObject) -> JsonObject:
    """A pool of ARM as ``version`` shows it."""
    if version >= NEWEST_API:
        return resource
    properties = cast(JsonObject, resource["properties"])
    deployment = cast(JsonObject, properties["deploymentConfiguration"])
    shown: JsonObject = {
        **resource,
        "properties": {
            **properties,
            "deploymentConfiguration": {
                "virtualMachineConfiguration": _machine(cast(JsonObject, deployment["virtualMachineConfiguration"]))
            },
        },
    }
    if version < _DEALLOCATION_SINCE:
        shown.pop("tags", None)
    return shown


def data_plane_pool_in(version: str, pool: JsonObject) -> JsonObject:
    """A pool of the data plane as ``version`` shows it."""
    if version >= NEWEST_API:
        return pool
    machine = _machine(cast(JsonObject, pool["virtualMachineConfiguration"]))
    profile = machine.get("securityProfile")
    if version < _DEALLOCATION_SINCE and isinstance(profile, dict) and not profile.keys() >= _WHOLE_PROFILE:
        del machine["securityProfile"]
    elif isinstance(profile, dict) and profile.get("securityType") == "confidentialvm":
        machine["securityProfile"] = {**profile, "securityType": "confidentialVM"}
    disk = machine.get("osDisk")
    if version < _DEALLOCATION_SINCE and isinstance(disk, dict):
        machine["osDisk"] = _without_confidential(disk)
    if version >= _DEALLOCATION_SINCE and isinstance(disk, dict) and "ephemeralOSDiskSettings" in disk:
        # 2024-07-01.20.0 alone writes this value as ARM does.
        machine["osDisk"] = {**disk, "ephemeralOSDiskSettings": {"placement": "CacheDisk"}}
    return {**pool, "virtualMachineConfiguration": machine}


def node_in(version: str, node: JsonObject) -> JsonObject:
    """A node as ``version`` shows it."""
    return node if version >= NEWEST_API else {name: value for name, value in node.items() if name != "ipv6Address"}


def node_counts_in(version: str, counts: JsonObject) -> JsonObject:
    """Node counts as ``version`` shows them."""
    if version >= _DEALLOCATION_SINCE:
        return counts
    out: JsonObject = {"poolId": counts["poolId"]}
    for kind in ("dedicated", "lowPriority"):
        states = cast(JsonObject, counts[kind])
        out[kind] = {name: number for name, number in states.items() if not name.startswith("dealloc")}
    return out


def with_nested_storage_types(properties: JsonObject) -> JsonObject:
    """ARM properties as the newest version writes them: ``storageAccountType`` of a data disk is nested."""
    deployment = properties.get("deploymentConfiguration")
    machine = deployment.get("virtualMachineConfiguration") if isinstance(deployment, dict) else None
    disks = machine.get("dataDisks") if isinstance(machine, dict) else None
    if not isinstance(deployment, dict) or not isinstance(machine, dict) or not isinstance(disks, list):
        return properties
    nested: list[JsonValue] = []
    for disk in disks:
        if isinstance(disk, dict) and "storageAccountType" in disk:
            rest = {name: value for name, value in disk.items() if name != "storageAccountType"}
            nested.append({**rest, "managedDisk": {"storageAccountType": disk["storageAccountType"]}})
        else:
            nested.append(disk)
    return {
        **properties,
        "deploymentConfiguration": {**deployment, "virtualMachineConfiguration": {**machine, "dataDisks": nested}},
    }


def _machine(machine: JsonObject) -> JsonObject:
    disks = machine.get("dataDisks")
    return {**machine, "dataDisks": [_flat(disk) for disk in disks]} if isinstance(disks, list) else dict(machine)


def _without_confidential(disk: JsonObject) -> JsonObject:
    """An OS disk as versions show it that know no confidential VMs: a managed disk has a storage type, no more."""
    managed = disk.get("managedDisk")
    shown = {name: value for name, value in disk.items() if name != "managedDisk"}
    if isinstance(managed, dict) and "storageAccountType" in managed:
        shown["managedDisk"] = {"storageAccountType": managed["storageAccountType"]}
    return shown


def _flat(disk: JsonValue) -> JsonValue:
    if not isinstance(disk, dict) or not isinstance(managed := disk.get("managedDisk"), dict):
        return disk
    flat = {name: value for name, value in disk.items() if name != "managedDisk"}
    if "storageAccountType" in managed:
        flat["storageAccountType"] = managed["storageAccountType"]
    return flat
