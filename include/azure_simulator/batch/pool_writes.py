"""What users do to pools, on either plane, and what the service says to it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from include.azure_simulator.batch.errors import (
    BatchServiceError,
    already_exists,
    cannot_be_updated,
    invalid_body,
    invalid_value,
    pool_being_deleted,
)
from include.azure_simulator.batch.nodes import Node, NodeState, Phase, boot
from include.azure_simulator.batch.older_versions import NEWEST_API, with_nested_storage_types
from include.azure_simulator.batch.pool_network import RESERVED_BEFORE_2024_07
from include.azure_simulator.batch.pool_spec import (
    CHANGEABLE_WITH_NODES,
    POOL_NAME,
    READ_ONLY,
    REMOVED,
    AutoScale,
    FixedScale,
    PoolSpec,
    ScaleSettings,
)
from include.azure_simulator.batch.pools import AllocationState, Pool, Targets
from include.azure_simulator.batch.section import PoolSection
from include.azure_simulator.batch.settings import SecurityMismatch
from include.azure_simulator.batch.wire import parse
from include.azure_simulator.resources import JsonObject

if TYPE_CHECKING:
    from include.azure_simulator.batch.accounts import BatchAccount

_PATCH_OF_EVERYTHING_SINCE = "2024-07-01"
"""Older versions of ARM can PATCH only what may change with nodes (batch-pool-update-properties)."""
_ALL = frozenset({"deploymentConfiguration", "vmSize", "taskSlotsPerNode", "scaleSettings"})
"""What a new pool says about its surroundings."""
_MOST_NODES_TO_REMOVE = 100
_AUTO_SCALE_COOL_DOWN = timedelta(seconds=30)
_SEEDED_NODE_AGE = timedelta(hours=1)


def create_pool(
    account: BatchAccount,
    name: str,
    properties: JsonObject,
    now: datetime,
    *,
    version: str = NEWEST_API,
    identity: JsonObject | None = None,
    tags: dict[str, str] | None = None,
    shared_key: bool = False,
) -> Pool:
    """Make a pool and begin its first resize.

    :param properties: as in an ARM PUT.
    :param version: api-version of the request; removed properties depend on it.
    :param shared_key: whether the caller signed with an account key, which cannot reach gallery images.
    :raises BatchServiceError: 400, 403 or 409.
    """
    if not POOL_NAME.fullmatch(name):
        raise invalid_value("id", name, "A pool id has 1 to 64 alphanumeric characters, hyphens and underscores.")
    if (existing := account.pools.get(name.lower())) is not None:
        raise pool_being_deleted() if existing.deleting else already_exists("Pool")
    spec = read_spec(account, properties, version)
    _check_surroundings(account, spec, _ALL, shared_key=shared_key)
    if len(account.pools) >= account.facts.pool_quota:
        raise BatchServiceError(409, "PoolQuotaReached", "The account has reached its quota of pools.")
    pool = Pool(name=name, spec=spec, created=now, commands=account.commands, identity=identity, tags=tags)
    account.pools[name.lower()] = pool
    _apply_scale(account, pool, now)
    return pool


def replace_pool(
    account: BatchAccount,
    pool: Pool,
    properties: JsonObject,
    now: datetime,
    *,
    version: str = NEWEST_API,
    identity: JsonObject | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    """PUT on a pool that exists: everything is replaced, what is left out goes back to its default.

    :raises BatchServiceError: 400 or 409.
    """
    _require_alive(pool)
    _require_steady(account, pool)
    spec = read_spec(account, properties, version)
    changed = _differences(pool.spec.to_json(), spec.to_json())
    _check_changes(account, pool, changed)
    _check_surroundings(account, spec, changed, shared_key=False)
    before = pool.spec
    pool.spec, pool.identity, pool.tags = spec, identity, tags
    pool.touch(now)
    if before.scale_settings != spec.scale_settings or _fixed_targets(spec) != _present(pool):
        _apply_scale(account, pool, now)


def patch_pool(
    account: BatchAccount,
    pool: Pool,
    change: Mapping[str, JsonValue],
    now: datetime,
    *,
    version: str = NEWEST_API,
    shared_key: bool = False,
) -> None:
    """PATCH: replace the properties that are named; an empty ``startTask`` takes the start task away.

    :param change: ARM ``properties``.
    :raises BatchServiceError: 400, 403 or 409.
    """
    _require_alive(pool)
    ignored = READ_ONLY if _refuses_removed(account, version) else READ_ONLY | REMOVED
    named = {name: value for name, value in change.items() if value is not None and name not in ignored}
    if not pool.steady and (account.settings.any_patch_refused_during_resize or "scaleSettings" in named):
        raise being_resized(account)
    present = pool.spec.to_json()
    merged = {**present, **named}
    if named.get("startTask") == {}:
        del merged["startTask"]
    if "scaleSettings" in named:
        merged["scaleSettings"] = _with_omitted_target(account, pool, named["scaleSettings"])
    spec = read_spec(account, merged, version)
    if version < _PATCH_OF_EVERYTHING_SINCE and (names := set(named) - CHANGEABLE_WITH_NODES):
        raise cannot_be_updated(
            account.settings.property_cannot_be_updated_status,
            min(names),
            f"The property cannot be updated with api-version {version}.",
        )
    same_counts = account.settings.same_value_in_patch_is_an_update
    _check_changes(account, pool, set(named) if same_counts else _differences(present, spec.to_json()))
    _check_surroundings(account, spec, set(named), shared_key=shared_key)
    pool.spec = spec
    pool.touch(now)
    if "scaleSettings" in named:
        _apply_scale(account, pool, now)


def resize_pool(account: BatchAccount, pool: Pool, body: JsonObject, now: datetime) -> None:
    """The resize of the data plane.

    :raises BatchServiceError: 400 for bad counts, 409 while another resize goes on or with autoscale.
    """
    _require_alive(pool)
    if pool.spec.scale_settings.auto_scale is not None:
        raise BatchServiceError(
            409, "AutoScalingEnabled", "The operation is not valid for a pool with autoscale; disable autoscale first."
        )
    _require_steady(account, pool)
    _set_fixed(
        pool,
        parse(FixedScale, cast(JsonObject, _with_omitted_target(account, pool, {"fixedScale": body})["fixedScale"])),
    )
    pool.touch(now)
    _apply_scale(account, pool, now)


def stop_resize(account: BatchAccount, pool: Pool, now: datetime) -> None:
    """Stop the resize that goes on; without one nothing happens.

    :raises BatchServiceError: 409 for a pool that is being deleted.
    """
    _require_alive(pool)
    pool.stop_resize(now, account.settings)
    pool.touch(now)


def disable_auto_scale(account: BatchAccount, pool: Pool, now: datetime) -> None:
    """Keep the pool at the size that it has.

    :raises BatchServiceError: 409 for a pool that is being deleted.
    """
    _require_alive(pool)
    present = _present(pool) if pool.steady or pool.resize is None else pool.resize.targets
    if pool.spec.scale_settings.auto_scale is not None:
        _set_fixed(
            pool,
            FixedScale(target_dedicated_nodes=present.dedicated, target_low_priority_nodes=present.low_priority),
        )
        pool.auto_scale_run = pool.auto_scale_enabled_at = None
    pool.touch(now)


def enable_auto_scale(account: BatchAccount, pool: Pool, body: JsonObject, now: datetime) -> None:
    """Let a formula set the size, or change the formula.

    :raises BatchServiceError: 400 for a bad formula, 409 during a resize, 503 within 30 seconds of the last change.
    """
    _require_alive(pool)
    _require_steady(account, pool)
    if pool.auto_scale_enabled_at is not None and now - pool.auto_scale_enabled_at < _AUTO_SCALE_COOL_DOWN:
        raise BatchServiceError(
            503, "TooManyEnableAutoScaleRequests", "Autoscale can be enabled at most once every 30 seconds."
        )
    before = pool.spec.scale_settings.auto_scale
    inherited = before.to_json() if before is not None else {}
    names = {"autoScaleFormula": "formula", "autoScaleEvaluationInterval": "evaluationInterval"}
    for name in body:
        if name not in names:
            raise invalid_body(f"The property '{name}' does not exist.")
    auto = parse(AutoScale, inherited | {names[name]: value for name, value in body.items()})
    _check_formula(account, pool, auto.formula, now)
    pool.spec = pool.spec.model_copy(update={"scale_settings": ScaleSettings(auto_scale=auto)})
    pool.touch(now)
    _apply_scale(account, pool, now)


def remove_nodes(account: BatchAccount, pool: Pool, body: JsonObject, now: datetime) -> None:
    """Take named nodes out of a pool; its targets shrink with it.

    :raises BatchServiceError: 400 for a bad list, 404 for a node that is not there, 409 during a resize.
    """
    _require_alive(pool)
    _require_steady(account, pool)
    names = body.get("nodeList")
    if not isinstance(names, list) or not 1 <= len(names) <= _MOST_NODES_TO_REMOVE:
        raise invalid_value(
            "nodeList", names, f"Between 1 and {_MOST_NODES_TO_REMOVE} node ids can be removed at once."
        )
    if unknown := set(body) - {"nodeList", "resizeTimeout", "nodeDeallocationOption"}:
        raise invalid_body(f"The property '{min(unknown)}' does not exist.")
    by_id = {node.id: node for node in pool.nodes}
    nodes: list[Node] = []
    for name in dict.fromkeys(map(str, names)):
        if name not in by_id:
            raise BatchServiceError(404, "NodeNotFound", "The specified node does not exist.", [("NodeId", name)])
        nodes.append(by_id[name])
    limits = {name: value for name, value in body.items() if name != "nodeList"}
    fixed = parse(FixedScale, {"targetDedicatedNodes": 0, **limits})
    pool.remove_nodes(nodes, now, fixed.resize_timeout, fixed.node_deallocation_option, account.settings)
    if pool.spec.scale_settings.auto_scale is None and pool.resize is not None:
        targets = pool.resize.targets
        _set_fixed(
            pool,
            FixedScale(
                resize_timeout=fixed.resize_timeout,
                target_dedicated_nodes=targets.dedicated,
                target_low_priority_nodes=targets.low_priority,
            ),
        )


def delete_pool(account: BatchAccount, pool: Pool, now: datetime) -> None:
    """Begin to delete a pool.

    :raises BatchServiceError: 409 when it is being deleted already.
    """
    _require_alive(pool)
    pool.delete(now, account.settings)


def read_spec(account: BatchAccount, properties: Mapping[str, JsonValue], version: str) -> PoolSpec:
    """ARM ``properties`` as a pool; what the api-version no longer has is refused or ignored (a switch).

    :raises BatchServiceError: 400.
    """
    writable: JsonObject = {
        name: value for name, value in properties.items() if name not in READ_ONLY and value is not None
    }
    if not _refuses_removed(account, version):
        writable = {name: value for name, value in writable.items() if name not in REMOVED}
    if version < NEWEST_API:
        writable = with_nested_storage_types(writable)
    spec = parse(PoolSpec, writable)
    if version < _PATCH_OF_EVERYTHING_SINCE:
        for endpoint in spec.network.nat_pools:
            if endpoint.backend_port in RESERVED_BEFORE_2024_07:
                raise invalid_value("backendPort", endpoint.backend_port, "The port is reserved.")
    return spec


def _refuses_removed(account: BatchAccount, version: str) -> bool:
    """Whether properties that the newest api-version has removed are refused; older clients may still send them."""
    return version >= NEWEST_API and account.settings.refuse_removed_properties


def being_resized(account: BatchAccount) -> BatchServiceError:
    """409 of a write during a resize; ARM's code is a switch."""
    return BatchServiceError(
        409,
        "PoolBeingResized",
        "The specified pool is being resized.",
        arm_code=account.settings.arm_pool_being_resized_code,
    )


