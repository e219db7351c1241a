"""The shape of a passport: what goes in comes out, nothing unknown gets in, and its size has a bound."""

from __future__ import annotations

import json
from typing import Any

import pytest
from golden_pools.rules.passport import (
    LONGEST_TEXT,
    MOST_FINDINGS,
    Passport,
    new_passport,
    passport_schema,
    read_passport,
    with_pool,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from tests.rules.build import plan


def findings(number: int, text: str = "seen") -> list[dict[str, str]]:
    return [{"level": "WARNING", "check": "disks", "seen": text, "advice": "look"}] * number


def passport(**arguments: Any) -> dict[str, Any]:
    return new_passport(plan(), **{"snapshots": None, "managed_image": None, "findings": [], **arguments})


@given(number=st.integers(0, 80), text=st.text(max_size=2000))
@settings(max_examples=30)
def test_what_is_written_is_read_again_and_fits_the_schema(number: int, text: str) -> None:
    written = passport(findings=findings(number, text))
    assert read_passport(json.loads(json.dumps(written))).model_dump(mode="json") == written
    Draft202012Validator(passport_schema()).validate(written)
    assert len(written["findings"]) <= MOST_FINDINGS
    assert all(len(finding["seen"]) <= LONGEST_TEXT for finding in written["findings"])


def test_a_passport_with_what_nobody_knows_is_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        read_passport({**passport(), "colour": "green"})


def test_a_passport_of_another_shape_is_refused() -> None:
    with pytest.raises(ValidationError, match="passport"):
        read_passport({**passport(), "passport": 1})


def test_every_disk_stands_with_its_snapshot_and_size() -> None:
    snapshots = {
        "golden_vm": "vm",
        "consistency": {"word": "disk_by_disk", "note": "they may differ by moments"},
        "os": {"disk": "os-disk", "snapshot": "os-copy", "size_gib": 30},
        "data": [{"lun": 3, "disk": "data-disk", "snapshot": "data-copy", "caching": "None"}],
    }
    written = passport(snapshots=snapshots)
    assert written["consistency"] == snapshots["consistency"]
    assert written["snapshots"] == ["os-copy", "data-copy"]
    assert written["disks"] == [
        {"lun": None, "disk": "os-disk", "snapshot": "os-copy", "size_gib": 30},
        {"lun": 3, "disk": "data-disk", "snapshot": "data-copy", "size_gib": None},
    ]


def test_a_version_without_a_pool_is_new_and_with_one_it_is_current() -> None:
    refresh = {"pool": "small", "action": "created", "image_before": None}
    nodes = {"pool": "small", "dedicated": 1, "spot": 0}
    fresh = passport()
    used = with_pool(fresh, plan(), refresh=refresh, nodes=nodes, since="2026-11-22T02:00:05+00:00")
    assert (fresh["became"], used["became"]) == ("new", "current")


def test_every_field_of_the_model_is_in_the_schema() -> None:
    assert set(passport_schema()["properties"]) == set(Passport.model_fields)
