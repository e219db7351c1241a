"""Which image versions stay, which are marked, and which go after their grace.

A version goes in two steps, days apart: first it is marked (end of life, excluded from latest), then deleted. Who uses
it from an account that nobody can list has that time to see it.

Source: "Azure Compute Gallery", end of life and ``excludeFromLatest`` of versions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from golden_pools.rules.costs import cost_of
from golden_pools.rules.facts import ImageVersion, folded, number_of
from golden_pools.rules.orphans import OLD_ENOUGH
from golden_pools.rules.plan import LONGEST_TAG, RETIRED_TAG, ImageVerdict, is_marked
from golden_pools.rules.retention.world import Action, Decision, Kind, Policy, World, is_pinned, run_of
from golden_pools.words import counted

FINAL_STATES = ("Succeeded", "Failed")
"""States in which nothing is being done with a version."""


def version_decisions(world: World) -> Iterator[Decision]:
    """Yield a decision for every version that our runs have made; others are not spoken of."""
    by_definition: dict[str, list[ImageVersion]] = defaultdict(list)
    for version in world.versions:
        by_definition[folded(version.id).partition("/versions/")[0]].append(version)
    for definition, versions in by_definition.items():
        if policy := world.policies.get(definition):
            yield from _of_definition(world, definition, policy, versions)


def retired_tags(now: datetime, why: str) -> dict[str, str]:
    """Return the tag that marks a version: since when, and why."""
    return {RETIRED_TAG: f"{now.isoformat(timespec='seconds')} {why}"[:LONGEST_TAG]}


def retired_since(version: ImageVersion) -> datetime | None:
    """Return since when a version is marked; None where it is not, or where its tag does not say since when."""
    try:
        moment = datetime.fromisoformat(version.tags.get(RETIRED_TAG, "").partition(" ")[0])
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _of_definition(
    world: World, definition: str, policy: Policy, versions: Iterable[ImageVersion]
) -> Iterator[Decision]:
    ours = [(version, maker) for version in versions if (maker := _maker(policy, version))]
    good = sorted(
        number_of(version.id)
        for version, _ in ours
        if version.provisioning_state == "Succeeded" and is_marked(version.tags, ImageVerdict.GOOD)
    )
    rollback: dict[tuple[int, ...], str] = {}
    for image, pools in world.pools_on.items():
        if image.startswith(f"{definition}/versions/"):
            before = bisect_left(good, number_of(image))
            for number in good[max(0, before - policy.rollback_depth) : before]:
                rollback.setdefault(number, pools[0].name)
    for version, maker in ours:
        newer = len(good) - bisect_right(good, number_of(version.id))
        kept = _why_kept(world, definition, policy, version, newer, rollback)
        action, why = _step(world, policy, version, kept)
        prices = world.specs[maker].prices
        gib = version.size_gib
        stored = gib * sum(version.target_regions.values()) if gib is not None else None
        price = prices.replica_gib_month
        unsure = action is Action.DELETE and version.provisioning_state != "Succeeded"
        yield Decision(
            kind=Kind.VERSION,
            id=version.id,
            spec=maker,
            action=action,
            why=why,
            gib=stored,
            cost=cost_of(stored, price),
            currency=prices.currency,
            run=run_of(version.tags) if unsure else None,
        )


def _maker(policy: Policy, version: ImageVersion) -> str | None:
    name = version.tags.get("golden-pools-pool", "").casefold()
    return policy.makers.get(name) if run_of(version.tags) else None


def _why_kept(
    world: World,
    definition: str,
    policy: Policy,
    version: ImageVersion,
    newer: int,
    rollback: dict[tuple[int, ...], str],
) -> str:
    """Return why a version stays, or nothing.

    :param newer: good versions that are newer
    :param rollback: versions that a pool would go back to -> the pool
    """
    key = folded(version.id)
    if pools := world.pools_on.get(key):
        return f"pool {pools[0].name} is on it"
    if pools := world.pools_on.get(definition):
        return f"pool {pools[0].name} takes the latest version of the definition"
    if is_pinned(version.tags):
        return "pinned"
    if key in world.named_by_specs:
        return "a spec names it"
    if pool := rollback.get(number_of(version.id)):
        return f"pool {pool} would go back to it"
    if version.published is None:
        return "Azure does not say when it was published"
    if world.now - version.published <= max(timedelta(days=policy.keep_days), OLD_ENOUGH):
        return f"younger than {counted(max(policy.keep_days, 1), 'day')}"
    if is_marked(version.tags, ImageVerdict.GOOD) and newer < policy.keep:
        return f"one of the newest {policy.keep} good ones"
    return ""


def _step(world: World, policy: Policy, version: ImageVersion, kept: str) -> tuple[Action, str]:
    """Return what is to be done next with a version."""
    state, is_good = version.provisioning_state, is_marked(version.tags, ImageVerdict.GOOD)
    if state == "Deleting":
        return Action.GOING, "it is being deleted"
    if state not in FINAL_STATES:
        return Action.KEEP, f"something is done with it: {state or 'no state'}"
    if kept:
        return (Action.RESTORE if version.tags.get(RETIRED_TAG) else Action.KEEP), kept
    if state == "Failed" and not is_good:
        # A mark would make Azure replicate it once more.
        return Action.DELETE, "its replication failed, and no pool is on it"
    why = "marked bad" if is_marked(version.tags, ImageVerdict.BAD) else "" if is_good else "never proved good"
    why = why or f"{policy.keep} newer ones are good, and no pool is on it"
    since = retired_since(version)
    if since is None or not version.exclude_from_latest:  # a run that used it again has taken the mark back in part
        return Action.RETIRE, why
    due = max(since + timedelta(days=policy.grace_days), version.end_of_life or since)
    if due > world.now:
        return Action.WAIT, f"{why}; goes after {due:%Y-%m-%d %H:%M} UTC"
    return Action.DELETE, f"{why}; marked since {since:%Y-%m-%d}"
