"""The page about the simulator names every setting with its default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from include.azure_simulator.settings import BucketSettings, SimulatorSettings

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"


def _names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not BucketSettings:
            yield from _names(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_the_table_of_settings_is_complete() -> None:
    documented = re.findall(r"^\| `([a-z_]+\.[a-z_.]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(_names(SimulatorSettings))
