"""What is made from the model: the JSON schema, the words for what is allowed, the table of fields."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from golden_pools.spec.loader import load_pools, pool_files
from golden_pools.spec.model import PoolSpec
from golden_pools.spec.names import PATTERN_IN_WORDS
from golden_pools.spec.schema import allowed, fields, pool_spec_schema, schema_text
from golden_pools.spec.table import BEGIN, field_table, with_table

ROOT = Path(__file__).parents[2]
POOLS = ROOT / "include" / "pools"
SAMPLES = pool_files(POOLS)
PAGES = [page for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")) if BEGIN in page.read_text(encoding="utf-8")]


@pytest.fixture
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(pool_spec_schema())
    return jsonschema.Draft202012Validator(pool_spec_schema())


def test_the_schema_s_file_is_the_model_s_present_schema() -> None:
    said = "bring it up to date: python -m golden_pools.spec schema include/pools/pool-spec.schema.json"
    assert (POOLS / "pool-spec.schema.json").read_text(encoding="utf-8") == schema_text() + "\n", said


def test_the_page_of_the_spec_has_the_table() -> None:
    assert ROOT / "docs" / "pool-spec.md" in PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_table_of_a_page_is_the_model_s_present_table(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert with_table(text) == text, f"bring it up to date: python -m golden_pools.spec table {page.relative_to(ROOT)}"


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the table"):
        with_table("# Nothing")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_fits_the_schema_that_its_first_line_names(
    sample: Path, validator: jsonschema.Draft202012Validator
) -> None:
    text = sample.read_text(encoding="utf-8")
    validator.validate(yaml.safe_load(text))
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named
    assert (sample.parent / named[1]).resolve() == POOLS / "pool-spec.schema.json"


def test_the_samples_are_good_and_without_warnings() -> None:
    loaded = load_pools(POOLS)
    assert {"small", "render-farm"} <= set(loaded.specs)
    assert (loaded.faults, loaded.warnings) == ({}, {})


REFUSED: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "unknown field": (("pool", "vmSize"), "Standard_D2s_v5"),
    "number as text": (("pool", "targets", "dedicated"), "2"),
    "too many nodes": (("pool", "targets", "dedicated"), 2501),
    "truth as number": (("golden_vm", "generalized"), 1),
    "word of a few": (("refresh", "strategy"), "rolling"),
    "time-out": (("resize", "timeout_minutes"), 4),
    "share": (("resize", "smallest_acceptable_share", "dedicated"), 0),
    "replicas": (("image", "target_regions", 0, "replicas"), "many"),
    "gallery's name": (("image", "gallery"), "golden-gallery"),
    "gallery missing": (("image", "gallery"), None),
    "managed image unawares": (("image", "publish"), "managed_image"),
    "legacy on the gallery route": (("image", "legacy_direct_pool"), True),
    "our own metadata": (("pool", "metadata", "golden_pools_x"), "y"),
    "subnet": (("pool", "network"), {"subnet_id": "default"}),
    "region": (("image", "target_regions", 0, "name"), ""),
    "size": (("pool", "vm_size"), "large"),
}


@pytest.mark.parametrize(("field", "value"), REFUSED.values(), ids=REFUSED.keys())
def test_editors_and_the_model_refuse_the_same(
    field: tuple[str | int, ...], value: Any, validator: jsonschema.Draft202012Validator
) -> None:
    content = part = yaml.safe_load((POOLS / "render-farm.yaml").read_text(encoding="utf-8"))
    for word in field[:-1]:
        part = part[word]
    part[field[-1]] = value
    assert not validator.is_valid(content)
    with pytest.raises(ValueError):
        PoolSpec.model_validate(content)


def test_the_schema_takes_the_legacy_route_where_it_is_deliberate(validator: jsonschema.Draft202012Validator) -> None:
    content = yaml.safe_load((POOLS / "small.yaml").read_text(encoding="utf-8"))
    content["image"] = {"resource_group": "images", "publish": "managed_image", "legacy_direct_pool": True}
    validator.validate(content)
    assert PoolSpec.model_validate(content).image.legacy_direct_pool


def test_every_pattern_of_the_schema_is_one_that_editors_know_and_has_words() -> None:
    patterns = set(re.findall(r'"pattern": "(.*)"', schema_text().replace("\\\\", "\\"))) - {"^golden_pools_"}
    assert patterns == set(PATTERN_IN_WORDS)
    assert not [pattern for pattern in patterns if "(?" in pattern]  # JavaScript knows no (?i)


def test_every_field_has_a_description_and_words_for_what_is_allowed() -> None:
    assert [field.name for field in fields() if not (field.description and field.allowed and field.default)] == []


def test_the_table_opens_parts_and_lists_of_parts() -> None:
    rows = {field.name: (field.allowed, field.default) for field in fields()}
    assert rows["schedule"] == ("a mapping, fields below", "none")
    assert rows["refresh"] == ("a mapping, fields below", "as below")
    assert rows["image.target_regions"] == ("a list of mappings, fields below", "none")
    assert {"image.target_regions[].name", "pool.start_task.command_line", "schedule.cron"} <= set(rows)


def test_the_table_says_default_and_duty() -> None:
    table = field_table()
    assert (
        "| `resize.attempts` | a whole number from 1 to 20 | 3 | Resizes in a row that may miss their targets, "
        "with each tactic; one that brings nodes counts anew. |" in table
    )
    assert "| `golden_vm.generalized` | true or false | false |" in table
    assert "| `pool.account` | 3 to 24 lower-case letters and digits | required | Batch account. |" in table


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (("pool",), "a mapping with resource_group, account, vm_size, node_agent_sku, "),
        (("image", "target_regions"), "a list, each item a mapping with name, replicas"),
        (("image", "target_regions", 0, "replicas"), "auto, or a whole number from 1 to 100"),
        (("pool", "start_task", "environment"), "a mapping of text to text"),
        (("resize", "smallest_acceptable_share", "dedicated"), "a number above 0, up to 1"),
        (("schedule", "cron"), "text, such as 0 2 * * *"),
        (("owner",), "text, not empty"),
    ],
)
def test_what_is_allowed_is_said_in_words(location: tuple[str | int, ...], words: str) -> None:
    assert allowed(location).startswith(words)
