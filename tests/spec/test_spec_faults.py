"""Every fault of a file at once, each with line, field, what was found, what is allowed and what was meant."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from golden_pools.errors import SpecError
from golden_pools.spec.document import LARGEST_FILE_BYTES
from golden_pools.spec.loader import load_pool, pools_directory
from hypothesis import given, settings
from hypothesis import strategies as st

Faults = Callable[..., list[str]]

ONE_FAULT = {
    "unknown field, near one": (
        "  account: goldenbatch",
        "  account: goldenbatch\n  vmSlots: 2\n  taskSlotsPerNode: 2",
        [
            "line 14: pool.vmSlots: found an unknown field; allowed: resource_group, account, vm_size, ",
            "line 15: pool.taskSlotsPerNode: found an unknown field; allowed: resource_group, account, vm_size, ",
        ],
    ),
    "word of a few": (
        "  name: golden-vm",
        "  name: golden-vm\n  capture: runing",
        ["line 5: golden_vm.capture: found 'runing'; allowed: deallocated or stopped or running or restore_point"],
    ),
    "too low": (
        "timeout_minutes: 15",
        "timeout_minutes: 4",
        ["line 24: resize.timeout_minutes: found 4; allowed: a whole number from 5 to 10,080"],
    ),
    "too many dedicated": (
        "dedicated: 2",
        "dedicated: 2501",
        ["line 17: pool.targets.dedicated: found 2501; allowed: a whole number from 0 to 2,500"],
    ),
    "too many Spot": (
        "spot: 1",
        "spot: 1001",
        ["line 18: pool.targets.spot: found 1001; allowed: a whole number from 0 to 1,000"],
    ),
    "text for a number": (
        "dedicated: 2",
        "dedicated: '2'",
        ["line 17: pool.targets.dedicated: found '2'; allowed: a whole number from 0 to 2,500"],
    ),
    "truth for a number": (
        "dedicated: 2",
        "dedicated: yes",
        ["line 17: pool.targets.dedicated: found yes; allowed: a whole number from 0 to 2,500"],
    ),
    "fraction for a whole number": (
        "dedicated: 2",
        "dedicated: 2.0",
        ["line 17: pool.targets.dedicated: found 2.0; allowed: a whole number from 0 to 2,500"],
    ),
    "number for truth": (
        "  name: golden-vm",
        "  name: golden-vm\n  generalized: 1",
        ["line 5: golden_vm.generalized: found 1; allowed: true or false"],
    ),
    "truth for a share": (
        "timeout_minutes: 15",
        "smallest_acceptable_share: {dedicated: true}",
        ["line 24: resize.smallest_acceptable_share.dedicated: found true; allowed: a number above 0, up to 1"],
    ),
    "no share at all": (
        "timeout_minutes: 15",
        "smallest_acceptable_share: {dedicated: 0}",
        ["line 24: resize.smallest_acceptable_share.dedicated: found 0; allowed: a number above 0, up to 1"],
    ),
    "a word that YAML takes for truth": (
        "team: rendering",
        "team: no",
        ["line 22: pool.metadata.team: found no, which YAML reads as true or false (put it in quotes); allowed: text"],
    ),
    "neither auto nor a number": (
        "    - name: northeurope",
        "    - name: northeurope\n      replicas: autom",
        [
            "line 11: image.target_regions[0].replicas: found 'autom'; allowed: auto, or a whole number from 1 to 100; "
            "did you mean 'auto'?"
        ],
    ),
    "a mapping for auto or a number": (
        "    - name: northeurope",
        "    - name: northeurope\n      replicas: {a: 1}",
        ["line 11: image.target_regions[0].replicas: found a mapping; allowed: auto, or a whole number from 1 to 100"],
    ),
    "region twice in two spellings": (
        "    - name: northeurope",
        "    - name: northeurope\n    - name: North Europe",
        [
            "line 9: image.target_regions: found a list; "
            "allowed: each region once, but northeurope stands more than once"
        ],
    ),
    "missing": (
        "  account: goldenbatch\n",
        "",
        ["line 11: pool.account: found nothing; allowed: 3 to 24 lower-case letters and digits"],
    ),
    "gallery route without definition": (
        "  definition: farm\n",
        "",
        ["line 5: image.definition: found nothing; allowed: a name; publish: gallery needs gallery and definition"],
    ),
    "retired route unawares": (
        "  definition: farm",
        "  definition: farm\n  publish: managed_image",
        ["line 5: image.legacy_direct_pool: found nothing; allowed: true with publish: managed_image, "],
    ),
    "legacy switch on the gallery route": (
        "  definition: farm",
        "  definition: farm\n  legacy_direct_pool: true",
        ["line 9: image.legacy_direct_pool: found true; allowed: true only with publish: managed_image"],
    ),
    "our own metadata": (
        "team: rendering",
        "golden_pools_version: 1.2.3",
        [
            "line 22: pool.metadata.golden_pools_version: found '1.2.3'; "
            "allowed: a name that does not begin with golden_pools_: the run itself writes those"
        ],
    ),
    "no such timezone": (
        "timezone: Europe/Berlin",
        "timezone: europe/berlin",
        [
            "line 27: schedule.timezone: found 'europe/berlin'; allowed: an IANA timezone, such as Europe/Berlin; "
            "did you mean 'Europe/Berlin'?"
        ],
    ),
    "a name that Azure refuses": (
        "gallery: golden_gallery",
        "gallery: golden-gallery",
        [
            "line 7: image.gallery: found 'golden-gallery'; allowed: 1 to 80 letters, digits, _ and . (no dash), "
            "beginning and ending with a letter or digit"
        ],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), ONE_FAULT.values(), ids=ONE_FAULT.keys())
def test_a_fault_says_line_field_found_allowed_and_meant(
    old: str, new: str, expected: list[str], faults_of: Faults
) -> None:
    found = faults_of((old, new))
    assert len(found) == len(expected)
    for fault, beginning in zip(found, expected, strict=True):
        assert fault.startswith(beginning)


def test_an_unknown_field_brings_the_nearest_right_name(faults_of: Faults) -> None:
    (fault,) = faults_of(("  targets:", "  taskSlotsPerNode: 2\n  targets:"))
    assert fault.endswith("inter_node_communication; did you mean 'task_slots_per_node'?")


def test_a_name_in_capitals_is_near(faults_of: Faults) -> None:
    (fault,) = faults_of(("  targets:", "  TASK_SLOTS_PER_NODE: 2\n  targets:"))
    assert fault.endswith("; did you mean 'task_slots_per_node'?")


def test_a_field_in_the_wrong_part_brings_the_part_where_it_belongs(faults_of: Faults) -> None:
    (fault,) = faults_of(("  targets:", "  dedicated: 2\n  targets:"))
    assert "; did you mean 'pool.targets.dedicated'" in fault


def test_a_part_in_the_wrong_part_brings_where_it_belongs(faults_of: Faults) -> None:
    (fault,) = faults_of(("resize:", "start_task: {command_line: x}\nresize:"))
    assert fault.endswith("; did you mean 'pool.start_task'?")


def test_nodes_that_communicate_are_counted_together(faults_of: Faults) -> None:
    changes = ("dedicated: 2", "dedicated: 100"), ("  targets:", "  inter_node_communication: true\n  targets:")
    assert faults_of(*changes) == [
        "line 16: pool.inter_node_communication: found true; "
        "allowed: true only up to 100 nodes in all, and the targets are 101"
    ]


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("0 2 * *", "five fields"),
        ("0 2 * * * 0", "five fields"),
        ("@daily", "five fields"),
        ("60 2 * * *", "out of range"),
        ("0 2 31 2 *", "failed to find next date"),
        ("R 2 * * *", "five fields"),
        ("H(0-5) 2 * * *", "five fields"),
    ],
)
def test_a_cron_expression_that_never_or_always_differently_comes_true_is_refused(
    cron: str, why: str, faults_of: Faults
) -> None:
    (fault,) = faults_of(("cron: 0 2 * * *", f"cron: '{cron}'"))
    assert fault.startswith(f"line 26: schedule.cron: found '{cron}'; allowed: a cron expression ")
    assert why in fault


REPLACEMENTS = {
    "subscription": "my-subscription",
    "golden_vm.name": "-vm",
    "golden_vm.resource_group": "golden.",
    "image.resource_group": 7,
    "image.gallery": "a-b",
    "image.target_regions[0].name": "",
    "pool.account": "Batch",
    "pool.vm_size": "D2",
    "pool.node_agent_sku": "ubuntu 22.04",
    "pool.targets.dedicated": -1,
    "pool.targets.spot": None,
    "pool.start_task.command_line": "",
    "pool.metadata.team": 3,
    "resize.timeout_minutes": 10081,
    "schedule.cron": "daily",
    "schedule.timezone": "Berlin",
}
"""Values that are wrong, each by itself."""


def replaced(content: Any, field: str, value: Any) -> None:
    *way, last = [int(word) if word.isdigit() else word for word in re.split(r"[.\[\]]+", field.rstrip("]"))]
    for word in way:
        content = content[word]
    content[last] = value


def load_text(text: str) -> list[str]:
    """Return the faults of a file with this content."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "farm.yaml"
        path.write_bytes(text.encode())
        try:
            load_pool(path)
        except SpecError as error:
            return list(error.faults) or ["an error without a fault"]
        return []


