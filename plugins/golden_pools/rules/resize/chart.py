"""The clinic's chart: what was seen of a pool's bad nodes, and what was done for them, in one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from golden_pools.rules.facts import Node


@dataclass(frozen=True, kw_only=True)
class Reboot:
    """The reboots of one node.

    :param times: how often it was rebooted in this run, the last one included
    :param spell: the spell of trouble that the last reboot was for, see :func:`spell_of`
    :param wait: begin of the wait in which it was ordered, see :attr:`Chart.since`
    :param ordered: when Azure had taken the last order, by our clock, ISO 8601; None: perhaps it never got it
    :param refused: Azure does not reboot the node in its state
    """

    times: int
    spell: str
    wait: str
    ordered: str | None = None
    refused: bool = False


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What the clinic has seen and done in one run: kept before each write, so that a retry knows it.

    Times are ours: Azure's clock and ours are never compared.

    :param since: when the wait for nodes began, anew after each round of replacement, ISO 8601
    :param reboots: by node
    :param watched: by node that may recover by itself: spell, and since when we have seen it
    :param rounds: rounds of replacement that were begun
    :param replacing: whether a round is open: nodes are being removed, or the pool is not back at its targets
    :param removing: nodes that the open round is to remove
    :param removals: how often it has asked Azure to do so
    :param waves: how often in a row nodes had to be rebooted in this wait: each wave gets its time to come up
    :param replaced: how many nodes were removed
    """

    since: str
    reboots: Mapping[str, Reboot] = field(default_factory=dict)
    watched: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    rounds: int = 0
    replacing: bool = False
    removing: tuple[str, ...] = ()
    removals: int = 0
    waves: int = 0
    replaced: int = 0

    @classmethod
    def opened(cls, now: datetime) -> Self:
        """Return the chart of a run that begins to wait."""
        return cls(since=now.isoformat())

    def deadline(self, ready: timedelta) -> datetime:
        """Return when the nodes have to be ready: ``ready`` after the begin, and again for each wave of reboots."""
        return datetime.fromisoformat(self.since) + ready * (1 + self.waves)

    def anew(self, now: datetime) -> Self:
        """Return the chart of a try that found the time of an earlier one over; the budget is the run's."""
        return replace(self, since=now.isoformat(), waves=0)

    def with_time(self, ready: timedelta, now: datetime) -> Self:
        """Return the chart for a try or a look: anew where the time of an earlier one is over."""
        return self.anew(now) if self.deadline(ready) <= now else self

    def watching(self, nodes: Iterable[Node], now: datetime) -> Self:
        """Return the chart with the bad nodes of one look; who recovered is not watched any more."""
        watched = {}
        for node in filter(may_recover, nodes):
            spell, since = self.watched.get(node.id, ("", ""))
            watched[node.id] = (spell_of(node), since if spell == spell_of(node) else now.isoformat())
        return replace(self, watched=watched)

    def seen_for(self, node: Node, now: datetime) -> timedelta:
        """Return how long we have seen a node's trouble."""
        spell, since = self.watched.get(node.id, ("", ""))
        return now - datetime.fromisoformat(since) if spell == spell_of(node) else timedelta(0)

    def rebooting(self, nodes: Iterable[Node]) -> Self:
        """Return the chart to keep before nodes are rebooted: an order that may have been lost counts once."""
        reboots, waves = dict(self.reboots), self.waves
        for node in nodes:
            before = reboots.get(node.id)
            if before is None or before.ordered is not None or before.spell != spell_of(node):
                times = before.times + 1 if before else 1
                reboots[node.id] = Reboot(times=times, spell=spell_of(node), wait=self.since)
            waves = max(waves, reboots[node.id].times)
        return replace(self, reboots=reboots, waves=waves)

    def rebooted(self, node: str, now: datetime, *, refused: bool = False) -> Self:
        """Return the chart when Azure has taken the order to reboot a node, or refused it."""
        reboot = replace(self.reboots[node], ordered=None if refused else now.isoformat(), refused=refused)
        return replace(self, reboots={**self.reboots, node: reboot})

    @property
    def nodes_rebooted(self) -> list[str]:
        """Nodes that were rebooted."""
        return [node for node, reboot in self.reboots.items() if not reboot.refused]

    @property
    def nodes_in_treatment(self) -> set[str]:
        """Nodes that a reboot was ordered for in this wait, whatever became of it."""
        return {node for node, reboot in self.reboots.items() if reboot.wait == self.since}

    def replacing_nodes(self, nodes: Sequence[str]) -> Self:
        """Return the chart to keep before a round begins."""
        return replace(self, rounds=self.rounds + 1, replacing=True, removing=tuple(nodes), removals=0)

    def asking_for_removal(self) -> Self:
        """Return the chart to keep before Azure is asked to remove nodes."""
        return replace(self, removals=self.removals + 1)

    def removal_done(self, gone: int) -> Self:
        """Return the chart when so many nodes of the open round are gone, and no other is to go."""
        return replace(self, removing=(), replaced=self.replaced + gone)

    def round_done(self, now: datetime) -> Self:
        """Return the chart when the pool is back at its targets: the new nodes get the time that the old ones had."""
        return replace(self.anew(now), replacing=False, removing=())

    def to_dict(self) -> dict[str, Any]:
        """Return the chart as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the chart that :meth:`to_dict` wrote."""
        return cls(
            **{
                **value,
                "reboots": {node: Reboot(**reboot) for node, reboot in value["reboots"].items()},
                "watched": {node: (spell, since) for node, (spell, since) in value["watched"].items()},
                "removing": tuple(value["removing"]),
            }
        )


def spell_of(node: Node) -> str:
    """Return what tells one spell of a node's trouble from the next: the state and, by Azure's clock, since when."""
    return f"{node.state} {node.state_since.isoformat() if node.state_since else ''}"


def may_recover(node: Node) -> bool:
    """Return whether Batch may bring the node back by itself."""
    return node.state == "unknown" or (node.state == "unusable" and not node.errors)
