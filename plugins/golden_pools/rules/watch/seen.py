"""What the watch asks of Azure, and what it saw.

Everything is asked once, however many specs it concerns: an account, a definition, a region of VM sizes, a resource
group. The key of a look-up names the question and the resource, so that a finding can say what it follows from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from golden_pools.rules.facts import (
    BatchAccount,
    ImageVersion,
    ManagedImage,
    Pool,
    PoolNodes,
    Resource,
    RestorePointCollection,
    Snapshot,
    SupportedImage,
    VmSize,
    number_of,
)
from golden_pools.rules.family import current_pool, family, is_deleting
from golden_pools.rules.plan import ImageVerdict, account_id, definition_of, is_marked
from golden_pools.spec.following import maker_of
from golden_pools.spec.model import PoolSpec


class Look(StrEnum):
    """A question to Azure, or to the specs."""

    SPEC = "spec"
    ACCOUNT = "account"
    POOLS = "pools"
    NODES = "node counts"
    SUPPORTED_IMAGES = "supported images"
    VM_SIZES = "VM sizes"
    ACCOUNTS = "accounts"
    GALLERIES = "galleries"
    DEFINITIONS = "image definitions"
    VERSIONS = "versions"
    VERSION = "version"
    SNAPSHOTS = "snapshots"
    MANAGED_IMAGES = "managed images"
    DISKS = "disks"
    VMS = "VMs"
    NETWORK_CARDS = "network cards"
    RESTORE_POINTS = "restore points"

    def of(self, what: str) -> str:
        """Return the key of the look-up for one resource."""
        return f"{self} of {what}".casefold()


ALL_VERSIONS = "versions of all galleries"
"""Key that is unknown as soon as a part of them is: what nothing was made from can be told by all of them only."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A spec, and where in Azure its things are.

    :param name: of the spec, which is the pool's alias
    :param definition: ARM id of the image definition that its pool lives on; None: a managed image, or not known
    :param fixed_version: ARM id of the version that the spec names, where it names one
    :param maker: the spec whose runs make the image; the spec itself but for followers
    """

    name: str
    spec: PoolSpec
    definition: str | None
    fixed_version: str | None
    maker: PoolSpec

    @property
    def login(self) -> tuple[str, str]:
        """Airflow connection and subscription."""
        return self.spec.connection, self.spec.subscription

    @property
    def account_id(self) -> str:
        """ARM id of its Batch account."""
        return account_id(self.spec)

    @property
    def image_group(self) -> str | None:
        """ARM id of the resource group in which its runs make images; None: they make none."""
        group = self.spec.image.resource_group
        return f"/subscriptions/{self.spec.subscription}/resourceGroups/{group}" if group else None


def watched(specs: Mapping[str, PoolSpec]) -> list[Watched]:
    """Return the specs with where their things are; a follower lives on the image of the spec that it follows."""
    return [_watched(name, specs) for name in specs]


def _watched(name: str, specs: Mapping[str, PoolSpec]) -> Watched:
    spec = specs[name]
    maker = maker_of(spec, specs)
    existing = maker.image.source.image_version if maker else None
    return Watched(
        name=name,
        spec=spec,
        definition=definition_of(spec, specs),
        fixed_version=existing.id if existing and "/versions/" in existing.id.casefold() else None,
        maker=maker or spec,
    )


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What Azure answered, by the folded id of the resource; what it did not answer is missing here.

    :param watched: the specs
    :param unread: faults of specs that have some, by name: their pools are somebody's all the same
    :param vm_sizes: by normalised region, then folded name
    :param versions: of every definition of the subscriptions' galleries, without their replication
    :param replicated: single versions with their replication
    :param unknown: key of a look-up that failed -> why
    """

    now: datetime
    watched: tuple[Watched, ...] = ()
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    accounts: Mapping[str, BatchAccount] = field(default_factory=dict)
    pools: Mapping[str, tuple[Pool, ...]] = field(default_factory=dict)
    nodes: Mapping[str, Mapping[str, PoolNodes]] = field(default_factory=dict)
    supported_images: Mapping[str, tuple[SupportedImage, ...]] = field(default_factory=dict)
    vm_sizes: Mapping[str, Mapping[str, VmSize]] = field(default_factory=dict)
    versions: Mapping[str, tuple[ImageVersion, ...]] = field(default_factory=dict)
    replicated: Mapping[str, ImageVersion] = field(default_factory=dict)
    snapshots: Mapping[str, tuple[Snapshot, ...]] = field(default_factory=dict)
    managed_images: Mapping[str, tuple[ManagedImage, ...]] = field(default_factory=dict)
    disks: Mapping[str, tuple[Resource, ...]] = field(default_factory=dict)
    vms: Mapping[str, tuple[Resource, ...]] = field(default_factory=dict)
    network_cards: Mapping[str, tuple[Resource, ...]] = field(default_factory=dict)
    restore_points: Mapping[str, tuple[RestorePointCollection, ...]] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)

    @property
    def knows_all_versions(self) -> bool:
        """Whether no list of galleries, definitions or versions is missing."""
        definitions = {one.definition.casefold() for one in self.watched if one.definition}
        return ALL_VERSIONS not in self.unknown and definitions <= self.versions.keys()

    def every_pool(self) -> Iterator[tuple[str, Pool]]:
        """Yield every pool of the accounts that could be read, with the folded id of its account; not those that go."""
        for account, pools in self.pools.items():
            yield from ((account, pool) for pool in pools if not is_deleting(pool))

    def pool_of(self, watched: Watched) -> Pool | None:
        """Return the pool that a spec stands for now."""
        return current_pool(self.pools.get(watched.account_id.casefold(), ()), watched.name)

    def spec_of(self, account: str, pool: Pool) -> Watched | None:
        """Return the spec that a pool belongs to, whatever its role."""
        here = (one for one in self.watched if one.account_id.casefold() == account)
        return next((one for one in here if family([pool], one.name)), None)

    def current_version(self, watched: Watched) -> ImageVersion | None:
        """Return the version that a spec's pool should be on; None: there is none, or nobody knows."""
        if watched.definition is None:
            return None
        versions = self.versions.get(watched.definition.casefold(), ())
        if watched.fixed_version is not None:
            wanted = watched.fixed_version.casefold()
            return next((version for version in versions if version.id.casefold() == wanted), None)
        return newest(versions, made_by_runs=watched.maker.image.source.kind.makes_images)

    def by_id(self, version_id: str) -> ImageVersion | None:
        """Return a version, with its replication where that was asked."""
        folded = version_id.casefold()
        if (found := self.replicated.get(folded)) is not None:
            return found
        versions = self.versions.get(folded.partition("/versions/")[0], ())
        return next((version for version in versions if version.id.casefold() == folded), None)


