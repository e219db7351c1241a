"""Pools that follow another's image: whom they can follow, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from golden_pools.errors import SpecError
from golden_pools.spec.following import maker_of
from golden_pools.spec.loader import Loaded, load_pools, load_with_followed

from tests.rules.build import DIRECT, spec

FOLLOW = ("image", "source", "follow")


def write(directory: Path, name: str, **parts: Any) -> None:
    """Write a spec; its pool is on an account of its own, so that only the image joins it with others."""
    whole = spec().model_dump(mode="json", exclude_defaults=True) | {"schedule": None}
    for part, changes in parts.items():
        whole[part] = changes if changes is None else {**whole.get(part, {}), **changes}
    (directory / f"{name}.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")


def follower(directory: Path, name: str, followed: str = "head", *after: str, **parts: Any) -> None:
    source = {"source": {"follow": {"pool": followed, "after": list(after)}}}
    whole = spec().model_dump(mode="json", exclude_defaults=True)
    whole = {**whole, "golden_vm": None, "image": source, **parts}
    (directory / f"{name}.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")


def faults(loaded: Loaded) -> dict[str, list[str]]:
    """Return the faults by pool, without their lines and fields."""
    return {
        path.stem: [fault.partition(": found ")[2] for fault in error.faults] for path, error in loaded.faults.items()
    }


def test_three_pools_in_waves_are_good(tmp_path: Path) -> None:
    write(tmp_path, "head")
    follower(tmp_path, "first")
    follower(tmp_path, "second", "head", "first")
    loaded = load_pools(tmp_path)
    assert not loaded.faults
    assert maker_of(loaded.specs["second"], loaded.specs) == loaded.specs["head"]
    assert maker_of(loaded.specs["head"], loaded.specs) == loaded.specs["head"]


def test_a_task_reads_the_specs_that_its_pool_needs_and_no_others(tmp_path: Path) -> None:
    write(tmp_path, "head")
    follower(tmp_path, "first")
    follower(tmp_path, "second", "head", "first")
    (tmp_path / "broken.yaml").write_text("no: spec", encoding="utf-8")
    assert list(load_with_followed("second", tmp_path)) == ["second", "head", "first"]
    assert list(load_with_followed("head", tmp_path)) == ["head"]
    (tmp_path / "head.yaml").write_text("no: spec", encoding="utf-8")
    with pytest.raises(SpecError, match=r"head\.yaml"):
        load_with_followed("second", tmp_path)


def test_whom_a_pool_cannot_follow(tmp_path: Path) -> None:
    write(tmp_path, "head")
    write(tmp_path, "legacy", image=DIRECT | {"name": "legacy"})
    existing = {
        "image_version": {
            "id": f"{'/subscriptions/1/resourceGroups/g/providers/Microsoft.Compute'}/galleries/g/images/d"
        }
    }
    whole = spec().model_dump(mode="json", exclude_defaults=True) | {"golden_vm": None, "image": {"source": existing}}
    (tmp_path / "user.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    follower(tmp_path, "first")
    follower(tmp_path, "itself", "itself")
    follower(tmp_path, "nobody", "haed")
    follower(tmp_path, "chained", "first")
    follower(tmp_path, "direct", "legacy")
    follower(tmp_path, "foreign", "user")
    assert faults(load_pools(tmp_path)) == {
        "itself": ["'itself', which is this pool; allowed: another pool"],
        "nobody": [
            "'haed', of which there is no spec file; allowed: a pool that has one, read together with this file; "
            "did you mean 'head'?"
        ],
        "chained": [
            "'first', which follows head itself; allowed: the pool whose runs make the image, and the others in after"
        ],
        "direct": ["'legacy', whose image is in no gallery; allowed: a pool with publish: gallery"],
        "foreign": ["'user', whose runs make no image; allowed: the image.source of user.yaml, here too"],
    }


def test_for_whom_a_pool_cannot_wait(tmp_path: Path) -> None:
    write(tmp_path, "head")
    write(tmp_path, "other", image={"definition": "other", "name": "other"}, golden_vm={"name": "vm2"})
    follower(tmp_path, "one", "head", "two")
    follower(tmp_path, "two", "head", "one")
    follower(tmp_path, "third", "head", "head", "other", "nobody", "third")
    follower(tmp_path, "last", "head", "one")
    assert faults(load_pools(tmp_path)) == {
        "one": ["'two', which waits for this pool; allowed: an order without a circle"],
        "two": ["'one', which waits for this pool; allowed: an order without a circle"],
        "third": [
            "'head', for which every follower waits; allowed: other followers of it",
            "'other', which does not follow head; allowed: other followers of it",
            "'nobody', of which there is no spec file; allowed: a pool that has one, read together with this file",
            "'third', which waits for this pool; allowed: an order without a circle",
        ],
        "last": ["'one', whose file one.yaml has faults; allowed: a pool whose spec is good"],
    }


def test_who_follows_a_pool_with_faults_says_so_and_the_others_go_on(tmp_path: Path) -> None:
    write(tmp_path, "head", pool={"targets": {"dedicated": -1}})
    write(tmp_path, "other", image={"definition": "other", "name": "other"})
    follower(tmp_path, "first")
    follower(tmp_path, "second", "head", "first")
    loaded = load_pools(tmp_path)
    assert list(loaded.specs) == ["other"]
    broken = "whose file head.yaml has faults; allowed: a pool whose spec is good"
    assert faults(loaded)["first"] == [f"'head', {broken}"]
    assert f"'head', {broken}" in faults(loaded)["second"]


def test_a_fault_among_neighbours_reaches_the_followers(tmp_path: Path) -> None:
    write(tmp_path, "head")
    write(tmp_path, "twin", golden_vm={"name": "vm2"}, image={"name": "twin"})
    follower(tmp_path, "first")
    loaded = load_pools(tmp_path)
    assert set(faults(loaded)) == {"head", "twin", "first"}


def test_followers_count_for_the_nodes_on_one_image(tmp_path: Path) -> None:
    write(tmp_path, "head", pool={"targets": {"dedicated": 1500}})
    pool = {**spec().model_dump(mode="json", exclude_defaults=True)["pool"], "targets": {"dedicated": 1001}}
    follower(tmp_path, "first", pool=pool)
    told = faults(load_pools(tmp_path))
    assert (
        "1,001, together 2,501 with head.yaml on the same image definition; allowed: 2,500 together" in told["first"][0]
    )
    assert "1,500, together 2,501 with first.yaml" in told["head"][0]


def test_the_fault_names_its_line(tmp_path: Path) -> None:
    follower(tmp_path, "first", "nobody")
    (error,) = load_pools(tmp_path).faults.values()
    line = (tmp_path / "first.yaml").read_text(encoding="utf-8").splitlines().index("      pool: nobody") + 1
    assert error.faults[0].startswith(f"line {line}: image.source.follow.pool: found 'nobody'")
