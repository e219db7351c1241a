"""ARM routes of Microsoft.Batch (2025-06-01 and the versions of the last four years)."""

from __future__ import annotations

import base64
import secrets
from typing import cast

from fastapi import APIRouter
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.batch import pool_writes
from include.azure_simulator.batch.account_views import (
    arm_account,
    changed_account_facts,
    location_skus,
    new_account_facts,
)
from include.azure_simulator.batch.accounts import BatchAccount, Deletion
from include.azure_simulator.batch.errors import BatchServiceError, condition_not_met, invalid_body, invalid_value
from include.azure_simulator.batch.http import BatchArmRoute, body_of, check_conditions, now_of, version_of
from include.azure_simulator.batch.odata import ListQuery
from include.azure_simulator.batch.pools import Pool
from include.azure_simulator.batch.views import arm_pool, plain_etag
from include.azure_simulator.errors import ArmError
from include.azure_simulator.links import base_url
from include.azure_simulator.resources import JsonObject, normalise_region
from include.azure_simulator.tags import check_tags
from include.azure_simulator.wire import empty_response, json_response
from include.azure_simulator.world import World

_PROVIDER = "/subscriptions/{subscription}/providers/Microsoft.Batch"
_ACCOUNTS = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Batch/batchAccounts"
_POOLS = f"{_ACCOUNTS}/{{account}}/pools"

router = APIRouter(route_class=BatchArmRoute)


@router.get(f"{_PROVIDER}/batchAccounts")
async def list_accounts(request: Request, subscription: str) -> Response:
    """The accounts of a subscription."""
    world = _world(request)
    world.require_subscription(subscription)
    return _account_list(request, world.batch.in_subscription(subscription))


@router.get(_ACCOUNTS)
async def list_group_accounts(request: Request, subscription: str, group: str) -> Response:
    """The accounts of a resource group."""
    world = _world(request)
    world.require_group(subscription, group)
    return _account_list(request, world.batch.in_subscription(subscription, group))


@router.get(f"{_ACCOUNTS}/{{account}}")
async def get_account(request: Request) -> Response:
    """An account."""
    account = _account(request)
    return json_response(arm_account(request, account))


@router.put(f"{_ACCOUNTS}/{{account}}")
async def put_account(request: Request, subscription: str, group: str, account: str) -> Response:
    """Make an account, or change one; done at once."""
    world = _world(request)
    found_group = world.require_group(subscription, group)
    body = await body_of(request)
    existing = world.batch.account(account)
    if existing is not None and str(existing.id).lower() != _account_id(request):
        raise BatchServiceError(409, "AccountAlreadyExists", "The specified account already exists.")
    facts = new_account_facts(
        body, existing.facts if existing else None, name=account, subscription=subscription, group=found_group.name
    )
    if existing is None and len(world.batch.in_region(facts.location)) >= world.batch.section.account_quota_per_region:
        raise BatchServiceError(
            409, "SubscriptionQuotaExceeded", "The regional account quota for the subscription has been reached."
        )
    return json_response(arm_account(request, world.batch.add_account(facts)))


@router.patch(f"{_ACCOUNTS}/{{account}}")
async def patch_account(request: Request) -> Response:
    """Change what the body names."""
    account = _account(request)
    account.facts = changed_account_facts(await body_of(request), account.facts)
    return json_response(arm_account(request, account))


@router.post(f"{_ACCOUNTS}/{{account}}/listKeys")
async def list_keys(request: Request) -> Response:
    """The shared keys of an account."""
    return _keys(_account(request))


@router.post(f"{_ACCOUNTS}/{{account}}/regenerateKeys")
async def regenerate_keys(request: Request) -> Response:
    """Replace one of the shared keys; the old one is worthless at once."""
    account = _account(request)
    names = {"primary": "primary_key", "secondary": "secondary_key"}
    name = (await body_of(request)).get("keyName")
    if (changed := names.get(str(name).lower())) is None:
        raise invalid_value("keyName", name, "The key is either Primary or Secondary.")
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    account.facts = account.facts.model_copy(update={changed: key})
    return _keys(account)


@router.get(f"{_PROVIDER}/locations/{{location}}/quotas")
async def location_quotas(request: Request, subscription: str, location: str) -> Response:
    """How many accounts a subscription may have in a region."""
    world = _located(request, subscription, location)
    return json_response({"accountQuota": world.batch.section.account_quota_per_region})


