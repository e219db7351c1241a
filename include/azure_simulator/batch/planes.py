"""The same pool in the words of the two planes: ARM's names and cases against the data plane's (API 2025-06-01)."""

from __future__ import annotations

from typing import cast

from pydantic import JsonValue

from include.azure_simulator.batch.errors import invalid_value
from include.azure_simulator.resources import JsonObject

_NAMES = {
    "nodeAgentSkuId": "nodeAgentSKUId",
    "dynamicVnetAssignmentScope": "dynamicVNetAssignmentScope",
    "inboundNatPools": "inboundNATPools",
}
"""ARM name -> data-plane name, wherever it stands."""

_USER_NAME_PARENTS = frozenset({"userIdentity", "cifsMountConfiguration"})
"""``userName`` on ARM, ``username`` on the data plane; other objects say ``username`` on both."""

_ENUMS: dict[str, tuple[str, ...]] = {
    "caching": ("None", "ReadOnly", "ReadWrite"),
    "storageAccountType": ("Standard_LRS", "Premium_LRS", "StandardSSD_LRS"),
    "elevationLevel": ("NonAdmin", "Admin"),
    "loginMode": ("Batch", "Interactive"),
    "scope": ("Task", "Pool"),
    "nodeFillType": ("Spread", "Pack"),
    "jobDefaultOrder": ("None", "CreationTime"),
    "policy": ("Regional", "Zonal"),
    "targets": ("OsDisk", "TemporaryDisk"),
    "protocol": ("TCP", "UDP"),
    "access": ("Allow", "Deny"),
    "provision": ("BatchManaged", "UserManaged", "NoPublicIPAddresses"),
    "placement": ("CacheDisk",),
    "securityType": ("trustedLaunch", "confidentialVM"),
    "nodeDeallocationOption": ("Requeue", "Terminate", "TaskCompletion", "RetainedData"),
}
"""Name -> ARM values; the data plane writes them in lower case."""

_FLAT_FIXED = ("resizeTimeout", "targetDedicatedNodes", "targetLowPriorityNodes", "nodeDeallocationOption")
_AUTO = {"autoScaleFormula": "formula", "autoScaleEvaluationInterval": "evaluationInterval"}
_SAME_NAME = (
    "displayName",
    "vmSize",
    "networkConfiguration",
    "taskSlotsPerNode",
    "taskSchedulingPolicy",
    "userAccounts",
    "metadata",
    "startTask",
    "mountConfiguration",
    "upgradePolicy",
)
_REMOVED = {
    "certificateReferences": "certificates",
    "applicationLicenses": "applicationLicenses",
    "targetNodeCommunicationMode": "targetNodeCommunicationMode",
    "resourceTags": "resourceTags",
}


def pool_properties_to_arm(body: JsonObject, account_id: str) -> JsonObject:
    """The body of a pool of the data plane as ARM ``properties``.

    :param account_id: ARM id of the account, the parent of application packages.
    :raises BatchServiceError: for flags that contradict each other. What is unknown is kept, for the model to refuse.
    """
    rest = dict(body)
    properties: JsonObject = {}
    for name in _SAME_NAME:
        if name in rest:
            properties[name] = _to_arm(rest.pop(name), name)
    if "virtualMachineConfiguration" in rest:
        properties["deploymentConfiguration"] = {
            "virtualMachineConfiguration": _to_arm(rest.pop("virtualMachineConfiguration"), "")
        }
    if "enableInterNodeCommunication" in rest:
        enabled = rest.pop("enableInterNodeCommunication")
        properties["interNodeCommunication"] = "Enabled" if enabled else "Disabled"
    if "applicationPackageReferences" in rest:
        references = rest.pop("applicationPackageReferences") or []
        properties["applicationPackages"] = [
            _application_to_arm(cast(JsonObject, item), account_id) for item in cast(list[JsonValue], references)
        ]
    if (scale := _scale_to_arm(rest)) is not None:
        properties["scaleSettings"] = scale
    for name, arm_name in _REMOVED.items():
        if name in rest:
            properties[arm_name] = rest.pop(name)
    return properties | rest


