"""The line of an image: VM, snapshot set, managed image, version, pools, nodes; forward and backward.

It is drawn from passports where some are kept, and else from what Azure shows: tags, what versions and images say they
were made from, and what pools run on. What neither tells is named as unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from golden_pools.errors import UnknownNameError
from golden_pools.rules.facts import ImageVersion, ManagedImage, Node, Pool, PoolNodes, Snapshot, folded, number_of
from golden_pools.rules.passport import Passport
from golden_pools.spec.model import PoolSpec
from golden_pools.spec.suggest import nearest
from golden_pools.words import counted, listed


class Kind(StrEnum):
    """What stands in the line, in its order."""

    SOURCE = "source"
    SNAPSHOTS = "snapshot set"
    IMAGE = "managed image"
    VERSION = "image version"
    POOL = "pool"
    NODES = "nodes"


@dataclass(frozen=True, kw_only=True)
class Station:
    """One thing in the line.

    :param id: ARM id, or address of a blob; of a snapshot set that of its OS disk's
    :param state: what became of it, in a word or two; empty: nothing special
    :param facts: what else is known of it, a few words each
    """

    kind: Kind
    id: str
    name: str
    state: str = ""
    facts: tuple[str, ...] = ()
    asked: bool = False

    @property
    def key(self) -> str:
        """What links name it by."""
        return f"{self.kind}:{folded(self.id)}"


@dataclass(frozen=True, kw_only=True)
class Link:
    """That one station came from another.

    :param before: key of the earlier station
    :param words: since when and until when, where that is known
    :param over: it is history: what comes of the later station now does not come from the earlier one
    """

    before: str
    after: str
    words: str = ""
    over: bool = False


@dataclass(frozen=True, kw_only=True)
class Line:
    """The answer to one question.

    :param unknown: what the line lacks, and why
    """

    question: str
    stations: tuple[Station, ...]
    links: tuple[Link, ...]
    unknown: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the line as JSON; a station's key is what its links say."""
        return {
            "question": self.question,
            "stations": [{"key": station.key, **asdict(station)} for station in self.stations],
            "links": [asdict(link) for link in self.links],
            "unknown": list(self.unknown),
        }


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was read for a line.

    :param nodes: folded id of a pool -> its nodes, where they were asked for
    :param counts: folded id of a pool -> its nodes by state
    :param kept: whether a spec names a place of passports
    :param unknown: look-ups that failed, each in one line: what they hide is missing in the line
    """

    specs: Mapping[str, PoolSpec] = field(default_factory=dict)
    passports: tuple[Passport, ...] = ()
    versions: tuple[ImageVersion, ...] = ()
    images: tuple[ManagedImage, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    pools: tuple[Pool, ...] = ()
    nodes: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    counts: Mapping[str, PoolNodes] = field(default_factory=dict)
    kept: bool = False
    unknown: tuple[str, ...] = ()


class Chart:
    """Everything that is known, and the ways through it.

    :param unread: look-ups that failed, each in one line
    """

    def __init__(self, unread: Iterable[str] = ()) -> None:
        self.stations: dict[str, Station] = {}
        self.links: dict[tuple[str, str], Link] = {}
        self.unread = tuple(unread)
        self.unknown: list[tuple[str, str]] = [("", line) for line in unread]

    def add(self, station: Station) -> str:
        """Add a station, or what is new about one; returns its key."""
        there = self.stations.get(station.key)
        if there is not None:
            facts = tuple(dict.fromkeys((*there.facts, *station.facts)))
            station = replace(there, state=there.state or station.state, facts=facts)
        self.stations[station.key] = station
        return station.key

    def link(self, before: str, after: str, words: str = "", *, over: bool = False) -> None:
        """Say that one came from another; of what is said of the same two twice, all words stay."""
        there = self.links.get((before, after))
        words = ", ".join(dict.fromkeys(filter(None, (there.words if there else "", words))))
        self.links[before, after] = Link(
            before=before, after=after, words=words, over=over and (there is None or there.over)
        )

    def miss(self, key: str, line: str) -> None:
        """Say what is not known of a station."""
        self.unknown.append((key, line))

    def of(self, kind: Kind) -> list[Station]:
        """Return the stations of one kind."""
        return [station for station in self.stations.values() if station.kind is kind]

    def line(
        self, question: str, asked: str, *, last: int | None, only: Callable[[Link], bool] = lambda _: True
    ) -> Line:
        """Return what leads to a station and what comes from it.

        :param asked: its key
        :param last: so many of the newest versions, beside those that pools are on; None: all
        :param only: links that count
        """
        links = [link for link in self.links.values() if only(link)]
        keys = {asked, *_reach(asked, links, back=True), *_reach(asked, links, back=False)}
        links = [link for link in links if {link.before, link.after} <= keys]
        ordered = sorted((replace(self.stations[key], asked=key == asked) for key in keys), key=_in_order)
        old = set() if last is None else _older(ordered, links, last)
        out = {*old, *_bound_to(old, ordered, links)}
        unknown = [line for key, line in self.unknown if not key or key in keys - out]
        if old:
            unknown.append(f"{counted(len(old), 'older version')} left out: --last shows more")
        return Line(
            question=question,
            stations=tuple(station for station in ordered if station.key not in out),
            links=tuple(link for link in links if not {link.before, link.after} & out),
            unknown=tuple(unknown),
        )


def _reach(start: str, links: Iterable[Link], *, back: bool) -> set[str]:
    """Return the keys of all that a station came from, or of all that came from it."""
    steps: dict[str, list[tuple[str, bool]]] = {}
    for link in links:
        one, other = (link.after, link.before) if back else (link.before, link.after)
        steps.setdefault(one, []).append((other, link.over and not back))
    found: set[str] = set()
    followed = waiting = {start}
    while waiting:
        reached = [step for key in waiting for step in steps.get(key, ())]
        found.update(key for key, _ in reached)
        waiting = {key for key, is_end in reached if not is_end} - followed
        followed = followed | waiting
    return found


def _older(ordered: Iterable[Station], links: Iterable[Link], last: int) -> set[str]:
    """Return the versions that are not among the newest, not asked for, and not what a pool is on now."""
    in_use = {link.before for link in links if not link.over}
    newest = [station for station in ordered if station.kind is Kind.VERSION]
    return {station.key for station in newest[last:] if not station.asked and station.key not in in_use}


def _bound_to(old: set[str], stations: Iterable[Station], links: Iterable[Link]) -> set[str]:
    """Return what leads to these versions and nowhere else, and what only ever ran on them."""
    kinds = {station.key: station.kind for station in stations if not station.asked}
    bound: set[str] = set()
    for kind in (Kind.IMAGE, Kind.SNAPSHOTS, Kind.SOURCE, Kind.POOL, Kind.NODES):
        other_side: dict[str, set[str]] = {}
        for link in links:
            here, there = (
                (link.before, link.after)
                if kind in (Kind.IMAGE, Kind.SNAPSHOTS, Kind.SOURCE)
                else (link.after, link.before)
            )
            if kinds.get(here) is kind:
                other_side.setdefault(here, set()).add(there)
        bound |= {key for key, others in other_side.items() if others <= old | bound}
    return bound


def _in_order(station: Station) -> tuple[Any, ...]:
    newest_first = tuple(-part for part in number_of(station.id)) if station.kind is Kind.VERSION else ()
    return list(Kind).index(station.kind), newest_first, station.name.casefold(), station.id


def named(chart: Chart, kind: Kind, text: str, what: str, *, also: Iterable[str] = ()) -> Station:
    """Return the one station that a text names: by its id, its name, or the end of its id.

    :param what: the kind in the words of the command, such as ``pool``
    :param also: further names that would have meant something
    :raises UnknownNameError: there is none, or several; says the nearest, or which
    """
    wanted = folded(text)
    stations = chart.of(kind)
    found = [station for station in stations if wanted in (folded(station.id), *_names(station))]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownNameError(
            f"There are {len(found)} of the name {text!r}",
            resource=f"{what} {text}",
            advice=f"say which: {' or '.join(sorted(station.id for station in found))}",
        )
    raise no_such(f"{what} {text!r}", text, [*also, *(station.name for station in stations)], unread=chart.unread)


def no_such(what: str, text: str, names: Iterable[str], *, unread: Iterable[str] = ()) -> UnknownNameError:
    """Return the error of a name that means nothing.

    :param what: kind and name, as a clause
    :param names: those that would mean something
    :param unread: look-ups that failed: they may hide it
    """
    known = sorted(set(names), key=lambda name: ([-part for part in number_of(name)], name.casefold()))
    shown = listed(known, 10)
    near = nearest(text, known)
    meant = f"did you mean {near}? " if near else ""
    return UnknownNameError(
        f"Neither the pool specs nor passports nor Azure know a {what}",
        answer=in_short(unread),
        advice=f"{meant}There is: {shown}" if known else "let a pool's DAG run first: there is none as yet",
    )


def in_short(unread: Iterable[str]) -> str:
    """Return the look-ups that failed for a message; each says the same of one connection that is wrong."""
    lines = list(dict.fromkeys(unread))
    return "; ".join([*lines[:3], *([f"{len(lines) - 3} more look-ups failed"] if len(lines) > 3 else [])])


def _names(station: Station) -> Iterator[str]:
    """Yield the short names that a station goes by, folded: with and without what it is part of."""
    parts = folded(station.id).split("/")
    yield parts[-1]
    if station.kind is Kind.SOURCE and len(parts) > 4:
        yield f"{parts[4]}/{parts[-1]}"  # resource group and VM
    elif station.kind in (Kind.VERSION, Kind.POOL) and len(parts) > 3:
        yield f"{parts[-3]}/{parts[-1]}"  # definition and version, account and pool