def seed_pool(account: BatchAccount, section: PoolSection, now: datetime) -> Pool:
    """A pool of a world file: it has reached its targets long ago."""
    spec = read_spec(account, section.properties, NEWEST_API)
    born = now - _SEEDED_NODE_AGE
    pool = Pool(
        name=section.name,
        spec=spec,
        created=born,
        commands=account.commands,
        identity=section.identity,
        tags=section.tags,
    )
    account.pools[section.name.lower()] = pool
    if spec.scale_settings.auto_scale is not None:
        pool.auto_scale_enabled_at = born
    image = account.images.boot_image(spec, account.vm_size(spec.vm_size)).reference
    targets = _fixed_targets(spec)
    plan = pool.boot_plan(account.settings)
    for dedicated, count in ((True, targets.dedicated), (False, targets.low_priority)):
        for _ in range(count):
            node = pool.add_node(dedicated=dedicated, at=born, image=image, outcome=None)
            boot(node, born, plan, from_state=NodeState.CREATING, first=plan.times.creating)
            node.phases = [Phase(born, NodeState.IDLE)]
    return pool


def _apply_scale(account: BatchAccount, pool: Pool, now: datetime) -> None:
    auto = pool.spec.scale_settings.auto_scale
    if auto is not None:
        pool.auto_scale_enabled_at, pool.auto_scale_run = now, None
        account.settle(now)
        return
    pool.auto_scale_enabled_at = pool.auto_scale_run = None
    fixed = pool.spec.scale_settings.fixed_scale
    account.resize(pool, now, _fixed_targets(pool.spec), fixed.node_deallocation_option if fixed is not None else None)


