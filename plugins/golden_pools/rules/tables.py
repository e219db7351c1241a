"""The rules as pages for people: ``python -m golden_pools.rules.tables docs`` writes them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from golden_pools.rules.markdown import table
from golden_pools.rules.metrics import METRICS, Kind
from golden_pools.rules.outcome import Outcome
from golden_pools.rules.passport import passport_schema
from golden_pools.rules.preflight import PERMISSIONS, REPORT
from golden_pools.rules.resize.codes import CODES, OWN_CODES, PROVIDER_CODES, REASONS, Code
from golden_pools.spec.model import Treatment

_TREATMENTS = {
    Treatment.AGAIN: "resize again at once",
    Treatment.LATER: "go through `resize.tactics`",
    Treatment.SMALLER: "go through `resize.tactics`, `smaller_steps` first",
    Treatment.GIVE_UP: "give up",
}


def preflight_page() -> str:
    """Return ``docs/preflight.md``."""
    checks = table(
        ("check", "asks", "looks at"),
        (
            (f"`{check.id}`", check.asks, ", ".join(dict.fromkeys((*check.needs, *check.reads))) or "the spec")
            for check in REPORT
        ),
    )
    permissions = table(
        ("look-up", "needs"), ((lookup.value, permission) for lookup, permission in PERMISSIONS.items())
    )
    return f"""# What preflight checks

Preflight only reads. It reports everything at once: an ERROR stops the run before anything is written, a WARNING and an
INFO stand in the log. Each finding says what was seen, what to do, and the `az` command that shows it. A run on an
existing version skips the checks of the golden VM and of the gallery it would publish to.

{checks}

## When a look-up is refused

The checks that need it are left out and a WARNING names them and the missing permission. Without the golden VM or the
Batch account nothing can be judged: there it is an ERROR.

{permissions}
"""


def _codes(codes: Mapping[str, Code]) -> str:
    return table(
        ("code", "means", "the run will", "advice", "source"),
        ((f"`{row.name}`", row.meaning, _will(row), row.advice, row.source) for row in codes.values()),
    )


def _will(row: Code) -> str:
    more = {
        "without a pause the first time": row.is_momentary,
        "or try another VM size": row.other_size_helps and row.treatment is Treatment.GIVE_UP,
        "mark the image version bad": row.blames_image,
    }
    return "; ".join([_TREATMENTS[row.treatment], *(words for words, applies in more.items() if applies)])


def verdicts_page() -> str:
    """Return ``docs/resize-verdicts.md``."""
    return f"""# What a resize error means

Only errors of the run's own resize count: Azure keeps those of the last resize until the next one. Of several errors
the gravest decides, and all are reported.

- A resize that brought nodes is asked again at once. One that brought none is asked again as its row says, at most
  `resize.attempts` times in a row, and as often with each tactic.
- One whose time was over tells how many nodes come at a time: the next ones ask for no more, unless it was less than a
  tenth of the targets.
- `resize.tactics` are tried in the spec's order until each is used up. Where the run gives up, a pool that has
  `resize.smallest_acceptable_share` of both kinds of nodes is a partial success, with the tactic `accept_share`.
- Quota: where the targets can never fit, the run fails before it resizes. Where other pools hold the quota, it asks for
  what fits, waits up to `resize.quota_wait_minutes` for the rest, and also after an error that names the quota.
- A Spot quota stops a run only when its dedicated nodes are there.
- A code that is not listed is treated as `Unknown`.
- `resize.verdicts` of the spec treats a code otherwise: `again`, `later`, `smaller` or `give_up`.

## Codes

{_codes(CODES)}

## `AllocationFailed`: the reason in its details

{_codes(REASONS)}

## `AllocationFailed`: the Compute error in its details

{_codes(PROVIDER_CODES)}

## Without an error of Azure's

