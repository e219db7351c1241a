"""A run of retention grows with the pages of Azure's lists, not with the versions squared."""

from __future__ import annotations

import pytest

from tests.benchmarks.retention import SIZES, Cost, cost

pytestmark = pytest.mark.benchmark

PER_PAGE = 50
"""Versions on a page of the simulator, as in Azure; of snapshots and images it shows 200."""


@pytest.fixture(scope="module")
def reports() -> dict[int, Cost]:
    return {size: cost(size, delete=False) for size in SIZES}


def test_a_report_asks_for_each_page_once(reports: dict[int, Cost]) -> None:
    for size, one in reports.items():
        pages = -(-size // PER_PAGE) + 2 * -(-size // 200)
        others = 8  # accounts, pools, galleries, definitions, VMs, disks, network cards, restore points
        assert one.requests == pages + others, size
        assert one.writes == 0


def test_twice_the_versions_are_at_most_twice_the_pages_also_while_it_marks() -> None:
    small, large = (cost(size, delete=True) for size in SIZES[1:])
    assert small.writes == large.writes == 100
    assert large.lists <= 2 * small.lists
