"""An alert, and how it reads: rendered once as text and once as Markdown, whatever takes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from golden_pools.rules.markdown import escaped
from golden_pools.spec.alerts import AlertLevel, Topic


@dataclass(frozen=True, kw_only=True)
class Alert:
    """What somebody is told.

    :param title: one line: which pool, and what
    :param facts: label and value, in the order in which they are read
    :param links: text and address
    :param over: tells that something is over that was told before
    """

    topic: Topic
    level: AlertLevel
    title: str
    facts: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    over: bool = False

    def text(self) -> str:
        """Return the body as plain text."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for label, value in self.facts:
            yield f"{label}: {_indented(value)}"
        if self.links:
            yield ""
        for text, url in self.links:
            yield f"{text}: {url}"

    def markdown(self) -> str:
        """Return the body as Markdown; what names and messages hold of it is escaped."""
        facts = [f"**{label}:** {_broken(escaped(value))}" for label, value in self.facts]
        links = [" · ".join(f"[{escaped(text)}](<{url}>)" for text, url in self.links)] if self.links else []
        return "\n\n".join([*facts, *links])

    def to_dict(self) -> dict[str, Any]:
        """Return the alert as JSON; :meth:`of` makes it an alert again."""
        return {
            **asdict(self),
            "facts": [list(fact) for fact in self.facts],
            "links": [list(one) for one in self.links],
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return the alert that :meth:`to_dict` wrote."""
        pairs = {name: tuple((first, second) for first, second in value[name]) for name in ("facts", "links")}
        return cls(**{**value, **pairs, "topic": Topic(value["topic"]), "level": AlertLevel(value["level"])})


def _indented(value: str) -> str:
    return value.replace("\n", "\n  ")


def _broken(value: str) -> str:
    """Return a value whose lines stay lines."""
    return value.replace("\n", "  \n")