{_codes(OWN_CODES)}
"""


def metrics_page() -> str:
    """Return ``docs/metrics.md``."""
    rows = (
        (
            f"`{metric.name}`",
            metric.kind.value,
            metric.unit,
            ", ".join(f"`{tag}`" for tag in metric.tags),
            metric.meaning,
            metric.sender,
            f"`{metric.prometheus_name}`",
        )
        for metric in METRICS
    )
    outcomes = table(("`outcome`", "means"), ((f"`{outcome.value}`", outcome.words) for outcome in Outcome))
    return f"""# Metrics

Golden Pools sends its metrics through Airflow's own stats: to StatsD, Datadog or OpenTelemetry, as the section
`[metrics]` of Airflow's configuration says, under Airflow's prefix (`airflow.`), and nowhere where Airflow sends none.
Airflow's lists of metrics to allow or to block apply. A metric that cannot be sent is a warning in the log.

A backend that knows tags (OpenTelemetry, Datadog, StatsD with `statsd_influxdb_enabled`) gets the names below with
tags. One that does not gets the values of the tags at the end of the name, in the order below:
`airflow.golden_pools.nodes.render-farm.idle`. What is no letter, digit, `_` or `-` becomes `_`: the stage `pool.resize`
is `pool_resize`.

{table(("metric", "kind", "unit", "tags", "what it says", "who sends it, when", "in Prometheus"), rows)}

{outcomes}

Nodes are sent while a task waits for a pool of the account, every `poll_seconds` of the connection, and otherwise once
an hour by `watch_pools`. A run is counted when it ends, however it ends, also when a person marks it; one that is
cleared and ends again counts again, with the stages that it did again. A cleared run lasts from its clear on.

## Prometheus and Grafana

1. Run [statsd_exporter](https://github.com/prometheus/statsd_exporter) with
   `--statsd.mapping-config=statsd-mapping.yaml`: [the mapping](statsd-mapping.yaml) makes names and labels of it.
   One exporter for all of Airflow: it adds up what several processes count.
2. Set `AIRFLOW__METRICS__STATSD_ON=True`, `AIRFLOW__METRICS__STATSD_HOST` and `AIRFLOW__METRICS__STATSD_PORT=9125` for
   scheduler, workers, triggerers and API servers.
3. Let Prometheus scrape the exporter (port 9102), and import [grafana-dashboard.json](grafana-dashboard.json) into
   Grafana: it asks for the data source.

The package `statsd` is in `requirements.txt`. With OpenTelemetry the collector names the metrics in its own way
(`airflow_golden_pools_runs_total`), so the dashboard's queries have to be renamed; and every task is a process that
counts from 0, which the collector has to add up. StatsD needs neither.
"""


BUCKETS_SECONDS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
"""From a stage that finds everything done to a night's run of a large pool."""


def statsd_mapping() -> str:
    """Return ``docs/statsd-mapping.yaml``: how statsd_exporter makes metrics with labels of names without tags."""
    lines = [
        "# Metrics of Golden Pools for statsd_exporter (Prometheus); made by `make schema`.",
        "# Airflow without tags: statsd_on = True, statsd_influxdb_enabled = False, statsd_prefix = airflow.",
        "mappings:",
    ]
    for metric in METRICS:
        stars = ".*" * len(metric.tags)
        lines += [f'  - match: "airflow.{metric.name}{stars}"', f"    name: {metric.prometheus_name}"]
        if metric.kind is Kind.TIMER:
            buckets = ", ".join(map(str, BUCKETS_SECONDS))
            lines += ["    observer_type: histogram", "    histogram_options:", f"      buckets: [{buckets}]"]
        lines += ["    labels:", *(f'      {tag}: "${place}"' for place, tag in enumerate(metric.tags, start=1))]
    return "\n".join(lines) + "\n"


def pages() -> Mapping[str, str]:
    """Return every page by its file name."""
    return {
        "metrics.md": metrics_page(),
        "passport.schema.json": json.dumps(passport_schema(), indent=2) + "\n",
        "preflight.md": preflight_page(),
        "resize-verdicts.md": verdicts_page(),
        "statsd-mapping.yaml": statsd_mapping(),
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
