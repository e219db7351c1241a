"""The node clinic: what is done for nodes that do not take work, before they count as failed.

Batch says that a node whose start task failed stays so until it is rebooted or removed, and that some ``unusable`` and
``unknown`` nodes recover by themselves ("Azure Batch node and pool errors"). Nodes are paid for in all of these states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from golden_pools.rules.facts import Node, NodeCounts, PoolNodes
from golden_pools.rules.resize.allocation import wanted
from golden_pools.rules.resize.chart import Chart, may_recover, spell_of
from golden_pools.rules.resize.nodes import FAILED_ADVICE, judge_nodes
from golden_pools.rules.resize.verdict import VerdictKind
from golden_pools.spec.model import Clinic, Shares, Targets
from golden_pools.words import counted

BAD = (*sorted(NodeCounts.FAILED), "unknown")
"""States of nodes that the clinic looks at. A preempted Spot node is no failure: Batch brings it back."""

ON_THEIR_WAY = frozenset(
    {
        "creating",
        "starting",
        "waitingforstarttask",
        "rebooting",
        "reimaging",
        "upgradingos",
        "leavingpool",
        "deallocating",
    }
)
"""States that end by themselves."""

REBOOT_SHOWS = timedelta(minutes=5)
"""How long after a reboot was ordered the node may still show the state from before."""


class ClinicKind(StrEnum):
    """What to do about the nodes."""

    WAIT = "wait"
    REBOOT = "reboot"
    REPLACE = "replace"
    REACHED = "reached"
    PARTIAL = "partial"
    GIVE_UP = "give_up"


@dataclass(frozen=True, kw_only=True)
class ClinicStep:
    """What to do about the nodes, and why.

    :param nodes: ids of the nodes to reboot, or to remove
    :param until: look again then (``WAIT`` only); None: when the counts change
    :param others: look again as soon as no node is on its way any more (``WAIT`` only)
    :param blames_image: whether what ends the wait speaks against the image (``GIVE_UP`` only)
    """

    kind: ClinicKind
    reason: str
    nodes: tuple[str, ...] = ()
    until: datetime | None = None
    others: bool = False
    advice: str = ""
    blames_image: bool = False


def clinic_step(
    counts: PoolNodes,
    nodes: Sequence[Node],
    targets: Targets,
    chart: Chart,
    *,
    shares: Shares,
    settings: Clinic,
    ready: timedelta,
    now: datetime,
    at_rest: bool,
) -> ClinicStep:
    """Return what to do about a pool's nodes.

    A node is rebooted as soon as it has failed. Nodes that no reboot helps are removed together, when no other node is
    on its way or may still recover: rounds are few. More nodes that failed since the last round than the spec takes for
    chance are the image's fault, and nothing more is tried.

    :param counts: of the pool's nodes
    :param nodes: the pool's bad nodes; others are left out of account
    :param chart: :meth:`Chart.watching` these nodes
    :param ready: time for nodes to become ready
    :param now: by the clock that the chart was kept by
    :param at_rest: the pool does not grow at the moment
    """
    begun, deadline = datetime.fromisoformat(chart.since), chart.deadline(ready)
    cases = _triage([node for node in nodes if node.state in BAD], chart, settings, now)
    lost = (_count(cases.incurable, dedicated=True), _count(cases.incurable, dedicated=False))
    verdict = judge_nodes(
        counts,
        targets,
        shares=shares,
        waited=now - begun,
        allowed=deadline - begun,
        at_rest=at_rest,
        failed=lost,
    )
    done = _done(chart)
    reason = f"{verdict.reason}; {done}" if done else verdict.reason
    if verdict.kind is VerdictKind.REACHED:
        return ClinicStep(kind=ClinicKind.REACHED, reason=reason)
    failed = (*cases.curable, *cases.incurable)
    troubled = chart.nodes_in_treatment | {node.id for node in failed}
    if failed and len(troubled) > (most := wanted(targets.total, settings.largest_bad_share)):
        return ClinicStep(
            kind=ClinicKind.GIVE_UP,
            reason=f"{counted(len(troubled), 'node')} failed, more than {most}, so nothing is tried; {reason}",
            advice=FAILED_ADVICE,
            blames_image=any(node.state in NodeCounts.FAILED for node in failed),
        )
    if cases.curable:
        return ClinicStep(kind=ClinicKind.REBOOT, reason=reason, nodes=_ids(cases.curable))
    moving = on_their_way(counts)
    waits = ClinicStep(kind=ClinicKind.WAIT, reason=reason, until=cases.until, others=moving > 0)
    if cases.incurable and chart.rounds < settings.replacements:
        if (moving or cases.until) and now < deadline:
            return waits
        return ClinicStep(kind=ClinicKind.REPLACE, reason=reason, nodes=_ids(cases.incurable))
    if verdict.kind is VerdictKind.WAIT:
        return waits
    if verdict.kind is VerdictKind.PARTIAL:
        return ClinicStep(kind=ClinicKind.PARTIAL, reason=reason, advice=verdict.advice)
    bad = (*failed, *cases.waiting)
    return ClinicStep(
        kind=ClinicKind.GIVE_UP,
        reason=reason,
        advice=FAILED_ADVICE if _too_many(bad, targets, shares) else verdict.advice,
        blames_image=_too_many([node for node in bad if node.state in NodeCounts.FAILED], targets, shares),
    )


class Watch:
    """Tells when a worker has to look at bad nodes, from counts that come one after the other.

    :param known: bad nodes, by state, that a worker has looked at
    :param until: when it wants to look at them again; None: when there are more of them
    :param alarm: more bad nodes than this are looked at at once, fewer when a count has brought no more
    """

    def __init__(self, *, known: Mapping[str, int], until: datetime | None, alarm: int) -> None:
        self.known = known
        self.until = until
        self.alarm = alarm
        self._last: Mapping[str, int] = {}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the watch that a trigger's arguments describe: ``until`` is ISO 8601, UTC."""
        until = value["until"]
        return cls(known=value["known"], until=datetime.fromisoformat(until) if until else None, alarm=value["alarm"])

    def why(self, bad: Mapping[str, int], now: datetime) -> str:
        """Return why a worker has to look at these bad nodes, or nothing."""
        last, self._last = self._last, bad
        more = any(count > self.known.get(state, 0) for state, count in bad.items())
        no_more = all(count <= last.get(state, 0) for state, count in bad.items())
        if more and (no_more or sum(bad.values()) > self.alarm >= sum(self.known.values())):
            return "nodes have failed"
        return "failed nodes have not recovered" if bad and self.until and now >= self.until else ""


