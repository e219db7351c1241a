"""What retention looks at: every list that says whether something is still needed, and what could not be read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from golden_pools.rules.facts import (
    ImageVersion,
    ManagedImage,
    Pool,
    Resource,
    RestorePointCollection,
    Snapshot,
    folded,
)
from golden_pools.rules.orphans import stem_of
from golden_pools.rules.plan import PIN_TAG, RUN_TAG, definition_of
from golden_pools.spec.image import Retention
from golden_pools.spec.model import PoolSpec


class Kind(StrEnum):
    """What is judged, in the order in which it goes."""

    CANARY = "canary pool"
    VERSION = "image version"
    IMAGE = "managed image"
    SNAPSHOT = "snapshot"
    VM = "throwaway VM"
    CARD = "throwaway network card"
    DISK = "throwaway disk"
    RESTORE_POINT = "restore point"


class Action(StrEnum):
    """What is to be done with a thing."""

    KEEP = "keep"
    RESTORE = "restore"  # it was marked to go, and is needed again
    RETIRE = "retire"  # mark it: end of life, excluded from latest
    WAIT = "wait"  # it is marked, and its grace is not over
    DELETE = "delete"
    GOING = "going"  # somebody deletes it already


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to be done with one thing, and why.

    :param spec: name of the spec whose runs made it
    :param gib: what it stores, all replicas together; None: Azure does not say
    :param cost: what that costs a month, by the spec's prices; None without a price
    :param run: DAG and run that may still be at work on it; it goes only if that run does not go on
    """

    kind: Kind
    id: str
    spec: str
    action: Action
    why: str
    gib: int | None = None
    cost: float | None = None
    currency: str = ""
    run: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """The last part of the id; for a version with its definition's."""
        parts = self.id.rstrip("/").split("/")
        return f"{parts[-3]}/{parts[-1]}" if self.kind is Kind.VERSION else parts[-1]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is kept of one definition: of all specs whose pools use it, whichever keeps the most.

    :param makers: specs, case folded, whose runs make its versions; only their versions are ever touched
    """

    keep: int
    keep_days: int
    rollback_depth: int
    grace_days: int
    makers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything that was read, at one moment.

    ``versions`` are those of every gallery in the subscriptions that specs make images in; ``images``, ``snapshots``,
    ``vms``, ``cards``, ``disks`` and ``collections`` (of restore points) those of every resource group that a spec
    makes images in; ``pools`` those of every account.

    :param unread: look-ups that failed, each in one line; with any of them nothing goes
    """

    now: datetime
    specs: Mapping[str, PoolSpec]
    versions: tuple[ImageVersion, ...] = ()
    images: tuple[ManagedImage, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    vms: tuple[Resource, ...] = ()
    cards: tuple[Resource, ...] = ()
    collections: tuple[RestorePointCollection, ...] = ()
    disks: tuple[Resource, ...] = ()
    pools: tuple[Pool, ...] = ()
    unread: tuple[str, ...] = field(default=())

    @cached_property
    def policies(self) -> dict[str, Policy]:
        """By definition that runs make versions in."""
        users: dict[str, list[Retention]] = defaultdict(list)
        makers: dict[str, dict[str, str]] = defaultdict(dict)
        for name, spec in self.specs.items():
            if definition := definition_of(spec, self.specs):
                users[folded(definition)].append(spec.retention)
                if spec.image.source.kind.makes_images:
                    makers[folded(definition)][name.casefold()] = name
        return {
            definition: Policy(
                keep=max(one.keep for one in users[definition]),
                keep_days=max(one.keep_days for one in users[definition]),
                rollback_depth=max(one.rollback_depth for one in users[definition]),
                grace_days=max(one.grace_days for one in users[definition]),
                makers=names,
            )
            for definition, names in makers.items()
        }

    @cached_property
    def pools_on(self) -> dict[str, list[Pool]]:
        """Pools by what their image reference names, case folded; of a version ``latest`` the definition."""
        found: dict[str, list[Pool]] = defaultdict(list)
        for pool in self.pools:
            if pool.image_id:
                found[folded(pool.image_id).removesuffix("/versions/latest")].append(pool)
        return found

    @cached_property
    def named_by_specs(self) -> frozenset[str]:
        """Versions that a spec names as its image."""
        sources = (spec.image.source.image_version for spec in self.specs.values())
        return frozenset(folded(source.id) for source in sources if source is not None)

    @cached_property
    def version_sources(self) -> dict[str, str]:
        """What versions were made from, by id -> name of the version."""
        return {folded(version.source_id): version.name for version in self.versions if version.source_id}

    @cached_property
    def version_runs(self) -> dict[tuple[str, str], str]:
        """Runs that made a version which is there -> its name."""
        return {run: version.name for version in self.versions if (run := run_of(version.tags))}

    @cached_property
    def pool_stems(self) -> frozenset[str]:
        """Stems of the managed images that pools are on."""
        return frozenset(stem_of(image) for image in self.pools_on)

    def maker(self, resource_id: str, tags: Mapping[str, str]) -> str | None:
        """Return the spec whose runs made a resource of a resource group; None: it is not ours to touch."""
        name = self._by_folded_name.get(tags.get("golden-pools-pool", "").casefold())
        if name is None or run_of(tags) is None:
            return None
        spec = self.specs[name]
        group = f"/subscriptions/{spec.subscription}/resourceGroups/{spec.image.resource_group}/"
        makes = spec.image.source.kind.makes_images
        return name if makes and folded(resource_id).startswith(group.casefold()) else None

    @cached_property
    def _by_folded_name(self) -> dict[str, str]:
        return {name.casefold(): name for name in self.specs}


def run_of(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """Return DAG and run that made a resource, or None where its tags do not say so."""
    run, pool = tags.get(RUN_TAG), tags.get("golden-pools-pool")
    return (tags.get("golden-pools-dag", ""), run) if run and pool else None


def is_pinned(tags: Mapping[str, str]) -> bool:
    """Return whether somebody has pinned a resource; Azure compares names of tags without case."""
    return PIN_TAG in {name.casefold() for name in tags}
