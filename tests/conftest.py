"""What all tests share: an environment for Airflow, DAGs, a simulator, and what to do without services or a browser."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from include.airflow_settings import ROOT, project_environment

# Airflow reads its environment when it is first imported, so all of this stands above every such import. Nothing of the
# shell may leak in: a developer's own Airflow, or Azure credentials that the SDK would find by itself.
HOME = Path(tempfile.mkdtemp(prefix="golden-pools-tests-"))
for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "AZURE_"))]:
    del os.environ[name]
# Tests of what is asked of Airflow's database run once more on another one: see tests/ui/test_postgresql.py.
DATABASE = os.environ.get("GOLDEN_POOLS_TEST_DATABASE") or f"sqlite:///{HOME / 'airflow.db'}"
os.environ.update(project_environment() | {"AIRFLOW_HOME": str(HOME), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": DATABASE})

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

    from include.azure_simulator.resources import JsonObject
    from include.azure_simulator.settings import LogSettings
    from tests.simulator import SimulatorProcess

# A machine may be slow, or busy with other things.
settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")

REQUIRED = frozenset(filter(None, os.environ.get("GOLDEN_POOLS_REQUIRE", "").split(",")))
"""What must be there: a test that needs it fails without it, where it would be skipped otherwise."""

FIGURES = "figures"
"""Property of a test's report that holds what it measured."""

TRAFFIC = os.environ.get("GOLDEN_POOLS_TRAFFIC")
"""Directory for what the simulators of this process are asked and answer, to hold it against Azure's API files."""

AIRFLOWS = 2
"""Real Airflows that run at a time."""

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@cache
def _missing_services() -> str | None:
    import psycopg
    import redis

    try:
        psycopg.connect("host=127.0.0.1 port=5432 user=postgres dbname=postgres", connect_timeout=3).close()
    except psycopg.OperationalError as error:
        return f"needs PostgreSQL at 127.0.0.1:5432 with a user postgres that needs no password: {error}"
    try:
        redis.Redis(host="127.0.0.1", port=6379, socket_timeout=3).ping()
    except redis.RedisError as error:
        return f"needs Redis at 127.0.0.1:6379 without a password: {error}"
    return None


@cache
def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def _missing_browser() -> str | None:
    return None if _chromium() else f"needs one of {', '.join(CHROMIUM_NAMES)} on the PATH"


NEEDS: dict[str, Callable[[], str | None]] = {"services": _missing_services, "browser": _missing_browser}
"""By marker: what is missing for its tests, in words."""


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a misspelt requirement: it would let tests be skipped that must run."""
    if unknown := REQUIRED - NEEDS.keys():
        raise pytest.UsageError(f"GOLDEN_POOLS_REQUIRE: {', '.join(unknown)} unknown; there are {', '.join(NEEDS)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start what takes long first: the tests with real Airflows, but for the benchmarks among them."""

    def order(item: pytest.Item) -> int:
        if item.get_closest_marker("e2e"):
            return 2 if item.get_closest_marker("benchmark") else 0
        return 1 if item.path.parent.name == "operators" else 2

    items.sort(key=order)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Give a process a file at a time, but for the files with real Airflows, which are a share for each of few."""
    return _Shares(config, log)


class _Shares(LoadFileScheduling):
    """More real Airflows at a time starve one another: each of them keeps a processor busy for a minute at first."""

    files = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "e2e").glob("test_*.py"))

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return f"airflow {self.files.index(file) * AIRFLOWS // len(self.files)}" if file in self.files else file


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose needs are not met, or fail it where they must be."""
    for need, missing in NEEDS.items():
        if item.get_closest_marker(need) and (reason := missing()):
            if need in REQUIRED:
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the benchmarks measured, which tests in other processes cannot print."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    measured = [
        value for report in reports for name, value in getattr(report, "user_properties", ()) if name == FIGURES
    ]
    if measured:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n\n".join(dict.fromkeys(measured)))


def pytest_unconfigure() -> None:
    """Remove the home of the tests' Airflow."""
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="module", autouse=TRAFFIC is not None)
def recorded(request: pytest.FixtureRequest) -> Iterator[None]:
    """Write every exchange into a file for the test file, as the simulator's own log has it: secrets are masked."""
    from include.azure_simulator import traffic

    logged = traffic._entry
    target = Path(TRAFFIC or HOME, f"{request.path.parent.name}-{request.path.stem}.jsonl")
    target.parent.mkdir(parents=True, exist_ok=True)

    def write(exchange: traffic.Exchange, settings: LogSettings) -> JsonObject:
        entry = logged(exchange, settings)
        if exchange.status:  # a connection that a fault closed has no answer
            lines.write(f"{json.dumps(entry)}\n")
        return entry

    with target.open("w", encoding="utf-8") as lines, pytest.MonkeyPatch.context() as patch:
        patch.setattr(traffic, "_entry", write)
        yield


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say what a benchmark measured: ``figures(text)`` shows it at the end of the session."""
    return partial(record_property, FIGURES)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of an installed Chromium, for tests marked ``browser``."""
    found = _chromium()
    assert found, "a test that uses this fixture is marked `browser`"
    return found


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Airflow's tables in the tests' own database."""
    from airflow.utils import db

    db.initdb()


@pytest.fixture(scope="session")
def dag_bag() -> DagBag:
    """The project's DAGs, parsed as Airflow does."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(ROOT / "dags"), bundle_name="dags-folder")


@pytest.fixture
def run_dag(airflow_db: None) -> Iterator[Callable[..., DagRun]]:
    """Run a DAG object in this process, its triggers too: ``run_dag(dag, run_conf={...})`` returns the finished run.

    ``DAG.test`` is not Airflow: 3.3.2 ignores ``defer(timeout=...)`` and drops ``defer(kwargs=...)`` there. What
    depends on these is tested against real processes, in ``tests/e2e``.
    """
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.asset_state_store import AssetStateStoreModel
    from airflow.models.dag import DagModel
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagrun import DagRun as Row
    from airflow.utils.session import create_session

    known: set[str] = set()

    def run(dag: DAG, **arguments: object) -> DagRun:
        with create_session() as session:
            DagBundlesManager().sync_bundles_to_db(session=session)
        bag = DagBag(dag_folder=os.devnull, bundle_name="dags-folder")
        bag.bag_dag(dag)
        known.add(dag.dag_id)
        sync_bag_to_db(bag, "dags-folder", None)
        return dag.test(**arguments)

    yield run
    with create_session() as session:  # what other tests put there has the same names
        for model in (Row, DagVersion, DagModel):
            session.query(model).filter(model.dag_id.in_(known)).delete()
        session.query(AssetStateStoreModel).delete()


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatorProcess]:
    """A simulator in a process of its own, 600 times faster than Azure; ``azure_default`` leads to it."""
    from tests.simulator import start_simulator

    with start_simulator(tmp_path / "simulator.log", speed=600) as process:
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", process.connection)
        yield process
