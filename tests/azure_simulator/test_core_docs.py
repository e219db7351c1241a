"""The page about the simulator names every setting, and the examples in the docs work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from starlette.testclient import TestClient

from include.azure_simulator.settings import BucketSettings, SimulatorSettings
from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import Batch, pool_body

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "simulator.md"
EXAMPLES = [
    example
    for page in (PAGE, DOCS / "refreshing.md")
    for example in re.findall(r"^curl \$sim/([a-z]+) -d '(.*)'$", page.read_text(encoding="utf-8"), re.MULTILINE)
]


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


@pytest.mark.parametrize(("route", "body"), EXAMPLES)
def test_an_example_is_understood(client: TestClient, world: World, route: str, body: str) -> None:
    Batch(client, world).put("nightly-canary", pool_body())

    assert client.post(f"/_simulator/{route}", json=json.loads(body)).status_code == 201


def test_there_are_examples() -> None:
    assert {route for route, _ in EXAMPLES} == {"faults", "allocations", "commands", "replications"}
