"""The verdict on one observation of a pool: a value that travels from the triggerer to the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Self


class VerdictKind(StrEnum):
    """What an observation means."""

    WAIT = "wait"
    REACHED = "reached"
    PARTIAL = "partial"
    MISSED = "missed"
    RESIZE_AGAIN = "resize_again"
    GIVE_UP = "give_up"
    OWNED_BY_OTHER = "owned_by_other"


class Cause(StrEnum):
    """Verdict codes of our own, where no code of Azure's decided."""

    ON_ITS_WAY = "OnItsWay"
    NOT_SEEN_YET = "NotSeenYet"
    STALLED = "Stalled"
    AT_TARGET = "AtTarget"
    POOL_GONE = "PoolGone"
    OTHER_TARGETS = "OtherTargets"
    AUTOSCALE_ON = "AutoscaleOn"
    SHORT_WITHOUT_ERROR = "ShortWithoutError"
    SHORT_OF_QUOTA = "ShortOfQuota"
    NODES_FAILED = "NodesFailed"
    NODES_LATE = "NodesLate"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The meaning of one observation.

    :param reason: what was seen, with Azure's codes and values
    :param advice: what the reader should do; never empty where the run gives up
    :param code: a :class:`Cause` or the Azure code that decided
    :param delay: pause before the next resize (``RESIZE_AGAIN`` only)
    :param blames_image: whether what happened speaks against the image
    """

    kind: VerdictKind
    reason: str
    code: str
    advice: str = ""
    delay: timedelta = timedelta(0)
    blames_image: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON, for a trigger's event."""
        return {**asdict(self), "kind": str(self.kind), "code": str(self.code), "delay": self.delay.total_seconds()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the verdict that :meth:`to_dict` wrote."""
        return cls(**{**value, "kind": VerdictKind(value["kind"]), "delay": timedelta(seconds=value["delay"])})
