"""What a run of retention costs, by the number of versions: requests by kind, and seconds of this machine.

``PYTHONPATH=plugins python -m tests.benchmarks.retention`` prints a table.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.operators.conftest import small_pool
from tests.operators.test_retire_images import DEFINITION, Retention, long_ago, number
from tests.virtual_time import virtual_cloud

SIZES = (250, 500, 1000)
POOLS_PER_VERSION = 0.2


@dataclass(frozen=True)
class Cost:
    """One run of the DAG."""

    versions: int
    requests: int
    lists: int
    writes: int
    seconds: float


@contextmanager
def many(versions: int, *, delete: bool) -> Iterator[Retention]:
    """A world with so many good versions with all behind them, and pools on a fifth of them."""
    ages = list(range(11, 11 + versions))
    pools = {f"p{age}": f"{DEFINITION}/versions/{number(age)}" for age in ages[: int(versions * POOLS_PER_VERSION)]}
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        virtual_cloud(long_ago(list(ages), pools)) as (cloud, virtual),
    ):
        patch.setenv("GOLDEN_POOLS_DIR", folder)
        cloud.configure(log={"max_bytes": 256 * 2**20})
        data = small_pool(cloud).model_dump(mode="json", exclude_defaults=True)
        data["retention"] = {"keep": 3, "keep_days": 10, "delete": delete}
        Path(folder, "small.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
        yield Retention(cloud, virtual)


def cost(versions: int, *, delete: bool) -> Cost:
    """Return what one run costs that reports, or that marks as much as it may."""
    with many(versions, delete=delete) as runs:
        began = time.perf_counter()
        runs.a_run()
        seconds = time.perf_counter() - began
        assert runs.errors == {}
        kinds = Counter(entry["method"] for entry in runs.cloud.requests())
        # An operation is asked for as often as its clock says; what grows with the world are the lists.
        lists = sum(
            entry["method"] == "GET" and "/operations/" not in entry["url"].lower() and "/capsoperations/" not in
            entry["url"].lower() and "/versions/" not in entry["url"] for entry in runs.cloud.requests()
        )  # fmt: skip
        return Cost(versions, kinds.total(), lists, kinds.total() - kinds["GET"], seconds)


if __name__ == "__main__":
    for delete in (False, True):
        print("a run that marks 100" if delete else "a run that reports")
        for size in SIZES:
            one = cost(size, delete=delete)
            print(
                f"  {size:5} versions: {one.requests:5} requests, {one.lists:4} pages, "
                f"{one.writes:4} writes, {one.seconds:5.1f} s"
            )
