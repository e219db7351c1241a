"""Whether a run makes an image: only where something has changed since the newest version that is fit for use.

The schedule says when a run looks, not when it builds; a run by hand looks, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from golden_pools.rules.facts import ImageVersion, number_of
from golden_pools.rules.plan import (
    FINGERPRINT_TAG,
    RETIRED_TAG,
    ImageVerdict,
    RunPlan,
    is_made_by_a_run,
    is_marked,
    made_by,
)
from golden_pools.spec.image import Build, BuildWhen


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether to build, why or why not, and the version that is used where nothing is built.

    ``stopped`` says that an image is due, and too many builds have failed.
    """

    builds: bool
    reason: str
    version: ImageVersion | None = None
    stopped: bool = False


def decide(
    plan: RunPlan,
    versions: Iterable[ImageVersion],
    differs: Callable[[str], str],
    *,
    failures: int,
    now: datetime,
    region: str | None = None,
) -> Decision:
    """Return the decision for a source that runs make images from.

    What the run itself has made does not count, so that a clear in mid-run decides as before.

    :param versions: all of the spec's definition
    :param differs: says what about the source is not as a fingerprint says; empty where it is unchanged
    :param failures: builds in a row that failed, see :func:`failures_in_a_row`
    :param region: of the pool, normalised: a version that is not for it cannot be used; None: not known
    """
    others = [
        version
        for version in versions
        if is_of_pool(version, plan.pool)
        and not made_by(plan, version.tags)
        and (region is None or region in version.target_regions)
    ]
    newest = newest_fit(others, now)
    why = _why_build(plan, newest, differs, now)
    if not why:
        assert newest is not None
        reason = f"the source is unchanged since version {newest.name}: nothing is started, attached or resized"
        return Decision(builds=False, reason=reason, version=newest)
    if plan.scheduled and stops(plan.spec.image.build, failures):
        return Decision(builds=False, reason=stopped(failures), stopped=True, version=newest_good(others, now))
    return Decision(builds=True, reason=why)


def _why_build(plan: RunPlan, newest: ImageVersion | None, differs: Callable[[str], str], now: datetime) -> str:
    """Return why an image is due; empty where the newest version will do."""
    build = plan.spec.image.build
    if plan.force_rebuild:
        return "force_rebuild was asked for"
    if newest is None:
        return "there is no version of this pool's runs in the pool's region that could be used instead"
    if build.when is BuildWhen.ALWAYS:
        return "image.build.when is always"
    why = too_old(build, newest, now) or differs(newest.tags.get(FINGERPRINT_TAG, ""))
    return f"{why} (newest version: {newest.name})" if why else ""


def failures_in_a_row(begun: Sequence[str], versions: Iterable[ImageVersion]) -> int:
    """Return how many of the last builds came to no version, or to one that is bad.

    What fails later, such as a pool without quota, does not count: it says nothing about the image.

    :param begun: names of the versions of builds that were begun, the latest last
    """
    came = {
        version.name
        for version in versions
        if version.provisioning_state == "Succeeded" and not is_marked(version.tags, ImageVerdict.BAD)
    }
    return next((count for count, name in enumerate(reversed(begun)) if name in came), len(begun))


def stops(build: Build, failures: int) -> bool:
    """Return whether so many failures in a row stop scheduled builds."""
    return bool(build.stop_after_failures) and failures >= build.stop_after_failures


def stopped(failures: int) -> str:
    """Say that builds are stopped, and how they start again."""
    return (
        f"{failures} builds in a row have failed, so scheduled runs build no more until one that is triggered by hand "
        "succeeds; the pool stays on the newest version that proved good"
    )


def is_of_pool(version: ImageVersion, pool: str) -> bool:
    """Return whether a run of a pool's DAG made a version."""
    return is_made_by_a_run(version.tags) and version.tags.get("golden-pools-pool") == pool


def is_fit(version: ImageVersion, now: datetime) -> bool:
    """Return whether a pool may be put on a version: it is complete, not bad, and not about to go.

    An update leaves it in use; it goes on for hours where a region is added.
    """
    return (
        version.provisioning_state in ("Succeeded", "Updating")
        and not is_marked(version.tags, ImageVerdict.BAD)
        and not version.tags.get(RETIRED_TAG)
        and (version.end_of_life is None or version.end_of_life > now)
    )


def is_good(version: ImageVersion, now: datetime) -> bool:
    """Return whether a version is fit and proved good on a pool."""
    return is_fit(version, now) and is_marked(version.tags, ImageVerdict.GOOD)


def newest_fit(versions: Iterable[ImageVersion], now: datetime) -> ImageVersion | None:
    """Return the version with the highest number of those that are fit for use."""
    return max(
        (version for version in versions if is_fit(version, now)),
        key=lambda version: number_of(version.name),
        default=None,
    )


def newest_good(versions: Iterable[ImageVersion], now: datetime) -> ImageVersion | None:
    """Return the newest version that is fit and proved good on a pool."""
    return newest_fit((version for version in versions if is_good(version, now)), now)


def too_old(build: Build, version: ImageVersion, now: datetime) -> str:
    """Return that a version is older than the spec allows; empty where it is not."""
    if build.max_age_days is None:
        return ""
    if version.published is None:
        return "Azure does not say how old the version is, and image.build.max_age_days asks for it"
    if now - version.published < timedelta(days=build.max_age_days):
        return ""
    return f"it was published {version.published:%Y-%m-%d}, image.build.max_age_days is {build.max_age_days}"
