"""The line of an image: from passports, from Azure's own words, from both; forward and backward, and its picture."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from golden_pools.errors import UnknownNameError
from golden_pools.rules.facts import (
    AllocationState,
    ImageVersion,
    ManagedImage,
    Node,
    NodeCounts,
    Pool,
    PoolNodes,
    Snapshot,
)
from golden_pools.rules.lineage import Kind, Line, Seen, from_node, from_pool, from_version, from_vm, picture
from golden_pools.rules.passport import Became, FateOf, Passport
from golden_pools.rules.passport_parts import merge, moved_off, noted
from golden_pools.rules.plan import account_id
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.build import plan, spec
from tests.rules.test_passport_parts import at, part
from tests.rules.test_passport_parts import pool as use

SPEC = spec()
ACCOUNT = account_id(SPEC)
GROUP = f"/subscriptions/{SPEC.subscription}/resourceGroups"
COMPUTE = f"{GROUP}/images/providers/Microsoft.Compute"
VM = f"{GROUP}/golden/providers/Microsoft.Compute/virtualMachines/golden-vm"
DEFINITION = plan().definition_id
OLD, NEW = f"{DEFINITION}/versions/2026.902.1", f"{DEFINITION}/versions/2026.1101.1"


def tags(run: str, **more: str) -> dict[str, str]:
    made = {"golden-pools-pool": "small", "golden-pools-dag": "golden_pool_small", "golden-pools-run": run}
    return {**made, **{f"golden-pools-{name}": value for name, value in more.items()}}


def snapshot(run: str, disk: str, **more: str) -> Snapshot:
    return Snapshot(
        id=f"{COMPUTE}/snapshots/{run}-{disk}",
        name=f"{run}-{disk}",
        location="westeurope",
        source_id=f"{GROUP}/golden/providers/Microsoft.Compute/disks/golden-vm-{disk}",
        provisioning_state="Succeeded",
        completion_percent=100,
        size_gib=32,
        tags=tags(run, **more),
    )


def image(run: str, **more: str) -> ManagedImage:
    ids = tuple(f"{COMPUTE}/snapshots/{run}-{disk}" for disk in ("os", "data-0"))
    return ManagedImage(
        id=f"{COMPUTE}/images/{run}",
        name=run,
        location="westeurope",
        provisioning_state="Succeeded",
        snapshot_ids=ids,
        tags=tags(run, **more),
    )


def version(version_id: str, run: str, *, source: str | None = None, **more: str) -> ImageVersion:
    return ImageVersion(
        id=version_id,
        name=version_id.rpartition("/")[2],
        location="westeurope",
        provisioning_state="Succeeded",
        aggregated_state=None,
        regions=(),
        target_regions={"westeurope": 1},
        source_id=source or f"{COMPUTE}/images/{run}",
        exclude_from_latest=False,
        tags=tags(run, **more),
    )


def pool(image_id: str | None, name: str = "small", **metadata: str) -> Pool:
    return Pool(
        id=f"{ACCOUNT}/pools/{name}",
        name=name,
        etag="1",
        provisioning_state="Succeeded",
        allocation_state=AllocationState.STEADY,
        vm_size="STANDARD_D2S_V5",
        node_agent_sku=None,
        image_id=image_id,
        current_dedicated=2,
        current_spot=0,
        target_dedicated=2,
        target_spot=0,
        autoscale=False,
        metadata={f"golden_pools_{key}": value for key, value in metadata.items()},
    )


def azure(**changes: Any) -> Seen:
    """Return what Azure shows of two builds, of which the pool is on the newer."""
    everything: dict[str, Any] = {
        "specs": {"small": SPEC},
        "snapshots": tuple(snapshot(run, disk, source=VM) for run in ("run-1", "run-2") for disk in ("data-0", "os")),
        "images": (image("run-1"), image("run-2")),
        "versions": (version(OLD, "run-1", verdict="good"), version(NEW, "run-2", verdict="good")),
        "pools": (pool(NEW.upper()),),
        "counts": {
            f"{ACCOUNT}/pools/small".casefold(): PoolNodes(pool="small", dedicated=NodeCounts(by_state={"idle": 2}))
        },
    }
    return Seen(**{**everything, **changes})


def passport(image_id: str, *, until: int | None = None, **more: Any) -> Passport:
    run = "run-1" if image_id == OLD else "run-2"
    known = part(use(since=1).model_copy(update={"id": f"{ACCOUNT}/pools/small"}), built=True).model_copy(
        update={
            "image": image_id,
            "version": image_id.rpartition("/")[2],
            "golden_vm": VM,
            "snapshots": tuple(f"{COMPUTE}/snapshots/{run}-{disk}" for disk in ("os", "data-0")),
            "managed_image": f"{COMPUTE}/images/{run}",
            **more,
        }
    )
    return moved_off(known, "small", to=NEW, when=at(until)) if until else merge([known])


def kept(**changes: Any) -> Seen:
    """Return what passports tell, of two builds of which the older is deleted in Azure, and Azure."""
    deleted = noted(OLD, FateOf(became=Became.RETIRED, why="not needed", when=at(9), by="retire_images"))
    passports = (merge([passport(OLD, until=5), deleted]), passport(NEW))
    there = azure()
    newer = {"versions": there.versions[1:], "images": there.images[1:], "snapshots": there.snapshots[2:]}
    return azure(**{**newer, "passports": passports, "kept": True, **changes})


def names(line: Line) -> list[str]:
    return [f"{station.kind}: {station.name}" for station in line.stations]


WHOLE = [
    "source: golden-vm",
    "snapshot set: run-2",
    "managed image: run-2",
    "image version: golden/2026.1101.1",
    "pool: small",
    "nodes: 2 nodes",
]
NODES = {f"{ACCOUNT}/pools/small".casefold(): (Node(id="tvm-1", state="idle", dedicated=True, image_id=NEW),)}


@pytest.mark.parametrize("seen", [azure, kept], ids=["tags", "passports"])
def test_a_pool_leads_back_to_the_vm_and_on_to_its_nodes(seen: Callable[..., Seen]) -> None:
    line = from_pool(seen(), "small")
    assert [name for name in names(line) if name in WHOLE] == WHOLE
    assert [station.name for station in line.stations if station.asked] == ["small"]


@pytest.mark.parametrize("seen", [azure, kept], ids=["tags", "passports"])
def test_a_vm_leads_to_every_version_and_on_to_the_nodes(seen: Callable[..., Seen]) -> None:
    line = from_vm(seen(), "golden-vm")
    assert names(line) == [
        "source: golden-vm",
        "snapshot set: run-1",
        "snapshot set: run-2",
        "managed image: run-1",
        "managed image: run-2",
        "image version: golden/2026.1101.1",
        "image version: golden/2026.902.1",
        "pool: small",
        "nodes: 2 nodes",
    ]


@pytest.mark.parametrize("seen", [azure, kept], ids=["tags", "passports"])
@pytest.mark.parametrize("text", ["2026.1101.1", "golden/2026.1101.1", NEW, NEW.upper()])
def test_a_version_leads_both_ways(seen: Callable[..., Seen], text: str) -> None:
    assert names(from_version(seen(), text)) == WHOLE


@pytest.mark.parametrize("seen", [azure, kept], ids=["tags", "passports"])
def test_a_node_leads_back_to_the_vm(seen: Callable[..., Seen]) -> None:
    line = from_node(seen(nodes=NODES, counts={}), "small", "tvm-1")
    assert names(line) == [*WHOLE[:-1], "nodes: tvm-1"]
    assert [station.state for station in line.stations][-1] == "idle"


def test_a_node_that_booted_from_another_image_than_its_pool_has_leads_to_that_one() -> None:
    nodes = {key: (Node(id="tvm-1", state="idle", dedicated=True, image_id=OLD),) for key in NODES}
    line = from_node(azure(nodes=nodes, counts={}), "small", "tvm-1")
    assert "image version: golden/2026.902.1" in names(line)
    assert "image version: golden/2026.1101.1" not in names(line)


def test_of_a_node_that_does_not_say_its_image_the_pools_own_is_shown_and_that_is_said() -> None:
    nodes = {key: (Node(id="tvm-1", state="idle", dedicated=True),) for key in NODES}
    line = from_node(azure(nodes=nodes), "small", "tvm-1")
    assert "image version: golden/2026.1101.1" in names(line)
    assert any("does not say what node tvm-1 booted from" in gap for gap in line.unknown)


def test_passports_say_since_when_and_what_became_of_what_is_gone() -> None:
    line = from_pool(kept(), "small")
    assert {station.name: station.state for station in line.stations if station.kind is Kind.VERSION} == {
        "golden/2026.1101.1": "current",
        "golden/2026.902.1": "retired",
    }
    words = {link.words for link in line.links if link.words}
    assert words == {"since 2026-11-22 03:00", "2026-11-22 03:00 to 2026-11-22 07:00"}
    assert [station.state for station in line.stations if station.name == "run-1"] == ["not in Azure"] * 2
    assert line.unknown == ()


def test_the_nodes_of_a_pool_that_has_left_a_version_do_not_come_from_it() -> None:
    assert names(from_version(kept(), "2026.902.1"))[-1] == "pool: small"


def test_without_passports_it_is_said_what_tags_do_not_tell() -> None:
    assert any("no spec names image.passports" in gap for gap in from_pool(azure(), "small").unknown)


def test_a_pool_that_somebody_moved_by_hand_is_not_on_what_its_passport_says() -> None:
    line = from_pool(kept(pools=(pool(f"{DEFINITION}/versions/2026.1105.1"),)), "small")
    assert "since 2026-11-22 03:00, no longer" in {link.words for link in line.links}
    assert any("no passport says since when pool small runs on golden/2026.1105.1" in gap for gap in line.unknown)


def test_a_version_that_is_neither_in_azure_nor_noted_as_deleted_was_deleted_by_somebody() -> None:
    states = {one.name: one.state for one in from_vm(kept(passports=(passport(OLD, until=5),)), "golden-vm").stations}
    assert states["golden/2026.902.1"] == "superseded, not in Azure"


def test_a_look_up_that_failed_makes_nothing_look_deleted() -> None:
    line = from_vm(kept(passports=(passport(OLD, until=5),), unknown=("Could not list the versions",)), "golden-vm")
    assert not any("not in Azure" in station.state for station in line.stations)
    assert "Could not list the versions" in line.unknown
    assert any("golden/2026.902.1 was not seen" in gap for gap in line.unknown)


def test_versions_from_snapshots_have_no_managed_image_in_their_line() -> None:
    made = version(NEW, "run-2", source=f"{COMPUTE}/snapshots/run-2-os")
    assert "managed image: run-2" not in names(from_version(azure(versions=(made,), images=()), NEW))


def test_the_clone_of_a_golden_vm_is_not_its_source() -> None:
    clone = f"{COMPUTE}/virtualMachines/clone-1"
    made = replace(azure().versions[1], source_id=clone, tags=tags("run-2", source=VM))
    assert names(from_version(azure(versions=(made,), images=()), NEW))[:2] == WHOLE[:2]


def test_what_is_older_than_the_tags_is_told_by_the_spec_of_today_and_that_is_said() -> None:
    line = from_version(azure(snapshots=tuple(snapshot("run-2", disk) for disk in ("os", "data-0"))), NEW)
    assert names(line) == WHOLE
    assert any("nothing but the pool spec of today" in gap for gap in line.unknown)


def test_what_nothing_tells_is_named() -> None:
    stranger = replace(azure().versions[1], source_id=None, tags={})
    line = from_version(azure(versions=(stranger,), images=(), snapshots=()), NEW)
    assert any("nothing says what golden/2026.1101.1 was made from" in gap for gap in line.unknown)


def test_snapshots_that_no_version_came_of_are_shown() -> None:
    line = from_vm(azure(versions=(), images=(), pools=(), counts={}), "golden-vm")
    assert [station.state for station in line.stations] == ["", *["no version came of it"] * 2]


def test_a_pool_that_takes_what_is_latest_is_named() -> None:
    gaps = from_pool(azure(pools=(pool(DEFINITION),)), "small").unknown
    assert any("names a definition" in gap for gap in gaps)


def test_older_versions_go_with_all_that_only_led_to_them_and_that_is_said() -> None:
    line = from_vm(kept(), "golden-vm", last=1)
    assert names(line) == WHOLE
    assert "1 older version left out: --last shows more" in line.unknown
    assert names(from_pool(kept(), "small", last=1)) == WHOLE
    assert from_vm(kept(), "golden-vm", last=2) == from_vm(kept(), "golden-vm")


def test_a_version_that_a_pool_is_on_or_that_is_asked_for_is_never_left_out() -> None:
    old = azure(pools=(pool(OLD),))
    assert "image version: golden/2026.902.1" in names(from_vm(old, "golden-vm", last=0))
    assert "image version: golden/2026.1101.1" not in names(from_vm(old, "golden-vm", last=0))
    assert "image version: golden/2026.1101.1" in names(from_version(old, NEW, last=0))


def test_azure_does_not_keep_the_case_of_ids() -> None:
    there = azure()
    shouting = tuple(replace(one, source_id=str(one.source_id).upper()) for one in there.versions)
    silent = tuple(replace(one, tags=tags("run-0")) for one in there.snapshots)
    line = from_version(azure(versions=tuple(replace(one, tags={}) for one in shouting), snapshots=silent), NEW)
    assert [kind.partition(":")[0] for kind in names(line)] == [kind.partition(":")[0] for kind in WHOLE]


def test_a_spec_means_the_pool_that_it_stands_for_now() -> None:
    pools = (pool(OLD, "small-a", alias="small", role="former"), pool(NEW, "small-b", alias="small", role="current"))
    line = from_pool(azure(pools=pools), "small")
    assert [station.name for station in line.stations if station.asked] == ["small-b"]


@pytest.mark.parametrize(
    ("ask", "what", "near"),
    [
        (lambda seen: from_pool(seen, "smal"), "pool 'smal'", "did you mean small?"),
        (lambda seen: from_vm(seen, "golden_vm1"), "VM 'golden_vm1'", "did you mean golden-vm?"),
        (lambda seen: from_version(seen, "golden/2026.1101.2"), "version", "did you mean golden/2026.1101.1?"),
        (lambda seen: from_node(seen, "small", "tvm-2"), "node 'tvm-2' of pool small", "did you mean tvm-1?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(ask: Callable[[Seen], Line], what: str, near: str) -> None:
    with pytest.raises(UnknownNameError) as unknown:
        ask(azure(nodes=NODES))
    assert what in unknown.value.what
    assert near in unknown.value.advice
    assert "There is: " in unknown.value.advice


def test_a_spec_whose_pool_is_not_there_yet_is_told_so() -> None:
    with pytest.raises(UnknownNameError, match="The spec small has no pool") as unknown:
        from_pool(azure(pools=(), unknown=("Could not list the pools",)), "small")
    assert "Could not list the pools" in str(unknown.value)
    assert unknown.value.advice == "mend the look-ups that failed"


def test_a_name_that_several_go_by_is_answered_with_their_ids() -> None:
    other = f"{DEFINITION}-2/versions/2026.1101.1"
    with pytest.raises(UnknownNameError, match="There are 2") as unknown:
        from_version(azure(versions=(*azure().versions, version(other, "run-3"))), "2026.1101.1")
    assert NEW in unknown.value.advice
    assert other in unknown.value.advice


# -- the picture -------------------------------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"
LETTER = 7.23
"""Pixels of a letter of 12 pixels in DejaVu Sans Mono, the widest of the fonts."""


Area = tuple[float, float, float, float]
"""Left, top, width, height."""


def area(text: ET.Element) -> Area:
    return float(text.attrib["x"]), float(text.attrib["y"]) - 10, len(text.text or "") * LETTER, 12.0


def is_within(inner: Area, outer: Area) -> bool:
    ends = ((inner[n] + inner[n + 2], outer[n] + outer[n + 2]) for n in (0, 1))
    return inner[0] >= outer[0] and inner[1] >= outer[1] and all(end <= limit for end, limit in ends)


def overlap(one: Area, other: Area) -> bool:
    return all(one[n] + one[n + 2] > other[n] and other[n] + other[n + 2] > one[n] for n in (0, 1))


def check_nothing_is_cut_or_covered(text: str) -> None:
    """Every word is within the picture and its box, and no box covers another or words beside it."""
    root = ET.fromstring(text)
    width, height = (float(size) for size in root.attrib["viewBox"].split()[2:])
    areas = [area(words) for words in root.findall(f"{SVG}text")]
    for group in root.iter(f"{SVG}g"):
        frame = group.find(f"{SVG}rect")
        assert frame is not None
        x, y, wide, high = (float(frame.attrib[name]) for name in ("x", "y", "width", "height"))
        assert all(is_within(area(row), (x, y, wide, high)) for row in group.iter(f"{SVG}text"))
        areas.append((x, y, wide, high))
    assert all(is_within(one, (0, 0, width, height)) for one in areas)
    assert not [(one, other) for one, other in combinations(areas, 2) if overlap(one, other)]


def test_the_picture_shows_every_station_and_follows_the_readers_scheme() -> None:
    line = from_vm(kept(), "golden-vm")
    text = picture(line)
    check_nothing_is_cut_or_covered(text)
    assert "prefers-color-scheme: dark" in text
    assert len(re.findall("<rect", text)) == len(line.stations)
    assert len(re.findall("<path", text)) == len(line.links)


LONG_NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)


@given(
    names=st.lists(LONG_NAMES, min_size=1, max_size=6, unique=True),
    ended=st.booleans(),
)
@settings(max_examples=40)
def test_no_name_is_too_long_for_the_picture(names: list[str], ended: bool) -> None:
    pools = tuple(pool(NEW, re.sub(r"[/\s]", "-", name)) for name in names)
    known = passport(NEW, until=5 if ended else None)
    uses = tuple(use(since=1).model_copy(update={"id": one.id, "name": one.name, "alias": one.name}) for one in pools)
    seen = kept(pools=pools, passports=(merge([known.model_copy(update={"pools": uses})]),))
    check_nothing_is_cut_or_covered(picture(from_vm(seen, "golden-vm")))


def test_a_name_with_signs_of_markup_stays_text() -> None:
    line = from_pool(azure(pools=(pool(NEW, '<a&"b>'),)), '<a&"b>')
    assert ET.fromstring(picture(line)).tag == f"{SVG}svg"
