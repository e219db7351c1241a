"""The four questions to a line: from a VM, a version, a pool, a node.

``last`` limits an answer to so many of the newest versions, beside those that pools are on.
"""

from __future__ import annotations

from golden_pools.errors import UnknownNameError
from golden_pools.rules.facts import folded
from golden_pools.rules.family import current_pool
from golden_pools.rules.lineage.chart import chart_of
from golden_pools.rules.lineage.line import Chart, Kind, Line, Seen, Station, in_short, named, no_such
from golden_pools.rules.lineage.stations import image_station, node_station, pool_station
from golden_pools.rules.plan import account_id


def from_vm(seen: Seen, vm: str, *, last: int | None = None) -> Line:
    """Return what came of a VM, or of another source: forward to the nodes."""
    chart = chart_of(seen)
    return chart.line(f"from_vm {vm}", named(chart, Kind.SOURCE, vm, "VM").key, last=last)


def from_version(seen: Seen, version: str, *, last: int | None = None) -> Line:
    """Return where a version came from, and where it went."""
    chart = chart_of(seen)
    return chart.line(f"from_version {version}", named(chart, Kind.VERSION, version, "version").key, last=last)


def from_pool(seen: Seen, pool: str, *, last: int | None = None) -> Line:
    """Return what a pool runs on and ran on, back to the VM, and its nodes; a spec's name means its current pool."""
    chart = chart_of(seen)
    return chart.line(f"from_pool {pool}", _pool_named(chart, seen, pool).key, last=last)


def from_node(seen: Seen, pool: str, node: str) -> Line:
    """Return what a node really booted from, back to the VM."""
    chart = chart_of(seen)
    station = _pool_named(chart, seen, pool)
    nodes = seen.nodes.get(folded(station.id), ())
    found = next((one for one in nodes if folded(one.id) == folded(node)), None)
    if found is None:
        raise no_such(f"node {node!r} of pool {station.name}", node, [one.id for one in nodes])
    key = chart.add(node_station(station.id, found))
    chart.link(station.key, key)
    there = next((one for one in seen.pools if folded(one.id) == folded(station.id)), None)
    image = found.image_id or (there.image_id if there else None)
    if found.image_id is None:
        chart.miss(key, f"Azure does not say what node {node} booted from: the pool's own image is shown")
    version = chart.add(image_station(image)) if image else None
    if version is not None:
        chart.link(version, station.key)
    others = {one.key for one in chart.of(Kind.VERSION)} - {version}
    return chart.line(f"from_node {pool} {node}", key, last=None, only=lambda link: link.before not in others)


def asked_pool(seen: Seen, text: str) -> Station:
    """Return the pool that a text means: the one that the spec of this name stands for now, or that of this name.

    :raises UnknownNameError: there is none, or several
    """
    return _pool_named(chart_of(seen), seen, text)


def _pool_named(chart: Chart, seen: Seen, text: str) -> Station:
    if (spec := seen.specs.get(text)) is not None:
        here = [pool for pool in seen.pools if folded(pool.id).startswith(f"{folded(account_id(spec))}/")]
        if (current := current_pool(here, text)) is not None:
            return chart.stations[pool_station(current.id).key]
    try:
        return named(chart, Kind.POOL, text, "pool", also=seen.specs)
    except UnknownNameError:
        if spec is None:
            raise
        raise UnknownNameError(
            f"The spec {text} has no pool, as far as passports and Azure tell",
            resource=f"{account_id(spec)}/pools/{text}",
            answer=in_short(seen.unknown),
            advice="mend the look-ups that failed" if seen.unknown else "let its DAG run first: it makes the pool",
        ) from None
