"""What to tell of a run that has ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from golden_pools.errors import GoldenPoolsError
from golden_pools.rules.alerts.alert import Alert
from golden_pools.rules.alerts.incident import Incident, News
from golden_pools.rules.outcome import Outcome, but_after_rollback
from golden_pools.rules.resize import duration
from golden_pools.spec.alerts import AlertLevel, Topic
from golden_pools.spec.model import Targets
from golden_pools.words import counted

TOPICS = {"source": Topic.PREFLIGHT, "preflight": Topic.PREFLIGHT, "resize": Topic.RESIZE, "nodes": Topic.RESIZE}
"""By the last part of a failed task's id."""

ON_PURPOSE = ("rollback.report", "failed")
"""Tasks that fail so that their run does: no cause."""

NO_REASON = "it left no reason: its worker was lost, or somebody marked it as failed"


@dataclass(frozen=True, kw_only=True)
class FailedTask:
    """A task that failed.

    :param error: what it said; None: nothing, it was ended from outside
    :param done: what it did about it by itself, in words
    :param log: address of its log
    """

    task_id: str
    error: GoldenPoolsError | None
    done: str = ""
    log: str | None = None

    @property
    def reason(self) -> str:
        """The failure in one line, without a full stop."""
        error = self.error
        return ": ".join(filter(None, (error.what, error.answer))).rstrip(".") if error else NO_REASON


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run that has ended, or all of it but its alert.

    :param pool: name of the spec, or what a run that is about all pools is called
    :param account: Batch account; empty: the run made no plan
    :param failed: tasks that failed, the first one first
    :param targets: node counts that the run was to bring; None: the run made no plan
    :param nodes: the pool's nodes now, in words; None: nobody looked
    :param version: what the run was to bring; None: no version
    :param on_it: what the pool is on now; None: nobody looked, or there is no pool
    :param marked_bad: whether the run marked the version bad
    :param short_of: why fewer nodes than the targets were enough; None: all are there
    :param late: how long after its deadline the run ended; None: in time, or no deadline
    :param links: text and address of the run, the pool in the portal, ...
    """

    pool: str
    account: str
    outcome: Outcome
    ended: datetime
    failed: tuple[FailedTask, ...] = ()
    targets: Targets | None = None
    nodes: str | None = None
    version: str | None = None
    on_it: str | None = None
    marked_bad: bool = False
    short_of: str | None = None
    late: timedelta | None = None
    links: tuple[tuple[str, str], ...] = ()

    @property
    def cause(self) -> str:
        """The first failure in words that stay the same while its numbers change."""
        if not self.failed:
            return ""
        first = self.failed[0]
        return f"{first.task_id}: {type(first.error).__name__}: {first.error.what if first.error else NO_REASON}"

    @property
    def topic(self) -> Topic:
        """What an alert of it is about."""
        if self.outcome is Outcome.ROLLED_BACK or any(task.task_id == "rollback.restore" for task in self.failed):
            return Topic.ROLLBACK
        if not self.failed:
            return Topic.RESIZE if self.short_of or self.outcome is Outcome.RESIZED else Topic.RUN
        return TOPICS.get(self.failed[0].task_id.rpartition(".")[2], Topic.RUN)


def alert_of(ended: Ended, news: News, incident: Incident | None) -> Alert | None:
    """Return what to tell, or None where it was told before or is not worth telling.

    :param incident: the one that goes on, or is over
    """
    if news is News.KNOWN or ended.outcome is Outcome.PLAN_ONLY:
        return None
    if ended.outcome.is_failure:
        return _failure(ended, news, incident)
    if news is News.OVER and incident:
        return _recovery(ended, incident)
    if ended.late is not None:
        return _late(ended)
    return _success(ended)


def _failure(ended: Ended, news: News, incident: Incident | None) -> Alert:
    facts = [*_what_happened(ended), *_state(ended), *_done(ended)]
    if news is News.AGAIN and incident and len(incident.runs) > 1:
        facts.append(("Failing since", f"{_moment(incident.since)}, {len(incident.runs)} runs in a row"))
    return Alert(
        topic=ended.topic, level=AlertLevel.ERROR, title=_headline(ended), facts=tuple(facts), links=_links(ended)
    )


def _headline(ended: Ended) -> str:
    failed = [task.task_id for task in ended.failed]
    first = failed[0] if failed else "its run"
    rolled_back = f"rolled back{but_after_rollback(failed)}"
    what = {
        Topic.ROLLBACK: rolled_back if ended.outcome is Outcome.ROLLED_BACK else "could not be rolled back",
        Topic.PREFLIGHT: "stopped before anything was written",
        Topic.RESIZE: "did not get its nodes",
    }.get(ended.topic, f"{first} failed")
    return f"{ended.pool}: {what}" + (f" ({ended.nodes})" if ended.nodes else "")


def _what_happened(ended: Ended) -> Iterator[tuple[str, str]]:
    causes = [task for task in ended.failed if task.task_id not in ON_PURPOSE] or list(ended.failed)
    if not causes:
        yield "What happened", "the run failed, and no task of it says why"
        return
    first, *others = causes
    yield "What happened", f"task {first.task_id}: {first.error.what if first.error else NO_REASON}"
    if first.error and first.error.answer:
        yield "Likely cause", first.error.answer
    if first.error and first.error.resource:
        yield "Where", first.error.resource
    for other in others:
        yield "Also failed", f"task {other.task_id}: {other.reason}"
    advice = [task.error.advice for task in causes if task.error and task.error.advice]
    yield "What to do", "\n".join(dict.fromkeys(advice)) or "read the task's log, then clear the task"


def _state(ended: Ended) -> Iterator[tuple[str, str]]:
    if ended.account:
        yield "Pool", f"{ended.account}/{ended.pool}"
    if ended.targets is not None:
        yield "Target", f"{ended.targets.dedicated} dedicated and {ended.targets.spot} Spot nodes"
    if ended.nodes:
        yield "Nodes now", ended.nodes
    if ended.on_it:
        other = f"; the run was to bring {ended.version}" if ended.version and ended.version != ended.on_it else ""
        yield "Image now", f"{ended.on_it}{other}"


def _done(ended: Ended) -> Iterator[tuple[str, str]]:
    done = [f"{task.task_id}: {task.done}" for task in ended.failed if task.done]
    if ended.outcome is Outcome.ROLLED_BACK:
        done.append(f"the pool was put back on {ended.on_it or 'the image that it had'}")
    if ended.marked_bad:
        done.append(f"version {ended.version} was marked bad: no run takes it by itself any more")
    if done:
        yield "Done by itself", "; ".join(done)


def _recovery(ended: Ended, incident: Incident) -> Alert:
    lasted = duration(ended.ended - incident.since)
    facts = [
        ("What happened", f"the run was {ended.outcome.words}" + (f", with {ended.nodes}" if ended.nodes else "")),
        *_state(ended),
        ("What it was", incident.title),
        ("It lasted", f"{lasted}, since {_moment(incident.since)}, over {counted(len(incident.runs), 'run')}"),
    ]
    return Alert(
        topic=incident.topic,
        level=incident.level,
        title=f"{ended.pool}: over after {lasted}",
        facts=tuple(facts),
        links=_links(ended),
        over=True,
    )


def _late(ended: Ended) -> Alert:
    late = duration(ended.late or timedelta())
    facts = [("What happened", f"the run has ended, {late} after its deadline"), *_state(ended)]
    return Alert(
        topic=Topic.DEADLINE,
        level=AlertLevel.ERROR,
        title=f"{ended.pool}: on its image, {late} late",
        facts=tuple(facts),
        links=_links(ended),
        over=True,
    )


def _success(ended: Ended) -> Alert:
    level = AlertLevel.WARNING if ended.short_of else AlertLevel.INFO
    words = "has enough nodes, not all" if ended.short_of else ended.outcome.words
    facts = [*([("Why not all", ended.short_of)] if ended.short_of else []), *_state(ended)]
    return Alert(
        topic=ended.topic, level=level, title=f"{ended.pool}: {words}", facts=tuple(facts), links=_links(ended)
    )


def _links(ended: Ended) -> tuple[tuple[str, str], ...]:
    logs = [(f"Log of {task.task_id}", task.log) for task in ended.failed[:1] if task.log]
    return (*logs, *ended.links)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
