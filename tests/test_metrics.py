"""Metrics on the wire: StatsD with and without tags, OpenTelemetry, and what must never go wrong."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest
from golden_pools.metrics import send
from golden_pools.rules.metrics import METRICS, NODES, RUNS, STAGE_DURATION, Kind, Metric, Reading

from tests.stats_receivers import to_collector, to_statsd

REFRESHED = Reading(metric=RUNS, value=1, tags={"pool": "render-farm", "dag": "refresh", "outcome": "refreshed"})
IDLE = Reading(metric=NODES, value=12, tags={"pool": "render-farm", "state": "idle"})
RESIZE = Reading(
    metric=STAGE_DURATION, value=61_500, tags={"pool": "render-farm", "stage": "pool.resize", "state": "success"}
)


def test_without_tags_their_values_are_in_the_name() -> None:
    with to_statsd() as statsd:
        send([REFRESHED, IDLE, RESIZE])
        assert statsd.lines() == [
            "golden_pools.runs.render-farm.refresh.refreshed:1|c",
            "golden_pools.nodes.render-farm.idle:12|g",
            "golden_pools.stage_duration.render-farm.pool_resize.success:61500.000000|ms",
        ]


def test_with_tags_the_name_is_one_for_all() -> None:
    with to_statsd(statsd_influxdb_enabled=True) as statsd:
        send([REFRESHED, IDLE, RESIZE])
        assert statsd.lines() == [
            "golden_pools.runs,pool=render-farm,dag=refresh,outcome=refreshed:1|c",
            "golden_pools.nodes,pool=render-farm,state=idle:12|g",
            "golden_pools.stage_duration,pool=render-farm,stage=pool_resize,state=success:61500.000000|ms",
        ]


def test_opentelemetry_gets_names_and_attributes() -> None:
    with to_collector() as collector:
        send([REFRESHED, REFRESHED, IDLE, RESIZE])
        seen = collector.metrics()
    [runs] = seen["airflow.golden_pools.runs"].sum.data_points
    assert runs.as_int == 2
    tags = {attribute.key: attribute.value.string_value for attribute in runs.attributes}
    assert tags == {"pool": "render-farm", "dag": "refresh", "outcome": "refreshed"}
    [nodes] = seen["airflow.golden_pools.nodes"].gauge.data_points
    assert nodes.as_double == 12 or nodes.as_int == 12
    [stage] = seen["airflow.golden_pools.stage_duration"].exponential_histogram.data_points
    assert (stage.count, stage.sum) == (1, 61_500)


def test_airflow_that_sends_no_metrics_sends_none() -> None:
    send([REFRESHED, IDLE, RESIZE])


def test_what_does_not_fit_into_a_name_becomes_an_underscore() -> None:
    with to_statsd() as statsd:
        send([Reading(metric=RUNS, value=1, tags={"pool": "a.b:c|d", "dag": "", "outcome": "nö"})])
        assert statsd.lines() == ["golden_pools.runs.a_b_c_d._.n_:1|c"]


def test_a_list_of_metrics_that_airflow_is_to_send_is_respected() -> None:
    with to_statsd(metrics_allow_list="golden_pools.nodes") as statsd:
        send([REFRESHED, IDLE])
        assert statsd.lines() == ["golden_pools.nodes.render-farm.idle:12|g"]


def broken() -> Iterator[Reading]:
    yield Reading(metric=RUNS, value=1, tags={"pool": "small"})
    yield IDLE


def test_a_metric_that_cannot_be_sent_is_a_warning_and_the_next_one_goes_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with to_statsd() as statsd, caplog.at_level(logging.WARNING):
        send(broken())
        assert statsd.lines() == ["golden_pools.nodes.render-farm.idle:12|g"]
    assert "golden_pools.runs was not sent: KeyError: 'dag'" in caplog.text


def test_a_backend_that_is_away_does_not_matter() -> None:
    with to_statsd() as statsd:
        statsd.close()
        send([REFRESHED])


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_described_and_well_named(metric: Metric) -> None:
    assert re.fullmatch(r"golden_pools\.[a-z_]+", metric.name)
    assert len(f"airflow.{metric.name}") <= 63, "OpenTelemetry's older limit"
    assert metric.meaning.endswith(".")
    assert metric.sender
    assert metric.unit == "ms" or metric.kind is not Kind.TIMER
    assert "pool" in metric.tags or "service" in metric.tags


def test_names_are_unique_and_no_name_begins_with_another() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert not [(one, other) for one in names for other in names if other.startswith(f"{one}.")]
