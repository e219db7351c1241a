"""What to tell of drift: one alert for each channel, about all pools that it is for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from golden_pools.rules.alerts.alert import Alert
from golden_pools.rules.watch import Finding, Watched
from golden_pools.rules.watch.whose import whose
from golden_pools.spec.alerts import AlertLevel, Channel, Topic
from golden_pools.words import counted, listed

MOST_TOLD = 20
"""Findings that stand in one alert; the rest is counted."""


def drift_alerts(
    findings: Iterable[Finding], specs: Sequence[Watched], *, gone: bool, links: tuple[tuple[str, str], ...] = ()
) -> dict[Channel, Alert]:
    """Return what each channel is told of findings that are new, or gone.

    :param links: text and address of the look's log
    """
    for_channel: dict[Channel, list[Finding]] = {}
    pools: dict[Channel, set[str]] = {}
    for finding in findings:
        level = AlertLevel(finding.level.lower())
        for one in whose(finding, specs):
            for channel in one.spec.alerts:
                if channel.wants(Topic.DRIFT, level):
                    known = for_channel.setdefault(channel, [])
                    known += [finding] if finding not in known else []
                    pools.setdefault(channel, set()).add(one.name)
    return {channel: _alert(found, pools[channel], gone=gone, links=links) for channel, found in for_channel.items()}


def unheard(findings: Iterable[Finding], specs: Sequence[Watched]) -> list[Finding]:
    """Return the findings that nobody is told of."""
    return [
        finding
        for finding in findings
        if not any(
            channel.wants(Topic.DRIFT, AlertLevel(finding.level.lower()))
            for one in whose(finding, specs)
            for channel in one.spec.alerts
        )
    ]


def _alert(found: Sequence[Finding], pools: set[str], *, gone: bool, links: tuple[tuple[str, str], ...]) -> Alert:
    about = listed(sorted(pools), 3)
    left = len(found) - MOST_TOLD
    return Alert(
        topic=Topic.DRIFT,
        level=max((AlertLevel(finding.level.lower()) for finding in found), key=list(AlertLevel).index),
        title=f"{about}: {counted(len(found), 'finding')} {'gone' if gone else 'of drift'}",
        facts=(
            *(
                (finding.check, finding.seen if gone else f"{finding.seen}\nWhat to do: {finding.advice}")
                for finding in found[:MOST_TOLD]
            ),
            *([("And", f"{left} more: see the log")] if left > 0 else []),
        ),
        links=links,
        over=gone,
    )
