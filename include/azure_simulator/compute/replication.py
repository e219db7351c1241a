"""How versions get into their regions: what may be asked for, how long it takes, and scripts for the next copies.

``POST /_simulator/replications`` takes a :class:`ReplicationScript`. The next copy into North Europe fails, whatever
the version; asked again (by a PUT or PATCH of the version) it succeeds::

    {"version": "*", "region": "northeurope", "details": "Failed with internal server error."}

The copies of one version take six hours in every region::

    {"version": "1.0.0", "region": "*", "state": "Completed", "duration": "PT6H", "count": null}
"""

from __future__ import annotations

from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from include.azure_simulator.compute.galleries import ImageDefinition, ImageVersion
from include.azure_simulator.compute.replicas import Replica
from include.azure_simulator.compute.store import RequestBody, invalid_parameter
from include.azure_simulator.resources import JsonObject, ResourceId, normalise_region
from include.azure_simulator.script_queue import ScriptQueue

if TYPE_CHECKING:
    from include.azure_simulator.world import World

_TARGET = "galleryImageVersion.properties.publishingProfile.targetRegions"

StorageAccountType = Literal["Standard_LRS", "Standard_ZRS", "Premium_LRS", "PremiumV2_LRS"]


class TargetRegionBody(RequestBody):
    """A region that a version is replicated to."""

    name: str
    regional_replica_count: int | None = Field(default=None, ge=1)
    storage_account_type: StorageAccountType | None = None
    exclude_from_latest: bool = False
    encryption: JsonValue = None
    additional_replica_sets: JsonValue = None


class PublishingBody(RequestBody):
    """How a version is published."""

    read_only: ClassVar[frozenset[str]] = frozenset({"publishedDate"})

    target_regions: list[TargetRegionBody] | None = None
    replica_count: int | None = Field(default=None, ge=1)
    exclude_from_latest: bool = False
    end_of_life_date: AwareDatetime | None = None
    storage_account_type: StorageAccountType | None = None
    replication_mode: Literal["Full", "Shallow"] | None = None
    target_extended_locations: JsonValue = None
    storage_account_strategy: JsonValue = None


