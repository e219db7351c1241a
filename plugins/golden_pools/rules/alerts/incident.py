"""One alert per incident: what was told before, and what is news."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from golden_pools.rules.alerts.alert import Alert
from golden_pools.rules.outcome import Outcome
from golden_pools.spec.alerts import AlertLevel, Topic

SETTLES = frozenset({Outcome.REFRESHED, Outcome.UNCHANGED, Outcome.RESIZED, Outcome.DONE})
"""Outcomes that end an incident; a run that only plans, or was not approved, has mended nothing."""


class News(StrEnum):
    """What an ended run means for those who were told of the runs before it."""

    NEW = "new"
    AGAIN = "again"
    KNOWN = "known"
    OVER = "over"
    NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Incident:
    """A pool whose runs of one DAG fail, until one succeeds.

    :param since: when the first of its runs ended
    :param runs: ids of the runs that failed, oldest first
    :param reason: of the latest failure; another one is told, also of the same run
    :param title: of the latest alert
    """

    since: datetime
    runs: tuple[str, ...]
    reason: str
    title: str = ""
    topic: Topic = Topic.RUN
    level: AlertLevel = AlertLevel.ERROR

    def told(self, alert: Alert | None) -> Self:
        """Return the incident with what was last told of it."""
        if alert is None:
            return self
        return replace(self, title=alert.title, topic=alert.topic, level=alert.level)

    def to_dict(self) -> dict[str, Any]:
        """Return the incident as JSON; :meth:`of` makes it an incident again."""
        return {**asdict(self), "since": self.since.isoformat(), "runs": list(self.runs)}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return the incident that :meth:`to_dict` wrote."""
        return cls(
            **{
                **value,
                "since": datetime.fromisoformat(value["since"]),
                "runs": tuple(value["runs"]),
                "topic": Topic(value["topic"]),
                "level": AlertLevel(value["level"]),
            }
        )


def judge(
    known: Incident | None, *, outcome: Outcome, run_id: str, reason: str, ended: datetime
) -> tuple[News, Incident | None]:
    """Return what a run's end means, and the incident that goes on with it, or is over.

    :param known: the incident that is going on
    :param reason: why the run failed, the same words for the same cause
    """
    if outcome.is_failure:
        if known is None:
            return News.NEW, Incident(since=ended, runs=(run_id,), reason=reason)
        if run_id in known.runs:
            news = News.KNOWN if known.reason == reason else News.AGAIN
            return news, replace(known, reason=reason)
        return News.AGAIN, replace(known, runs=(*known.runs, run_id), reason=reason)
    if outcome in SETTLES and known is not None:
        return News.OVER, known
    return News.NOTHING, known
