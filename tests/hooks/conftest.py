"""Fixtures of the hooks' tests: nothing leaves the process."""

from __future__ import annotations

import asyncio

import pytest
from golden_pools.hooks.connection import AzureConnection

from .wire import Wire


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def connection() -> AzureConnection:
    """A connection to a plain-http simulator on this machine: no credential is needed."""
    return AzureConnection(conn_id="azure_default", arm_endpoint="http://localhost:8070")


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make waits of the wait for operations immediate, and remember them."""
    pauses: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await real(0)

    monkeypatch.setattr("golden_pools.hooks.operations.asyncio.sleep", sleep)
    return pauses
