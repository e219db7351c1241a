"""Files and directories: names, neighbours, and that a bad file leaves the others alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from golden_pools.errors import SpecError
from golden_pools.spec import loader
from golden_pools.spec.loader import load_files, load_one, load_pool, load_pools, pool_files
from golden_pools.spec.names import LONGEST_STEM

Write = Callable[..., Path]
Faults = Callable[..., list[str]]


def test_the_good_spec_has_no_faults(write: Write) -> None:
    assert load_pool(write()).pool.targets.total == 3


def test_a_subscription_compares_in_lower_case(write: Write) -> None:
    spec = load_pool(write(("11111111-1111-1111-1111-111111111111", "AAAAAAAA-1111-1111-1111-111111111111")))
    assert spec.subscription == "aaaaaaaa-1111-1111-1111-111111111111"


@pytest.mark.parametrize("name", ["-farm", "farm-", "my farm", "färm", "a" * 65])
def test_a_file_name_that_azure_refuses_as_a_pool_name_is_a_fault(name: str, faults_of: Faults) -> None:
    (fault, *_) = faults_of(name=f"{name}.yaml")
    assert fault.startswith("the file's name, which is the pool's: found ")
    assert "allowed: 1 to 64 letters, digits, dashes and underscores" in fault


@pytest.mark.parametrize("suffix", [".yml", ".YAML"])
def test_another_ending_is_a_fault_and_not_overlooked(suffix: str, write: Write) -> None:
    path = write(name=f"farm{suffix}")
    loaded = load_pools(path.parent)
    assert loaded.specs == {}
    assert loaded.faults[path].faults == (f"the file's name: found the ending '{suffix}'; allowed: .yaml",)


def test_a_bad_name_does_not_hide_faults_inside(faults_of: Faults) -> None:
    assert len(faults_of(("spot: 1", "spot: -1"), name="farm-.yaml")) == 2


def test_a_pool_name_too_long_for_a_snapshot_needs_an_image_name(write: Write, faults_of: Faults) -> None:
    name = "p" * (LONGEST_STEM + 1)
    (fault,) = faults_of(name=f"{name}.yaml")
    assert fault.startswith(
        "line 5: image.name: found nothing, and the pool's own name is too long for a snapshot's (57 "
    )
    assert load_pool(write(("  definition: farm", "  definition: farm\n  name: short"), name=f"{name}.yaml"))


def test_the_longest_name_that_a_run_composes_is_one_that_azure_takes() -> None:
    assert len("p" * LONGEST_STEM + "-20261122T041500-data-63") == 80


def test_files_whose_names_differ_only_by_case_are_both_bad(write: Write) -> None:
    upper = write(("  definition: farm", "  definition: other\n  name: other"), name="FARM.yaml")
    lower = write()
    loaded = load_files([upper, lower])
    assert loaded.specs == {}
    assert loaded.faults[upper].faults == (
        "the file's name, which is the pool's: found the name of farm.yaml too; allowed: one file per pool",
    )
    assert "FARM.yaml" in loaded.faults[lower].faults[0]


def test_a_bad_file_leaves_the_other_pools_alone(write: Write) -> None:
    bad = write(("spot: 1", "spot: many"), name="bad.yaml")
    write(name="good.yaml")
    loaded = load_pools(bad.parent)
    assert list(loaded.specs) == ["good"]
    assert list(loaded.faults) == [bad]


def test_specs_are_sorted_by_pool(write: Write) -> None:
    paths = [write(("definition: farm", f"definition: {name}"), name=f"{name}.yaml") for name in ("c", "a", "b")]
    assert list(load_files(paths).specs) == ["a", "b", "c"]


def test_files_are_read_in_the_order_of_their_names(write: Write) -> None:
    names = [f"{number}.yaml" for number in range(30)]
    paths = [write(name=name) for name in names]
    assert pool_files(paths[0].parent) == sorted(paths)


def test_other_files_of_the_directory_are_no_specs(write: Write) -> None:
    path = write()
    write(text="{}", name="pool-spec.schema.json")
    write(text="half written", name=".farm.yaml.swp.yaml")
    assert pool_files(path.parent) == [path]


def test_a_directory_that_is_not_there_is_a_fault_that_names_the_setting(tmp_path: Path) -> None:
    loaded = load_pools(tmp_path / "gone")
    assert loaded.specs == {}
    assert "GOLDEN_POOLS_DIR" in loaded.faults[tmp_path / "gone"].faults[0]


def test_the_directory_comes_from_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDEN_POOLS_DIR", str(write().parent))
    assert list(load_pools().specs) == ["farm"]


def test_without_the_environment_the_directory_is_the_project_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOLDEN_POOLS_DIR", raising=False)
    assert loader.pools_directory() == Path(__file__).parents[2] / "include" / "pools"


def test_a_task_s_start_reads_its_own_file_only(write: Write) -> None:
    path = write()
    write(text="not: [yaml", name="other.yaml")
    assert load_one("farm", path.parent) == load_pool(path)


def test_a_task_s_start_without_a_file_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone\.yaml"):
        load_one("gone", tmp_path)


def test_all_bad_files_are_named_in_one_error(write: Write) -> None:
    one = write(("spot: 1", "spot: many"), name="one.yaml")
    two = write(("spot: 1", "spot: few"), ("dedicated: 2", "dedicated: -2"), name="two.yaml")
    with pytest.raises(SpecError) as caught:
        load_pools(one.parent).raise_faults()
    assert str(caught.value).startswith(
        f"{one}, {two}: 3 faults\n  - one.yaml: line 18: pool.targets.spot: found 'many'"
    )
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["one.yaml", "two.yaml", "two.yaml"]


def test_good_files_raise_nothing_and_name_their_warnings_with_lines(write: Write) -> None:
    path = write(("dedicated: 2", "dedicated: 2001"))
    loaded = load_files([path])
    loaded.raise_faults()
    assert list(loaded.specs) == ["farm"]
    (warning,) = loaded.warnings[path]
    assert warning.startswith("line 17: pool.targets.dedicated: found 2,001; Microsoft's pages disagree")


def test_faults_stand_in_the_order_of_the_file(faults_of: Faults) -> None:
    faults = faults_of(
        ("timezone: Europe/Berlin", "timezone: x"), ("spot: 1", "spot: x"), ("name: golden-vm", "name: a.")
    )
    assert [fault.split(":")[0] for fault in faults] == ["line 4", "line 18", "line 27"]
