"""The passport: one small JSON per image version that grows along the DAG and travels with the asset events.

:class:`Passport` is what every passport is checked by, when it is written and when it is read, and where
``docs/passport.schema.json`` comes from. It holds no secrets: what comes from outside has been masked by the hooks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from golden_pools.rules.capture import Consistency
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.source import Road
from golden_pools.spec.source import Capture, SourceKind
from golden_pools.words import shortened

SCHEMA = 3
"""Version of the passport's shape; a reader of events checks it."""

LONGEST_TEXT = 500
"""Characters of a text from outside: an asset's event is a row of Airflow's database."""

MOST_FINDINGS, MOST_PROBES, MOST_POOLS, MOST_FATES, MOST_ANSWERS = 50, 200, 500, 100, 100


def _cut(value: object) -> object:
    return shortened(value, LONGEST_TEXT) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_cut), StringConstraints(max_length=LONGEST_TEXT)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Became(StrEnum):
    """What became of a version."""

    NEW = "new"
    CURRENT = "current"
    SUPERSEDED = "superseded"
    BAD = "bad"
    RETIRED = "retired"


class Answer(StrEnum):
    """What was answered when a person was asked whether a pool may move."""

    APPROVED = "approved"
    REJECTED = "rejected"


class SourceOf(_Part):
    """What the version was made from, and why."""

    kind: SourceKind = Field(description="Kind of source, as the spec names it.")
    id: str | None = Field(description="ARM id of the VM or the managed image, or address of the blob.")
    fingerprint: str | None = Field(description="State of the source, to tell whether it has changed since.")
    why: Text = Field(description="Why the version was built, or why an existing one was used.")
    road: Road | None = Field(description="What the gallery made the version from.")
    capture: Capture | None = Field(description="State of the golden VM while its disks were copied.")


class CopiedDisk(_Part):
    """A disk of the golden VM and its copy."""

    lun: int | None = Field(description="LUN of a data disk; null: the OS disk.")
    disk: str | None = Field(description="ARM id of the disk.")
    snapshot: str = Field(description="ARM id of its snapshot.")
    size_gib: int | None = Field(description="Size of the disk; null: not known.")


class ConsistencyOf(_Part):
    """What the copies of the golden VM's disks are worth together."""

    word: Consistency = Field(
        description="`at_rest`: nothing wrote to the disks. `one_moment`: all show one moment of a VM that ran. "
        "`disk_by_disk`: each shows its own."
    )
    note: Text = Field(description="Empty, unless the disks may differ: then how.")


class RunOf(_Part):
    """The run that wrote the passport."""

    dag: str
    id: str
    link: str | None = Field(description="Address of the run in Airflow.")
    triggered_by: str = Field(description="Who triggered it, or what.")
    stamp: AwareDatetime = Field(description="When it began.")
    params: dict[str, str | int | float | bool | None] = Field(description="What its form said.")
    stages: dict[str, Annotated[float, Field(ge=0)]] = Field(
        description="Seconds by task, of those that had ended when the passport was written, but for skipped ones."
    )


class FindingOf(_Part):
    """An error or a warning of preflight."""

    level: str
    check: str
    seen: Text
    advice: Text


class ProbeOf(_Part):
    """What a probe on a node of the image came to."""

    pool: str
    probe: str
    outcome: str
    seen: Text


class Nodes(_Part):
    """Nodes by kind."""

    dedicated: int = Field(ge=0)
    spot: int = Field(ge=0)


class PoolOf(_Part):
    """A pool that runs on the version, or did."""

    id: str = Field(description="ARM id.")
    name: str = Field(description="Its id in the Batch account.")
    alias: str = Field(description="Name of its spec.")
    account: str
    action: str = Field(description="What the refresh did to it.")
    image_before: str | None = Field(description="Image that it had before.")
    since: AwareDatetime = Field(description="When a run first saw it on the version with its nodes ready.")
    until: AwareDatetime | None = Field(default=None, description="When a run saw it on another one; null: not yet.")
    image_after: str | None = Field(default=None, description="Image that it was moved to.")
    targets: Nodes
    ready: Nodes


class AnswerOf(_Part):
    """What came of the question whether a pool may be put on the version."""

    pool: str = Field(description="Name of the pool's spec.")
    answer: Answer
    by: str | None = Field(description="Who answered; null: nobody did in time, and the spec's default holds.")
    when: AwareDatetime
    run: str = Field(description="Id of the run that asked.")


