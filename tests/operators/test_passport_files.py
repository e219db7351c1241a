"""Passports as files, from birth to deletion: complete after a whole run, and never the reason why a run fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from golden_pools.hooks import passports as store_module
from golden_pools.hooks.passports import PassportStore
from golden_pools.operators.passport import RecordPassportOperator
from golden_pools.rules.passport import Became, Passport, passport_schema
from golden_pools.spec.image import Passports
from golden_pools.spec.model import PoolSpec, Strategy
from jsonschema import Draft202012Validator

from include.airflow_settings import ROOT
from tests.operators.conftest import NEW, OLD, Cloud, Died, Run, small_pool
from tests.operators.dag_run import State
from tests.operators.test_passport import record
from tests.operators.test_retire_images import DEFINITION, Retention, number
from tests.operators.test_retire_images import retention as retention
from tests.operators.test_retire_images import specs as specs
from tests.operators.test_sources import Nights
from tests.operators.test_sources import nights as nights

PROBES = {"probes": [{"name": "renderer", "command_line": "/bin/true"}]}
MAY_BE_EMPTY = {
    ("pools", "image_before"),
    ("pools", "until"),
    ("pools", "image_after"),
    ("disks", "lun"),
    ("approvals",),
}
"""What a first run on a pool has nothing to say about; an OS disk has no LUN, and here nobody is asked to approve."""


@pytest.fixture
def place(tmp_path: Path) -> Passports:
    return Passports(path=str(tmp_path / "passports"))


@pytest.fixture(autouse=True)
def address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://localhost:8080")


def kept(nights: Nights, place: Passports, **parts: Any) -> PoolSpec:
    image = {"passports": place.model_dump(), **parts.pop("image", {})}
    return nights.spec(image=image, canary=PROBES, refresh={"probe_pool": True}, **parts)


def document(place: Passports, image_id: str) -> Passport:
    found = PassportStore(place).document(image_id)
    assert found is not None
    return found


def empty_fields(value: Any, *path: str) -> list[tuple[str, ...]]:
    """Return where nothing stands in a document."""
    if isinstance(value, dict):
        return [found for name, inner in value.items() for found in empty_fields(inner, *path, name)]
    if isinstance(value, list) and value:
        return [found for inner in value for found in empty_fields(inner, *path)]
    return [path] if value in (None, "", []) else []


def test_after_a_whole_run_every_field_is_filled_and_fits_the_schema(nights: Nights, place: Passports) -> None:
    spec = kept(nights, place, golden_vm={"capture": "running"})
    night = nights.night(spec)
    assert night.succeeded, night.errors
    (file,) = Path(place.path).rglob("*.json")
    text = json.loads(file.read_text(encoding="utf-8"))
    for schema in (passport_schema(), json.loads((ROOT / "docs/passport.schema.json").read_text(encoding="utf-8"))):
        Draft202012Validator(schema).validate(text)
    empty = set(empty_fields(text)) - MAY_BE_EMPTY
    assert empty == set()
    passport = document(place, night.run.plan.version_id)
    assert passport.run is not None
    assert passport.run.link == "http://localhost:8080/dags/golden_pool_small/runs/manual__1"
    ended = {name for name, state in night.states.items() if state is State.SUCCESS and not name.startswith("rollback")}
    assert {"source", "preflight", "image.snapshot", "image.publish", "canary.probe", "pool.refresh"} <= ended
    assert passport.run.stages.keys() >= {"source", "preflight", "image.snapshot", "image.publish", "pool.refresh"}
    assert len(passport.disks) == len(passport.snapshots) == 3
    assert "spec-renderer" in {probe.probe for probe in passport.probes}
    assert (passport.became, passport.built, [pool.name for pool in passport.pools]) == (
        Became.CURRENT,
        True,
        ["small"],
    )


def test_tags_lead_from_version_to_source_and_run(nights: Nights, place: Passports) -> None:
    night = nights.night(kept(nights, place))
    tags = nights.version(night)["tags"]
    assert tags["golden-pools-source"].endswith("/virtualMachines/golden-vm")
    assert tags["golden-pools-run-link"] == "http://localhost:8080/dags/golden_pool_small/runs/manual__1"
    assert tags["golden-pools-capture"] == "deallocated"
    assert "somebody" not in json.dumps(tags)
    for kind in ("snapshots", "images"):
        made = nights.cloud.arm("GET", f"resourceGroups/images/providers/Microsoft.Compute/{kind}")["value"]
        assert all(one["tags"]["golden-pools-source"] == tags["golden-pools-source"] for one in made)


def test_a_run_on_an_existing_version_adds_to_what_its_builder_wrote(nights: Nights, place: Passports) -> None:
    spec = kept(nights, place, golden_vm={"capture": "running"})
    built = nights.night(spec)
    before = document(place, built.run.plan.version_id)
    again = nights.night(spec, run_id="manual__2", image_version=built.run.plan.version_name)
    assert again.succeeded, again.errors
    after = document(place, built.run.plan.version_id)
    assert (after.run, after.disks, after.source) == (before.run, before.disks, before.source)
    assert [(pool.name, pool.since, pool.until) for pool in after.pools] == [("small", before.pools[0].since, None)]


def test_a_version_of_somebody_else_has_a_passport_of_what_is_known(nights: Nights, place: Passports) -> None:
    version = nights.cloud.make_version(NEW)
    night = nights.night(kept(nights, place, source={"image_version": {"id": version}}, image=BORROWED))
    assert night.succeeded, night.errors
    passport = document(place, version)
    assert passport.run is not None
    assert (passport.built, passport.disks, passport.run.id, passport.became) == (False, (), "manual__1", "current")


BORROWED = {"resource_group": None, "gallery": None, "definition": None, "target_regions": []}


def test_two_dags_keep_two_parts_of_one_passport(nights: Nights, place: Passports) -> None:
    spec = kept(nights, place)
    built = nights.night(spec)
    run = Run(spec, pool="second", conf={"image_version": built.run.plan.version_name})
    refresh = {"action": "created", "pool": "second", "image_before": None, "targets": None}
    run.xcoms |= {"preflight": {"findings": []}, "refresh": refresh}
    run.xcoms["nodes"] = {"pool": "second", "dedicated": 3, "spot": 0}
    run.do(record())
    (folder,) = {file.parent for file in Path(place.path).rglob("*.json")}
    assert {file.stem for file in folder.iterdir()} == {"golden_pool_small", "golden_pool_second"}
    passport = document(place, built.run.plan.version_id)
    assert {pool.name for pool in passport.pools} == {"small", "second"}
    assert passport.run is not None
    assert passport.run.dag == "golden_pool_small"


def test_a_pool_that_moves_closes_its_use_of_the_former_version(nights: Nights, place: Passports) -> None:
    spec = kept(nights, place, golden_vm={"capture": "running"})
    first = nights.night(spec)
    nights.cloud.advance(hours=24)
    second = nights.night(spec, run_id="manual__2", force_rebuild=True)
    assert second.succeeded, second.errors
    old, new = (document(place, night.run.plan.version_id) for night in (first, second))
    assert (old.became, new.became) == (Became.SUPERSEDED, Became.CURRENT)
    assert old.pools[0].until == new.pools[0].since == old.when
    assert old.pools[0].image_after == second.run.plan.version_id
    assert new.pools[0].image_before == first.run.plan.version_id


def test_the_pool_of_a_former_version_beside_the_new_one_is_not_on_it_any_more(
    nights: Nights, place: Passports
) -> None:
    spec = kept(nights, place, golden_vm={"capture": "running"})
    spec = spec.model_copy(update={"refresh": spec.refresh.model_copy(update={"strategy": Strategy.BLUE_GREEN})})
    first = nights.night(spec)
    nights.cloud.advance(hours=24)
    second = nights.night(spec, run_id="manual__2", force_rebuild=True)
    assert second.succeeded, second.errors
    old, new = (document(place, night.run.plan.version_id) for night in (first, second))
    assert old.pools[0].name != new.pools[0].name
    assert (old.became, old.pools[0].until) == (Became.SUPERSEDED, new.pools[0].since)


def test_a_version_that_fails_its_probe_is_bad_with_the_reason(nights: Nights, place: Passports) -> None:
    nights.cloud.command(task="spec-renderer", exit_code=3)
    night = nights.night(kept(nights, place))
    assert not night.succeeded
    passport = document(place, night.run.plan.version_id)
    assert (passport.became, passport.built) == (Became.BAD, True)
    assert passport.why
    assert passport.disks
    assert passport.history[-1].by == "golden_pool_small"


def test_retention_notes_what_it_has_deleted(retention: Retention, place: Passports, tmp_path: Path) -> None:
    with_passports(retention, place, tmp_path)
    retention.a_run()
    assert list(Path(place.path).rglob("*.json")) == [], "it is only marked as yet"
    retention.a_run(days_later=6)
    passport = document(place, f"{DEFINITION}/versions/{number(50)}")
    assert (passport.became, passport.history[0].by) == (Became.RETIRED, "retire_images")
    assert [path.parent.name for path in Path(place.path).rglob("*.json")] == [number(50)]


def test_a_deletion_is_noted_though_its_worker_was_killed_over_it(
    retention: Retention, place: Passports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    from dags import retire_images

    with_passports(retention, place, tmp_path)
    retention.a_run()
    retention.virtual.sleep(6 * 86400)
    task = retire_images.dag.get_task("versions")
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "_write", die)
        with pytest.raises(Died):
            retention.do(task)
    with pytest.raises(AirflowSkipException):
        retention.do(task)
    assert document(place, f"{DEFINITION}/versions/{number(50)}").became is Became.RETIRED


def with_passports(retention: Retention, place: Passports, tmp_path: Path) -> None:
    data = yaml.safe_load((tmp_path / "small.yaml").read_text(encoding="utf-8"))
    data["image"]["passports"] = {"path": place.path}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")


def die(*_: object) -> None:
    raise Died


@pytest.fixture
def moving(cloud: Cloud, place: Passports) -> Callable[[], Run]:
    """Make a run that records the move of a pool from an old version to a new one, both with passports."""
    spec = small_pool(cloud)
    spec = spec.model_copy(update={"image": spec.image.model_copy(update={"passports": place})})
    old, new = (cloud.make_version(name) for name in (OLD, NEW))

    def make(version: str = new, before: str | None = old, run_id: str = "manual__2") -> Run:
        run = Run(spec, conf={"image_version": version.rpartition("/")[2]}, run_id=run_id)
        run.xcoms |= {
            "preflight": {"findings": []},
            "refresh": {"action": "refreshed", "pool": "small", "image_before": before, "targets": None},
            "nodes": {"pool": "small", "dedicated": 3, "spot": 0},
        }
        return run

    make(old, None, "manual__1").do(record())
    cloud.forget()
    return make


def texts(place: Passports) -> dict[str, Any]:
    return {file.parent.name: json.loads(file.read_text(encoding="utf-8")) for file in Path(place.path).rglob("*.json")}


@pytest.mark.parametrize("number_of_write", [1, 2])
@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
def test_a_worker_killed_over_a_file_leaves_what_a_second_try_completes(
    cloud: Cloud,
    place: Passports,
    moving: Callable[[], Run],
    monkeypatch: pytest.MonkeyPatch,
    number_of_write: int,
    sent: bool,
) -> None:
    writes, real = 0, store_module._write

    def write_and_die(*arguments: Any) -> None:
        nonlocal writes
        writes += 1
        if writes < number_of_write or sent:
            real(*arguments)
        if writes == number_of_write:
            raise Died

    run = moving()
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "_write", write_and_die)
        with pytest.raises(Died):
            run.do(record())
    passport = run.do(record())
    found = texts(place)
    assert found.keys() == {OLD, NEW}
    assert (found[OLD]["became"], found[NEW]["became"]) == ("superseded", "current")
    assert found[OLD]["pools"][0]["until"] == found[NEW]["pools"][0]["since"] == passport["pools"][0]["since"]
    assert [len(one["pools"]) for one in found.values()] == [1, 1]
    assert len(cloud.writes()) == 1


def test_a_record_that_is_cleared_long_after_changes_nothing(
    place: Passports, moving: Callable[..., Run], later: Callable[..., None]
) -> None:
    run = moving()
    run.do(record())
    before = texts(place)
    later(days=3)
    run.do(record())
    assert texts(place) == before


def test_a_place_that_fails_is_a_warning_with_the_way_out(
    place: Passports, moving: Callable[..., Run], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no rights, see https://store/?sig=abcdefghijklmnopqrstuvwxyz0123456789")

    monkeypatch.setattr(store_module, "_write", refuse)
    with caplog.at_level(logging.WARNING):
        run = moving()
        assert run.do(record()) == run.events["pool"]
    (text, *_) = [entry.getMessage() for entry in caplog.records if "passport" in entry.getMessage()]
    assert "The store answered: PermissionError: no rights" in text
    assert "What to do: correct image.passports.path" in text
    assert "abcdefghijklmnopqrstuvwxyz" not in text


def test_preflight_warns_early_and_the_run_goes_on(nights: Nights, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    night = nights.night(kept(nights, Passports(path=str(blocked))))
    assert night.succeeded, night.errors
    checks = {finding["check"] for finding in night.run.xcom("preflight")["findings"]}
    assert "passport-store" in checks
    assert "passport-store" in {
        finding["check"] for finding in night.run.events["batch-pool/goldenbatch/small"]["findings"]
    }


def test_without_a_place_nothing_is_written(nights: Nights) -> None:
    assert isinstance(record(), RecordPassportOperator)
    assert nights.spec().image.passports is None
    assert nights.night(nights.spec()).succeeded
