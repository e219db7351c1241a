"""The run plan: the spec after this run's params, with every name that later tasks use.

The first task of a run makes it and writes it to XCom; nobody recomputes it, so that a retry, a cleared task and an
edit of the YAML in mid-run all see the same plan.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from golden_pools.errors import RunConfError
from golden_pools.rules.family import LONGEST_ID
from golden_pools.rules.scale import targets_at
from golden_pools.rules.source import ImageSource, Road, System
from golden_pools.spec.following import maker_of
from golden_pools.spec.image import Publish
from golden_pools.spec.limits import largest_targets, limit_faults
from golden_pools.spec.model import PoolSpec, Strategy, Targets, replicas_for
from golden_pools.spec.part import normal_region
from golden_pools.spec.source import GeneralizedVm, GoldenVm
from golden_pools.words import shortened

PARAMS = ("dedicated", "spot", "refresh_strategy", "image_version", "force_rebuild", "force", "plan_only")
"""Keys of the manual trigger's form, and the only keys that a run's conf may have."""

RESIZE_PARAMS = ("pool", "dedicated", "spot", "why")
"""The same of a run that only resizes a pool."""

REFRESH_DAG_PREFIX = "golden_pool_"

RESIZE_DAG_ID = "resize_pool"
"""The DAG that resizes any pool, by hand."""

SCALE_DAG_PREFIX = "scale_pool_"
"""Beginning of the id of the DAG that resizes one pool at its scale times."""

RUN_TAG = "golden-pools-run"
"""Tag of everything that a run makes: the run's id."""

VERDICT_TAG = "golden-pools-verdict"
"""Tag of an image version: an :class:`ImageVerdict`."""

WHY_TAG = "golden-pools-why"
"""Tag of an image version: the reason for its verdict."""

PIN_TAG = "golden-pools-pin"
"""Tag of anything that a run made, with any value: retention leaves it alone."""

RETIRED_TAG = "golden-pools-retired"
"""Tag of an image version that nothing needs any more: since when, ISO 8601, and why. It is deleted some days
later. Empty: it was needed again."""

FINGERPRINT_TAG = "golden-pools-fingerprint"
"""Tag of an image version: the state of the source that it was made from, see :mod:`rules.fingerprint`."""

LONGEST_TAG = 256
"""Characters of a tag's value ("Use tags to organize your Azure resources")."""

_LARGEST_VERSION_NUMBER = 2_147_483_647
"""Each of the three numbers is a 32-bit integer ("Azure Compute Gallery", image versions)."""

_VERSION_ID = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/galleries/[^/]+/images/[^/]+"
    r"/versions/(?P<version>[^/]+)",
    re.IGNORECASE,
)


class ImageVerdict(StrEnum):
    """What runs found out about an image version."""

    GOOD = "good"
    BAD = "bad"