class FateOf(_Part):
    """What a run noted about the version: that it is good, bad, or deleted."""

    became: Literal[Became.CURRENT, Became.BAD, Became.RETIRED]
    why: Text
    when: AwareDatetime
    by: str = Field(description="DAG whose run noted it.")


class Passport(_Part):
    """The passport of one image version: what one run knows of it, or all runs together."""

    passport: Literal[3] = Field(description="Version of this shape.")
    image: str = Field(description="ARM id of the version (or of the managed image that a pool takes itself).")
    version: str
    built: bool = Field(description="Whether the run made it, instead of using one that was there.")
    source: SourceOf | None = Field(description="Null: the run did not look.")
    golden_vm: str | None = Field(description="ARM id of the golden VM, where the run copied one.")
    snapshots: tuple[str, ...] = Field(description="ARM ids of the snapshot set, OS disk first.")
    disks: tuple[CopiedDisk, ...]
    consistency: ConsistencyOf | None = Field(description="Null: the run copied no disks.")
    managed_image: str | None = Field(description="ARM id of the managed image between snapshots and version.")
    run: RunOf | None = Field(
        description="The run that made it; where none is known, the first that used it. Null: no such run is known."
    )
    findings: tuple[FindingOf, ...] = Field(max_length=MOST_FINDINGS)
    probes: tuple[ProbeOf, ...] = Field(max_length=MOST_PROBES)
    pools: tuple[PoolOf, ...] = Field(max_length=MOST_POOLS)
    became: Became
    why: Text = Field(description="Why that became of it.")
    when: AwareDatetime | None = Field(default=None, description="Since when; null: it is new.")
    history: tuple[FateOf, ...] = Field(default=(), max_length=MOST_FATES, description="What runs noted, in order.")
    approvals: tuple[AnswerOf, ...] = Field(
        default=(), max_length=MOST_ANSWERS, description="What people answered before pools moved, in order."
    )
    became_good: bool = Field(default=False, description="Whether it became good in the run.")


def read_passport(value: Mapping[str, Any]) -> Passport:
    """Return a passport as it travels in XComs and events, checked.

    :raises pydantic.ValidationError: naming every field that is not as it should be
    """
    return Passport.model_validate(value)


def passport_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a passport."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Passport.model_json_schema(mode="serialization"),
        "title": "Passport",
    }