def bad_counts(nodes: PoolNodes) -> dict[str, int]:
    """Return how many nodes of both kinds are in each bad state."""
    kinds = (nodes.dedicated, nodes.spot)
    counts = {state: sum(kind.by_state.get(state, 0) for kind in kinds) for state in BAD}
    return {state: count for state, count in counts.items() if count}


def on_their_way(nodes: PoolNodes) -> int:
    """Return how many nodes of both kinds are in a state that ends by itself."""
    return sum(kind.by_state.get(state, 0) for kind in (nodes.dedicated, nodes.spot) for state in ON_THEIR_WAY)


@dataclass(frozen=True)
class _Cases:
    """Bad nodes by what can be done; ``until`` is when to look at the waiting ones again."""

    waiting: tuple[Node, ...]
    curable: tuple[Node, ...]
    incurable: tuple[Node, ...]
    until: datetime | None


def _triage(nodes: Iterable[Node], chart: Chart, settings: Clinic, now: datetime) -> _Cases:
    waiting, curable, incurable, ends = [], [], [], []
    for node in nodes:
        if left := _left_alone(node, chart, settings, now):
            waiting.append(node)
            ends.append(now + left)
        elif _can_be_rebooted(node, chart, settings):
            curable.append(node)
        else:
            incurable.append(node)
    return _Cases(tuple(waiting), tuple(curable), tuple(incurable), min(ends, default=None))


def _left_alone(node: Node, chart: Chart, settings: Clinic, now: datetime) -> timedelta | None:
    """Return for how long the node is left alone, or None where something has to be done."""
    reboot = chart.reboots.get(node.id)
    if reboot and reboot.ordered and reboot.spell == spell_of(node):
        left = REBOOT_SHOWS - (now - datetime.fromisoformat(reboot.ordered))
    elif may_recover(node):
        left = timedelta(minutes=settings.grace_minutes) - chart.seen_for(node, now)
    else:
        return None
    return left if left > timedelta(0) else None


def _can_be_rebooted(node: Node, chart: Chart, settings: Clinic) -> bool:
    """Return whether the budget has a reboot for the node, or one that was never ordered for this spell."""
    reboot = chart.reboots.get(node.id)
    if reboot is None:
        return settings.reboots > 0
    if reboot.refused:
        return False
    repeats = reboot.ordered is None and reboot.spell == spell_of(node)
    return repeats or reboot.times < settings.reboots


def _ids(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(node.id for node in nodes)


def _count(nodes: Iterable[Node], *, dedicated: bool) -> int:
    return sum(node.dedicated is dedicated for node in nodes)


def _too_many(nodes: Sequence[Node], targets: Targets, shares: Shares) -> bool:
    """Return whether these nodes alone keep the pool below the acceptable share of a kind.

    Of an image, nodes speak that came up wrong; those that were lost, or that did not come, say nothing of it.
    """
    return _count(nodes, dedicated=True) > targets.dedicated - wanted(targets.dedicated, shares.dedicated) or _count(
        nodes, dedicated=False
    ) > targets.spot - wanted(targets.spot, shares.spot)


def _done(chart: Chart) -> str:
    tried = []
    if rebooted := len(chart.nodes_rebooted):
        tried.append(f"{counted(rebooted, 'node')} rebooted")
    if chart.rounds:
        tried.append(f"{counted(chart.replaced, 'node')} replaced in {counted(chart.rounds, 'round')}")
    return ", ".join(tried)