class RunPlan(BaseModel):
    """What one run is going to do, and to which resources.

    ``stamp`` is the moment the run began (aware, UTC): names and the version number come from it.
    ``existing_version_id`` is set where whoever triggered the run asked for a version that is there.
    ``source`` is what the run's own look at the image's source found; None before it has looked.
    ``force`` is what only a person may ask for: recreating a pool that has active jobs, or a version marked bad.
    ``followed`` are the specs of the pools that the spec follows or waits for, by name, as the run began with them.
    ``nodes_elsewhere`` are the nodes of the other pools on the image at their largest, by lower-case ARM id of their
    account; ``regions`` says where accounts are, by the same ids, as preflight saw them.
    ``force_rebuild`` makes an image though nothing has changed; ``scheduled`` says that no person started the run.
    ``largest`` are the targets with the most nodes that the spec or this run ever says: an image that is made at night
    carries the day's pool. ``why`` is the reason for a resize, as its form or its schedule says. ``params`` are
    what the run's form said, for the passport.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pool: str
    dag_id: str
    run_id: str
    triggered_by: str
    stamp: AwareDatetime
    plan_only: bool
    existing_version_id: str | None
    source: ImageSource | None = None
    force: bool = False
    force_rebuild: bool = False
    scheduled: bool = False
    why: str = ""
    params: dict[str, str | int | float | bool | None] = {}
    largest: Targets
    followed: Mapping[str, PoolSpec] = {}
    nodes_elsewhere: Mapping[str, int] = {}
    regions: Mapping[str, str] = {}
    spec: PoolSpec

    @property
    def targets(self) -> Targets:
        """Node counts that this run brings the pool to."""
        return self.spec.pool.targets

    @property
    def builds_image(self) -> bool:
        """Whether the run makes an image, instead of using a version that is there."""
        return self.existing_version_id is None and (self.source is None or self.source.builds)

    @property
    def golden_vm(self) -> GoldenVm:
        """The spec's golden VM, where that is the image's source."""
        assert self.spec.golden_vm is not None, "the spec has another source"
        return self.spec.golden_vm

    @property
    def vm(self) -> GoldenVm | GeneralizedVm | None:
        """The VM that is captured, where one is."""
        return self.spec.golden_vm or self.spec.image.source.generalized_vm

    @property
    def image_group(self) -> str:
        """Resource group of what the run makes of an image."""
        assert self.spec.image.resource_group is not None, "the spec makes no images"
        return self.spec.image.resource_group

    @property
    def road(self) -> Road:
        """What the version is made from, where the run makes one."""
        assert self.source is not None, "asked before the source was looked at"
        assert self.source.road is not None, "the run makes no version"
        return self.source.road

    @property
    def system(self) -> System:
        """What is on the disks of the image."""
        assert self.source is not None, "asked before the source was looked at"
        assert self.source.system is not None, "preflight refuses a source that cannot be read"
        return self.source.system

    @property
    def stem(self) -> str:
        """Beginning of the names of everything that this run makes: ``<name>-<UTC stamp>``."""
        return f"{self.spec.image.name or self.pool}-{self.stamp.astimezone(UTC):%Y%m%dT%H%M%S}"

    def snapshot_name(self, lun: int | None) -> str:
        """Return the name of the OS disk's snapshot (``lun`` None) or of a data disk's."""
        return f"{self.stem}-os" if lun is None else f"{self.stem}-data-{lun}"

    @property
    def managed_image_name(self) -> str:
        """Name of the managed image."""
        return self.stem

    @property
    def canary_name(self) -> str:
        """Id of the canary pool, and of the job of its probes."""
        return f"canary-{self.stamp.astimezone(UTC):%Y%m%dT%H%M%S}-{self.pool}"[:LONGEST_ID]

    @property
    def clone_name(self) -> str:
        """Name of the throwaway VM, and beginning of those of its disks and its network card."""
        return f"clone-{self.stamp.astimezone(UTC):%Y%m%dT%H%M%S}-{self.pool}"[:LONGEST_ID].rstrip("-_")

    @property
    def clone_id(self) -> str:
        """ARM id of the throwaway VM."""
        return self.compute_id("virtualMachines", self.clone_name)

    @property
    def probe_name(self) -> str:
        """Id of the job that probes the pool itself."""
        return f"probe-{self.stamp.astimezone(UTC):%Y%m%dT%H%M%S}-{self.pool}"[:LONGEST_ID]

    @property
    def version_name(self) -> str:
        """Gallery version ``YYYY.MDD.HHMMSS``: a later run always has the higher number."""
        stamp = self.stamp.astimezone(UTC)
        return f"{stamp.year}.{stamp.month}{stamp:%d}.{int(f'{stamp:%H%M%S}')}"

    def compute_id(self, kind: str, name: str) -> str:
        """Return the ARM id of something that the run makes of an image."""
        group = f"/subscriptions/{self.spec.subscription}/resourceGroups/{self.image_group}"
        return f"{group}/providers/Microsoft.Compute/{kind}/{name}"

    def snapshot_id(self, lun: int | None) -> str:
        """Return the ARM id of a snapshot of this run."""
        return self.compute_id("snapshots", self.snapshot_name(lun))

    @property
    def managed_image_id(self) -> str:
        """ARM id of the managed image."""
        return self.compute_id("images", self.managed_image_name)

    @property
    def given_image_id(self) -> str | None:
        """ARM id of the managed image that the run's source is itself; None where the run has to make one."""
        found = self.source.resource_id if self.source and self.source.road is Road.MANAGED_IMAGE else None
        return found if found and "/providers/microsoft.compute/images/" in found.lower() else None

    @property
    def trusted_launch(self) -> bool | None:
        """Whether nodes on the image have to have Trusted Launch; None: they may or may not, or it is not known."""
        system = self.source.system if self.source else None
        return system.trusted_launch if system else None

    @property
    def definition_id(self) -> str:
        """ARM id of the image definition, the followed one of a follower; only with ``publish: gallery``."""
        return definition_id(self.maker)

    @property
    def maker(self) -> PoolSpec:
        """The spec that says which image the pool runs on: its own, or the one that it follows."""
        maker = maker_of(self.spec, self.followed)
        assert maker is not None, "a follower is planned with the spec that it follows"
        return maker

    @property
    def version_id(self) -> str:
        """ARM id of the version that the pool is to run on, built by this run or given."""
        used = self.existing_version_id or (self.source.version_id if self.source else None)
        return used or f"{self.definition_id}/versions/{self.version_name}"

    @property
    def image_id(self) -> str:
        """ARM id that goes into the pool's image reference."""
        return self.version_id if self.is_versioned else self.given_image_id or self.managed_image_id

    @property
    def is_versioned(self) -> bool:
        """Whether the image is a gallery version, which can carry a verdict, and not a managed image."""
        return not self.builds_image or self.spec.image.publish is Publish.GALLERY

    @property
    def pool_id(self) -> str:
        """ARM id of the pool."""
        return self.id_of_pool(self.pool)

    def id_of_pool(self, name: str) -> str:
        """Return the ARM id of a pool of the spec's account."""
        return f"{account_id(self.spec)}/pools/{name}"

    @property
    def pool_region(self) -> str | None:
        """Normalised region of the pool; None before preflight has seen the account."""
        return self.regions.get(account_id(self.spec).lower())

    @property
    def tags(self) -> dict[str, str]:
        """Tags that say who made a resource; :func:`made_by` reads them."""
        return {
            "golden-pools-pool": self.pool,
            "golden-pools-dag": self.dag_id,
            RUN_TAG: self.run_id[:LONGEST_TAG],
        }

    def replicas(self, home_region: str) -> dict[str, int]:
        """Return replicas per normalised region; the source's own region is always among them."""
        image, home = self.spec.image, normal_region(home_region)
        wanted = {
            home: image.replicas,
            **{normal_region(region.name): region.replicas for region in image.target_regions},
        }
        return {region: self._auto(region) if count == "auto" else count for region, count in wanted.items()}

    def _auto(self, region: str) -> int:
        """Return the replicas that the pools in a region need; one whose region is not known may be in any."""
        nodes = Counter(self.nodes_elsewhere)
        nodes[account_id(self.spec).lower()] += self.largest.total
        return replicas_for(
            sum(count for account, count in nodes.items() if self.regions.get(account, region) == region)
        )


