"""What of Azure's answers the page keeps: little enough for a row of Airflow's database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from golden_pools.rules.board.facts import Json, Look, PoolLook
from golden_pools.rules.facts import AllocationState, ImageVersion, Pool, PoolNodes, folded, number_of
from golden_pools.rules.family import Role, current_pool, role_of
from golden_pools.rules.plan import RETIRED_TAG, ImageVerdict, is_marked
from golden_pools.rules.resize.nodes import tally

MOST_VERSIONS = 50
"""Versions of a definition that the page knows, the newest."""


def pools_seen(aliases: Iterable[str], pools: Iterable[Pool], nodes: Mapping[str, PoolNodes]) -> dict[str, Any]:
    """Return what is kept of an account: by spec's name its pool, and by their own names those on their way to be it.

    :param aliases: names of the account's specs; one without a pool is missing in the answer
    :param nodes: by pool name as Azure spells it
    """
    there, counted = list(pools), {name.casefold(): count for name, count in nodes.items()}

    def kept(pool: Pool) -> dict[str, Any]:
        return asdict(_pool_look(pool, counted.get(pool.name.casefold())))

    current = {alias: pool for alias in aliases if (pool := current_pool(there, alias)) is not None}
    return {
        "pools": {alias: kept(pool) for alias, pool in current.items()},
        "candidates": {pool.name: kept(pool) for pool in there if role_of(pool) is Role.CANDIDATE},
    }


def _pool_look(pool: Pool, nodes: PoolNodes | None) -> PoolLook:
    # Nodes that Azure has not counted yet are on their way.
    ready, starting, bad = tally(nodes) if nodes else (0, pool.current_total, 0)
    return PoolLook(
        id=pool.id,
        image_id=pool.image_id,
        asked=sum(pool.asked_for),
        resizing=pool.allocation_state is not AllocationState.STEADY,
        ready=ready,
        starting=starting,
        bad=bad,
        preempted=nodes.spot.by_state.get("preempted", 0) if nodes else 0,
    )


def pool_in(look: Look | None, pool: str, *, candidates: bool = False) -> PoolLook | None:
    """Return a pool, as :func:`pools_seen` kept it.

    :param pool: name of the spec, or of the pool itself where it is a candidate
    """
    kept: Json | None = look.data.get("candidates" if candidates else "pools", {}).get(pool) if look else None
    return PoolLook(**kept) if kept else None


@dataclass(frozen=True, kw_only=True)
class VersionSeen:
    """An image version.

    :param good: what runs found out about it; None: nothing
    """

    id: str
    version: str
    made_at: datetime | None
    good: bool | None


def versions_seen(definition: str, versions: Iterable[ImageVersion]) -> dict[str, Any]:
    """Return what is kept of a definition: its versions, the newest first, without those that are about to go.

    :param definition: its ARM id
    """
    newest = sorted(versions, key=lambda version: number_of(version.name), reverse=True)
    staying = [version for version in newest if not version.tags.get(RETIRED_TAG)]
    return {"definition": definition, "versions": [_version(version) for version in staying[:MOST_VERSIONS]]}


def _version(version: ImageVersion) -> list[Any]:
    good = True if is_marked(version.tags, ImageVerdict.GOOD) else None
    if is_marked(version.tags, ImageVerdict.BAD):
        good = False
    return [version.name, version.published.isoformat() if version.published else None, good]


def versions_in(look: Look | None) -> list[VersionSeen]:
    """Return the versions of a definition, as :func:`versions_seen` kept them."""
    if look is None or "versions" not in look.data:
        return []
    definition = look.data["definition"]
    return [
        VersionSeen(id=f"{definition}/versions/{name}", version=name, made_at=moment(made_at), good=good)
        for name, made_at, good in look.data["versions"]
    ]


def moment(text: str | None) -> datetime | None:
    """Return the time that a text says."""
    return datetime.fromisoformat(text) if text else None


def same_image(one: str | None, other: str | None) -> bool:
    """Return whether two ids are of one image."""
    return bool(one and other) and folded(one or "") == folded(other or "")