def _set_fixed(pool: Pool, fixed: FixedScale) -> None:
    pool.spec = pool.spec.model_copy(update={"scale_settings": ScaleSettings(fixed_scale=fixed)})


def _fixed_targets(spec: PoolSpec) -> Targets:
    fixed = spec.scale_settings.fixed_scale
    if fixed is None:
        return Targets(0, 0)
    return Targets(fixed.target_dedicated_nodes or 0, fixed.target_low_priority_nodes or 0)


def _present(pool: Pool) -> Targets:
    return Targets(pool.current(dedicated=True), pool.current(dedicated=False))


def _with_omitted_target(account: BatchAccount, pool: Pool, scale: JsonValue) -> JsonObject:
    """Scale settings with both targets: the one that was left out keeps its value or is 0 (a switch)."""
    if not isinstance(scale, dict):
        raise invalid_value("scaleSettings", scale, "An object is expected.")
    fixed = scale.get("fixedScale")
    names = ("targetDedicatedNodes", "targetLowPriorityNodes")
    if not isinstance(fixed, dict) or not any(fixed.get(name) is not None for name in names):
        return scale
    before = _fixed_targets(pool.spec) if pool.spec.scale_settings.auto_scale is None else _present(pool)
    kept = {names[0]: before.dedicated, names[1]: before.low_priority}
    completed: JsonObject = dict(fixed)
    for name in names:
        if completed.get(name) is None:
            completed[name] = 0 if account.settings.omitted_target_means_zero else kept[name]
    return {**scale, "fixedScale": completed}