def newest(versions: Iterable[ImageVersion], *, made_by_runs: bool) -> ImageVersion | None:
    """Return the version that pools should be on: the newest that is good.

    :param made_by_runs: whether runs of ours make the versions and say which are good; versions of others are good
        where Azure made them, they are not excluded from latest and nobody has marked them bad
    """

    def is_good(version: ImageVersion) -> bool:
        if version.provisioning_state != "Succeeded":
            return False
        if made_by_runs:
            return is_marked(version.tags, ImageVerdict.GOOD)
        return not version.exclude_from_latest and not is_marked(version.tags, ImageVerdict.BAD)

    return max(filter(is_good, versions), key=lambda version: number_of(version.name), default=None)


def is_version(image_id: str | None) -> bool:
    """Return whether a pool's image is one version of a definition, and not a definition or a managed image."""
    return "/versions/" in (image_id or "").casefold()


def versions_to_look_at(seen: Seen) -> set[str]:
    """Return the folded ids of the versions whose replication matters: those that pools are on, and current ones."""
    in_use = {pool.image_id.casefold() for _, pool in seen.every_pool() if pool.image_id and is_version(pool.image_id)}
    known = {version.id.casefold() for versions in seen.versions.values() for version in versions}
    current = {version.id.casefold() for one in seen.watched if (version := seen.current_version(one))}
    return (in_use & known) | current
