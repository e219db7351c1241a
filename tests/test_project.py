"""What the project promises to whoever clones it: one word each, complete requirements, settings with a reason."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from include.airflow_settings import ROOT, SETTINGS_FILE, settings

PYTHONS = ("3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _pins(path: str) -> dict[str, str]:
    """By canonical name: the pinned version of a requirements file."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line.split(" #")[0]) for line in lines if line and not line.lstrip().startswith("#")]
    return {canonicalize_name(found.name): str(found.specifier) for found in requirements}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that ``make`` needs, without a virtual environment."""
    for name in ("Makefile", "requirements.txt", "tests/requirements.txt", "include/local_secrets.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "PYTHON"}
    }
    return subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_same_pythons_are_named_everywhere(project: dict[str, Any]) -> None:
    supported = SpecifierSet(project["project"]["requires-python"])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert [f"3.{minor}" for minor in range(20) if f"3.{minor}.0" in supported] == list(PYTHONS)
    assert " ".join(f"python{version}" for version in reversed(PYTHONS)) in makefile
    assert "--python-version 3.11" in makefile
    assert project["tool"]["mypy"]["python_version"] == PYTHONS[0]
    assert project["tool"]["ruff"]["target-version"] == "py311"


def test_every_dependency_is_pinned_in_requirements(project: dict[str, Any]) -> None:
    pins = _pins("requirements.txt")
    wanted = [Requirement(line) for line in project["project"]["dependencies"]]

    missing = [
        str(found)
        for found in wanted
        if not found.specifier.contains(pins.get(canonicalize_name(found.name), "==0").removeprefix("=="))
    ]

    assert missing == []


def test_every_development_tool_is_pinned(project: dict[str, Any]) -> None:
    tools = {canonicalize_name(Requirement(line).name) for line in project["dependency-groups"]["dev"]}

    assert tools - _pins("tests/requirements.txt").keys() == set()


def test_all_pins_are_exact() -> None:
    pins = _pins("requirements.txt") | _pins("tests/requirements.txt")

    assert [name for name, pin in pins.items() if not pin.startswith("==")] == []


def test_the_tools_do_not_change_what_runs() -> None:
    runtime, development = _pins("requirements.txt"), _pins("tests/requirements.txt")

    assert {name for name in runtime.keys() & development if runtime[name] != development[name]} == set()


def test_airflow_knows_every_setting() -> None:
    from airflow.configuration import conf

    unknown = []
    for name in settings():
        section, _, option = name.removeprefix("AIRFLOW__").lower().partition("__")
        if option not in (conf.configuration_description.get(section) or {}).get("options", {}):
            unknown.append(name)

    assert unknown == []


def test_every_setting_has_its_reason_above_it() -> None:
    blocks = SETTINGS_FILE.read_text(encoding="utf-8").strip().split("\n\n")
    heading, *rest = blocks

    assert heading.startswith("# ")
    assert [block for block in rest if not re.fullmatch(r"(# .+\n)+[A-Z_]+=\S+", block)] == []


def test_a_setting_without_a_value_is_named(tmp_path: Path) -> None:
    file = tmp_path / "airflow.env"
    file.write_text("GOOD=1\nFORGOTTEN\n", encoding="utf-8")

    with pytest.raises(ValueError, match="no value for FORGOTTEN"):
        settings(file)


def test_values_are_taken_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "airflow.env"
    file.write_text("# why\nA=${HOME}/x\nB=1=2\n", encoding="utf-8")

    assert settings(file) == {"A": "${HOME}/x", "B": "1=2"}


@pytest.mark.parametrize("target", ["demo", "test", "lint", "env"])
def test_an_unsuitable_python_is_named_in_one_line(clone: Path, target: str) -> None:
    old = clone / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n', encoding="utf-8")
    old.chmod(0o755)

    done = _make(clone, target, f"PYTHON={old}")

    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    assert lines == [
        f"This needs Python 3.11, 3.12 or 3.13; {old} is Python 3.9.2. "
        "Install one, or name it: make PYTHON=/path/to/python3.12"
    ]
    assert not (clone / ".venv").exists()


def test_make_env_needs_nothing_installed(clone: Path) -> None:
    done = _make(clone, "env")

    assert done.returncode == 0, done.stderr
    assert (clone / ".env").exists()
    assert not (clone / ".venv").exists()


def _fake_environment(clone: Path) -> Path:
    """A virtual environment that is up to date as far as ``make`` can see."""
    venv = clone / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to("/bin/true")
    for age, name in ((30, ".python"), (20, ".runtime"), (10, ".dev")):
        (venv / name).write_text("python3\n", encoding="utf-8")
        now = (venv / name).stat().st_mtime
        os.utime(venv / name, (now - age, now - age))
    for name in ("requirements.txt", "tests/requirements.txt"):
        os.utime(clone / name, (now - 60, now - 60))
    return venv


def _would_install(clone: Path, *arguments: str) -> list[str]:
    planned = _make(clone, "--dry-run", "test", *arguments).stdout
    return re.findall(r'echo "(Making|Installing \S+)', planned)


def test_an_environment_that_is_up_to_date_is_left_alone(clone: Path) -> None:
    _fake_environment(clone)

    assert _would_install(clone) == []


def test_changed_requirements_are_installed(clone: Path) -> None:
    _fake_environment(clone)
    (clone / "tests/requirements.txt").touch()

    assert _would_install(clone) == ["Installing tests/requirements.txt"]


ALL = ["Making", "Installing requirements.txt", "Installing tests/requirements.txt"]


def test_another_python_makes_the_environment_anew(clone: Path) -> None:
    _fake_environment(clone)

    assert _would_install(clone, "PYTHON=python3.12") == ALL


def test_a_half_made_environment_is_made_anew(clone: Path) -> None:
    (_fake_environment(clone) / ".installing").touch()

    assert _would_install(clone) == ALL


def test_an_environment_whose_python_is_gone_is_made_anew(clone: Path) -> None:
    (_fake_environment(clone) / "bin" / "python").unlink()

    assert _would_install(clone) == ALL


def test_the_demo_needs_no_development_tools(clone: Path) -> None:
    planned = _make(clone, "--dry-run", "demo").stdout

    assert "-r requirements.txt" in planned
    assert "tests/requirements.txt" not in planned


def test_ci_runs_what_a_developer_runs() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert re.findall(r"^make (\w+)$", script, re.MULTILINE) == ["lint", "test"]
