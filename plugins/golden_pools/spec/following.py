"""Pools that follow the image of another pool's spec, and in which order they do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from typing import TypeAlias

from golden_pools.spec.document import Remark, quoted
from golden_pools.spec.image import Publish
from golden_pools.spec.model import PoolSpec
from golden_pools.spec.suggest import did_you_mean

Specs: TypeAlias = Mapping[str, PoolSpec]


def maker_of(spec: PoolSpec, specs: Specs) -> PoolSpec | None:
    """Return the spec that says which image a pool runs on: its own, or the one that it follows.

    :param specs: where the followed one is looked up; None where it is not among them, or follows another itself
    """
    follow = spec.image.source.follow
    if follow is None:
        return spec
    maker = specs.get(follow.pool)
    return maker if maker is not None and maker.image.source.follow is None else None


def pauses_before(pool: str, specs: Specs) -> timedelta:
    """Return how long a follower pauses in all after a version proved good: with all the pools that go before it."""
    follow = specs[pool].image.source.follow if pool in specs else None
    if follow is None:
        return timedelta(0)
    before = max((pauses_before(other, specs) for other in follow.after), default=timedelta(0))
    return before + timedelta(minutes=follow.pause_minutes)


def following_faults(specs: Specs, broken: Collection[str]) -> dict[str, list[Remark]]:
    """Return the faults of pools that follow what they cannot follow, by pool.

    :param broken: pools whose files have faults of their own; who follows one of them has one, too
    """
    faults: dict[str, list[Remark]] = defaultdict(list)
    for pool, spec in specs.items():
        if (follow := spec.image.source.follow) is None:
            continue
        if text := _why_not_followed(pool, follow.pool, specs, broken):
            faults[pool].append(Remark(("image", "source", "follow", "pool"), text))
        for place, other in enumerate(follow.after):
            if text := _why_not_before(pool, other, follow.pool, specs, broken):
                faults[pool].append(Remark(("image", "source", "follow", "after", place), text))
    return dict(faults)


def _why_not_followed(pool: str, followed: str, specs: Specs, broken: Collection[str]) -> str:
    """Return why a pool cannot follow another; empty where it can."""
    if followed == pool:
        return f"found {quoted(followed)}, which is this pool; allowed: another pool"
    if (spec := specs.get(followed)) is None:
        return _missing(followed, specs, broken)
    if spec.image.source.follow is not None:
        return (
            f"found {quoted(followed)}, which follows {spec.image.source.follow.pool} itself; allowed: the pool whose "
            "runs make the image, and the others in after"
        )
    if not spec.image.source.kind.makes_images:
        return (
            f"found {quoted(followed)}, whose runs make no image; allowed: the image.source of {followed}.yaml, "
            "here too"
        )
    if spec.image.publish is not Publish.GALLERY:
        return f"found {quoted(followed)}, whose image is in no gallery; allowed: a pool with publish: gallery"
    return ""


def _why_not_before(pool: str, other: str, followed: str, specs: Specs, broken: Collection[str]) -> str:
    """Return why a pool cannot wait for another; empty where it can."""
    if other == followed:
        return f"found {quoted(other)}, for which every follower waits; allowed: other followers of it"
    if other not in specs:
        return _missing(other, specs, broken)
    follow = specs[other].image.source.follow
    if follow is None or follow.pool != followed:
        return f"found {quoted(other)}, which does not follow {followed}; allowed: other followers of it"
    if other == pool or pool in _all_before(other, specs):
        return f"found {quoted(other)}, which waits for this pool; allowed: an order without a circle"
    return ""


def _all_before(pool: str, specs: Specs) -> set[str]:
    """Return every pool that has to be on a version before this one."""
    found: set[str] = set()
    left = list(_before(pool, specs))
    while left:
        if (other := left.pop()) not in found:
            found.add(other)
            left += _before(other, specs)
    return found


def _before(pool: str, specs: Specs) -> Iterator[str]:
    follow = specs[pool].image.source.follow if pool in specs else None
    yield from follow.after if follow else ()


def _missing(name: str, specs: Specs, broken: Collection[str]) -> str:
    if name in broken:
        return f"found {quoted(name)}, whose file {name}.yaml has faults; allowed: a pool whose spec is good"
    near = did_you_mean(name, specs)
    return (
        f"found {quoted(name)}, of which there is no spec file; allowed: a pool that has one, read together with this "
        f"file{near}"
    )
