"""The copies of an image version in one region."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from include.azure_simulator.resources import JsonObject


@dataclass(slots=True)
class Replica:
    """The copies of a version in one region; copying goes from ``started`` to ``ends``.

    ``there`` says that older copies serve the region while more are made, ``failure`` why copying comes to nothing.
    """

    display_name: str
    region: str
    count: int
    storage_account_type: str
    exclude_from_latest: bool
    started: datetime
    ends: datetime
    further: JsonObject = field(default_factory=dict)
    there: bool = False
    failure: str | None = None

    def failed(self, now: datetime) -> bool:
        """Whether copying has come to nothing."""
        return self.failure is not None and now >= self.ends

    def ready(self, now: datetime) -> bool:
        """Whether there are copies."""
        return self.there or (self.failure is None and now >= self.ends)

    def state(self, now: datetime) -> str:
        """State in the replication status."""
        return "Failed" if self.failed(now) else "Completed" if now >= self.ends else "Replicating"

    def details(self, now: datetime) -> str:
        """Why copying has failed; nothing otherwise."""
        return (self.failure or "") if self.failed(now) else ""

    def progress(self, now: datetime) -> int:
        """How much of the replication is done, in percent."""
        if self.failed(now):
            return 0
        if now >= self.ends:
            return 100
        return int(100 * ((now - self.started) / (self.ends - self.started)))

    def render(self) -> JsonObject:
        """The target region as ARM shows it."""
        body: JsonObject = {
            "name": self.display_name,
            "regionalReplicaCount": self.count,
            "storageAccountType": self.storage_account_type,
            **self.further,
        }
        if self.exclude_from_latest:
            body["excludeFromLatest"] = True
        return body
