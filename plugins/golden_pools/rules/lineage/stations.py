"""How each thing of a line is named, and what is said of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime

from golden_pools.rules.facts import ImageVersion, Node, Pool, PoolNodes, Snapshot, folded
from golden_pools.rules.lineage.line import Kind, Station
from golden_pools.rules.passport import Passport
from golden_pools.rules.plan import RETIRED_TAG, RUN_TAG, VERDICT_TAG, WHY_TAG
from golden_pools.rules.provenance import LINK_TAG
from golden_pools.spec.model import PoolSpec
from golden_pools.words import counted


def known_as(station: Station, state: str, facts: tuple[str, ...]) -> Station:
    """Return a station with a state, and with more facts than it has."""
    return replace(station, state=state, facts=tuple(dict.fromkeys((*station.facts, *facts))))


def set_of(snapshots: list[Snapshot]) -> tuple[str, ...]:
    """Return the ids of a snapshot set, OS disk first."""
    return tuple(one.id for one in sorted(snapshots, key=lambda one: (not one.name.endswith("-os"), one.name)))


def vm_of(spec: PoolSpec) -> str | None:
    vm = spec.golden_vm or spec.image.source.generalized_vm
    if vm is None:
        return None
    group = f"/subscriptions/{spec.subscription}/resourceGroups/{vm.resource_group}"
    return f"{group}/providers/Microsoft.Compute/virtualMachines/{vm.name}"


def source_station(source_id: str) -> Station:
    return Station(kind=Kind.SOURCE, id=source_id, name=source_id.rstrip("/").rpartition("/")[2])


def image_station(image_id: str) -> Station:
    parts = image_id.rstrip("/").split("/")
    if "/versions/" in folded(image_id):
        return Station(kind=Kind.VERSION, id=image_id, name=f"{parts[-3]}/{parts[-1]}")
    return Station(kind=Kind.IMAGE, id=image_id, name=parts[-1])


def pool_station(pool_id: str) -> Station:
    parts = pool_id.split("/")
    return Station(kind=Kind.POOL, id=pool_id, name=parts[-1], facts=(f"account {parts[-3]}",))


def state_of(version: ImageVersion) -> str:
    if version.tags.get(RETIRED_TAG):
        return "retired, to be deleted"
    return version.tags.get(VERDICT_TAG, "")


def facts_of(version: ImageVersion) -> tuple[str, ...]:
    tags = version.tags
    run = f"run {tags[RUN_TAG]}" if tags.get(RUN_TAG) else "not made by a run"
    why = f"marked {tags[VERDICT_TAG]}: {tags[WHY_TAG]}" if tags.get(VERDICT_TAG) and tags.get(WHY_TAG) else ""
    return tuple(filter(None, (run, tags.get(LINK_TAG, ""), why)))


def said_of(passport: Passport) -> tuple[str, ...]:
    run = passport.run
    facts = (f"run {run.id}", run.link or "") if run and passport.built else ()
    return tuple(filter(None, (*facts, passport.why)))


def all_nodes(pool: Pool, counts: PoolNodes) -> Station | None:
    states: dict[str, int] = defaultdict(int)
    for kind in (counts.dedicated, counts.spot):
        for state, number in kind.by_state.items():
            states[state] += number
    total = sum(states.values())
    if not total:
        return None
    facts = tuple(f"{number} {state}" for state, number in sorted(states.items()) if number)
    name = counted(total, "node")
    return Station(kind=Kind.NODES, id=f"{pool.id}/nodes", name=name, facts=facts)


def node_station(pool_id: str, node: Node) -> Station:
    facts = ("dedicated" if node.dedicated else "Spot", *node.errors)
    return Station(kind=Kind.NODES, id=f"{pool_id}/nodes/{node.id}", name=node.id, state=node.state, facts=facts)


def moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
