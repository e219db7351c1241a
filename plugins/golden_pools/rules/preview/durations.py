"""How long runs of the same kind took, by the passports that travel with the pool's asset events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from statistics import median

from golden_pools.rules.outcome import APPROVE, LEFT_ALONE
from golden_pools.rules.passport import Passport, PoolOf
from golden_pools.rules.plan import RunPlan

MOST_RUNS = 20
"""Latest runs of the same kind that count: older ones had other node counts and another golden VM."""

IN_ALL = "in all"
"""Name of the row about the run from its start to a ready pool, without the wait for an approval."""


@dataclass(frozen=True, kw_only=True)
class Duration:
    """How long a stage took.

    :param stage: its task, or ``IN_ALL``
    :param runs: how many did it
    """

    stage: str
    runs: int
    median_seconds: float
    longest_seconds: float

    @property
    def usual(self) -> timedelta:
        """The median."""
        return timedelta(seconds=self.median_seconds)

    def to_dict(self) -> dict[str, str | int | float]:
        """Return it as JSON."""
        return asdict(self)


def durations(
    plan: RunPlan, passports: Iterable[Passport], *, moves: bool, order: Sequence[str] = ()
) -> list[Duration]:
    """Return how long each stage took, and the run in all, the latter last; nothing where there was no such run.

    A run is of the same kind when it was of this pool with this strategy, built an image as this one would or did not,
    and moved the pool as this one would or did not.

    :param passports: of runs of the pool, the latest first
    :param moves: whether this run would make or change the pool
    :param order: the DAG's tasks in their order
    """
    alike = [run for passport in passports if (run := _run_of(passport, plan, moves=moves)) is not None][:MOST_RUNS]
    seconds: dict[str, list[float]] = {}
    for run in alike:
        for stage, took in run.items():
            seconds.setdefault(stage, []).append(took)
    place = {stage: number for number, stage in enumerate([*order, IN_ALL])}
    return [
        Duration(stage=stage, runs=len(took), median_seconds=round(median(took), 1), longest_seconds=max(took))
        for stage, took in sorted(seconds.items(), key=lambda one: (one[0] == IN_ALL, place.get(one[0], -1)))
    ]


def _run_of(passport: Passport, plan: RunPlan, *, moves: bool) -> Mapping[str, float] | None:
    """Return the seconds by stage, if the passport is of a run of the same kind."""
    run, pool = passport.run, _pool_of(passport, plan)
    if run is None or pool is None or passport.built != plan.builds_image:
        return None
    if run.params.get("refresh_strategy") != plan.spec.refresh.strategy or (pool.action != LEFT_ALONE) != moves:
        return None
    waited = run.stages.get(APPROVE, 0.0)
    whole = (pool.since - run.stamp).total_seconds() - waited
    stages = {stage: took for stage, took in run.stages.items() if stage != APPROVE}
    return {**stages, IN_ALL: round(whole, 1)} if whole > 0 else stages


def _pool_of(passport: Passport, plan: RunPlan) -> PoolOf | None:
    return next((pool for pool in reversed(passport.pools) if pool.alias == plan.pool), None)
