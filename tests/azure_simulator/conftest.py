"""A frozen world, a client without a network, and a live server on a free loopback port."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from arm_client import Arm
from starlette.testclient import TestClient

from include.azure_simulator.clock import Clock
from include.azure_simulator.server import build_app
from include.azure_simulator.world import World
from tests.simulator import serve

START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at ``START`` until a test advances it."""
    return Clock(speed=0, start=START)


@pytest.fixture
def world(clock: Clock) -> World:
    """The sample world on the frozen clock."""
    return World.load(clock=clock)


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    """A client that calls the application without a network."""
    with TestClient(build_app(world), base_url="http://localhost:8070") as test_client:
        yield test_client


@pytest.fixture
def live_simulator(world: World) -> Iterator[str]:
    """The base URL of a server for ``world``; it ends with the test."""
    with serve(world) as url:
        yield url


@pytest.fixture
def arm(client: TestClient, world: World) -> Arm:
    """ARM of the sample world."""
    return Arm(client, world)
