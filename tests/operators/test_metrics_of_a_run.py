"""The numbers of a whole run on the simulator, held against what the simulator itself has seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.operators.watch import WatchOperator
from golden_pools.rules.metrics import NODE_STATES, service_of

from dags.golden_pools import pool_dag
from tests.operators.conftest import Cloud, Run, small_pool
from tests.operators.dag_run import DagRun
from tests.operators.region import CAPACITY, Region, make_region
from tests.stats_receivers import StatsD, to_statsd
from tests.virtual_time import virtual_cloud


@pytest.fixture
def statsd() -> Iterator[StatsD]:
    with to_statsd() as server:
        yield server


@pytest.fixture
def region() -> Iterator[Region]:
    with make_region() as made:
        yield made


def below(values: dict[str, float], name: str) -> dict[str, float]:
    """Return the series of a metric, by the values of its tags."""
    return {key.removeprefix(f"{name}."): value for key, value in values.items() if key.startswith(f"{name}.")}


def answers(cloud: Cloud) -> Counter[str]:
    """Return how often the simulator answered, by service and status."""
    return Counter(f"{service_of(one['url'])}.{one['status']}" for one in cloud.requests())


def test_a_run_counts_its_requests_its_nodes_and_its_resizes(statsd: StatsD) -> None:
    with virtual_cloud() as (cloud, virtual):
        spec = small_pool(cloud)
        run = Run(spec, fire=virtual.fire)
        assert DagRun(pool_dag("small", spec), run, run.do_with_retries).go().succeeded
        values = statsd.values()
        assert below(values, "golden_pools.requests") == answers(cloud)
    nodes = below(values, "golden_pools.nodes")
    assert nodes == {f"small.{state}": 3 if state == "idle" else 0 for state in NODE_STATES}
    assert below(values, "golden_pools.nodes_target") == {"small": 3}
    assert below(values, "golden_pools.resizes") == {"small.reached.AtTarget": 1}


def test_every_request_that_azure_puts_off_is_counted(statsd: StatsD, region: Region) -> None:
    throttled = {"status": 429, "code": "TooManyRequests", "retry_after_seconds": 5}
    region.cloud.fault(path="/pools/small$", method="GET", count=2, **throttled)
    region.run(dedicated=2).do(ResizePoolOperator(task_id="resize"))
    values = statsd.values()
    assert below(values, "golden_pools.throttles") == {"batch": 2}
    assert below(values, "golden_pools.requests")["batch.429"] == 2


def test_a_request_without_an_answer_is_counted(statsd: StatsD, region: Region) -> None:
    region.cloud.fault(path="/pools/small$", method="GET", count=1, lose_reply=True)
    region.run(dedicated=2).do(ResizePoolOperator(task_id="resize"))
    assert below(statsd.values(), "golden_pools.requests")["batch.none"] == 1


def test_resizes_are_counted_by_what_the_run_made_of_them(statsd: StatsD, region: Region) -> None:
    region.cloud.allocation(resizes=2, max_dedicated_nodes=0, error=CAPACITY)
    region.run(dedicated=3, back_off_minutes=1, attempts=5).do(ResizePoolOperator(task_id="resize"))
    assert below(statsd.values(), "golden_pools.resizes") == {
        "small.resize_again.AllocationFailed": 2,
        "small.reached.AtTarget": 1,
    }


def test_a_task_that_is_cleared_counts_no_resize_twice(statsd: StatsD, region: Region) -> None:
    run = region.run(dedicated=3)
    stage = ResizePoolOperator(task_id="resize")
    run.do(stage)
    run.do(stage)  # as after a clear
    assert below(statsd.values(), "golden_pools.resizes") == {"small.reached.AtTarget": 1}


def test_the_watch_tells_of_nodes_and_of_the_age_of_images(
    statsd: StatsD, monkeypatch: pytest.MonkeyPatch, region: Region
) -> None:
    from golden_pools.operators import watch
    from golden_pools.spec.loader import Loaded

    region.cloud.resize(dedicated=2)
    region.cloud.advance(days=2)
    spec = small_pool(region.cloud)
    monkeypatch.setattr(watch, "load_pools", lambda: Loaded(specs={"small": spec}, faults={}, warnings={}))
    WatchOperator(task_id="watch").execute({})
    values = statsd.values()
    assert below(values, "golden_pools.nodes")["small.idle"] == 2
    assert 2 <= below(values, "golden_pools.image_age")["small"] / 86400 < 2.1
