"""Every metric that Golden Pools sends, and how what was seen becomes numbers: the one list of names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from golden_pools.rules.facts import Pool, PoolNodes
from golden_pools.rules.family import ALIAS, Role, family, is_deleting, role_of
from golden_pools.rules.watch.seen import Seen


class Kind(StrEnum):
    """What Airflow's stats do with a value."""

    COUNTER = "counter"
    GAUGE = "gauge"
    TIMER = "timer"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    :param name: without Airflow's prefix (``airflow.``)
    :param tags: what tells its series apart, in the order in which they follow the name where a backend has no tags
    :param meaning: one or two sentences
    :param sender: which process sends it, and when
    """

    name: str
    kind: Kind
    unit: str
    tags: tuple[str, ...]
    meaning: str
    sender: str

    def flat_name(self, tags: Mapping[str, str]) -> str:
        """Return the name for a backend without tags: their values follow, each one part of it."""
        return ".".join([self.name, *(tags[tag] for tag in self.tags)])

    @property
    def prometheus_name(self) -> str:
        """Name that ``docs/statsd-mapping.yaml`` gives it, with the unit as Prometheus wants it: seconds, no others."""
        unit = {Kind.COUNTER: "_total"}.get(self.kind, "_seconds" if self.unit in ("ms", "s") else "")
        return self.name.replace(".", "_") + unit


RUNS = Metric(
    name="golden_pools.runs",
    kind=Kind.COUNTER,
    unit="runs",
    tags=("pool", "dag", "outcome"),
    meaning="Runs that have ended. `dag` is `refresh`, `resize` or `scale`.",
    sender="scheduler, when a run ends",
)
RUN_DURATION = Metric(
    name="golden_pools.run_duration",
    kind=Kind.TIMER,
    unit="ms",
    tags=("pool", "dag", "outcome"),
    meaning="How long a run took, waits included.",
    sender="scheduler, when a run ends",
)
STAGE_DURATION = Metric(
    name="golden_pools.stage_duration",
    kind=Kind.TIMER,
    unit="ms",
    tags=("pool", "stage", "state"),
    meaning="How long a stage took, waits included. `stage` is the task, such as `pool_resize`; `state` Airflow's.",
    sender="scheduler, when a run ends",
)
NODES = Metric(
    name="golden_pools.nodes",
    kind=Kind.GAUGE,
    unit="nodes",
    tags=("pool", "state"),
    meaning="Nodes of all pools of a spec but its canary. `state` is Batch's; `starting` are all on their way.",
    sender="triggerer, at each poll of a Batch account that a task waits for; worker, at each look of `watch_pools`",
)
NODES_TARGET = Metric(
    name="golden_pools.nodes_target",
    kind=Kind.GAUGE,
    unit="nodes",
    tags=("pool",),
    meaning="Nodes that these pools were last asked for.",
    sender="as `golden_pools.nodes`",
)
RESIZES = Metric(
    name="golden_pools.resizes",
    kind=Kind.COUNTER,
    unit="resizes",
    tags=("pool", "verdict", "code"),
    meaning="Resizes that have ended: what the run made of each, and the Azure code or the cause that decided it.",
    sender="worker, or triggerer where the targets are reached there",
)
REQUESTS = Metric(
    name="golden_pools.requests",
    kind=Kind.COUNTER,
    unit="requests",
    tags=("service", "status"),
    meaning="Requests to Azure, repeats included, by the HTTP status of the answer; `none`: there was no answer.",
    sender="every process that asks Azure, at each answer",
)
THROTTLES = Metric(
    name="golden_pools.throttles",
    kind=Kind.COUNTER,
    unit="requests",
    tags=("service",),
    meaning="Those of them that Azure put off, with 429 or 503.",
    sender="as `golden_pools.requests`",
)
IMAGE_AGE = Metric(
    name="golden_pools.image_age",
    kind=Kind.GAUGE,
    unit="s",
    tags=("pool",),
    meaning="Age of the image version that the pool is on, since it was published.",
    sender="worker, at each look of `watch_pools`",
)

METRICS = (RUNS, RUN_DURATION, STAGE_DURATION, NODES, NODES_TARGET, RESIZES, REQUESTS, THROTTLES, IMAGE_AGE)

STARTING = "starting"
NODE_STATES = ("idle", "running", STARTING, "unusable", "starttaskfailed", "unknown", "preempted")
"""States that are sent one by one, each also where no node has it: a gauge keeps its last value."""

PUT_OFF = frozenset({429, 503})
"""HTTP status with which Azure asks for patience."""

NO_ANSWER = "none"

_OTHER_SIGNS = re.compile(r"[^a-zA-Z0-9_-]")
_PROVIDER = re.compile(r"/providers/microsoft\.([a-z]+)/", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A value of a metric.

    :param value: in the metric's unit
    :param tags: exactly those that the metric has
    """

    metric: Metric
    value: float
    tags: Mapping[str, str]


