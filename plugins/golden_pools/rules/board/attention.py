"""Whether a person is needed, and why: one word and one sentence for each pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from golden_pools.rules.board.facts import FindingSeen, RunSeen
from golden_pools.rules.board.runs import awaits_answer, head, verdict
from golden_pools.rules.outcome import Outcome
from golden_pools.words import counted

LATE = timedelta(hours=2)
"""So long after its time a scheduled run may begin, or its DAG be read, before somebody should look."""


class Attention(StrEnum):
    """What a pool asks of a person, the most urgent first."""

    ACT = "act"
    LOOK = "look"
    BUSY = "busy"
    UNKNOWN = "unknown"
    FINE = "fine"


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """Nodes of a pool; those that a resize is bringing count as starting."""

    target: int
    ready: int
    starting: int
    bad: int
    missing: int


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is known of one pool.

    :param in_airflow: whether Airflow has its DAG
    :param paused: None: not known
    :param scheduled: whether its spec has a schedule
    :param refreshed: newest run that refreshes it; one that only planned tells nothing
    :param resized: newest run that only resizes it
    :param nodes: None: not known
    :param missing_spot: of the missing nodes those that Azure has taken away, and Batch will bring back
    :param looked: whether Azure has ever been looked at
    :param there: whether the account has the pool; None: not known
    :param newest: whether the pool is on the newest good version; None: not known
    :param newest_since: since when there is that version
    :param next_run_at: when Airflow begins the next run
    """

    in_airflow: bool
    paused: bool | None
    scheduled: bool
    refreshed: RunSeen | None
    resized: RunSeen | None
    nodes: Nodes | None
    missing_spot: int
    looked: bool
    there: bool | None
    newest: bool | None
    newest_since: datetime | None
    next_run_at: datetime | None
    findings: tuple[FindingSeen, ...]

    @property
    def goes_on(self) -> RunSeen | None:
        """The run that works on the pool; a refresh before a resize, which waits for it."""
        return next((run for run in (self.refreshed, self.resized) if run is not None and run.goes_on), None)


def attention(case: Case, now: datetime) -> tuple[Attention, str]:
    """Return what a pool asks of a person, and the sentence that says why; the first reason of the most urgent kind."""
    if why := next(_to_act(case), ""):
        return Attention.ACT, why
    if why := next(_to_look(case, now), ""):
        return Attention.LOOK, why
    if run := case.goes_on:
        return Attention.BUSY, _sentence(head(run).outcome_text)
    if not case.looked and case.refreshed is None and case.resized is None:
        return Attention.UNKNOWN, ""
    return Attention.FINE, ""


def _to_act(case: Case) -> Iterator[str]:
    if (run := case.goes_on) and awaits_answer(run):
        yield "A run waits for an answer before the pool moves."
    yield from _failed(case)
    if case.goes_on is None:
        yield from _nodes(case)
    yield from (_sentence(finding.seen) for finding in case.findings if finding.level == "error")


def _failed(case: Case) -> Iterator[str]:
    """Yield what the newest run of each kind failed of; a later refresh settles a resize that failed."""
    refreshed, resized = case.refreshed, case.resized
    for run, is_settled in ((refreshed, False), (resized, _later(refreshed, resized))):
        if run is None or is_settled or run.goes_on:
            continue
        came = Outcome(head(run).outcome)
        if came.is_failure and (found := verdict(run)):
            yield _sentence(found.text)


def _later(one: RunSeen | None, other: RunSeen | None) -> bool:
    return bool(one and other and one.number > other.number)


def _nodes(case: Case) -> Iterator[str]:
    """Yield what is wrong with the nodes where no run is at work on them."""
    if case.there is False and case.refreshed is not None and Outcome(head(case.refreshed).outcome) in _MADE_IT:
        yield "The pool is gone from its Batch account; refresh it to make it anew."
    if (nodes := case.nodes) is None:
        return
    if nodes.bad:
        yield f"{_of(nodes.bad, nodes)} not usable: unusable, failed start task, or out of contact."
    if nodes.missing > case.missing_spot:
        yield f"{_of(nodes.missing, nodes)} missing, and no run is bringing them."


_MADE_IT = (Outcome.REFRESHED, Outcome.UNCHANGED)


def _of(count: int, nodes: Nodes) -> str:
    return f"{count} of {nodes.target} nodes {'is' if count == 1 else 'are'}"


def _to_look(case: Case, now: datetime) -> Iterator[str]:
    if not case.in_airflow:
        yield "Airflow does not have its DAG: look at the import errors there."
    if case.paused and case.scheduled:
        yield "Its DAG is paused, so its schedule does nothing."
    if case.missing_spot:
        yield f"Azure has taken {counted(case.missing_spot, 'Spot node')} away; Batch refills the pool when it can."
    if case.next_run_at and now - case.next_run_at > LATE and not case.paused and case.goes_on is None:
        yield f"A run was due {_span(now - case.next_run_at)} ago and has not begun: is the scheduler up?"
    if _is_behind(case, now):
        yield "It is not on the newest good image version, though a run has had the time to bring it."
    yield from (_sentence(finding.seen) for finding in case.findings if finding.level == "warning")
    if case.goes_on is None and case.there is False:
        yield "There is no pool yet: refresh it to make it."


def _is_behind(case: Case, now: datetime) -> bool:
    """Return whether the pool has missed a version: a run came to its end since, or there is nothing to wait for."""
    if case.newest is not False or case.goes_on is not None:
        return False
    since, run = case.newest_since, case.refreshed
    if since is None or case.next_run_at is None:
        return True
    return bool(run and run.started and run.started > since) or now - since > timedelta(days=2)


def _span(span: timedelta) -> str:
    hours = int(span.total_seconds()) // 3600
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours"


def _sentence(text: str) -> str:
    """Return a text as one sentence: one line, with a capital and a full stop."""
    line = " ".join(text.split())
    return f"{line[:1].upper()}{line[1:].rstrip('.')}." if line else ""
