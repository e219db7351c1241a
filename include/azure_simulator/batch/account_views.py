"""Accounts and VM sizes as ARM shows them, and what a PUT of an account may say."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field
from starlette.requests import Request

from include.azure_simulator.batch.accounts import BatchAccount
from include.azure_simulator.batch.errors import BatchServiceError, invalid_value
from include.azure_simulator.batch.section import AccountSection, AuthenticationMode
from include.azure_simulator.batch.wire import Wire, parse
from include.azure_simulator.compute.sizes import VmSize
from include.azure_simulator.links import host
from include.azure_simulator.resources import JsonObject, normalise_region
from include.azure_simulator.tags import check_tags

_READ_ONLY = frozenset(
    {
        "accountEndpoint",
        "nodeManagementEndpoint",
        "provisioningState",
        "privateEndpointConnections",
        "dedicatedCoreQuota",
        "lowPriorityCoreQuota",
        "dedicatedCoreQuotaPerVMFamily",
        "dedicatedCoreQuotaPerVMFamilyEnforced",
        "poolQuota",
        "activeJobAndJobScheduleQuota",
    }
)


class _AccountProperties(Wire):
    pool_allocation_mode: str | None = None
    public_network_access: str | None = None
    allowed_authentication_modes: list[AuthenticationMode] | None = None
    auto_storage: JsonObject | None = None
    key_vault_reference: JsonObject | None = None
    encryption: JsonObject | None = None
    network_profile: JsonObject | None = None


class _AccountChange(Wire):
    tags: dict[str, str] | None = None
    identity: JsonObject | None = None
    properties: _AccountProperties = Field(default_factory=_AccountProperties)


class _AccountBody(Wire):
    location: str
    tags: dict[str, str] = Field(default_factory=dict)
    identity: JsonObject | None = None
    properties: _AccountProperties = Field(default_factory=_AccountProperties)


def arm_account(request: Request, account: BatchAccount) -> JsonObject:
    """An account as ARM shows it; its endpoint is an address of this server."""
    facts = account.facts
    first = account.world.batch.first_account_name() == account.name
    endpoint = host(request) if first else f"{host(request)}/accounts/{account.name}"
    properties: JsonObject = {
        "accountEndpoint": endpoint,
        "nodeManagementEndpoint": f"{account.name}.{account.location}.service.batch.localhost",
        "provisioningState": "Succeeded",
        "poolAllocationMode": facts.pool_allocation_mode,
        "publicNetworkAccess": facts.public_network_access,
        "encryption": {"keySource": "Microsoft.Batch"},
        "poolQuota": facts.pool_quota,
        "activeJobAndJobScheduleQuota": facts.active_job_and_job_schedule_quota,
        "allowedAuthenticationModes": list(facts.allowed_authentication_modes),
    }
    if not account.user_subscription:
        properties |= {
            "dedicatedCoreQuota": facts.dedicated_core_quota,
            "lowPriorityCoreQuota": facts.low_priority_core_quota,
            "dedicatedCoreQuotaPerVMFamily": [
                {"name": quota.name, "coreQuota": quota.core_quota} for quota in facts.family_quotas
            ],
            "dedicatedCoreQuotaPerVMFamilyEnforced": facts.family_quotas_enforced,
        }
    return {
        "id": str(account.id),
        "name": account.name,
        "type": "Microsoft.Batch/batchAccounts",
        "location": facts.location,
        "tags": dict(facts.tags),
        "identity": facts.identity or {"type": "None"},
        "properties": properties,
    }


def new_account_facts(
    body: JsonObject, existing: AccountSection | None, *, name: str, subscription: str, group: str
) -> AccountSection:
    """The facts of an account after a PUT; the allocation mode and the region of an account never change.

    :raises BatchServiceError: 400 for a bad body or name, 409 for what cannot change.
    """
    properties = body.get("properties")
    if isinstance(properties, dict):
        body = {**body, "properties": {key: value for key, value in properties.items() if key not in _READ_ONLY}}
    wanted = parse(_AccountBody, {key: value for key, value in body.items() if key not in ("id", "name", "type")})
    check_tags(wanted.tags)
    if not (3 <= len(name) <= 24 and name.isascii() and name.isalnum() and name == name.lower()):
        raise invalid_value("accountName", name, "An account name has 3 to 24 lower-case letters and digits.")
    mode = wanted.properties.pool_allocation_mode or (existing.pool_allocation_mode if existing else "BatchService")
    if existing is not None and (
        mode != existing.pool_allocation_mode
        or normalise_region(wanted.location) != normalise_region(existing.location)
    ):
        raise _fixed_property()
    values = existing.model_dump() if existing is not None else {}
    values |= {
        "name": existing.name if existing is not None else name,
        "subscription": subscription,
        "resource_group": group,
        "location": wanted.location,
        "pool_allocation_mode": mode,
        "tags": wanted.tags,
        "identity": wanted.identity,
        "public_network_access": wanted.properties.public_network_access or "Enabled",
    }
    if wanted.properties.allowed_authentication_modes is not None:
        values["allowed_authentication_modes"] = tuple(wanted.properties.allowed_authentication_modes)
    return parse(AccountSection, values)


def changed_account_facts(body: JsonObject, existing: AccountSection) -> AccountSection:
    """The facts of an account after a PATCH, which changes what it names.

    :raises BatchServiceError: 400 for a bad body, 409 for the allocation mode.
    """
    wanted = parse(_AccountChange, body)
    check_tags(wanted.tags or {})
    if wanted.properties.pool_allocation_mode not in (None, existing.pool_allocation_mode):
        raise _fixed_property()
    named = {
        "tags": wanted.tags,
        "identity": wanted.identity,
        "public_network_access": wanted.properties.public_network_access,
        "allowed_authentication_modes": wanted.properties.allowed_authentication_modes,
    }
    values = existing.model_dump() | {name: value for name, value in named.items() if value is not None}
    return parse(AccountSection, values)


def _fixed_property() -> BatchServiceError:
    return BatchServiceError(409, "PropertyCannotBeUpdated", "The value of one of the properties cannot be updated.")


def location_skus(sizes: Iterable[VmSize], location: str) -> list[JsonObject]:
    """The VM sizes that Batch supports in a region."""
    region = normalise_region(location)
    return [_sku(size) for size in sizes if region not in size.restricted_in]


def _sku(size: VmSize) -> JsonObject:
    capabilities = {
        "MaxResourceVolumeMB": str(size.temp_disk_gib * 1024),
        "vCPUs": str(size.vcpus),
        "vCPUsAvailable": str(size.vcpus),
        "HyperVGenerations": ",".join(sorted(size.generations)),
        "MemoryGB": f"{size.memory_gib:g}",
        "CpuArchitectureType": size.architecture,
        "DiskControllerTypes": ",".join(sorted(size.disk_controllers, reverse=True)),
        "LowPriorityCapable": str(size.spot),
        "PremiumIO": str(size.premium_io),
        "MaxDataDiskCount": str(size.max_data_disks),
        "AcceleratedNetworkingEnabled": str(size.accelerated_networking),
        "EphemeralOSDiskSupported": str(size.ephemeral_os_disk),
    }
    return {
        "name": size.name,
        "familyName": size.family,
        "capabilities": [{"name": name, "value": value} for name, value in capabilities.items()],
    }