@router.get(f"{_PROVIDER}/locations/{{location}}/virtualMachineSkus")
async def virtual_machine_skus(request: Request, subscription: str, location: str) -> Response:
    """The VM sizes that pools of a region can have."""
    world = _located(request, subscription, location)
    return _arm_list(request, location_skus(world.compute.vm_sizes(location).values(), location))


@router.post(f"{_PROVIDER}/locations/{{location}}/checkNameAvailability")
async def check_name_availability(request: Request, subscription: str, location: str) -> Response:
    """Whether an account name is free."""
    world = _located(request, subscription, location)
    name = str((await body_of(request)).get("name", ""))
    if world.batch.account(name or "-") is None:
        return json_response({"nameAvailable": True})
    message = f"An account named '{name}' is already in use."
    return json_response({"nameAvailable": False, "reason": "AlreadyExists", "message": message})


@router.get(_POOLS)
async def list_pools(request: Request) -> Response:
    """The pools of an account."""
    account, now, version = _account(request), now_of(request), version_of(request)
    pools = [arm_pool(account, pool, now, version) for pool in account.pools.values()]
    return _arm_list(request, pools, order_by="name")


@router.get(f"{_POOLS}/{{pool}}")
async def get_pool(request: Request) -> Response:
    """A pool."""
    account, pool = _pool(request)
    body = arm_pool(account, pool, now_of(request), version_of(request))
    return json_response(body, headers={"ETag": pool.etag})


@router.put(f"{_POOLS}/{{pool}}")
async def put_pool(request: Request, pool: str) -> Response:
    """Make a pool or replace everything about it; answers at once, the resize goes on behind."""
    account, now = _account(request), now_of(request)
    body = await body_of(request)
    properties, identity, tags = _pool_body(body)
    version = version_of(request)
    existing = account.pools.get(pool.lower())
    if existing is None or existing.deleting:
        if request.headers.get("if-match") is not None and existing is None:
            raise condition_not_met()
        made = pool_writes.create_pool(account, pool, properties, now, version=version, identity=identity, tags=tags)
        return _pool_answer(request, account, made)
    if request.headers.get("if-none-match") == "*":
        raise condition_not_met(account.settings.if_none_match_status)
    check_conditions(request, existing.etag)
    pool_writes.replace_pool(account, existing, properties, now, version=version, identity=identity, tags=tags)
    return _pool_answer(request, account, existing)


@router.patch(f"{_POOLS}/{{pool}}")
async def patch_pool(request: Request) -> Response:
    """Change what the body names; a change of the scale settings is a resize."""
    account, pool = _pool(request)
    check_conditions(request, pool.etag)
    body = await body_of(request)
    properties, identity, tags = _pool_body(body)
    pool_writes.patch_pool(account, pool, properties, now_of(request), version=version_of(request))
    if "identity" in body:
        pool.identity = identity
    if "tags" in body:
        pool.tags = tags
    return _pool_answer(request, account, pool)


@router.delete(f"{_POOLS}/{{pool}}")
async def delete_pool(request: Request, pool: str) -> Response:
    """Begin to delete a pool; 204 when there is none."""
    account = _account(request)
    found = account.pools.get(pool.lower())
    if found is None:
        return empty_response(204)
    check_conditions(request, found.etag)
    pool_writes.delete_pool(account, found, now_of(request))
    key = f"delete-{found.name}-{plain_etag(found.etag).removeprefix('0x')}"
    account.deletions[key.lower()] = Deletion(key, found.gone_at or now_of(request))
    return _deletion_answer(request, account, key)


@router.get(f"{_ACCOUNTS}/{{account}}/poolOperationResults/{{key}}")
async def pool_operation_result(request: Request, key: str) -> Response:
    """How far a deletion is: 202 while it goes on."""
    account = _account(request)
    if (deletion := account.deletions.get(key.lower())) is None:
        raise BatchServiceError(404, "OperationNotFound", "The specified operation does not exist.")
    if now_of(request) < deletion.ends:
        return _deletion_answer(request, account, deletion.key)
    return empty_response(200)


