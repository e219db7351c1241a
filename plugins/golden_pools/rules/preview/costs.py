"""What a run costs beside what the pool costs anyway, and what its image costs a month, by the prices of the spec."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from golden_pools.rules.canary import canary_targets
from golden_pools.rules.costs import cost_of
from golden_pools.rules.facts import Pool
from golden_pools.rules.family import current_pool
from golden_pools.rules.intentions import Action
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preflight import Observations
from golden_pools.rules.preview.durations import Duration
from golden_pools.rules.preview.quota import clone_size
from golden_pools.rules.resize import duration
from golden_pools.words import counted

CANARY = ("canary.pool", "canary.probe", "canary.remove")
CLONE = ("image.clone_vm", "image.generalize_clone", "image.managed_image", "image.publish", "image.remove_clone")
SECOND_POOL = ("pool.refresh", "pool.resize", "pool.nodes", "pool.probe", "pool.switch")
"""Tasks in which something runs that would not be there without the run."""

HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One thing that costs.

    :param per: ``run``, or ``month`` for what is paid as long as the image stays
    :param hours: hours of nodes or VMs; None: not known, or it is no matter of hours
    :param gib: what is stored, all replicas together
    :param amount: in ``currency``; None: the spec has no price, or the quantity is not known
    :param basis: where hours or GiB come from, and what is not known
    :param partial: it will be more, and nobody knows how much
    """

    what: str
    per: str
    currency: str
    hours: float | None = None
    gib: int | None = None
    amount: float | None = None
    basis: str = ""
    partial: bool = False

    def to_dict(self) -> dict[str, str | int | float | bool | None]:
        """Return it as JSON."""
        return asdict(self)


def run_costs(plan: RunPlan, seen: Observations, actions: Sequence[Action], past: Sequence[Duration]) -> list[Cost]:
    """Return what the run itself costs, and then what it leaves costs a month.

    :param past: how long the stages of such runs took
    """
    stages = {action.stage for action in actions}
    return [*_of_the_run(plan, seen, stages, past), *_of_a_month(plan, seen, actions)]


def _of_the_run(plan: RunPlan, seen: Observations, stages: Collection[str], past: Sequence[Duration]) -> Iterator[Cost]:
    spec = plan.spec
    if "clone_vm" in stages:
        assert plan.golden_vm.clone is not None, "the stage is there for it"
        span, basis = _span(past, CLONE, at_most=timedelta(minutes=2 * plan.golden_vm.clone.minutes))
        yield _of_nodes(plan, "clone VM", clone_size(plan, seen) or "", (1, 0), span, basis)
    if "canary" in stages:
        longest = timedelta(minutes=spec.canary.ready_minutes + spec.canary.probe_minutes)
        span, basis = _span(past, CANARY, at_most=longest)
        one = canary_targets(plan)
        yield _of_nodes(plan, "canary node", spec.pool.vm_size, (one.dedicated, one.spot), span, basis)
    current = current_pool(seen.pools, plan.pool)
    if "retire" in stages and current is not None:
        yield _of_second_pool(plan, current, past)
    elif "refresh" in stages:
        nothing = f"{spec.refresh.strategy.value} has one pool at a time"
        yield Cost(what="extra nodes", per="run", currency=spec.prices.currency, hours=0.0, amount=0.0, basis=nothing)


def _of_second_pool(plan: RunPlan, current: Pool, past: Sequence[Duration]) -> Cost:
    """Return what the old pool costs from the new one's beginning to its own end."""
    soak = timedelta(minutes=plan.spec.refresh.soak_minutes)
    grows, basis = _span(past, SECOND_POOL, at_most=None)
    nodes = current.current_dedicated, current.current_spot
    if grows is None:
        basis = f"soak of {duration(soak)}; how long the new pool grows is not known: no run yet"
    else:
        basis = f"grows {basis}, soak of {duration(soak)}"
    cost = _of_nodes(plan, "old pool beside the new", current.vm_size, nodes, (grows or timedelta(0)) + soak, basis)
    return replace(cost, partial=grows is None)


def _span(
    past: Sequence[Duration], tasks: Collection[str], *, at_most: timedelta | None
) -> tuple[timedelta | None, str]:
    """Return how long tasks take together, and how that is known.

    :param at_most: what the spec lets them take, where no run is there to tell
    """
    known = [one for one in past if one.stage in tasks]
    if known:
        span = sum((one.usual for one in known), timedelta(0))
        return span, f"{duration(span)}, median of {counted(max(one.runs for one in known), 'run')}"
    return at_most, f"no run yet; at most {duration(at_most)} by the spec" if at_most else "no run yet"


def _of_nodes(
    plan: RunPlan, what: str, vm_size: str, nodes: tuple[int, int], span: timedelta | None, basis: str
) -> Cost:
    """Return the cost of dedicated and Spot nodes for a span."""
    prices, hours = plan.spec.prices, span / HOUR if span is not None else None
    each = [
        cost_of(hours, None if (price := prices.of_node(vm_size, spot=spot)) is None else count * price)
        for count, spot in zip(nodes, (False, True), strict=True)
        if count
    ]
    amount = None if None in each else sum(filter(None, each))
    unpriced = "" if amount is not None or hours is None else f"; no price of {vm_size} in prices"
    return Cost(
        what=f"{what}, {sum(nodes)} x {vm_size}",
        per="run",
        currency=prices.currency,
        hours=None if hours is None else round(sum(nodes) * hours, 2),
        amount=None if amount is None else round(amount, 2),
        basis=basis + unpriced,
    )


def _of_a_month(plan: RunPlan, seen: Observations, actions: Sequence[Action]) -> Iterator[Cost]:
    """Yield what is paid for a new image as long as it stays; what has no price is left out."""
    if not plan.builds_image:
        return
    prices, gib = plan.spec.prices, _image_gib(plan, seen)
    made = {action.resource for action in actions}
    things = [
        ("snapshots", plan.snapshot_id(None) in made, 1, prices.snapshot_gib_month),
        ("managed image", plan.managed_image_id in made, 1, prices.image_gib_month),
        ("image version", *_replicas(plan, seen, actions), prices.replica_gib_month),
    ]
    for what, is_made, times, price in things:
        if is_made and price is not None:
            stored = gib * times if gib is not None else None
            amount = cost_of(stored, price)
            yield Cost(
                what=what if times == 1 else f"{what}, {times} replicas",
                per="month",
                currency=prices.currency,
                gib=stored,
                amount=None if amount is None else round(amount, 2),
                basis="as large as the disks" if stored is not None else "nobody says how large the disks are",
            )


def _replicas(plan: RunPlan, seen: Observations, actions: Sequence[Action]) -> tuple[bool, int]:
    """Return whether the run makes a version, and the replicas that it has in the end."""
    if not any(action.stage == "publish" and action.resource == plan.version_id for action in actions):
        return False, 0
    home = seen.golden_vm.location if seen.golden_vm else plan.system.location
    return True, sum(plan.replicas(home).values())


def _image_gib(plan: RunPlan, seen: Observations) -> int | None:
    if seen.golden_vm is None:
        return None
    sizes = [disk.size_gib for disk in seen.golden_vm.disks]
    return None if None in sizes else sum(size for size in sizes if size)
