"""What YAML itself can get wrong: one clear fault with its line, and never another exception."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from golden_pools.errors import SpecError
from golden_pools.spec.document import LARGEST_FILE_BYTES, Document
from golden_pools.spec.loader import load_pool

Faults = Callable[..., list[str]]
Write = Callable[..., Path]


def test_a_key_that_stands_twice_is_a_fault_that_names_both_lines(faults_of: Faults) -> None:
    assert faults_of(("    spot: 1", "    dedicated: 9")) == [
        "line 18: pool.targets.dedicated: found a second time, first on line 17; allowed: once"
    ]


def test_the_second_value_of_a_key_is_judged_too(faults_of: Faults) -> None:
    assert faults_of(("    spot: 1", "    dedicated: many"))[1] == (
        "line 18: pool.targets.dedicated: found 'many'; allowed: a whole number from 0 to 2,500"
    )


def test_a_whole_part_that_stands_twice_is_a_fault(faults_of: Faults, good: str) -> None:
    assert faults_of(text=good + "resize:\n  attempts: 2\n") == [
        "line 28: resize: found a second time, first on line 23; allowed: once"
    ]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_one_fault(text: str, faults_of: Faults) -> None:
    (fault,) = faults_of(text=text)
    assert fault.startswith("line 1: ")
    assert "the file is empty" in fault or "found nothing" in fault


@pytest.mark.parametrize(
    ("text", "found"), [("- a\n- b\n", "a list"), ("just words\n", "'just words'"), ("42\n", "42")]
)
def test_a_file_that_is_no_mapping_is_one_fault(text: str, found: str, faults_of: Faults) -> None:
    (fault,) = faults_of(text=text)
    assert fault.startswith(f"line 1: found {found}; allowed: a mapping with connection, subscription, owner, ")


def test_a_syntax_error_names_its_line_and_column(faults_of: Faults) -> None:
    (fault,) = faults_of(("  name: golden-vm", "  name: [golden-vm"))
    assert fault == (
        "line 5: not YAML: while parsing a flow sequence from line 4, did not find expected ',' or ']' (column 6)"
    )


def test_a_tab_in_the_indentation_is_named_as_such(faults_of: Faults) -> None:
    assert faults_of(("  account: goldenbatch", "\taccount: goldenbatch")) == [
        "line 13: not YAML: a tab in the indentation; allowed: spaces"
    ]


def test_bytes_that_are_no_utf8_are_named_with_their_line(faults_of: Faults, good: str) -> None:
    text = good.encode().replace(b"rendering", b"r\xe9ndering")
    assert faults_of(text=text) == ["line 22: found the byte 0xe9; allowed: text in UTF-8"]


def test_a_byte_order_mark_is_no_fault(write: Write, good: str) -> None:
    assert load_pool(write(text=b"\xef\xbb\xbf" + good.encode())).pool.targets.dedicated == 2


def test_a_control_character_is_named_with_its_line(faults_of: Faults, good: str) -> None:
    assert faults_of(text=good.replace("rendering", "rende\x07ring")) == [
        "line 22: a character that YAML does not allow; allowed: printable text"
    ]


def test_a_second_document_in_the_file_is_a_fault(faults_of: Faults, good: str) -> None:
    (fault,) = faults_of(text=good + "---\nowner: me\n")
    assert fault.startswith("line 28: not YAML: expected a single document in the stream")


def test_a_key_that_is_no_text_is_a_fault(faults_of: Faults) -> None:
    assert faults_of(("    team: rendering", "    7: rendering")) == [
        "line 22: pool.metadata: found the key 7; allowed: text (put it in quotes)"
    ]


def test_a_key_that_is_a_list_is_a_fault(faults_of: Faults) -> None:
    assert faults_of(("    team: rendering", "    [a, b]: rendering")) == [
        "line 22: pool.metadata: found the key that is no word; allowed: text (put it in quotes)"
    ]


@pytest.mark.parametrize(
    "value", ["!!python/object/apply:os.getcwd []", "!!set {a, b}", "!!binary aGVsbG8=", "!secret x"]
)
def test_a_yaml_tag_is_a_fault_and_is_not_obeyed(value: str, faults_of: Faults) -> None:
    (fault,) = faults_of(("command_line: /bin/true", f"command_line: {value}"))
    assert fault.startswith("line 20: pool.start_task.command_line: found the YAML tag ")
    assert fault.endswith("allowed: plain text, numbers, lists and mappings")


@pytest.mark.parametrize(
    ("value", "kind"), [("!!int x", "a whole number"), ("!!bool x", "true or false"), ("0b_", "a whole number")]
)
def test_a_scalar_that_yaml_cannot_read_is_one_fault(value: str, kind: str, faults_of: Faults) -> None:
    (fault,) = faults_of(("    dedicated: 2", f"    dedicated: {value}"))
    assert fault == f"line 17: pool.targets.dedicated: found '{value.split()[-1]}', which is not {kind}"


def test_an_unquoted_date_is_the_text_that_it_looks_like(write: Write) -> None:
    spec = load_pool(write(("    team: rendering", "    since: 2026-11-22")))
    assert spec.pool.metadata == {"since": "2026-11-22"}


def test_a_merged_mapping_counts_and_is_no_second_time(write: Write) -> None:
    text = ("    team: rendering", "    <<: {team: rendering, floor: ground}\n    floor: first")
    assert load_pool(write(text)).pool.metadata == {"team": "rendering", "floor": "first"}


def test_a_field_beside_a_merged_one_of_its_name_is_named_with_its_own_line(faults_of: Faults) -> None:
    (fault,) = faults_of(("    team: rendering", "    <<:\n      team: rendering\n    team: 7"))
    assert fault.startswith("line 24: pool.metadata.team: found 7,")


def test_an_alias_that_contains_itself_ends_as_a_fault(faults_of: Faults) -> None:
    (fault,) = faults_of(("  metadata:\n    team: rendering", "  metadata: &all\n    team: *all"))
    assert fault == "line 22: pool.metadata.team: found a mapping; allowed: text"


def test_a_file_nested_deeper_than_python_follows_is_one_fault(faults_of: Faults) -> None:
    assert faults_of(text="[" * 5000 + "]" * 5000) == ["line 1: nested too deeply; allowed: the nesting of a pool spec"]


def test_a_huge_file_is_refused_before_it_is_parsed(faults_of: Faults) -> None:
    assert faults_of(text="[" * 100_000) == [
        f"found more than {LARGEST_FILE_BYTES:,} bytes; allowed: a pool spec, which is far shorter"
    ]


def test_the_largest_file_of_brackets_does_not_end_the_process() -> None:
    document = Document("[" * LARGEST_FILE_BYTES)
    assert [fault.line for fault in document.faults] == [1]


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone\.yaml: 1 fault.*\n.*cannot be read: No such file"):
        load_pool(tmp_path / "gone.yaml")


def test_a_directory_with_a_file_name_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "farm.yaml").mkdir()
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        load_pool(tmp_path / "farm.yaml")
