"""Random worlds of retention, and what a day of it does to one; the rule's own code is not used to judge it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from golden_pools.rules.facts import AllocationState, ImageVersion, ManagedImage, Pool, Snapshot
from golden_pools.rules.retention import Action, Decision, Kind, World, decide, orders
from golden_pools.spec.model import PoolSpec
from hypothesis import strategies as st

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SUBSCRIPTION = "51a51a51-0000-4000-8000-000000000003"
COMPUTE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute"
DEFINITION = f"{COMPUTE}/galleries/gallery/images/golden"
ACCOUNT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/goldenbatch"
GOOD, BAD = {"golden-pools-verdict": "good"}, {"golden-pools-verdict": "bad"}


def spec(image: dict[str, Any] | None = None, **retention: Any) -> PoolSpec:
    """Return a spec that deletes."""
    return PoolSpec.model_validate(
        {
            "subscription": SUBSCRIPTION,
            **({} if image and "source" in image else {"golden_vm": {"resource_group": "golden", "name": "golden-vm"}}),
            "image": image or {"resource_group": "images", "gallery": "gallery", "definition": "golden"},
            "pool": {
                "resource_group": "batch",
                "account": "goldenbatch",
                "vm_size": "Standard_D2s_v5",
                "node_agent_sku": "batch.node.ubuntu 24.04",
                "targets": {"dedicated": 1},
            },
            "retention": {"delete": True, **retention},
            "prices": {"snapshot_gib_month": 0.5, "image_gib_month": 0.25, "replica_gib_month": 0.125},
        }
    )


def follower(**retention: Any) -> PoolSpec:
    """Return a spec whose pool follows the image of ``small``."""
    return spec({"source": {"follow": {"pool": "small"}}}, **retention)


def tags_of(run: str, pool: str = "small") -> dict[str, str]:
    return {"golden-pools-pool": pool, "golden-pools-dag": f"golden_pool_{pool}", "golden-pools-run": run}


def stamp(moment: datetime) -> str:
    return f"{moment:%Y%m%dT%H%M%S}"


def name_of(moment: datetime) -> str:
    return f"{moment.year}.{moment.month}{moment:%d}.{int(f'{moment:%H%M%S}')}"


def version(moment: datetime, *, tags: dict[str, str] | None = None, **changes: Any) -> ImageVersion:
    """Return a good version that a run of ``small`` made from its managed image."""
    name = name_of(moment)
    values = {
        "id": f"{DEFINITION}/versions/{name}",
        "source_id": f"{COMPUTE}/images/small-{stamp(moment)}",
        "provisioning_state": "Succeeded",
        "exclude_from_latest": False,
        "target_regions": {"westeurope": 2},
        "published": moment,
        "size_gib": 64,
        "tags": {**tags_of(f"run-{stamp(moment)}"), **GOOD} if tags is None else tags,
    }
    return ImageVersion(name=name, location="westeurope", aggregated_state=None, regions=(), **{**values, **changes})


def image(moment: datetime, **changes: Any) -> ManagedImage:
    name = f"small-{stamp(moment)}"
    values = {
        "id": f"{COMPUTE}/images/{name}",
        "name": name,
        "provisioning_state": "Succeeded",
        "snapshot_ids": (f"{COMPUTE}/snapshots/{name}-os", f"{COMPUTE}/snapshots/{name}-data-0"),
        "tags": tags_of(f"run-{stamp(moment)}"),
        "size_gib": 64,
    }
    return ManagedImage(location="westeurope", **{**values, **changes})


def snapshots(moment: datetime, **changes: Any) -> list[Snapshot]:
    values = {
        "created": moment,
        "provisioning_state": "Succeeded",
        "tags": tags_of(f"run-{stamp(moment)}"),
        "size_gib": 64,
        "source_id": None,
        "completion_percent": 100.0,
    }
    names = [f"small-{stamp(moment)}-{kind}" for kind in ("os", "data-0")]
    return [
        Snapshot(id=f"{COMPUTE}/snapshots/{name}", name=name, location="westeurope", **{**values, **changes})
        for name in names
    ]


def pool(name: str, image_id: str | None, **changes: Any) -> Pool:
    return Pool(
        id=f"{ACCOUNT}/pools/{name}",
        name=name,
        etag="e",
        provisioning_state="Succeeded",
        allocation_state=AllocationState.STEADY,
        vm_size="standard_d2s_v5",
        node_agent_sku=None,
        image_id=image_id,
        current_dedicated=0,
        current_spot=0,
        target_dedicated=0,
        target_spot=0,
        autoscale=False,
        **changes,
    )


def a_day(world: World, *, hours: float = 24) -> tuple[World, list[Decision]]:
    """Return the world after a run of retention, in the order of its tasks, and what the run did."""
    did: list[Decision] = []
    for kinds, actions in (
        ([Kind.VERSION], [Action.RETIRE, Action.RESTORE]),
        ([Kind.VERSION], [Action.DELETE]),
        ([Kind.IMAGE], [Action.DELETE]),
        ([Kind.SNAPSHOT], [Action.DELETE]),
    ):
        due = [one for one in orders(world, decide(world)) if one.kind in kinds and one.action in actions]
        did += due
        world = after(world, due)
    return replace(world, now=world.now + timedelta(hours=hours)), did


def after(world: World, done: Iterable[Decision]) -> World:
    """Return the world after Azure has done it."""
    gone = {one.id for one in done if one.action is Action.DELETE}
    marked = {one.id: one.action for one in done if one.action is not Action.DELETE}

    def changed(one: ImageVersion) -> ImageVersion:
        action = marked.get(one.id)
        others = {name: value for name, value in one.tags.items() if name != "golden-pools-retired"}
        if action is Action.RETIRE:
            moment = world.now.isoformat(timespec="seconds")
            mark = {"golden-pools-retired": f"{moment} because"}
            return replace(one, tags={**others, **mark}, exclude_from_latest=True)
        return replace(one, tags=others, exclude_from_latest=False, end_of_life=None) if action else one

    return replace(
        world,
        versions=tuple(changed(one) for one in world.versions if one.id not in gone),
        images=tuple(one for one in world.images if one.id not in gone),
        snapshots=tuple(one for one in world.snapshots if one.id not in gone),
    )


def spelled(draw: st.DrawFn, text: str) -> str:
    """Return an id as Azure may spell it."""
    return draw(st.sampled_from([text, text.lower(), text.upper()]))


@st.composite
def worlds(draw: st.DrawFn, *, most: int = 40, with_pools: bool = True, whole: bool = False) -> World:
    """Return a world of builds, many of them broken, foreign or pinned, and of pools on any of them.

    :param whole: nothing is foreign, pinned, unreadable, without a date or in the middle of something
    """
    ages = draw(st.lists(st.integers(1, 24 * 120), max_size=most, unique=True))
    versions, images, sets = [], [], []
    for hours in ages:
        moment = NOW - timedelta(hours=hours)
        run = tags_of(f"run-{stamp(moment)}", draw(st.sampled_from(["small", "Small", "SMALL"])))
        odd = [{}, {}, {}, {}] if whole else [{}, {}, {}, {"golden-pools-pin": ""}, {"Golden-Pools-Pin": "yes"}]
        verdict = draw(st.sampled_from([GOOD, GOOD, BAD, {}]))

        def tags(run: dict[str, str] = run, odd: list[dict[str, str]] = odd) -> dict[str, str]:
            strange = [] if whole else [{}, {**run, "golden-pools-pool": "other"}, {"golden-pools-pool": "small"}]
            return {**draw(st.sampled_from([run, run, run, *strange])), **draw(st.sampled_from(odd))}

        states = ["Succeeded"] * 3 + ["Failed"] + ([] if whole else ["Creating", "Updating", "Deleting", ""])
        parts = draw(st.sampled_from([(1, 1, 1), (1, 1, 1), (1, 0, 1), (1, 0, 0), (0, 1, 1), (0, 0, 1), (0, 1, 0)]))
        if parts[0]:
            dates = [moment] if whole else [moment, moment, None]
            source = f"{COMPUTE}/images/small-{stamp(moment)}" if parts[1] or not parts[2] else None
            one = version(
                moment,
                tags={**tags(), **verdict},
                provisioning_state=draw(st.sampled_from(states)),
                published=draw(st.sampled_from(dates)),
                source_id=spelled(draw, source or f"{COMPUTE}/snapshots/small-{stamp(moment)}-os"),
            )
            versions.append(replace(one, id=spelled(draw, one.id)))
        if parts[1]:
            images.append(image(moment, tags=tags(), provisioning_state=draw(st.sampled_from(states))))
        if parts[2]:
            sets += snapshots(moment, tags=tags())
    pools = []
    if with_pools:
        targets = [None, f"{DEFINITION}/versions/1.0.0", *(one.id for one in (*versions, *versions, *images))]
        targets += [DEFINITION, f"{DEFINITION}/versions/latest"] if draw(st.integers(0, 3)) == 0 else []
        for number in range(draw(st.integers(0, 6))):
            target = draw(st.sampled_from(targets))
            pools.append(pool(f"p{number}", spelled(draw, target) if target else None))
    retention = st.fixed_dictionaries(
        {
            "keep": st.integers(1, 5),
            "keep_days": st.integers(0, 30),
            "rollback_depth": st.integers(0, 3),
            "grace_days": st.integers(0, 10),
        }
    )
    specs = {"small": spec(**draw(retention))}
    if draw(st.booleans()):
        specs["second"] = follower(**draw(retention))
    unread = () if whole else draw(st.sampled_from([(), (), (), ("the pools of an account",)]))
    return World(
        now=NOW,
        specs=specs,
        versions=tuple(versions),
        images=tuple(images),
        snapshots=tuple(sets),
        pools=tuple(pools),
        unread=unread,
    )
