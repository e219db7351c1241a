"""The parts of a passport: each DAG writes one of its own, and readers put them together.

So no two DAGs ever write the same file, and a later run of a DAG adds to what its earlier runs knew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, TypeVar

from golden_pools.rules.facts import folded
from golden_pools.rules.passport import (
    MOST_ANSWERS,
    MOST_FATES,
    MOST_POOLS,
    MOST_PROBES,
    SCHEMA,
    AnswerOf,
    Became,
    FateOf,
    Passport,
    PoolOf,
    read_passport,
    settled,
)

Part = TypeVar("Part")


def merge(parts: Iterable[Passport]) -> Passport:
    """Return what all parts of one version's passport say together, in whatever order they come.

    What was made, and from what, is the word of the run that built the version, or of the first that used it. Pools,
    probes and history are those of all.

    :raises ValueError: there is no part, or they are of several images
    """
    ordered = sorted(parts, key=_rank)
    if len({folded(part.image) for part in ordered}) != 1:
        raise ValueError(f"parts of one image, not of {sorted({part.image for part in ordered})}")
    probes = _once(probe for part in ordered for probe in part.probes)
    return settled(
        ordered[0].model_copy(
            update={
                "built": any(part.built for part in ordered),
                "probes": tuple(probes[:MOST_PROBES]),
                "pools": _uses([pool for part in ordered for pool in part.pools])[-MOST_POOLS:],
                "history": _history([fate for part in ordered for fate in part.history])[-MOST_FATES:],
                "approvals": _answers([answer for part in ordered for answer in part.approvals])[-MOST_ANSWERS:],
                "became_good": any(part.became_good for part in ordered),
            }
        )
    )


def noted(image_id: str, fate: FateOf) -> Passport:
    """Return a part that says nothing but what became of an image."""
    empty: dict[str, Any] = dict.fromkeys(("source", "golden_vm", "consistency", "managed_image", "run"))
    empty |= dict.fromkeys(("snapshots", "disks", "findings", "probes", "pools"), ())
    version = image_id.rstrip("/").rpartition("/")[2]
    known = {"passport": SCHEMA, "image": image_id, "version": version, "built": False, "history": (fate,)}
    return settled(read_passport({**empty, **known, "became": Became.NEW, "why": ""}))


def moved_off(part: Passport, alias: str, *, to: str, when: datetime) -> Passport:
    """Return a part in which the pool that a spec stands for has left the version.

    :param alias: name of the spec
    :param to: the image that it is on now
    """
    pools = tuple(
        pool.model_copy(update={"until": max(when, pool.since), "image_after": to})
        if pool.alias == alias and pool.until is None
        else pool
        for pool in part.pools
    )
    return settled(part.model_copy(update={"pools": pools}))


def _rank(part: Passport) -> tuple[Any, ...]:
    """Order parts by whose word counts: the builder's, the earliest, and of one run's the one that knows most."""
    run = part.run
    who = (run.stamp.timestamp(), run.dag, run.id, -len(run.stages)) if run else (0.0, "", "", 0)
    return run is None, not part.built, *who, part.model_dump_json()


def _once(values: Iterable[Part]) -> list[Part]:
    """Return values without repetitions; they need not be hashable."""
    found: list[Part] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _answers(answers: Sequence[AnswerOf]) -> tuple[AnswerOf, ...]:
    """Return each answer once, in order of time."""
    return tuple(sorted(_once(answers), key=lambda answer: (answer.when, answer.model_dump_json())))


def _history(fates: Sequence[FateOf]) -> tuple[FateOf, ...]:
    """Return what was noted in order of time, without what only repeats what was so already."""
    ordered = sorted(fates, key=lambda fate: (fate.when, fate.model_dump_json()))
    return tuple(next(same) for _, same in groupby(ordered, key=lambda fate: fate.became))


def _uses(pools: Sequence[PoolOf]) -> tuple[PoolOf, ...]:
    """Return each use of the version by a pool once, in order: what runs saw between two moves is one use."""

    def in_time(pool: PoolOf) -> tuple[Any, ...]:
        return pool.since, pool.until is None, pool.until or pool.since, pool.model_dump_json()

    uses: list[PoolOf] = []
    for _, seen in groupby(sorted(pools, key=lambda pool: (folded(pool.id), in_time(pool))), lambda p: folded(p.id)):
        first, *others = seen
        spans = [first]
        for later in others:
            last = spans[-1]
            if last.until is not None and later.since >= last.until and later.since > last.since:
                spans.append(later)
            else:
                spans[-1] = _one_use(last, later)
        uses += spans
    return tuple(sorted(uses, key=lambda pool: (in_time(pool), folded(pool.id))))


def _one_use(first: PoolOf, later: PoolOf) -> PoolOf:
    """Return two views of one use: how it began by the first, how it is by the later."""
    ends = [pool for pool in (first, later) if pool.until is not None]
    end = max(ends, key=lambda pool: pool.until or pool.since, default=later)
    return first.model_copy(
        update={
            "targets": later.targets,
            "ready": later.ready,
            "until": end.until,
            "image_after": end.image_after,
        }
    )
