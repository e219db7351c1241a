"""What the events of an asset tell of former runs: nothing else survives a run where a worker can read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from golden_pools.rules.passport import Passport, read_passport

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

MOST_EVENTS = 100
"""So many of the latest events of an asset are read: of a pool that is refreshed every night, those of three months."""


def latest_events(context: Context, asset: Asset) -> list[Any]:
    """Return the latest events of an asset, an inlet of the task, the newest first: each has ``timestamp, extra``."""
    return list(context["inlet_events"][asset].ascending(ascending=False).limit(MOST_EVENTS))


def past_runs(context: Context, asset: Asset | None) -> list[Passport]:
    """Return the passports that runs of a pool have sent, the newest first; what is no passport is left out.

    :param asset: the pool's asset, an inlet of the task; None: nobody is asked
    """
    found = []
    for event in latest_events(context, asset) if asset else ():
        try:
            found.append(read_passport(event.extra or {}))
        except ValidationError:  # sent by hand, or of another shape
            continue
    return found
