"""What the watch found, and which of it is news.

A finding is the same one for as long as its kind and its subject are: that its numbers change, or the version in its
text, is no news.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from golden_pools.rules.preflight.findings import Finding as Checked
from golden_pools.rules.preflight.findings import Level, render

__all__ = ["STATE_KEY", "Finding", "Kind", "Level", "News", "new_and_gone", "render", "sort_of"]


STATE_KEY = "findings"
"""Key of the state store of the watch's asset: what was known at the last look, as :class:`News` has it."""


class Kind(StrEnum):
    """What can be found; the word is part of a finding's id and never changes its meaning."""

    SPEC_FAULTY = "spec_faulty"
    POOL_MISSING = "pool_missing"
    POOL_BEHIND = "pool_behind"
    POOL_ON_BAD_VERSION = "pool_on_bad_version"
    POOL_IMAGE_GONE = "pool_image_gone"
    POOL_SETTINGS = "pool_settings"
    POOL_WITHOUT_SPEC = "pool_without_spec"
    NODES_OFF_TARGET = "nodes_off_target"
    NODES_FAILED = "nodes_failed"
    REPLICAS_TOO_FEW = "replicas_too_few"
    REGION_MISSING = "region_missing"
    REPLICATION_FAILED = "replication_failed"
    VERSION_PAST_END_OF_LIFE = "version_past_end_of_life"
    MANAGED_IMAGE_POOL = "managed_image_pool"
    SPOT_IN_BATCH_SERVICE = "spot_in_batch_service"
    NODE_AGENT_ENDING = "node_agent_ending"
    VM_SIZE_ENDING = "vm_size_ending"
    ORPHAN = "orphan"


@dataclass(frozen=True, kw_only=True)
class Finding(Checked):
    """One finding; ``check`` is its :class:`Kind`.

    :param subject: ARM id of what it is about, and, where that is not all, of which part
    :param needs: keys of the look-ups that it follows from: without one of them nobody knows whether it still holds
    """

    subject: str
    needs: tuple[str, ...]

    @property
    def id(self) -> str:
        """The same from run to run."""
        return f"{self.check}:{self.subject}".casefold()

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON; :meth:`of` makes it a finding again."""
        return {"id": self.id, **asdict(self), "level": self.level.value, "needs": list(self.needs)}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return the finding that :meth:`to_dict` wrote."""
        fields = {name: item for name, item in value.items() if name != "id"}
        return cls(**{**fields, "level": Level(value["level"]), "needs": tuple(value["needs"])})


@dataclass(frozen=True, kw_only=True)
class News:
    """What a look changed.

    :param new: findings that were not there at the look before
    :param gone: findings that no longer hold
    :param known: all that hold, with those that this look could not see: what the next look is compared with
    """

    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    known: tuple[Finding, ...]


def new_and_gone(before: Iterable[Finding], found: Sequence[Finding], unknown: Iterable[str]) -> News:
    """Return what is new and what is gone since the look before.

    A finding that is not there because a look-up failed is neither: it stays known.

    :param unknown: keys of the look-ups that failed
    """
    had, has, blind = {old.id: old for old in before}, {new.id: new for new in found}, set(unknown)
    unseen = [old for id_, old in had.items() if id_ not in has and blind.intersection(old.needs)]
    return News(
        new=tuple(sort_of(new for id_, new in has.items() if id_ not in had)),
        gone=tuple(old for id_, old in had.items() if id_ not in has and not blind.intersection(old.needs)),
        known=(*has.values(), *unseen),
    )


def sort_of(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings with the errors first."""
    order = list(Level)
    return sorted(findings, key=lambda finding: order.index(finding.level))
