"""The page's app as Airflow's API server has it, on a database with a few runs in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.utils.session import create_session
from golden_pools.ui import pages
from golden_pools.ui.looks import Looker
from sqlalchemy import select
from starlette.testclient import TestClient

from include.azure_simulator.clock import Clock
from include.azure_simulator.world import World
from tests.operators.conftest import NEW, OLD, STAMP, Cloud
from tests.simulator import serve
from tests.ui.seed import Seed

if TYPE_CHECKING:
    from fastapi import FastAPI

POLL_SECONDS = 120
"""Interval of the looks: longer than any test, so that none is due again before a test says so."""

LONGEST_WAIT_SECONDS = 600
"""For looks to end, on a machine that is busy with other things."""

Open = Callable[[str | None], TestClient]


@pytest.fixture(scope="session")
def api_server(airflow_db: None) -> FastAPI:
    """Airflow's own app with everything that it mounts."""
    from airflow.api_fastapi.app import create_app

    return create_app(apps="core")


@pytest.fixture
def seed(airflow_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seed]:
    """Specs and rows of this test alone."""
    specs = tmp_path / "pools"
    specs.mkdir()
    monkeypatch.setenv("GOLDEN_POOLS_DIR", str(specs))
    made = Seed(specs)
    yield made
    made.clean()


@pytest.fixture
def login(api_server: FastAPI) -> Open:
    """A client of somebody with a role of the SimpleAuthManager; None: nobody is logged in."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    def client(role: str | None) -> TestClient:
        made = TestClient(api_server, raise_server_exceptions=True)
        if role is not None:
            user = SimpleAuthManagerUser(username=f"a {role}", role=role or None)
            made.headers["Authorization"] = f"Bearer {get_auth_manager().generate_jwt(user)}"
        return made

    return client


@pytest.fixture
def viewer(login: Open) -> TestClient:
    """Somebody who may read DAGs and trigger none."""
    return login("VIEWER")


class NoLooks(Looker):
    """Looks at nothing."""

    def see_to(self, *_: object) -> None:
        """Let everything be as it is."""


@pytest.fixture(autouse=True)
def looker(monkeypatch: pytest.MonkeyPatch) -> Looker:
    """Nobody looks at Azure, but in tests that have an ``azure``."""
    still = NoLooks()
    monkeypatch.setattr(pages, "LOOKER", still)
    return still


@pytest.fixture
def azure(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The sample world at a clock that stands still, and looks at it; those that go on are waited for in the end."""
    looks = Looker()
    monkeypatch.setattr(pages, "LOOKER", looks)
    seed.asset()
    world = World.load(clock=Clock(speed=0, start=STAMP))
    with serve(world) as url:
        extra = {"arm_endpoint": url, "poll_seconds": POLL_SECONDS, "tenantId": "not-a-secret"}
        connection = {"conn_type": "azure", "login": "", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", json.dumps(connection))
        yield Cloud(world, url)
        assert looks.rest(LONGEST_WAIT_SECONDS)


@pytest.fixture
def settled(azure: Cloud) -> Callable[[], None]:
    """Wait until the looks that were begun have ended."""

    def wait() -> None:
        assert pages.LOOKER.rest(LONGEST_WAIT_SECONDS)

    return wait


def let_time_pass() -> None:
    """Make every look due again, as if its interval were over."""
    with create_session() as session:
        for row in session.scalars(select(AssetStateStoreModel)):
            if row.key.startswith("page/lease/"):
                row.value = json.dumps({**json.loads(row.value), "until": "2026-01-01T00:00:00+00:00"})


@pytest.fixture
def small(azure: Cloud, seed: Seed) -> Cloud:
    """A pool with two nodes on the new version of two, whose DAG has run well."""
    azure.make_version(OLD, **{"golden-pools-verdict": "good"})
    newest = azure.make_version(NEW, **{"golden-pools-verdict": "good"})
    azure.make_pool(newest, dedicated=2)
    seed.run(seed.pool("small"), "success", {"plan": "success", "pool.refresh": "success", "pool.nodes": "success"})
    return azure
