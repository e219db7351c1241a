"""The report of a retention run: a table for the log, and the same as JSON for the event."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from golden_pools.rules.costs import money
from golden_pools.rules.retention.world import Action, Decision, World

COMING = (Action.RETIRE, Action.WAIT, Action.DELETE)
"""What these are decided about is gone some day soon, and no longer paid for."""

MOST_ITEMS = 200
"""Things that the event names one by one; the log has them all."""


def as_json(world: World, decisions: Sequence[Decision]) -> dict[str, Any]:
    """Return totals, by spec and of all, and what is not simply kept, one by one."""
    by_spec: dict[str, list[Decision]] = defaultdict(list)
    for one in decisions:
        by_spec[one.spec].append(one)
    items = [_item(one) for one in decisions if one.action is not Action.KEEP]
    return {
        "at": world.now.isoformat(timespec="seconds"),
        "unread": list(world.unread),
        "deleting": sorted(name for name, spec in world.specs.items() if spec.retention.delete),
        "total": _total(decisions),
        "specs": {spec: _total(ones) for spec, ones in sorted(by_spec.items())},
        "items": items[:MOST_ITEMS],
        "items_left_out": max(0, len(items) - MOST_ITEMS),
    }


def table(decisions: Iterable[Decision]) -> str:
    """Return what is not simply kept as lines of a table, or an empty string."""
    rows = [
        (one.action.value, one.kind.value, one.name, one.spec, _gib(one.gib), money(one.cost, one.currency), one.why)
        for one in decisions
        if one.action is not Action.KEEP
    ]
    return _aligned([("what", "kind", "name", "spec", "GiB", "a month", "why"), *rows]) if rows else ""


def totals_table(decisions: Iterable[Decision]) -> str:
    """Return the totals by spec as lines of a table, or an empty string."""
    by_spec: dict[str, list[Decision]] = defaultdict(list)
    for one in decisions:
        by_spec[one.spec].append(one)
    rows = []
    for spec, ones in sorted(by_spec.items()):
        total = _total(ones)
        costs = ", ".join(money(cost, currency) for currency, cost in total["cost_coming"].items())
        counts = total["actions"]
        rows.append(
            (spec, *(str(counts.get(action.value, 0)) for action in Action), _gib(total["gib_coming"]), costs or "-")
        )
    head = ("spec", *(action.value for action in Action), "GiB to be freed", "a month")
    return _aligned([head, *rows]) if rows else ""


def _total(decisions: Iterable[Decision]) -> dict[str, Any]:
    decisions = list(decisions)
    coming = [one for one in decisions if one.action in COMING]
    cost: dict[str, float] = defaultdict(float)
    for one in coming:
        if one.cost is not None:
            cost[one.currency] += one.cost
    return {
        "actions": dict(Counter(one.action.value for one in decisions)),
        "gib_kept": sum(one.gib or 0 for one in decisions if one.action not in COMING),
        "gib_coming": sum(one.gib or 0 for one in coming),
        "cost_coming": {currency: round(amount, 2) for currency, amount in sorted(cost.items())},
    }


def _item(one: Decision) -> dict[str, Any]:
    return {
        "action": one.action.value,
        "kind": one.kind.value,
        "id": one.id,
        "spec": one.spec,
        "why": one.why,
        "gib": one.gib,
        "cost": None if one.cost is None else round(one.cost, 2),
        "currency": one.currency,
    }


def _gib(gib: int | None) -> str:
    return "-" if gib is None else f"{gib:,}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
