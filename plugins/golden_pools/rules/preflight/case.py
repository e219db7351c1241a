"""What checks work on, and their register.

A check is a function of a :class:`Case` that yields findings. It says which look-ups it needs; it runs only where the
plan calls for them and they brought something. A look-up that Azure refused is reported once, with the permission that
it needs and the checks that could not run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import TypeVar

from golden_pools.rules.facts import (
    BatchAccount,
    Gallery,
    GalleryDefinition,
    GoldenVm,
    ImageVersion,
    Pool,
    SupportedImage,
    VmSize,
)
from golden_pools.rules.family import candidate_name, current_pool
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preflight.commands import Commands
from golden_pools.rules.preflight.findings import Finding, Level
from golden_pools.rules.quota import known_sizes
from golden_pools.rules.refresh import drift
from golden_pools.rules.source import Road, System, road_for
from golden_pools.spec.image import Publish
from golden_pools.spec.model import Strategy

Found = TypeVar("Found")


class Lookup(StrEnum):
    """One question to Azure: the member's name is its field in :class:`Observations`, the value its name for people."""

    GOLDEN_VM = "golden VM"
    GALLERY = "gallery"
    DEFINITION = "image definition"
    IMAGE_VERSION = "image version"
    ACCOUNT = "Batch account"
    POOLS = "pools"
    VM_SIZES = "VM sizes"
    BATCH_VM_SIZES = "Batch VM sizes"
    SUPPORTED_IMAGES = "supported images"


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What the look-ups saw.

    :param definition: the image definition of the version that the run builds, or of the one it was given
    :param image_version: the existing version that the run was given
    :param pools: all pools of the Batch account
    :param vm_sizes: lower-case name -> size as Compute describes it in the account's region
    :param batch_vm_sizes: lower-case name -> size as Batch supports it in the account's region
    :param unreadable: value of a :class:`Lookup` -> what Azure answered, for look-ups that were refused
    """

    golden_vm: GoldenVm | None = None
    gallery: Gallery | None = None
    definition: GalleryDefinition | None = None
    image_version: ImageVersion | None = None
    account: BatchAccount | None = None
    pools: tuple[Pool, ...] = ()
    vm_sizes: Mapping[str, VmSize] = field(default_factory=dict)
    batch_vm_sizes: Mapping[str, VmSize] = field(default_factory=dict)
    supported_images: tuple[SupportedImage, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def sizes(self) -> Mapping[str, VmSize]:
        """VM sizes by lower-case name, from both lists."""
        return known_sizes(self.batch_vm_sizes, self.vm_sizes)

    def of(self, lookup: Lookup) -> object:
        """Return what a look-up brought."""
        return getattr(self, lookup.name.lower())


def lookups(plan: RunPlan) -> frozenset[Lookup]:
    """Return the look-ups that matter for a plan: a run on an existing version has no golden VM to judge."""
    always = {
        Lookup.ACCOUNT,
        Lookup.POOLS,
        Lookup.VM_SIZES,
        Lookup.BATCH_VM_SIZES,
        Lookup.SUPPORTED_IMAGES,
    }
    if not plan.builds_image:
        return frozenset(always | {Lookup.IMAGE_VERSION, Lookup.DEFINITION})
    captured = {Lookup.GOLDEN_VM} if plan.vm is not None else set()
    if plan.spec.image.publish is Publish.MANAGED_IMAGE:
        return frozenset(always | captured)
    return frozenset(always | captured | {Lookup.GALLERY, Lookup.DEFINITION})


def _found(value: Found | None) -> Found:
    assert value is not None, "the check does not say that it needs this look-up"
    return value


@dataclass(frozen=True, kw_only=True)
class Case:
    """One check's view of the plan and the observations; ``vm`` and the like are there if the check needs them."""

    check: str
    plan: RunPlan
    seen: Observations
    now: datetime

    @property
    def az(self) -> Commands:
        """Commands that show what was seen."""
        return Commands(self.plan)

    @property
    def to_gallery(self) -> bool:
        """Whether the run builds an image version in a gallery."""
        return self.plan.builds_image and self.plan.spec.image.publish is Publish.GALLERY

    @property
    def vm(self) -> GoldenVm:
        """The VM that is captured."""
        return _found(self.seen.golden_vm)

    @property
    def captured(self) -> System | None:
        """What is on the disks that the run makes an image of; None where it makes none, or could not look."""
        if not self.plan.builds_image:
            return None
        if self.plan.vm is not None:
            return System.of_vm(self.seen.golden_vm) if self.seen.golden_vm else None
        return self.plan.source.system if self.plan.source else None

    @property
    def road(self) -> Road | None:
        """How it gets into the gallery."""
        return road_for(self.plan.spec, self.captured) if self.captured else None

    @property
    def az_captured(self) -> str:
        """The command that shows what is captured."""
        return self.az.vm("securityProfile.securityType") if self.plan.vm else self.az.definition("features")

    @property
    def definition(self) -> GalleryDefinition:
        """The image definition."""
        return _found(self.seen.definition)

    @property
    def version(self) -> ImageVersion:
        """The existing image version."""
        return _found(self.seen.image_version)

    @property
    def account(self) -> BatchAccount:
        """The Batch account."""
        return _found(self.seen.account)

    @property
    def current(self) -> Pool | None:
        """The pool that the spec stands for now."""
        return current_pool(self.seen.pools, self.plan.pool)

    @property
    def second_pool(self) -> str | None:
        """Id of the pool that a blue/green run puts beside the current one; None where it needs none."""
        current = self.current
        if self.plan.spec.refresh.strategy is not Strategy.BLUE_GREEN or current is None:
            return None
        if not any(change.needs_empty_pool for change in drift(current, self.plan)):
            return None
        return candidate_name(self.plan.pool, self.plan.image_id, taken=(current.name,))

    def size(self, name: str) -> VmSize | None:
        """Return what Batch and Compute say of a VM size."""
        return self.seen.sizes.get(name.casefold())

    def error(self, seen: str, advice: str, az: str) -> Finding:
        """Return a finding that stops the run."""
        return Finding(level=Level.ERROR, check=self.check, seen=seen, advice=advice, az=az)

    def warning(self, seen: str, advice: str, az: str) -> Finding:
        """Return a finding that the reader should know of."""
        return Finding(level=Level.WARNING, check=self.check, seen=seen, advice=advice, az=az)

    def info(self, seen: str, advice: str, az: str) -> Finding:
        """Return a finding that explains what the run will do."""
        return Finding(level=Level.INFO, check=self.check, seen=seen, advice=advice, az=az)


