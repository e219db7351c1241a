"""Two pools that are in each other's way: both are bad, each names the other's file, and a third goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from golden_pools.spec.loader import Loaded, load_files

Write = Callable[..., Path]
Change = tuple[str, str]

OTHER_TIME = ("cron: 0 2", "cron: 0 4")


@pytest.fixture
def two(write: Write) -> Callable[..., Loaded]:
    """Load ``a.yaml`` and ``b.yaml`` with these changes, beside a ``c.yaml`` that has nothing to do with them."""

    def load(a: list[Change], b: list[Change]) -> Loaded:
        other = [("definition: farm", "definition: other"), ("name: golden-vm", "name: other-vm")]
        files = [write(*a, name="a.yaml"), write(*b, name="b.yaml"), write(*other, name="c.yaml")]
        return load_files(files)

    return load


def assert_both_bad(loaded: Loaded, a: str, b: str) -> None:
    assert list(loaded.specs) == ["c"]
    assert [error.faults for error in loaded.faults.values()] == [(a,), (b,)]


def test_pools_that_would_make_snapshots_of_the_same_name(two: Callable[..., Loaded]) -> None:
    loaded = two([("definition: farm", "definition: x\n  name: B")], [("definition: farm", "definition: y")])
    text = (
        "under which {} makes snapshots and managed images in the same resource group; "
        "allowed: a name that is this pool's alone"
    )
    assert_both_bad(
        loaded,
        f"line 9: image.name: found 'B', {text.format('b.yaml')}",
        f"line 5: image.name: found 'b', {text.format('a.yaml')}",
    )


def test_the_same_name_in_another_resource_group_or_subscription_is_no_fault(two: Callable[..., Loaded]) -> None:
    stem = ("definition: farm", "definition: x\n  name: stem")
    assert not two([stem], [stem, ("resource_group: images", "resource_group: elsewhere")]).faults
    assert not two([stem], [stem, ("subscription: 1", "subscription: 2")]).faults


def test_a_definition_filled_from_two_golden_vms(two: Callable[..., Loaded]) -> None:
    loaded = two([OTHER_TIME], [("definition: farm", "definition: Farm"), ("name: golden-vm", "name: vm2")])
    text = "fills from another source; allowed: one source per definition"
    assert_both_bad(
        loaded,
        f"line 8: image.definition: found 'farm', which b.yaml {text}",
        f"line 8: image.definition: found 'Farm', which a.yaml {text}",
    )


def test_a_gallery_written_in_another_case_is_the_same(two: Callable[..., Loaded]) -> None:
    other_case = [("resource_group: images", "resource_group: Images"), ("golden_gallery", "Golden_Gallery")]
    assert list(two([], other_case).specs) == ["c"]  # both build at the same time


def test_a_golden_vm_written_in_another_case_is_the_same(two: Callable[..., Loaded]) -> None:
    assert not two([OTHER_TIME], [("name: golden-vm", "name: Golden-VM")]).faults


@pytest.mark.parametrize(
    ("a", "b", "line", "kind", "most"),
    [(1500, 1001, 17, "dedicated", "2,500"), (600, 401, 18, "spot", "1,000")],
)
def test_pools_on_one_image_that_sum_over_the_limit(
    a: int, b: int, line: int, kind: str, most: str, two: Callable[..., Loaded]
) -> None:
    old = {"dedicated": "dedicated: 2", "spot": "spot: 1"}[kind]
    loaded = two([OTHER_TIME, (old, f"{kind}: {a}")], [(old, f"{kind}: {b}")])
    text = f"on the same image definition; allowed: {most} together"
    assert_both_bad(
        loaded,
        f"line {line}: pool.targets.{kind}: found {a:,}, together {a + b:,} with b.yaml {text}",
        f"line {line}: pool.targets.{kind}: found {b:,}, together {a + b:,} with a.yaml {text}",
    )


def test_pools_on_one_image_up_to_the_limit_are_good(two: Callable[..., Loaded]) -> None:
    assert not two([OTHER_TIME, ("dedicated: 2", "dedicated: 1500")], [("dedicated: 2", "dedicated: 1000")]).faults


def test_large_pools_on_different_images_are_good(two: Callable[..., Loaded]) -> None:
    many = ("dedicated: 2", "dedicated: 2000")
    assert not two([many], [many, ("definition: farm", "definition: b")]).faults


def test_versions_made_at_the_same_moment_would_have_the_same_number(two: Callable[..., Loaded]) -> None:
    text = (
        "line 26: schedule.cron: found the time at which {} makes a version of the same image definition, "
        "with the same number; allowed: another time, or another definition"
    )
    assert_both_bad(two([], []), text.format("b.yaml"), text.format("a.yaml"))


def test_pools_on_one_image_that_run_by_hand_are_good(two: Callable[..., Loaded]) -> None:
    by_hand = ("schedule:\n  cron: 0 2 * * *\n  timezone: Europe/Berlin\n", "")
    assert not two([by_hand], [by_hand]).faults


def test_legacy_pools_do_not_share_a_definition(two: Callable[..., Loaded]) -> None:
    legacy = ("definition: farm", "publish: managed_image\n  legacy_direct_pool: true")
    assert not two([legacy], [legacy]).faults


def test_a_file_with_faults_of_its_own_is_not_compared(two: Callable[..., Loaded]) -> None:
    loaded = two([("spot: 1", "spot: x")], [])
    assert list(loaded.specs) == ["b", "c"]
