"""Whether the nodes that a resize brought take work, and how far they are.

Allocated is not ready: ``current == target`` says only that VMs exist.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from golden_pools.rules.facts import NodeCounts, Pool, PoolNodes
from golden_pools.rules.resize.allocation import wanted
from golden_pools.rules.resize.verdict import Cause, Verdict, VerdictKind
from golden_pools.spec.model import Shares, Targets

FAILED_ADVICE = (
    "starttaskfailed: read stdout.txt and stderr.txt of the start task on a failed node; "
    "unusable: check that the image was generalized, that pool.node_agent_sku fits its system, "
    "and that the subnet's NSG, routes and DNS let nodes reach Batch; "
    "unknown: the node lost contact with Batch, look at its load and its network. Failed nodes are billed"
)


def judge_nodes(
    nodes: PoolNodes | None,
    targets: Targets,
    *,
    shares: Shares,
    waited: timedelta,
    allowed: timedelta,
    at_rest: bool = False,
    failed: tuple[int, int] | None = None,
) -> Verdict:
    """Return whether the allocated nodes take work: ``idle`` or ``running``.

    Failed nodes end the wait at once when too many of them leave the acceptable share out of reach. A preempted Spot
    node is no failure: Batch brings it back when there is capacity, so a pool that lacks only such nodes at the
    deadline is reached partially.

    :param nodes: node counts; None if the pool is not among Azure's answers (yet)
    :param waited: since the nodes are allocated
    :param allowed: for them to become ready
    :param at_rest: the pool does not grow at the moment: where enough nodes are ready and none is on its way, there is
        nothing to wait for
    :param failed: dedicated and Spot nodes that count as failed; None: all unusable ones and those whose start task
        failed. Counts do not say since when a node is as it is; see :class:`Lasting`
    """
    seen = nodes or PoolNodes(pool="")
    lost = (seen.dedicated.failed, seen.spot.failed) if failed is None else failed
    kinds = (
        (seen.dedicated, lost[0], targets.dedicated, shares.dedicated),
        (seen.spot, lost[1], targets.spot, shares.spot),
    )
    reason = f"{_states('dedicated', seen.dedicated)}; {_states('Spot', seen.spot)}; targets {_named(targets)}"
    if all(counts.ready >= target for counts, _, target, _ in kinds):
        return Verdict(kind=VerdictKind.REACHED, reason=reason, code=Cause.AT_TARGET)
    if any(bad > target - wanted(target, share) for _, bad, target, share in kinds if target):
        return Verdict(
            kind=VerdictKind.GIVE_UP,
            reason=reason,
            code=Cause.NODES_FAILED,
            advice=FAILED_ADVICE,
        )
    nothing_comes = at_rest and all(counts.ready + bad == counts.total for counts, bad, _, _ in kinds)
    enough_is_ready = all(counts.ready >= wanted(target, share) for counts, _, target, share in kinds)
    if waited < allowed and not (nothing_comes and enough_is_ready):
        return Verdict(kind=VerdictKind.WAIT, reason=reason, code=Cause.ON_ITS_WAY)
    standing = (seen.dedicated.ready, seen.spot.ready + seen.spot.by_state.get("preempted", 0))
    enough = all(have >= wanted(target, share) for have, (_, _, target, share) in zip(standing, kinds, strict=True))
    return Verdict(
        kind=VerdictKind.PARTIAL if enough else VerdictKind.GIVE_UP,
        reason=f"{reason}; waited {duration(waited)}",
        code=Cause.NODES_LATE,
        advice=(
            "raise resize.ready_minutes if nodes are still starting (large images and long start tasks take time); "
            "otherwise look at the nodes' state in the Azure portal"
        ),
    )


def _states(kind: str, counts: NodeCounts) -> str:
    present = ", ".join(f"{count} {state}" for state, count in sorted(counts.by_state.items()) if count)
    return f"{kind}: {present or 'none'}"


def _named(targets: Targets) -> str:
    return f"{targets.dedicated} dedicated, {targets.spot} Spot"


class Lasting:
    """How many nodes have been in a state for how long, from counts that come one after the other.

    Counts have no names: two nodes that take turns within the time look like one that stays. What is observed counts
    from the first observation on, so one who forgets (a restarted triggerer) begins anew.
    """

    def __init__(self) -> None:
        self._levels: list[tuple[int, datetime]] = []  # rising counts, each with the moment since which it holds

    def see(self, count: int, now: datetime) -> None:
        """Take in the count at a moment."""
        since = now
        while self._levels and self._levels[-1][0] >= count:
            _, since = self._levels.pop()
        if count:
            self._levels.append((count, since))

    def longer_than(self, span: timedelta, now: datetime) -> int:
        """Return how many nodes have been in the state for ``span`` at least."""
        return max((count for count, since in self._levels if now - since >= span), default=0)


def tally(nodes: PoolNodes) -> tuple[int, int, int]:
    """Return how many nodes are ready, starting and bad.

    Bad are those that failed, and those that Batch has lost contact to. Preempted Spot nodes are none of the three:
    they are missing until Batch brings them back.
    """
    kinds = (nodes.dedicated, nodes.spot)
    ready, failed = sum(kind.ready for kind in kinds), sum(kind.failed for kind in kinds)
    unknown, preempted = (sum(kind.by_state.get(state, 0) for kind in kinds) for state in ("unknown", "preempted"))
    return ready, sum(kind.total for kind in kinds) - ready - failed - unknown - preempted, failed + unknown


def headcount(pool: Pool, nodes: PoolNodes | None, targets: Targets) -> str:
    """Return the nodes as a log line, ``12/20 ready, 1 starting, 0 failed``: it changes only when they do.

    Without node counts it says how many nodes are allocated.
    """
    if nodes is None:
        return f"{pool.current_total}/{targets.total} allocated"
    ready, starting, bad = tally(nodes)
    kinds = (nodes.dedicated, nodes.spot)
    others = {state: sum(kind.by_state.get(state, 0) for kind in kinds) for state in ("preempted", "unknown")}
    more = "".join(f", {count} {state}" for state, count in others.items() if count)
    return f"{ready}/{targets.total} ready, {starting} starting, {bad - others['unknown']} failed{more}"


def duration(span: timedelta) -> str:
    """Return a span as people say it: ``45s``, ``4m10s``, ``30m``, ``2h05m``."""
    seconds = int(span.total_seconds())
    if seconds < 60:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}m{seconds:02}s" if seconds else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if minutes else f"{hours}h"
