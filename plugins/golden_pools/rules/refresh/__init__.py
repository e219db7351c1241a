"""The next step that brings a pool onto the run's image and settings, by the spec's strategy."""

from collections.abc import Callable, Mapping

from golden_pools.rules.plan import RunPlan
from golden_pools.rules.refresh.blue_green import blue_green
from golden_pools.rules.refresh.drift import Change, drift, needs_empty_pool, same_id
from golden_pools.rules.refresh.in_place import in_place
from golden_pools.rules.refresh.recreate import recreate
from golden_pools.rules.refresh.step import Seen, Step, StepKind
from golden_pools.spec.model import Strategy

__all__ = ["Change", "Seen", "Step", "StepKind", "drift", "needs_empty_pool", "refresh_step", "same_id"]

_STRATEGIES: Mapping[Strategy, Callable[[Seen, RunPlan], Step]] = {
    Strategy.IN_PLACE: in_place,
    Strategy.BLUE_GREEN: blue_green,
    Strategy.RECREATE: recreate,
}


def refresh_step(seen: Seen, plan: RunPlan) -> Step:
    """Return the next step under the plan's strategy.

    Ask again after each step, until it says ``LEAVE``: then ``Step.pool`` is the pool that the run goes on with.
    """
    return _STRATEGIES[plan.spec.refresh.strategy](seen, plan)