def refresh_dag_id(pool: str) -> str:
    """Return the id of the DAG that refreshes a pool."""
    return f"{REFRESH_DAG_PREFIX}{pool}"


def account_id(spec: PoolSpec) -> str:
    """Return the ARM id of a spec's Batch account."""
    return (
        f"/subscriptions/{spec.subscription}/resourceGroups/{spec.pool.resource_group}"
        f"/providers/Microsoft.Batch/batchAccounts/{spec.pool.account}"
    )


def definition_id(spec: PoolSpec) -> str:
    """Return the ARM id of the image definition that a spec itself names."""
    image, existing = spec.image, spec.image.source.image_version
    if existing is not None:
        return existing.id.partition("/versions/")[0]
    return (
        f"/subscriptions/{spec.subscription}/resourceGroups/{image.resource_group}"
        f"/providers/Microsoft.Compute/galleries/{image.gallery}/images/{image.definition}"
    )


def definition_of(spec: PoolSpec, specs: Mapping[str, PoolSpec]) -> str | None:
    """Return the ARM id of the definition whose versions a spec's pool runs on; None: managed images, or not known."""
    maker = maker_of(spec, specs)
    return definition_id(maker) if maker is not None and maker.image.publish is Publish.GALLERY else None


def verdict_tags(verdict: ImageVerdict, why: str) -> dict[str, str]:
    """Return the tags that mark an image version.

    :param why: the reason, without secrets; what is too long for a tag is cut off
    """
    return {VERDICT_TAG: verdict.value, WHY_TAG: shortened(" ".join(why.split()), LONGEST_TAG)}


def is_marked(tags: Mapping[str, str], verdict: ImageVerdict) -> bool:
    """Return whether an image version's tags say this verdict."""
    return tags.get(VERDICT_TAG, "").casefold() == verdict


def owner_of(tags: Mapping[str, str]) -> str:
    """Name who made a resource, from its tags, for a message."""
    if run := tags.get(RUN_TAG):
        return f"run {run} of DAG {tags.get('golden-pools-dag', '?')}"
    return "somebody else (it carries no golden-pools tags)"


def is_made_by_a_run(tags: Mapping[str, str]) -> bool:
    """Return whether ``tags`` say that a run, this one or another, made the resource."""
    return bool(tags.get(RUN_TAG))


def made_by(plan: RunPlan, tags: Mapping[str, str]) -> bool:
    """Return whether ``tags`` say that this very run made the resource."""
    return all(tags.get(name) == value for name, value in plan.tags.items())