def new_passport(
    plan: RunPlan,
    *,
    snapshots: Mapping[str, Any] | None,
    managed_image: str | None,
    findings: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    """Return the passport of the image that a run puts its pool on.

    :param snapshots: the snapshot set; ``None`` where the run used an existing version
    :param managed_image: ARM id of the managed image; ``None`` likewise
    :param findings: preflight's errors and warnings: ``level, check, seen, advice``
    """
    disks = [{**snapshots["os"], "lun": None}, *snapshots["data"]] if snapshots else []
    return _checked(
        {
            "passport": SCHEMA,
            "image": plan.image_id,
            "version": plan.image_id.rsplit("/", 1)[-1],
            "built": plan.builds_image,
            "source": _source(plan),
            "golden_vm": snapshots["golden_vm"] if snapshots else None,
            "snapshots": [disk["snapshot"] for disk in disks],
            "disks": [{name: disk.get(name) for name in ("lun", "disk", "snapshot", "size_gib")} for disk in disks],
            "consistency": snapshots.get("consistency") if snapshots else None,
            "managed_image": managed_image,
            "run": {
                "dag": plan.dag_id,
                "id": plan.run_id,
                "link": None,
                "triggered_by": plan.triggered_by,
                "stamp": plan.stamp.astimezone(UTC),
                "params": plan.params,
                "stages": {},
            },
            "findings": list(findings)[:MOST_FINDINGS],
            "probes": [],
            "pools": [],
            "became": Became.NEW,
            "why": "",
        }
    )


def _source(plan: RunPlan) -> dict[str, Any] | None:
    found = plan.source
    if found is None:
        return None
    vm = plan.spec.golden_vm
    return {
        "kind": SourceKind.GOLDEN_VM if vm else plan.spec.image.source.kind,
        "id": found.resource_id,
        "fingerprint": found.fingerprint,
        "why": found.reason,
        "road": found.road,
        "capture": vm.capture if vm and found.builds else None,
    }


def with_probes(passport: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the passport with what probes on nodes of the image came to.

    :param results: by pool: ``{"pool": id, "probes": [{"probe": name, "outcome": ..., "seen": ...}]}``
    """
    probes = [{"pool": result["pool"], **probe} for result in results for probe in result["probes"]]
    return _checked({**passport, "probes": [*passport["probes"], *probes][:MOST_PROBES]})


def with_answer(passport: Mapping[str, Any], answer: AnswerOf) -> dict[str, Any]:
    """Return the passport with what came of the question for approval."""
    approvals = [*passport.get("approvals", ()), answer.model_dump(mode="json")]
    return _checked({**passport, "approvals": approvals[-MOST_ANSWERS:]})


def with_run(
    passport: Mapping[str, Any], *, link: str | None, ended: Iterable[Mapping[str, Any]], became_good: bool
) -> dict[str, Any]:
    """Return the passport with what Airflow knows of the run by now.

    :param link: address of the run in Airflow
    :param ended: tasks that have ended, as Airflow tells them: ``task_id``, ``state``, and ``duration`` in seconds, or
        ``None``. A task that skipped itself took a moment, too, which says nothing about its stage
    """
    stages = {
        task["task_id"]: round(task["duration"], 1)
        for task in ended
        if task["duration"] is not None and task["state"] != "skipped"
    }
    run = {**passport["run"], "link": link, "stages": stages}
    return _checked({**passport, "run": run, "became_good": became_good})


def with_pool(
    passport: Mapping[str, Any],
    plan: RunPlan,
    *,
    refresh: Mapping[str, Any],
    nodes: Mapping[str, Any],
    since: str,
) -> dict[str, Any]:
    """Return the passport with the pool that now runs on the image.

    :param refresh: what the refresh stage did: ``action``, the pool's id, the image that it had before, and its
        targets, if they are not the plan's
    :param nodes: ready nodes by kind at the end of the run
    :param since: the moment, ISO 8601
    """
    pool = {
        "id": plan.id_of_pool(refresh["pool"]),
        "name": refresh["pool"],
        "alias": plan.pool,
        "account": plan.spec.pool.account,
        "action": refresh["action"],
        "image_before": refresh["image_before"],
        "since": since,
        "targets": refresh.get("targets") or {"dedicated": plan.targets.dedicated, "spot": plan.targets.spot},
        "ready": {kind: nodes[kind] for kind in ("dedicated", "spot")},
    }
    good = {"became": Became.CURRENT, "why": f"pool {refresh['pool']} runs on it", "when": since, "by": plan.dag_id}
    return _checked({**passport, "pools": [*passport["pools"], pool], "history": [*passport["history"], good]})


def fate_of(history: Iterable[FateOf], pools: Iterable[PoolOf]) -> tuple[Became, str, datetime | None]:
    """Return what became of a version, why, and since when.

    Deleted is for ever; of good and bad the later word counts; for the rest it is the pools that tell.
    """
    history, pools = list(history), list(pools)
    if deleted := [fate for fate in history if fate.became is Became.RETIRED]:
        first = min(deleted, key=lambda fate: fate.when)
        return Became.RETIRED, first.why, first.when
    if history and (last := max(history, key=lambda fate: fate.when)).became is Became.BAD:
        return Became.BAD, last.why, last.when
    if on_it := [pool for pool in pools if pool.until is None]:
        names = ", ".join(sorted({pool.name for pool in on_it}))
        words = "pool {} runs on it" if len(on_it) == 1 else "pools {} run on it"
        return Became.CURRENT, words.format(names), min(pool.since for pool in on_it)
    left = [(pool.until, pool.name) for pool in pools if pool.until is not None]
    if left:
        when, name = max(left)
        return Became.SUPERSEDED, f"pool {name} was moved to another image", when
    return Became.NEW, "no pool has run on it yet", None


def settled(passport: Passport) -> Passport:
    """Return a passport that says what became of the version, by its pools and its history."""
    became, why, when = fate_of(passport.history, passport.pools)
    return read_passport({**passport.model_dump(), "became": became, "why": why, "when": when})


def _checked(value: Mapping[str, Any]) -> dict[str, Any]:
    return settled(read_passport(value)).model_dump(mode="json")