@router.post(f"{_POOLS}/{{pool}}/stopResize")
async def stop_resize(request: Request) -> Response:
    """Stop the resize of a pool."""
    account, pool = _pool(request)
    check_conditions(request, pool.etag)
    pool_writes.stop_resize(account, pool, now_of(request))
    return _pool_answer(request, account, pool)


@router.post(f"{_POOLS}/{{pool}}/disableAutoScale")
async def disable_auto_scale(request: Request) -> Response:
    """Keep a pool at the size that it has."""
    account, pool = _pool(request)
    pool_writes.disable_auto_scale(account, pool, now_of(request))
    return _pool_answer(request, account, pool)


def _world(request: Request) -> World:
    world: World = request.app.state.world
    return world


def _account_id(request: Request) -> str:
    path = request.path_params
    group = f"/subscriptions/{path['subscription']}/resourceGroups/{path['group']}"
    return f"{group}/providers/Microsoft.Batch/batchAccounts/{path['account']}".lower()


def _account(request: Request) -> BatchAccount:
    world, path = _world(request), request.path_params
    world.require_group(path["subscription"], path["group"])
    found = world.batch.account(path["account"])
    if found is None or str(found.id).lower() != _account_id(request):
        name = f"Microsoft.Batch/batchAccounts/{path['account']}"
        message = f"The Resource '{name}' under resource group '{path['group']}' was not found."
        raise ArmError(404, "ResourceNotFound", message)
    return found


def _pool(request: Request) -> tuple[BatchAccount, Pool]:
    account = _account(request)
    return account, account.pool(request.path_params["pool"])


def _located(request: Request, subscription: str, location: str) -> World:
    world = _world(request)
    world.require_subscription(subscription)
    if normalise_region(location) not in world.regions:
        message = f"The provided location '{location}' is not available for resource type 'Microsoft.Batch/locations'."
        raise ArmError(400, "LocationNotAvailableForResourceType", message)
    return world


def _keys(account: BatchAccount) -> Response:
    facts = account.facts
    if "SharedKey" not in facts.allowed_authentication_modes:
        raise BatchServiceError(
            403, "SharedKeyAuthenticationNotAllowed", "The account does not allow shared key authentication."
        )
    return json_response({"accountName": facts.name, "primary": facts.primary_key, "secondary": facts.secondary_key})


def _pool_body(body: JsonObject) -> tuple[JsonObject, JsonObject | None, dict[str, str] | None]:
    """``properties``, ``identity`` and ``tags`` of the body of a pool."""
    known = {"properties", "identity", "tags", "id", "name", "type", "etag", "location"}
    if unknown := set(body) - known:
        raise invalid_body(f"Could not find member '{min(unknown)}' on object of type 'Pool'.")
    properties, identity, tags = body.get("properties") or {}, body.get("identity"), body.get("tags")
    if not isinstance(properties, dict):
        raise invalid_body("properties must be an object.")
    if identity is not None and not isinstance(identity, dict):
        raise invalid_body("identity must be an object.")
    if tags is not None and not isinstance(tags, dict):
        raise invalid_body("tags must be an object.")
    check_tags(tags or {})
    return properties, identity, {name: str(value) for name, value in tags.items()} if tags is not None else None


def _pool_answer(request: Request, account: BatchAccount, pool: Pool) -> Response:
    body = arm_pool(account, pool, now_of(request), version_of(request), fresh=True)
    return json_response(body, headers={"ETag": pool.etag})


def _deletion_answer(request: Request, account: BatchAccount, key: str) -> Response:
    link = f"{base_url(request)}{account.id}/poolOperationResults/{key}?api-version={version_of(request)}"
    retry_after = account.world.clock.retry_after(account.settings.delete_retry_after)
    return empty_response(202, {"Location": link, "Retry-After": str(retry_after)})


def _account_list(request: Request, accounts: list[BatchAccount]) -> Response:
    return json_response({"value": [arm_account(request, account) for account in accounts]})


def _arm_list(request: Request, items: list[JsonObject], *, order_by: str | None = None) -> Response:
    query = dict(request.query_params)
    size = _world(request).settings.batch.list_page_size
    page = ListQuery.read(query, size).page(items, f"{base_url(request)}{request.url.path}", query, order_by=order_by)
    body: JsonObject = {"value": cast(JsonValue, page.items)}
    if page.next_link is not None:
        body["nextLink"] = page.next_link
    return json_response(body)