SAMPLE = (pools_directory() / "render-farm.yaml").read_text(encoding="utf-8")


@given(st.sets(st.sampled_from(sorted(REPLACEMENTS))))
def test_every_wrong_value_is_named_whatever_else_is_wrong(fields: set[str]) -> None:
    content = yaml.safe_load(SAMPLE)
    for field in fields:
        replaced(content, field, REPLACEMENTS[field])
    named = [re.sub(r"^line \d+: ", "", fault).split(": ")[0] for fault in load_text(yaml.safe_dump(content))]
    assert sorted(named) == sorted(fields)


YAML_PIECES = (
    "\n|\t|: |- |  |{|[|]|}|&a |*a|<<: |!!int |!x |'|\"|>|~|? |---\n|...\n|%|@|`|0x|.nan|2026-13-45|yes|\x00|\ufeff"
)
PIECES = st.text(max_size=8) | st.sampled_from(YAML_PIECES.split("|"))


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 30), PIECES), min_size=1, max_size=5))
def test_whatever_stands_in_the_file_the_answer_is_a_spec_or_faults_with_lines_of_the_file(
    edits: list[tuple[int, int, str]],
) -> None:
    text = SAMPLE
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    lines = max(1, len(text.splitlines()))
    for fault in load_text(text):
        at = re.match(r"line (\d+): ", fault)
        assert at, fault
        assert 1 <= int(at[1]) <= lines, fault


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200)
@given(
    st.sampled_from(sorted({*REPLACEMENTS, "golden_vm", "image", "pool", "resize", "schedule", "pool.targets"})), VALUES
)
def test_whatever_value_stands_for_a_field_the_answer_is_a_spec_or_faults_of_that_field(field: str, value: Any) -> None:
    content = yaml.safe_load(SAMPLE)
    replaced(content, field, value)
    text = yaml.safe_dump(content, allow_unicode=True)
    assert len(text) < LARGEST_FILE_BYTES
    for fault in load_text(text):
        assert fault.split(": ", 1)[1].startswith((field, "not YAML", "a character")), fault
