"""The answer of a plan-only run: what it would write, need of the quotas, take and cost, as a table for people.

The same values travel as JSON to the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from golden_pools.rules.intentions import Action, Work, intentions, moves_pool
from golden_pools.rules.passport import Passport
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preflight import Finding, Observations
from golden_pools.rules.preview.costs import Cost, run_costs
from golden_pools.rules.preview.durations import IN_ALL, Duration, durations
from golden_pools.rules.preview.quota import QuotaNeed, quota_needs
from golden_pools.rules.preview.text import changes_table, render, time_table

__all__ = ["IN_ALL", "Cost", "Duration", "Preview", "QuotaNeed", "changes_table", "durations", "preview", "time_table"]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a run would do, need, take and cost."""

    markdown: str
    rows: tuple[Action, ...]
    quota: tuple[QuotaNeed, ...]
    durations: tuple[Duration, ...]
    cost: tuple[Cost, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON, as the XCom ``plan_table`` and the page have it."""
        parts: Mapping[str, Sequence[Any]] = {
            "rows": self.rows,
            "quota": self.quota,
            "durations": self.durations,
            "cost": self.cost,
        }
        return {"markdown": self.markdown, **{name: [one.to_dict() for one in part] for name, part in parts.items()}}


def preview(
    plan: RunPlan,
    seen: Observations,
    *,
    findings: Sequence[Finding] = (),
    work: Work | None = None,
    passports: Iterable[Passport] = (),
    order: Sequence[str] = (),
) -> Preview:
    """Return the answer of a plan-only run, as far as the present state of Azure and former runs tell.

    :param findings: of preflight: blockers stand above all else
    :param work: what is bound to the pools; None: nobody looked
    :param passports: of runs of the pool, the latest first
    :param order: the DAG's tasks in their order
    """
    rows = intentions(plan, seen, work)
    stages = {action.stage for action in rows}
    needs = quota_needs(plan, seen, stages)
    past = durations(plan, passports, moves=moves_pool(rows), order=order)
    cost = run_costs(plan, seen, rows, past)
    return Preview(
        markdown=render(plan, seen, findings, rows, needs, past, cost),
        rows=tuple(rows),
        quota=tuple(needs),
        durations=tuple(past),
        cost=tuple(cost),
    )