def pool_properties_to_data_plane(properties: JsonObject) -> JsonObject:
    """ARM ``properties`` that a user may set, in the words of the data plane; scale settings are left to the caller."""
    out: JsonObject = {name: _to_data_plane(properties[name], name) for name in _SAME_NAME if name in properties}
    deployment = cast(JsonObject, properties["deploymentConfiguration"])
    out["virtualMachineConfiguration"] = _to_data_plane(deployment["virtualMachineConfiguration"], "")
    out["vmSize"] = str(properties["vmSize"]).lower()
    out["enableInterNodeCommunication"] = properties.get("interNodeCommunication") == "Enabled"
    if "applicationPackages" in properties:
        packages = cast(list[JsonObject], properties["applicationPackages"])
        out["applicationPackageReferences"] = [_application_to_data_plane(package) for package in packages]
    return out


def image_to_data_plane(image: JsonObject) -> JsonObject:
    """An image reference in the words of the data plane."""
    return cast(JsonObject, _to_data_plane(image, "imageReference"))


def start_task_to_data_plane(task: JsonObject) -> JsonObject:
    """A start task in the words of the data plane."""
    return cast(JsonObject, _to_data_plane(task, "startTask"))


def _scale_to_arm(rest: JsonObject) -> JsonObject | None:
    """Take the flat scale properties out of ``rest``."""
    automatic = rest.pop("enableAutoScale", None)
    auto: JsonObject = {_AUTO[name]: rest.pop(name) for name in _AUTO if name in rest}
    fixed: JsonObject = {name: rest.pop(name) for name in _FLAT_FIXED if name in rest}
    if automatic:
        if "targetDedicatedNodes" in fixed or "targetLowPriorityNodes" in fixed:
            raise invalid_value("enableAutoScale", automatic, "A pool with autoscale cannot have target node counts.")
        return {"autoScale": auto}
    if auto:
        raise invalid_value("autoScaleFormula", auto.get("formula"), "A formula needs enableAutoScale to be true.")
    if not fixed and automatic is None:
        return None
    fixed.setdefault("targetDedicatedNodes", 0)
    return {"fixedScale": fixed}


def _application_to_arm(item: JsonObject, account_id: str) -> JsonObject:
    reference = dict(item)
    name = reference.pop("applicationId", None)
    return {"id": f"{account_id}/applications/{name}"} | reference


def _application_to_data_plane(item: JsonObject) -> JsonObject:
    return {"applicationId": str(item["id"]).rsplit("/", 1)[-1]} | {k: v for k, v in item.items() if k != "id"}


def _to_arm(value: JsonValue, parent: str) -> JsonValue:
    if isinstance(value, list):
        return [_to_arm(item, parent) for item in value]
    if isinstance(value, dict):
        return {_arm_name(name, parent): _to_arm(item, name) for name, item in value.items()}
    if isinstance(value, str) and parent in _ENUMS:
        return next((known for known in _ENUMS[parent] if known.lower() == value.lower()), value)
    return value


def _to_data_plane(value: JsonValue, parent: str) -> JsonValue:
    if isinstance(value, list):
        return [_to_data_plane(item, parent) for item in value]
    if isinstance(value, dict):
        return {_data_plane_name(name, parent): _to_data_plane(item, name) for name, item in value.items()}
    if isinstance(value, str) and parent in _ENUMS:
        return value if value == "trustedLaunch" else value.lower()
    return value


_ARM_NAMES = {name: arm_name for arm_name, name in _NAMES.items()}


def _arm_name(name: str, parent: str) -> str:
    if parent == "imageReference" and name == "virtualMachineImageId":
        return "id"
    if parent in _USER_NAME_PARENTS and name == "username":
        return "userName"
    return _ARM_NAMES.get(name, name)


def _data_plane_name(name: str, parent: str) -> str:
    if parent == "imageReference" and name == "id":
        return "virtualMachineImageId"
    if parent in _USER_NAME_PARENTS and name == "userName":
        return "username"
    return _NAMES.get(name, name)
