"""What no spec can see alone: two pools that are in each other's way. Names compare as Azure does, without case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeAlias

from golden_pools.spec.document import Remark, quoted
from golden_pools.spec.following import maker_of
from golden_pools.spec.image import Publish
from golden_pools.spec.model import MOST_DEDICATED_NODES, MOST_SPOT_NODES, PoolSpec

Specs: TypeAlias = Mapping[str, PoolSpec]
Faults: TypeAlias = dict[str, list[Remark]]


def neighbour_faults(specs: Specs) -> Faults:
    """Return the faults of pools that are in each other's way, by pool; each names the files of the others."""
    faults: Faults = defaultdict(list)
    for pools in _groups(specs, _names_of_snapshots):
        for pool, others in _each(pools):
            stem = quoted(specs[pool].image.name or pool)
            text = (
                f"found {stem}, under which {others} makes snapshots and managed images in the same resource group; "
                "allowed: a name that is this pool's alone"
            )
            faults[pool].append(Remark(("image", "name"), text))
    for pools in _groups(specs, _image_definition):
        _one_source(specs, pools, faults)
        _one_build_at_a_time(specs, pools, faults)
    for pools in _groups(specs, lambda _, spec: _definition_of_pool(spec, specs)):
        _nodes_within_limits(specs, pools, faults)
    return dict(faults)


def _one_source(specs: Specs, pools: Sequence[str], faults: Faults) -> None:
    """A definition holds the versions of one machine: whoever takes the newest must get what it expects."""
    if len({_source(specs[pool]) for pool in pools}) == 1:
        return
    for pool, others in _each(pools):
        definition = quoted(str(specs[pool].image.definition))
        text = f"found {definition}, which {others} fills from another source; allowed: one source per definition"
        faults[pool].append(Remark(("image", "definition"), text))


def _nodes_within_limits(specs: Specs, pools: Sequence[str], faults: Faults) -> None:
    """Azure counts the nodes of all pools on one image together, as "Use a managed image ..." says."""
    for kind, most in (("dedicated", MOST_DEDICATED_NODES), ("spot", MOST_SPOT_NODES)):
        counts = {pool: getattr(specs[pool].pool.targets, kind) for pool in pools}
        if (together := sum(counts.values())) <= most:
            continue
        for pool, others in _each(pools):
            text = (
                f"found {counts[pool]:,}, together {together:,} with {others} on the same image definition; "
                f"allowed: {most:,} together"
            )
            faults[pool].append(Remark(("pool", "targets", kind), text))


def _one_build_at_a_time(specs: Specs, pools: Sequence[str], faults: Faults) -> None:
    """The number of a version is the moment of its run: two runs of one moment would want the same version."""
    for at_once in _groups({pool: specs[pool] for pool in pools}, _starts):
        for pool, others in _each(at_once):
            text = (
                f"found the time at which {others} makes a version of the same image definition, with the same number; "
                "allowed: another time, or another definition"
            )
            faults[pool].append(Remark(("schedule", "cron"), text))


def _names_of_snapshots(pool: str, spec: PoolSpec) -> Hashable:
    if not spec.image.source.kind.makes_images:
        return None
    return spec.subscription, str(spec.image.resource_group).lower(), (spec.image.name or pool).lower()


def _definition_of_pool(spec: PoolSpec, specs: Specs) -> Hashable:
    """Return the definition that a pool's nodes are made from, its own or the one that it follows."""
    maker = maker_of(spec, specs)
    return _image_definition("", maker) if maker else None


def _image_definition(_: str, spec: PoolSpec) -> Hashable:
    image = spec.image
    if image.publish is not Publish.GALLERY or not image.source.kind.makes_images:
        return None
    return (
        spec.subscription,
        str(image.resource_group).lower(),
        str(image.gallery).lower(),
        str(image.definition).lower(),
    )


def _starts(_: str, spec: PoolSpec) -> Hashable:
    return (*spec.schedule.cron.split(), spec.schedule.timezone) if spec.schedule else None


def _source(spec: PoolSpec) -> Hashable:
    if spec.golden_vm is None:
        return spec.subscription, spec.image.source.model_dump_json().lower()
    return spec.subscription, spec.golden_vm.resource_group.lower(), spec.golden_vm.name.lower()


def _groups(specs: Specs, key: Callable[[str, PoolSpec], Hashable]) -> list[list[str]]:
    """Return the pools that share a key, where there are at least two; None is no key."""
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for pool, spec in specs.items():
        groups[key(pool, spec)].append(pool)
    return [pools for shared, pools in groups.items() if shared is not None and len(pools) > 1]


def _each(pools: Iterable[str]) -> list[tuple[str, str]]:
    """Return each pool with the files of the others, in words."""
    pools = list(pools)
    return [(pool, ", ".join(f"{other}.yaml" for other in pools if other != pool)) for pool in pools]