class ReplicationScript(BaseModel):
    """How the next copies of versions into a region go.

    ``version`` is a number or ``gallery/definition/number``, ``region`` a name; ``*`` stands for any part of either.
    ``duration`` is simulated time, default: as the settings say. ``count`` is how many copies (``null``: all).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str = Field(min_length=1)
    region: str = Field(min_length=1)
    state: Literal["Failed", "Completed"] = "Failed"
    details: str = "Failed with internal server error."
    duration: Annotated[timedelta, Field(ge=timedelta(0))] | None = None
    count: Annotated[int, Field(ge=1)] | None = 1

    def concerns(self, version: ResourceId, region: str) -> bool:
        """Whether a copy of a version into a region is meant."""
        wanted = self.version.lower()
        names = (version.name.lower(), "/".join(version.names).lower())
        return any(fnmatchcase(name, wanted) for name in names) and fnmatchcase(region, normalise_region(self.region))

    def to_json(self) -> JsonObject:
        """The script as it was understood."""
        dumped: JsonObject = self.model_dump(mode="json", exclude={"count"})
        return dumped


class Replication:
    """The rules of replication, and the scripts that wait for copies."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.scripts: ScriptQueue[ReplicationScript] = ScriptQueue()

    def wanted(self, body: PublishingBody, location: str) -> dict[str, Replica]:
        """The replicas that a request asks for, by normalised region and not timed yet.

        :raises ArmError: 400 ``InvalidParameter``.
        """
        regions = body.target_regions or [TargetRegionBody(name=self._world.regions[location])]
        now = self._world.clock.now()
        replicas: dict[str, Replica] = {}
        for region in regions:
            name = normalise_region(region.name)
            if name not in self._world.regions:
                raise invalid_parameter(f"The target region '{region.name}' is not a valid region.", _TARGET)
            if name in replicas:
                raise invalid_parameter(f"The target region '{region.name}' is given more than once.", _TARGET)
            kind = region.storage_account_type or body.storage_account_type or "Standard_LRS"
            count = region.regional_replica_count or body.replica_count or 1
            further = region.to_json()
            kept = {key: further[key] for key in ("encryption", "additionalReplicaSets") if key in further}
            replicas[name] = Replica(
                self._world.regions[name], name, count, kind, region.exclude_from_latest, now, now, kept
            )
        if location not in replicas:
            text = (
                f"The publishing profile regions '{', '.join(sorted(replicas))}' must contain the location of image "
                f"version '{location}'."
            )
            raise invalid_parameter(text, _TARGET)
        limit = self._world.settings.compute.replicas_per_version
        if sum(replica.count for replica in replicas.values()) > limit:
            raise invalid_parameter(f"A gallery image version can have at most {limit} replicas.", _TARGET)
        return replicas

    def begin(
        self, rid: ResourceId, location: str, definition: ImageDefinition, mode: str, replicas: dict[str, Replica]
    ) -> datetime | None:
        """Time the first copies of a version: its own region first, then all others from there.

        :returns: when the validation of the source ends, if there is one.
        """
        settings = self._world.settings.compute
        validates = definition.security_type == "TrustedLaunchSupported"
        start = self._world.clock.now() + (settings.trusted_launch_validation if validates else timedelta(0))
        shallow = settings.version_shallow if mode == "Shallow" else None
        home = replicas[location]
        self._copy(rid, home, start, shallow or settings.version_home_region)
        for replica in replicas.values():
            if replica is home:
                continue
            if home.failure is not None:
                replica.ends, replica.failure = home.ends, home.failure
            elif shallow is not None:
                self._copy(rid, replica, start, shallow)
            else:
                self._copy(rid, replica, home.ends, settings.version_extra_region)
        return start if validates else None

    def change(self, version: ImageVersion, replicas: dict[str, Replica]) -> list[Replica]:
        """Time what an update adds: new regions, more replicas, and again what failed.

        :returns: the replicas that are being copied.
        """
        now = self._world.clock.now()
        copied = []
        for region, replica in replicas.items():
            known = version.replicas.get(region)
            if known is not None and not known.failed(now) and replica.count <= known.count:
                replica.started, replica.ends, replica.there = known.started, known.ends, known.there
                replica.failure = known.failure
                continue
            replica.there = known is not None and known.ready(now)
            self._copy(version.rid, replica, now, self._world.settings.compute.version_extra_region)
            copied.append(replica)
        return copied

    def failure(self, location: str, copied: list[Replica]) -> tuple[str, str] | None:
        """Code and message of an operation that fails because copies fail, or ``None``."""
        lag = self._world.settings.compute.version_region_lag
        failing = [r for r in copied if r.failure is not None and (r.region == location or not lag)]
        if not failing:
            return None
        details = ",".join(f"{{region:{replica.region}, detail:{replica.failure}}}" for replica in failing)
        return (
            self._world.settings.compute.replication_failed_code,
            "Gallery replication jobs failed in one or more regions. The failing regions' details are as follows: "
            f"'{details}'. If retry does not work, then please do an update by removing the failed regions and update "
            "again by adding them back.",
        )

    def ends(self, location: str, copied: list[Replica], shortest: datetime) -> datetime:
        """When an operation ends: with the last copy, or so much earlier in further regions as the settings say."""
        lag = self._world.settings.compute.version_region_lag
        return max([shortest, *(r.ends if r.region == location else r.ends - lag for r in copied)])

    def _copy(self, rid: ResourceId, replica: Replica, start: datetime, duration: timedelta) -> None:
        script = self.scripts.take(lambda script: script.concerns(rid, replica.region))
        if script is not None and script.duration is not None:
            duration = script.duration
        replica.ends = start + duration
        replica.failure = script.details if script is not None and script.state == "Failed" else None
