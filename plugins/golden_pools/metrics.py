"""Metrics through Airflow's own stats: StatsD, Datadog or OpenTelemetry, as Airflow is configured, or nowhere.

Airflow sets its stats up in every process of its own: worker, triggerer, scheduler, API server. A backend that knows
tags gets the metric's name with tags; one that does not gets the values of the tags as parts of the name, as Airflow
does with its own metrics. Never both: without tags a gauge of many pools would be whatever pool came last.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import Any

from airflow.sdk.configuration import conf
from airflow.sdk.observability import stats

from golden_pools.rules.metrics import Kind, Reading, word

log = logging.getLogger(__name__)


def send(readings: Iterable[Reading]) -> None:
    """Hand readings to Airflow's stats; whatever goes wrong with one, the caller goes on."""
    for reading in readings:
        try:
            _send(reading)
        except Exception as error:  # noqa: BLE001 - the border to backends and their configuration: no run fails for it
            log.warning("The metric %s was not sent: %s: %s", reading.metric.name, type(error).__name__, error)


def _send(reading: Reading) -> None:
    metric = reading.metric
    values = {tag: word(reading.tags[tag]) for tag in metric.tags}
    name, tags = (metric.name, values) if _knows_tags() else (metric.flat_name(values), None)
    if metric.kind is Kind.COUNTER:
        stats.incr(name, int(reading.value), tags=tags)
    elif metric.kind is Kind.GAUGE:
        stats.gauge(name, reading.value, tags=tags)
    else:
        stats.timing(name, timedelta(milliseconds=reading.value), tags=tags)


@cache
def _knows_tags() -> bool:
    """Return whether the backend that Airflow chooses knows tags."""

    def is_on(option: str) -> Any:
        return conf.getboolean("metrics", option, fallback=False)

    if is_on("statsd_datadog_enabled"):
        return bool(conf.getboolean("metrics", "statsd_datadog_metrics_tags", fallback=True))
    if is_on("statsd_on"):
        return bool(is_on("statsd_influxdb_enabled"))
    return True
