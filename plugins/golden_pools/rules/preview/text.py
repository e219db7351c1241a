"""The answer of a plan-only run as Markdown that also reads as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from golden_pools.rules.costs import money
from golden_pools.rules.intentions import Action, sees_pools
from golden_pools.rules.markdown import escaped, table
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preflight import Finding, Level, Observations, blockers
from golden_pools.rules.preview.costs import Cost
from golden_pools.rules.preview.durations import Duration
from golden_pools.rules.preview.quota import QuotaNeed
from golden_pools.rules.quota import QuotaKind
from golden_pools.rules.resize import duration
from golden_pools.rules.resource_names import image_name, resource_name
from golden_pools.words import counted, shortened

LONGEST_CELL = 200
"""Characters of a cell; a start task's command may have thousands."""

_QUOTA_SAYS = {
    QuotaKind.FITS: "fits",
    QuotaKind.FULL_NOW: "not now: others hold it",
    QuotaKind.NEVER: "never fits",
    QuotaKind.UNKNOWN: "not known",
}


def render(
    plan: RunPlan,
    seen: Observations,
    findings: Sequence[Finding],
    rows: Sequence[Action],
    needs: Sequence[QuotaNeed],
    past: Sequence[Duration],
    cost: Sequence[Cost],
) -> str:
    """Return all parts below one another."""
    return "\n\n".join(
        [
            *_begin(plan, findings),
            "#### Changes",
            *_changes(plan, seen, rows),
            "#### Quota",
            quota_table(needs) if needs else "None: no node and no pool is made.",
            "#### Time",
            time_table(plan, past),
            "#### Cost",
            *_costs(cost),
        ]
    )


def _begin(plan: RunPlan, findings: Sequence[Finding]) -> Iterator[str]:
    strategy, image = plan.spec.refresh.strategy.value, image_name(plan.image_id)
    yield f"### Plan of pool {escaped(plan.pool)}: {escaped(strategy)}, image {escaped(image)}"
    if found := blockers(findings):
        yield f"**Preflight would stop this run before it writes anything: {counted(len(found), 'blocker')}.**"
        yield "\n".join(f"- {_cell(f'{finding.check}: {finding.seen}')}" for finding in found)
    elif warnings := [finding for finding in findings if finding.level is Level.WARNING]:
        yield f"Preflight finds no blocker and {counted(len(warnings), 'warning')} to be read in the log."


def _changes(plan: RunPlan, seen: Observations, rows: Sequence[Action]) -> Iterator[str]:
    if rows:
        yield changes_table(rows)
    elif sees_pools(seen):
        yield "None: everything is as it should be."
    if not sees_pools(seen):
        yield f"What would become of pool {escaped(plan.pool)} is not known: its Batch account could not be read."


def changes_table(rows: Sequence[Action]) -> str:
    """Return what would be written."""
    cells = ((row.stage, row.kind.value, resource_name(row.resource), row.before, row.after, row.what) for row in rows)
    head = ("stage", "kind", "resource", "before", "after", "what")
    return table(head, (tuple(map(_cell, line)) for line in cells), aligned=True)


def quota_table(needs: Sequence[QuotaNeed]) -> str:
    """Return what steps need of quotas."""
    cells = (
        (
            need.step,
            need.quota,
            *("-" if count is None else f"{count:,}" for count in (need.now, need.needed, need.peak, need.limit)),
            "; ".join(filter(None, (_QUOTA_SAYS[need.says], need.note))),
        )
        for need in needs
    )
    head = ("step", "quota", "taken now", "needed", "at the most", "limit", "says")
    return table(head, (tuple(map(_cell, line)) for line in cells), aligned=True)


def time_table(plan: RunPlan, past: Sequence[Duration]) -> str:
    """Return how long stages took, or that nobody knows yet."""
    if not past:
        kind = "that builds an image" if plan.builds_image else "onto a version that is there"
        return f"No run yet of this pool with {_cell(plan.spec.refresh.strategy.value)} {kind}."
    cells = ((one.stage, str(one.runs), _took(one.median_seconds), _took(one.longest_seconds)) for one in past)
    return table(("stage", "runs", "median", "longest"), (tuple(map(_cell, line)) for line in cells), aligned=True)


def _took(seconds: float) -> str:
    return duration(timedelta(seconds=round(seconds)))


def _costs(cost: Sequence[Cost]) -> Iterator[str]:
    if not cost:
        yield "None beside what the pool costs anyway."
        return
    cells = (
        (
            one.what,
            "-" if one.hours is None else f"{one.hours:,.2f} h",
            "-" if one.gib is None else f"{one.gib:,} GiB",
            money(one.amount, one.currency) + (f" a {one.per}" if one.amount is not None else ""),
            one.basis,
        )
        for one in cost
    )
    head = ("what", "node hours", "stored", "cost", "basis")
    yield table(head, (tuple(map(_cell, line)) for line in cells), aligned=True)
    amounts = [one.amount for one in cost if one.per == "run"]
    if amounts and None not in amounts:
        total = sum(amount for amount in amounts if amount is not None)
        at_least = "at least " if any(one.partial for one in cost) else ""
        yield f"Extra cost of the run: {at_least}{money(total, cost[0].currency)}."
    elif amounts:
        yield "Extra cost of the run: not known; give the prices in `prices.node_hour` and `prices.spot_node_hour`."


def _cell(text: str) -> str:
    return escaped(shortened(" ".join(text.split()), LONGEST_CELL))
