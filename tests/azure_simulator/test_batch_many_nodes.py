"""A pool of 2,000 nodes is cheap to look at: measured in function calls, which no other load on the machine changes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from starlette.testclient import TestClient

from include.azure_simulator.batch.accounts import BatchAccount
from include.azure_simulator.batch.views import arm_pool, data_plane_pool, node_counts
from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import API, Batch, pool_body

NODES = 2000


def _calls(work: Callable[[], object]) -> int:
    """How many Python functions, generators' steps included, a piece of work calls."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.fixture
def account(client: TestClient, world: World) -> BatchAccount:
    """An account with one pool of that many idle nodes."""
    fixed = {"targetDedicatedNodes": NODES, "resizeTimeout": "PT2H"}
    Batch(client, world).make("big", pool_body(scaleSettings={"fixedScale": fixed}, startTask={"commandLine": "true"}))
    world.clock.advance(world.settings.batch.task_duration * 60)
    found = world.batch.account(None)
    assert found is not None
    found.settle(world.clock.now())
    assert found.pool("big").current(dedicated=True) == NODES
    return found


def test_settling_and_counting_nodes_costs_a_few_calls_each(account: BatchAccount, world: World) -> None:
    now, pool = world.clock.now(), account.pool("big")

    assert _calls(lambda: account.settle(now)) < 4 * NODES
    assert _calls(lambda: node_counts(pool, now, API)) < 6 * NODES


def test_showing_a_pool_looks_at_each_node_once(account: BatchAccount, world: World) -> None:
    now, pool = world.clock.now(), account.pool("big")

    assert _calls(lambda: arm_pool(account, pool, now, API)) < 2 * NODES
    assert _calls(lambda: data_plane_pool(pool, now, "http://localhost", API)) < 2 * NODES