Judgement = Callable[[Case], Iterable[Finding]]


@dataclass(frozen=True)
class Check:
    """A registered check.

    :param needs: look-ups that must have brought something
    :param reads: look-ups that must have been answered, if only by "there is none"
    :param building: it concerns only runs that make an image
    """

    id: str
    needs: tuple[Lookup, ...]
    reads: tuple[Lookup, ...]
    judge: Judgement
    building: bool = False

    @property
    def asks(self) -> str:
        """What the check asks: the first line of its docstring."""
        return (self.judge.__doc__ or "").strip().splitlines()[0]

    def concerns(self, plan: RunPlan) -> bool:
        """Return whether the plan calls for all the check's look-ups."""
        if self.building and not plan.builds_image:
            return False
        return lookups(plan).issuperset((*self.needs, *self.reads))

    def blind(self, seen: Observations) -> bool:
        """Return whether Azure refused one of the check's look-ups."""
        return any(lookup in seen.unreadable for lookup in (*self.needs, *self.reads))

    def can_judge(self, seen: Observations) -> bool:
        """Return whether what the check needs was found."""
        return not self.blind(seen) and all(seen.of(lookup) is not None for lookup in self.needs)


CHECKS: dict[str, Check] = {}
"""Every check, by id."""


def check(
    *, needs: tuple[Lookup, ...] = (), reads: tuple[Lookup, ...] = (), building: bool = False
) -> Callable[[Judgement], Judgement]:
    """Register a check; its id is the function's name with dashes, its question the docstring's first line."""

    def register(judge: Judgement) -> Judgement:
        name = judge.__name__.replace("_", "-")
        if name in CHECKS:
            raise ValueError(f"two checks are called {name}")
        CHECKS[name] = Check(id=name, needs=needs, reads=reads, judge=judge, building=building)
        return judge

    return register
