"""What a line is drawn from: passports where specs keep some, and Azure's lists. It writes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial

from golden_pools.errors import GoldenPoolsError, PassportStoreError
from golden_pools.hooks.batch_work import BatchWorkHook
from golden_pools.hooks.passports import MANAGED_IMAGES, PassportStore
from golden_pools.hooks.retention import Survey
from golden_pools.rules.facts import Node, PoolNodes, folded
from golden_pools.rules.lineage import Seen, asked_pool
from golden_pools.rules.passport import Passport
from golden_pools.rules.plan import account_id, definition_of
from golden_pools.rules.watch import Look
from golden_pools.spec.loader import Loaded

MOST_PASSPORTS = 200
"""Versions of one definition whose passports are read, the newest: each is a request or two to the storage."""


def look(loaded: Loaded, now: datetime, *, pool_of_node: str | None = None) -> Seen:
    """Return all that is known; what cannot be read is named with its reason.

    :param pool_of_node: name of the pool whose nodes are asked for one by one
    :raises UnknownNameError: there is no such pool
    """
    passports, unread, kept = _passports(loaded)
    with Survey(loaded) as survey:
        world = survey.world(now)
        versions = {folded(version.id): version for version in world.versions}
        for spec in loaded.specs.values():  # versions that somebody else makes, which retention never looks at
            definition = definition_of(spec, loaded.specs)
            if definition and not spec.image.source.kind.makes_images:
                for listed in survey.versions(spec.connection, spec.subscription, [definition]).values():
                    versions |= {folded(version.id): version for version in listed}
        seen = Seen(
            specs=loaded.specs,
            passports=passports,
            versions=tuple(versions.values()),
            images=world.images,
            snapshots=world.snapshots,
            pools=world.pools,
            kept=kept,
        )
        if pool_of_node is None:
            seen = replace(seen, counts=_counts(survey))
        seen = replace(seen, unknown=tuple(dict.fromkeys((*survey.unread, *unread))))
        if pool_of_node is None:
            return seen
        pool_id = asked_pool(seen, pool_of_node).id
        return replace(seen, nodes={folded(pool_id): _nodes(survey, pool_id)})


def _passports(loaded: Loaded) -> tuple[tuple[Passport, ...], list[str], bool]:
    """Return the passports of all specs' images, the places that could not be read, and whether there is a place."""
    wanted = {
        (spec.image.passports, (definition_of(spec, loaded.specs) or MANAGED_IMAGES).rpartition("/")[2])
        for spec in loaded.specs.values()
        if spec.image.passports
    }
    found: dict[str, Passport] = {}
    unread: list[str] = []
    for place, definition in sorted(wanted, key=str):
        assert place is not None
        store = PassportStore(place)
        try:
            store.look()
            found |= {folded(one.image): one for one in store.documents(definition, most=MOST_PASSPORTS)}
        except PassportStoreError as error:
            unread.append(" ".join(str(error).split()))
    return tuple(found.values()), unread, bool(wanted)


def _counts(survey: Survey) -> dict[str, PoolNodes]:
    """Return the node counts of the specs' accounts by folded id of the pool; each account is asked once."""
    found: dict[str, PoolNodes] = {}
    for spec in survey.specs.values():
        account = account_id(spec)
        hook = survey.hook(BatchWorkHook, spec.connection, spec.subscription)
        group, name = spec.pool.resource_group, spec.pool.account
        counts = survey.ask(Look.NODES, account, partial(hook.node_counts, group, name))
        found |= {folded(f"{account}/pools/{pool}"): nodes for pool, nodes in (counts or {}).items()}
    return found


def _nodes(survey: Survey, pool_id: str) -> tuple[Node, ...]:
    """Return the nodes of a pool, by any login that may read them."""
    _, _, subscription, _, group, _, _, _, account, _, pool = pool_id.split("/")
    failures: list[GoldenPoolsError] = []
    for connection in dict.fromkeys(spec.connection for spec in survey.specs.values()):
        try:
            return tuple(survey.hook(BatchWorkHook, connection, subscription).nodes(group, account, pool))
        except GoldenPoolsError as error:
            failures.append(error)
    raise failures[0]
