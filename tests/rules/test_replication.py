"""Which step brings a version into its regions, and which pools count for its replicas."""

from __future__ import annotations

from typing import Any

import pytest
from golden_pools.rules.facts import ImageVersion, RegionReplication
from golden_pools.rules.plan import account_id
from golden_pools.rules.replication import PAUSES, Next, Step, next_step, nodes_elsewhere
from golden_pools.spec.model import PoolSpec

from tests.rules.build import DEFINITION_ID, VERSION_ID, plan, spec

HOME, AWAY = "westeurope", "northeurope"
WANTED = {HOME: 1, AWAY: 2}


def version(state: str = "Succeeded", targets: dict[str, int] | None = None, **states: str) -> ImageVersion:
    return ImageVersion(
        id=VERSION_ID,
        name="2026.1121.41500",
        location=HOME,
        provisioning_state=state,
        aggregated_state=None,
        regions=tuple(RegionReplication(region=name, state=is_, progress_percent=0) for name, is_ in states.items()),
        target_regions=targets or {HOME: 1},
        source_id=None,
        exclude_from_latest=True,
    )


def step(seen: ImageVersion, *, before: dict[str, int] | None = None, asked: int = 0, paused: int = 0) -> Next:
    return next_step(seen, WANTED, before=before or {HOME: 1}, asked=asked, paused=paused)


DONE = {HOME: "Completed", AWAY: "Completed"}
FAILED = {HOME: "Completed", AWAY: "Failed"}


@pytest.mark.parametrize(
    ("seen", "memory", "expected"),
    [
        (version(westeurope="Completed"), {}, Next(step=Step.ASK, regions=WANTED)),
        (version("Updating", WANTED, **DONE), {"asked": 1}, Next(step=Step.WAIT)),
        (version("Succeeded", WANTED, westeurope="Completed", northeurope="Replicating"), {}, Next(step=Step.WAIT)),
        (version("Succeeded", WANTED, **DONE), {"asked": 1}, Next(step=Step.DONE)),
        (version("Succeeded", {HOME: 3, AWAY: 9, "uksouth": 1}, **DONE), {}, Next(step=Step.DONE)),
        (version("Failed", WANTED, **FAILED), {"asked": 1}, Next(step=Step.PUT_BACK, regions={HOME: 1})),
        (
            version("Failed", WANTED, **FAILED),
            {"asked": 1, "before": {HOME: 1, AWAY: 1}},
            Next(step=Step.PUT_BACK, regions={HOME: 1, AWAY: 1}),
        ),
        (version(westeurope="Completed"), {"asked": 1}, Next(step=Step.PAUSE, regions={AWAY: 2})),
        (version(westeurope="Completed"), {"asked": 1, "paused": 1}, Next(step=Step.ASK, regions=WANTED)),
        (
            version(westeurope="Completed"),
            {"asked": 1 + len(PAUSES), "paused": len(PAUSES)},
            Next(step=Step.GIVE_UP, regions={AWAY: 2}),
        ),
        # A region that had failed before anybody asked is not taken away, only asked for.
        (version("Failed", WANTED, **FAILED), {"before": WANTED}, Next(step=Step.ASK, regions=WANTED)),
        (version("Failed", WANTED, **DONE), {}, Next(step=Step.ASK, regions=WANTED)),
    ],
)
def test_what_comes_next(seen: ImageVersion, memory: dict[str, Any], expected: Next) -> None:
    assert step(seen, **memory) == expected


def named(name: str, nodes: int, **parts: dict[str, Any]) -> PoolSpec:
    return spec(pool={"account": name, "targets": {"dedicated": nodes}}, **parts)


def follower(of: str, name: str, nodes: int) -> PoolSpec:
    whole = named(name, nodes).model_dump(mode="json")
    whole["golden_vm"], whole["image"] = None, {"source": {"follow": {"pool": of}}}
    return PoolSpec.model_validate(whole)


def test_followers_and_users_of_the_definition_count_for_the_replicas() -> None:
    user = named("north", 100).model_dump(mode="json")
    user["golden_vm"], user["image"] = (
        None,
        {"source": {"image_version": {"id": DEFINITION_ID.replace("golden_gallery", "Golden_Gallery")}}},
    )
    specs = {
        "own": named("west", 10),
        "first": follower("own", "north", 200),
        "second": follower("own", "west", 50),
        "user": PoolSpec.model_validate(user),
        "other": named("west", 999, image={"definition": "another"}),
    }
    west, north = account_id(specs["own"]).lower(), account_id(specs["first"]).lower()
    assert nodes_elsewhere("own", specs) == {west: 50, north: 300}
    assert nodes_elsewhere("first", specs) == {}, "a follower makes no image"


def test_auto_counts_the_pools_of_the_region_and_those_whose_region_is_not_known() -> None:
    run = plan(image={"target_regions": [{"name": AWAY}, {"name": "uksouth", "replicas": 7}]})
    own = account_id(run.spec).lower()
    elsewhere = {own: 400, "/account/north": 900, "/account/hidden": 300}
    seen = run.model_copy(
        update={"nodes_elsewhere": elsewhere, "regions": {own: HOME, "/account/north": AWAY}},
    )
    assert seen.replicas(HOME) == {HOME: 3, AWAY: 4, "uksouth": 7}
    assert seen.pool_region == HOME