def make_plan(
    spec: PoolSpec,
    *,
    pool: str,
    dag_id: str,
    run_id: str,
    triggered_by: str,
    stamp: datetime,
    conf: Mapping[str, Any],
    params: Mapping[str, Any],
    keys: Sequence[str] = PARAMS,
    followed: Mapping[str, PoolSpec] | None = None,
    nodes_elsewhere: Mapping[str, int] | None = None,
    scheduled: bool = False,
) -> RunPlan:
    """Return the plan of one run; node counts that its form leaves open are those of the spec at ``stamp``.

    :param conf: the run's conf as it was sent; Airflow lets unknown keys through, here they are refused
    :param params: the params that Airflow made of form, conf and defaults
    :param keys: keys that the DAG's form offers
    :param followed: specs that the spec follows or waits for, by name; a follower's own definition is the followed one
    :param nodes_elsewhere: nodes of the other pools on the image by account, see :class:`RunPlan`
    :param scheduled: whether no person started the run
    :raises RunConfError: with every fault of the conf at once
    """
    faults = [_unknown(key, keys) for key in conf if key not in keys]
    changes: dict[str, int] = {}
    for key in ("dedicated", "spot"):
        value = params.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            faults.append(f"{key} is {value!r}, not a number of nodes (0 or more)")
        else:
            changes[key] = value
    strategy = params.get("refresh_strategy") or spec.refresh.strategy
    if strategy not in list(Strategy):
        faults.append(f"refresh_strategy is {strategy!r}, allowed: {', '.join(Strategy)}")
    version = params.get("image_version") or None
    existing = None
    if version is not None:
        existing = _version_id(maker_of(spec, followed or {}) or spec, str(version), faults)
    plan_only = params.get("plan_only", False)
    if not isinstance(plan_only, bool):
        faults.append(f"plan_only is {plan_only!r}, not true or false")
    force = params.get("force", False)
    if not isinstance(force, bool):
        faults.append(f"force is {force!r}, not true or false")
    force_rebuild = params.get("force_rebuild", False)
    if not isinstance(force_rebuild, bool):
        faults.append(f"force_rebuild is {force_rebuild!r}, not true or false")
    elif force_rebuild and version is not None:
        faults.append("force_rebuild builds an image and image_version takes one that is there; allowed: one of them")
    elif force_rebuild and not spec.image.source.kind.makes_images:
        faults.append(f"force_rebuild is true, but image.source.{spec.image.source.kind} builds no images")
    why = params.get("why", "")
    if not isinstance(why, str) or ("why" in keys and not why.strip()):
        faults.append(f"why is {why!r}, not a reason")
    targets = targets_at(spec, stamp).model_copy(update=changes)
    effective = spec.model_copy(update={"pool": spec.pool.model_copy(update={"targets": targets})})
    faults += [str(fault) for fault in limit_faults(effective)]
    if faults:
        raise RunConfError(
            "The run's configuration is not what the form offers: " + "; ".join(faults),
            resource=f"run {run_id} of DAG {dag_id}",
            advice="trigger the DAG again "
            + (f"with the form, or with these keys only: {', '.join(keys)}" if keys else "without a configuration"),
        )
    return RunPlan(
        pool=pool,
        dag_id=dag_id,
        run_id=run_id,
        triggered_by=triggered_by,
        stamp=stamp,
        plan_only=plan_only,
        existing_version_id=existing,
        force=force is True,
        force_rebuild=force_rebuild is True,
        scheduled=scheduled,
        why=why,
        params={key: params[key] for key in keys if key in params},
        followed=followed or {},
        nodes_elsewhere=nodes_elsewhere or {},
        largest=max(targets, largest_targets(spec), key=lambda counts: counts.total),
        spec=effective.model_copy(update={"refresh": spec.refresh.model_copy(update={"strategy": Strategy(strategy)})}),
    )


def _unknown(key: str, keys: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, keys, n=1)
    return f"{key} is not a key of the form" + (f" (did you mean {near[0]}?)" if near else "")


def _version_id(maker: PoolSpec, version: str, faults: list[str]) -> str | None:
    whole = _VERSION_ID.fullmatch(version)
    if whole and _is_version(whole["version"]):
        return version
    if _is_version(version) and maker.image.publish is Publish.GALLERY:
        return f"{definition_id(maker)}/versions/{version}"
    faults.append(
        f"image_version is {version!r}; allowed: Major.Minor.Patch of the spec's own definition, "
        "or the full ARM id of a version"
    )
    return None


def _is_version(text: str) -> bool:
    """Return whether ``text`` is ``Major.Minor.Patch``."""
    numbers = re.fullmatch(r"([0-9]{1,10})\.([0-9]{1,10})\.([0-9]{1,10})", text)
    return numbers is not None and all(int(number) <= _LARGEST_VERSION_NUMBER for number in numbers.groups())
