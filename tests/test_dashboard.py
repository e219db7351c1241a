"""The Grafana dashboard and the exporter's mapping name metrics that there are, and all of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from golden_pools.rules.metrics import METRICS, Kind, Metric

from include.airflow_settings import ROOT

DASHBOARD = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text(encoding="utf-8"))
MAPPING = yaml.safe_load((ROOT / "docs" / "statsd-mapping.yaml").read_text(encoding="utf-8"))["mappings"]

SERIES = {
    name: metric
    for metric in METRICS
    for name in (
        [f"{metric.prometheus_name}_{part}" for part in ("bucket", "sum", "count")]
        if metric.kind is Kind.TIMER
        else [metric.prometheus_name]
    )
}
"""By name of a series in Prometheus: its metric."""

USE = re.compile(r"(golden_pools_\w+)(?:\{([^}]*)\})?")


def queries() -> list[tuple[str, str]]:
    """Return the queries of the panels, with the text that names their series."""
    return [(one["expr"], one["legendFormat"]) for panel in DASHBOARD["panels"] for one in panel["targets"]]


def used() -> list[tuple[Metric, set[str]]]:
    """Return the metrics that queries name, with the labels that these ask for."""
    found = []
    for query, legend in queries():
        labels = {label.strip() for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(",")}
        labels |= set(re.findall(r"{{(\w+)}}", legend))
        for name, selectors in USE.findall(query):
            found.append((SERIES[name], labels | set(re.findall(r"(\w+)[=!]~?\"", selectors))))
    return found


def test_every_metric_of_the_dashboard_is_one_of_ours() -> None:
    assert {name for query, _ in queries() for name, _ in USE.findall(query)} <= SERIES.keys()


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    assert {metric.name for metric, _ in used()} == {metric.name for metric in METRICS}


def test_every_label_that_a_query_asks_for_is_there() -> None:
    for metric, labels in used():
        assert labels - {"le"} <= set(metric.tags), f"{metric.name} has no {labels - set(metric.tags)}"


def test_the_list_of_pools_comes_from_a_metric() -> None:
    [pools] = [one for one in DASHBOARD["templating"]["list"] if one["name"] == "pool"]
    [(name, label)] = re.findall(r"label_values\((\w+), (\w+)\)", pools["query"]["query"])
    assert label in SERIES[name].tags


def test_every_panel_says_what_it_shows_and_stands_alone() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"].endswith(".")
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def mapped(name: str) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Return what the exporter makes of a StatsD name: mappings that match, each with the labels it gives."""
    found = []
    for rule in MAPPING:
        pattern = re.escape(rule["match"]).replace(r"\*", r"([^.]*)")
        if match := re.fullmatch(pattern, name):
            found.append((rule, {label: match[int(place[1:])] for label, place in rule["labels"].items()}))
    return found


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_exporter_makes_labels_of_a_name_without_tags(metric: Metric) -> None:
    tags = {tag: f"the-{tag}" for tag in metric.tags}
    [(rule, labels)] = mapped(f"airflow.{metric.flat_name(tags)}")
    assert rule["name"] == metric.prometheus_name
    assert labels == tags
    assert ("observer_type" in rule) == (metric.kind is Kind.TIMER)