def _differences(before: JsonObject, after: JsonObject) -> set[str]:
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def _check_changes(account: BatchAccount, pool: Pool, changed: set[str]) -> None:
    """Most properties can change only while the pool has no nodes."""
    frozen = changed - CHANGEABLE_WITH_NODES
    if frozen and not pool.empty:
        raise cannot_be_updated(
            account.settings.property_cannot_be_updated_status,
            min(frozen),
            "The property can be updated only when the pool has no compute nodes and is steady.",
        )


def _check_surroundings(account: BatchAccount, spec: PoolSpec, written: Set[str], *, shared_key: bool) -> None:
    """Check what a write says against the account and its region; what it leaves alone is not looked at again."""
    if "deploymentConfiguration" in written:
        _check_image(account, spec, shared_key=shared_key)
    if written & {"deploymentConfiguration", "vmSize"}:
        _check_security(account, spec)
    if written & {"vmSize", "taskSlotsPerNode"}:
        _check_size(account, spec)
    if "scaleSettings" in written and spec.scale_settings.auto_scale is not None:
        _check_formula(account, None, spec.scale_settings.auto_scale.formula, account.world.clock.now())


def _check_image(account: BatchAccount, spec: PoolSpec, *, shared_key: bool) -> None:
    if shared_key and spec.image.publisher is None:
        raise BatchServiceError(
            403,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed "
            "correctly including the signature.",
            [
                (
                    "AuthenticationErrorDetail",
                    "The specified type of authentication SharedKey is not allowed when external resources of type "
                    "Compute are linked.",
                )
            ],
        )
    account.images.check(spec.machine)


def _check_security(account: BatchAccount, spec: PoolSpec) -> None:
    """Refuse a security type that image or size cannot have; without the switch it shows at the resize only."""
    if account.settings.security_mismatch is not SecurityMismatch.REFUSE:
        return
    message = account.images.security_problem(spec, account.vm_size(spec.vm_size))
    if message is not None:
        profile = spec.machine.security_profile
        raise invalid_value("securityType", profile.security_type if profile is not None else None, message)


def _check_size(account: BatchAccount, spec: PoolSpec) -> None:
    size = account.vm_size(spec.vm_size)
    if size is None or account.location in size.restricted_in:
        raise invalid_value("vmSize", spec.vm_size, f"The VM size is not supported in {account.location}.")
    most = min(4 * size.vcpus, 256)
    if spec.task_slots_per_node > most:
        raise invalid_value(
            "taskSlotsPerNode", spec.task_slots_per_node, f"The maximum value is {most} for {spec.vm_size}."
        )


def _check_formula(account: BatchAccount, pool: Pool | None, formula: str, now: datetime) -> None:
    """Refuse a formula that cannot be evaluated."""
    probe = account.evaluate_formula(pool, formula, now)
    if probe.error is not None:
        raise probe.error


def _require_alive(pool: Pool) -> None:
    if pool.deleting:
        raise pool_being_deleted()


def _require_steady(account: BatchAccount, pool: Pool) -> None:
    if pool.allocation_state is not AllocationState.STEADY:
        raise being_resized(account)
