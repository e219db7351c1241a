"""Findings about the pools of the specs: is it there, is it as the spec says, are its nodes there and well."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from golden_pools.rules.facts import AllocationState, Pool, PoolNodes
from golden_pools.rules.family import Role, family, is_deleting, role_of
from golden_pools.rules.refresh.drift import differences, wanted_of
from golden_pools.rules.scale import last_come, targets_at
from golden_pools.rules.watch import commands
from golden_pools.rules.watch.findings import Finding, Kind, Level
from golden_pools.rules.watch.seen import Look, Seen, Watched
from golden_pools.spec.model import Targets
from golden_pools.words import counted

ALLOWED = "golden-pools-allowed"
"""ARM tag, or metadata, of a pool that nobody needs a spec for; any value."""

SETTLING = timedelta(minutes=30)
"""After a scale time: its run may still be on its way."""


def missing_pools(seen: Seen) -> Iterator[Finding]:
    """Is there a pool for each spec?"""
    for one in seen.watched:
        pools = seen.pools.get(one.account_id.casefold())
        if pools is None or seen.pool_of(one) is not None or any(map(is_deleting, family(pools, one.name))):
            continue  # one that is being deleted is being made anew
        never = one.definition is not None and (
            one.definition.casefold() in seen.versions and seen.current_version(one) is None
        )
        yield Finding(
            level=Level.WARNING,
            check=Kind.POOL_MISSING,
            subject=f"{one.account_id}/pools/{one.name}",
            seen=f"there is no pool {one.name} in account {one.spec.pool.account}"
            + (", and no good image version: its DAG has never succeeded" if never else ""),
            advice=f"trigger the DAG of {one.name}, or remove the spec",
            az=commands.pools(one.account_id),
            needs=(*_needs(one), Look.VERSIONS.of(one.definition or "")),
        )


def other_settings(seen: Seen) -> Iterator[Finding]:
    """Has the pool the settings of its spec? Its image is a matter of its own."""
    for one, pool in _pools(seen):
        changes = differences(pool, wanted_of(one.spec, pool.image_id or ""))
        if changes:
            yield Finding(
                level=Level.WARNING,
                check=Kind.POOL_SETTINGS,
                subject=pool.id,
                seen=f"pool {pool.name} is not as its spec says: " + "; ".join(map(str, changes)),
                advice=f"trigger the DAG of {one.name}, which sets them, or change the spec",
                az=commands.pool(pool.id),
                needs=_needs(one),
            )


def nodes_off_target(seen: Seen) -> Iterator[Finding]:
    """Has the pool at rest the nodes of the targets in force?"""
    for one, pool in _pools(seen):
        wanted = targets_at(one.spec, seen.now)
        if pool.allocation_state is not AllocationState.STEADY or pool.autoscale or _settles(seen, one):
            continue
        asked = Targets(dedicated=pool.asked_for[0], spot=pool.asked_for[1])
        short = (pool.current_dedicated, pool.current_spot) != (wanted.dedicated, wanted.spot)
        if asked == wanted and not short:
            continue
        share = one.spec.resize.smallest_acceptable_share
        enough = (
            pool.current_dedicated >= share.dedicated * wanted.dedicated
            and pool.current_spot >= share.spot * wanted.spot
        )
        last = f"; its last resize said {', '.join(error.code for error in pool.resize_errors)}"
        yield Finding(
            level=Level.INFO if enough else Level.WARNING,
            check=Kind.NODES_OFF_TARGET,
            subject=pool.id,
            seen=f"pool {pool.name} has {pool.current_dedicated} dedicated and {pool.current_spot} Spot nodes, was "
            f"asked for {asked.dedicated} and {asked.spot}, and should have {wanted.dedicated} and {wanted.spot}; "
            f"nothing resizes it{last if pool.resize_errors else ''}",
            advice=f"trigger resize_pool for {one.name}, or the pool's DAG",
            az=commands.pool(pool.id),
            needs=_needs(one),
        )


def failed_nodes(seen: Seen) -> Iterator[Finding]:
    """Are there nodes that take no work, in any pool of the accounts?"""
    for account_id, pool in seen.every_pool():
        counts = _counts(seen, account_id, pool)
        if counts is None or not (counts.dedicated.failed or counts.spot.failed):
            continue
        by_state = {
            state: counts.dedicated.by_state.get(state, 0) + counts.spot.by_state.get(state, 0)
            for state in sorted(counts.dedicated.FAILED)
        }
        one, account = seen.spec_of(account_id, pool), seen.accounts.get(account_id)
        yield Finding(
            level=Level.WARNING,
            check=Kind.NODES_FAILED,
            subject=pool.id,
            seen=f"pool {pool.name} has nodes that take no work and are billed: "
            + ", ".join(f"{count} {state}" for state, count in by_state.items() if count),
            advice=f"trigger the DAG of {one.name}, whose nodes task tells why each failed, and mends or replaces it"
            if one
            else "look at their errors, then reboot or remove them",
            az=commands.nodes(pool.name, account.endpoint if account else account_id.rpartition("/")[2]),
            needs=(Look.POOLS.of(account_id), Look.NODES.of(account_id)),
        )


def pools_without_spec(seen: Seen) -> Iterator[Finding]:
    """Are there pools in the accounts of the specs that no spec stands for?"""
    unread = {name.casefold() for name in seen.unread}
    for account_id, pool in seen.every_pool():
        alias = pool.metadata.get("golden_pools_alias") or pool.name
        if ALLOWED in {name.casefold() for name in (*pool.tags, *pool.metadata)} or alias.casefold() in unread:
            continue
        if seen.spec_of(account_id, pool) is None and role_of(pool) is not Role.CANARY:
            yield Finding(
                level=Level.INFO,
                check=Kind.POOL_WITHOUT_SPEC,
                subject=pool.id,
                seen=f"no spec stands for pool {pool.name} with {counted(pool.current_total, 'node')}"
                + (f", which says that it is {alias}'s" if alias != pool.name else ""),
                advice=f"write a spec for it, delete it, or tag it {ALLOWED} (metadata will do)",
                az=commands.pool(pool.id),
                needs=(Look.POOLS.of(account_id),),
            )


def faulty_specs(seen: Seen) -> Iterator[Finding]:
    """Are there specs that cannot be read? Their pools have no DAG, so no run of theirs can fail and tell somebody."""
    for name, faults in seen.unread.items():
        yield Finding(
            level=Level.ERROR,
            check=Kind.SPEC_FAULTY,
            subject=f"spec {name}",
            seen=f"no DAG runs for pool {name}: its spec has {counted(len(faults), 'fault')}, the first: {faults[0]}",
            advice="mend the file; the import error of pool_spec_check.py names every fault with its line",
            az=commands.CHECK_SPECS,
            needs=(),
        )


CHECKS = (faulty_specs, missing_pools, other_settings, nodes_off_target, failed_nodes, pools_without_spec)


def _pools(seen: Seen) -> Iterator[tuple[Watched, Pool]]:
    for one in seen.watched:
        if (pool := seen.pool_of(one)) is not None:
            yield one, pool


def _counts(seen: Seen, account_id: str, pool: Pool) -> PoolNodes | None:
    counts = {name.casefold(): nodes for name, nodes in seen.nodes.get(account_id, {}).items()}
    return counts.get(pool.name.casefold())


def _settles(seen: Seen, one: Watched) -> bool:
    return any(seen.now - last_come(time, seen.now) < SETTLING for time in one.spec.scale)


def _needs(one: Watched) -> tuple[str, ...]:
    return Look.SPEC.of(one.name), Look.POOLS.of(one.account_id)
