"""``python -m golden_pools.spec``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from golden_pools.spec.__main__ import main
from golden_pools.spec.table import BEGIN, END, field_table

Write = Callable[..., Path]
Screen = pytest.CaptureFixture[str]


def test_check_says_all_faults_of_a_file_and_fails(write: Write, capsys: Screen) -> None:
    path = write(("spot: 1", "spot: x"), ("dedicated: 2", "dedicated: y"))
    assert main(["check", str(path)]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"{path}: 2 faults\n  - line 17: pool.targets.dedicated: ")
    assert said.endswith("0 good, 1 with faults\n")


def test_check_says_warnings_and_succeeds(write: Write, capsys: Screen) -> None:
    path = write(("dedicated: 2", "dedicated: 2400"))
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: warning: line 17: pool.targets.dedicated: found 2,400; ")


def test_check_without_files_takes_the_directory(write: Write, capsys: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDEN_POOLS_DIR", str(write().parent))
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "1 good, 0 with faults\n"


def test_schema_goes_to_the_screen_or_to_a_file(tmp_path: Path, capsys: Screen) -> None:
    assert main(["schema"]) == 0
    assert main(["schema", str(tmp_path / "schema.json")]) == 0
    screen = capsys.readouterr().out
    assert json.loads(screen)["title"] == "Pool spec"
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == screen


def test_table_goes_to_the_screen_or_between_the_markers_of_files(tmp_path: Path, capsys: Screen) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    assert main(["table"]) == 0
    assert main(["table", str(page)]) == 0
    assert capsys.readouterr().out == field_table() + "\n"
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n{field_table()}\n{END}\nafter\n"
