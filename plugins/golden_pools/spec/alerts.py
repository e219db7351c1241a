"""Who is told what: the alert channels of a pool."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from golden_pools.spec import names
from golden_pools.spec.part import Part


class AlertLevel(StrEnum):
    """How much an alert matters, the least first."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    def reaches(self, lowest: AlertLevel) -> bool:
        """Return whether a channel that begins at ``lowest`` takes it."""
        order = list(AlertLevel)
        return order.index(self) >= order.index(lowest)


class Topic(StrEnum):
    """What an alert is about."""

    RUN = "run"
    PREFLIGHT = "preflight"
    RESIZE = "resize"
    ROLLBACK = "rollback"
    DEADLINE = "deadline"
    DRIFT = "drift"
    APPROVAL = "approval"


def _once(topics: tuple[Topic, ...]) -> tuple[Topic, ...]:
    if twice := sorted({topic.value for topic in topics if topics.count(topic) > 1}):
        raise ValueError(f"each topic once, but {', '.join(twice)} stands more than once")
    return topics


class Channel(Part):
    """Somebody who is told."""

    connection: Annotated[str, StringConstraints(pattern=names.CONNECTION)] = Field(
        description=(
            "Airflow connection of type `apprise`; its extra `config` lists addresses as Apprise writes them, "
            "each with a `path` and a `tag`."
        ),
        examples=["golden_pools_alerts"],
    )
    tags: tuple[Annotated[str, StringConstraints(pattern=names.ALERT_TAG)], ...] = Field(
        default=(),
        description="Addresses of the connection that have one of these tags; if absent, all of them.",
        examples=[["oncall"]],
    )
    level: AlertLevel = Field(
        default=AlertLevel.WARNING,
        description=(
            "Lowest level: `error` is a failed run and a missed deadline, `warning` also what has drifted, too few "
            "nodes and an approval that is wanted, `info` also each run that went well."
        ),
    )
    about: Annotated[tuple[Topic, ...], AfterValidator(_once)] = Field(
        default=tuple(Topic), min_length=1, description="What the channel wants to hear of."
    )

    def wants(self, topic: Topic, level: AlertLevel) -> bool:
        """Return whether the channel takes an alert."""
        return topic in self.about and level.reaches(self.level)
