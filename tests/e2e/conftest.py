"""Real Airflows for the tests in this folder: one for all that leave it as it was, and a maker for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from include.airflow_settings import ROOT
from include.azure_simulator.clock import Clock
from include.azure_simulator.world import World
from include.local_airflow import LOCAL
from tests.operators.conftest import Cloud
from tests.simulator import SimulatorProcess, serve, start_simulator
from tests.stats_receivers import StatsD

from .real_airflow import RealAirflow

DAG_ID = "golden_pool_small"
SAMPLE = ROOT / "include" / "pools" / "small.yaml"
STAGES = {
    "plan",
    "source",
    "preflight",
    "image.stop_golden_vm",
    "image.snapshot",
    "image.start_golden_vm",
    "image.managed_image",
    "image.publish",
    "canary.pool",
    "canary.probe",
    "canary.remove",
    "replicate",
    "pool.refresh",
    "pool.resize",
    "pool.nodes",
    "pool.switch",
    "pool.record",
    "pool.announce",
    "alert",
}
"""Tasks that a run of the sample does which goes well."""

NOT_NEEDED = {
    "canary.mark_bad",
    "pool.probe",
    "pool.retire",
    "rollback.mark_bad",
    "rollback.restore",
    "rollback.resize",
    "rollback.report",
}
"""Tasks that it skips."""

GONE_WELL = dict.fromkeys(STAGES, "success") | dict.fromkeys(NOT_NEEDED, "skipped")


@pytest.fixture(scope="session")
def shared_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """The simulator of the shared Airflow, 600 times faster than Azure."""
    with start_simulator(tmp_path_factory.mktemp("simulator") / "simulator.log", speed=600) as process:
        yield process


@pytest.fixture(scope="session")
def statsd() -> Iterator[StatsD]:
    """Where the shared Airflow sends its metrics."""
    server = StatsD()
    yield server
    server.close()


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, shared_simulator: SimulatorProcess, statsd: StatsD
) -> Iterator[RealAirflow]:
    """An Airflow with the project's DAGs, connected to ``shared_simulator``; a test must not kill its components."""
    environment = {
        "AIRFLOW_CONN_AZURE_DEFAULT": shared_simulator.connection,
        **{f"AIRFLOW__METRICS__{name.upper()}": str(value) for name, value in statsd.options.items()},
    }
    with RealAirflow(tmp_path_factory.mktemp("airflow"), environment=environment) as running:
        yield running


@pytest.fixture
def start_airflow(tmp_path: Path) -> Iterator[Callable[..., RealAirflow]]:
    """Start an Airflow of the test's own: ``start_airflow(dags=..., environment=..., components=...)``."""
    with ExitStack() as stack:

        def start(
            *,
            dags: Path | None = None,
            environment: Mapping[str, str] | None = None,
            components: tuple[str, ...] = LOCAL,
        ) -> RealAirflow:
            made = RealAirflow(tmp_path / "airflow", dags=dags, environment=environment, components=components)
            return stack.enter_context(made)

        yield start


@contextmanager
def site_of(
    home: Path, environment: Mapping[str, str] | None = None, *, start: datetime | None = None
) -> Iterator[tuple[RealAirflow, Cloud, Path]]:
    """Serve the sample world 600 times faster than Azure, to an Airflow that is to be started.

    The directory has its pool specs; the sample ``small`` is the only one at first.

    :param environment: further environment variables of the Airflow
    :param start: where Azure's clock begins; now if absent
    """
    specs = home / "pools"
    specs.mkdir()
    (specs / SAMPLE.name).write_bytes(SAMPLE.read_bytes())
    world = World.load(clock=Clock(speed=600, start=start))
    with serve(world) as url:
        place = {"AIRFLOW_CONN_AZURE_DEFAULT": SimulatorProcess(url).connection, "GOLDEN_POOLS_DIR": str(specs)}
        yield RealAirflow(home / "airflow", environment={**place, **(environment or {})}), Cloud(world, url), specs


@pytest.fixture(scope="session")
def first_run(airflow: RealAirflow) -> str:
    """The run of the small pool's DAG that makes the pool, however it ended."""
    run = airflow.trigger(DAG_ID)
    airflow.wait(DAG_ID, run)
    return run