def word(value: str) -> str:
    """Return the value of a tag in signs that every backend takes, and of which no dot ends the part of a name."""
    return _OTHER_SIGNS.sub("_", value) or "_"


def service_of(url: str) -> str:
    """Return the Azure service that a request is for: ``compute``, ``batch``, ``batch_data``, ``resources``, ..."""
    path = urlsplit(url).path
    if found := _PROVIDER.search(path):
        return found[1].lower()
    return "resources" if path.lower().startswith("/subscriptions/") else "batch_data"


def of_request(url: str, status: int | None) -> Iterator[Reading]:
    """Yield what one request counts for.

    :param status: HTTP status of its answer; None: it got none
    """
    service = service_of(url)
    answer = NO_ANSWER if status is None else str(status)
    yield Reading(metric=REQUESTS, value=1, tags={"service": service, "status": answer})
    if status in PUT_OFF:
        yield Reading(metric=THROTTLES, value=1, tags={"service": service})


def of_resize(pool: str, verdict: str, code: str) -> Reading:
    """Return what a resize that was judged counts for.

    :param pool: name of the spec
    """
    return Reading(metric=RESIZES, value=1, tags={"pool": pool, "verdict": verdict, "code": code})


def of_account(pools: Iterable[Pool], nodes: Mapping[str, PoolNodes]) -> Iterator[Reading]:
    """Yield the nodes of those pools of an account that say which spec they belong to.

    :param nodes: by lower-case name of the pool
    """
    pools = [pool for pool in pools if not is_deleting(pool)]
    for alias in dict.fromkeys(pool.metadata[ALIAS] for pool in pools if pool.metadata.get(ALIAS)):
        yield from of_pools(alias, family(pools, alias), nodes)


def of_pools(alias: str, members: Iterable[Pool], nodes: Mapping[str, PoolNodes]) -> Iterator[Reading]:
    """Yield the nodes of a spec's pools."""
    members = [pool for pool in members if role_of(pool) is not Role.CANARY]
    if not members:
        return
    counts = dict.fromkeys(NODE_STATES, 0)
    for pool in members:
        seen = nodes.get(pool.name.lower(), PoolNodes(pool=pool.name))
        for kind in (seen.dedicated, seen.spot):
            for state, count in kind.by_state.items():
                counts[state if state in counts else STARTING] += count
    for state, count in counts.items():
        yield Reading(metric=NODES, value=count, tags={"pool": alias, "state": state})
    yield Reading(metric=NODES_TARGET, value=sum(sum(pool.asked_for) for pool in members), tags={"pool": alias})


def of_watch(seen: Seen) -> Iterator[Reading]:
    """Yield what a look of the watch tells: the nodes of each spec, and how old the image is that its pool is on."""
    for one in seen.watched:
        account = one.account_id.casefold()
        pools, nodes = seen.pools.get(account), seen.nodes.get(account)
        if pools is None:
            continue
        if nodes is not None:
            members = [pool for pool in family(pools, one.name) if not is_deleting(pool)]
            yield from of_pools(one.name, members, {name.lower(): counts for name, counts in nodes.items()})
        pool = seen.pool_of(one)
        version = seen.by_id(pool.image_id) if pool and pool.image_id else None
        if version and version.published:
            age = (seen.now - version.published).total_seconds()
            yield Reading(metric=IMAGE_AGE, value=age, tags={"pool": one.name})
