"""Which pool of an account is the one that a spec stands for: the alias, and the roles of a blue/green family.

A spec's name is the alias. With ``in_place`` and ``recreate`` the pool has the alias as its id; with ``blue_green``
each version has a pool of its own, ``<alias>-<version>``, and the pools' metadata say whose they are and what they are
now. Two pools may both say that they are current for a moment, between the two writes of a switch: the later one is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from golden_pools.rules.facts import Pool

ALIAS = "golden_pools_alias"
"""Metadata: the spec's name."""

ROLE = "golden_pools_role"
"""Metadata: a :class:`Role`."""

SINCE = "golden_pools_since"
"""Metadata: when the pool got its role, ISO 8601, UTC."""

RUN = "golden_pools_run"
"""Metadata: the run that last changed the pool."""

LONGEST_ID = 64
"""Characters of a Batch pool's id."""


class Role(StrEnum):
    """What a pool is for its spec."""

    CANARY = "canary"  # one node of a new version, for probes
    CANDIDATE = "candidate"  # on its way to become current
    CURRENT = "current"  # jobs go there
    FORMER = "former"  # was current; stays for a soak
    RETIRING = "retiring"  # is being emptied and deleted; nothing comes back from here


def role_of(pool: Pool) -> Role | None:
    """Return the role that a pool's metadata say, or None where they say none that we know."""
    text = pool.metadata.get(ROLE, "")
    return Role(text) if text in list(Role) else None


def family(pools: Iterable[Pool], alias: str) -> list[Pool]:
    """Return the pools that belong to a spec: those that say so, and one that has its name and says nothing."""
    folded = alias.casefold()
    return [pool for pool in pools if (pool.metadata.get(ALIAS) or pool.name).casefold() == folded]


def current_pool(pools: Iterable[Pool], alias: str) -> Pool | None:
    """Return the pool that a spec stands for now.

    A pool with the alias as its id that carries no role counts: it is from before its first run. A pool that is being
    deleted never does.
    """
    members = [pool for pool in family(pools, alias) if not is_deleting(pool)]
    current = [pool for pool in members if role_of(pool) is Role.CURRENT]
    if current:
        return max(current, key=lambda pool: (pool.metadata.get(SINCE, ""), pool.name))
    return next((pool for pool in members if role_of(pool) is None and pool.name.casefold() == alias.casefold()), None)


def pool_of(pools: Iterable[Pool], name: str) -> Pool | None:
    """Return the pool that a name means: the one that the spec of this name stands for, or the pool of this id."""
    pools = list(pools)
    by_id = (pool for pool in pools if pool.name.casefold() == name.casefold())
    return current_pool(pools, name) or next(by_id, None)


def is_deleting(pool: Pool) -> bool:
    """Return whether the pool is being deleted: it takes no change, and its id is not free yet."""
    return pool.provisioning_state.casefold() == "deleting"


def with_role(metadata: Mapping[str, str], role: Role, *, alias: str, since: str, run_id: str) -> dict[str, str]:
    """Return all metadata of a pool that is in a role, since when, and by which run.

    :param metadata: of the pool as it is, or those of the spec for a pool that is to be made
    :param since: what :func:`moment_of_role` returns, or, of a pool that keeps its role, what it says already
    """
    return {**metadata, ALIAS: alias, ROLE: role.value, SINCE: since, RUN: run_id}


def moment_of_role(members: Iterable[Pool], now: datetime) -> str:
    """Return the time for a role that is given now: later than every other's, whatever clock wrote those."""
    others = [moment for pool in members if (moment := since_when(pool))]
    moment = max([now, *(other + timedelta(microseconds=1) for other in others)])
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def since_when(pool: Pool) -> datetime | None:
    """Return since when a pool has its role; None where its metadata do not say."""
    try:
        moment = datetime.fromisoformat(pool.metadata.get(SINCE, ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def candidate_name(alias: str, image_id: str, taken: Iterable[str] = ()) -> str:
    """Return the id of the pool that is to carry an image: ``<alias>-<version>``, dots as dashes.

    :param taken: ids that it must not have, such as that of the current pool, where only settings change
    """
    last = image_id.rstrip("/").rpartition("/")[2]
    version = "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in last)
    folded = {name.casefold() for name in taken}
    stem = f"{alias}-{version}"[:LONGEST_ID]
    for suffix in ("", *(f"-{letter}" for letter in "bcdefgh")):
        name = f"{stem[: LONGEST_ID - len(suffix)]}{suffix}"
        if name.casefold() not in folded:
            return name
    raise ValueError(f"every id of the form {stem}-<letter> is taken")
