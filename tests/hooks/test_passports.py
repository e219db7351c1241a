"""Passports as files, in a folder of this machine and in object storage."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest
from golden_pools.errors import PassportStoreError
from golden_pools.hooks.passports import MANAGED_IMAGES, PassportStore
from golden_pools.rules.passport import Became, FateOf
from golden_pools.rules.passport_parts import noted
from golden_pools.spec.image import Passports

from tests.rules.test_passport_parts import IMAGE, START, part, pool

BAD = noted(IMAGE, FateOf(became=Became.BAD, why="no GPU", when=START, by="two"))


@pytest.fixture(params=["folder", "file-url", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Passports:
    """A place for passports of which nothing is there yet."""
    urls = {"folder": f"{tmp_path}/a/b", "file-url": f"file://{tmp_path}/a/b", "memory": f"memory://{uuid4()}/b"}
    return Passports(path=urls[request.param])


def test_a_place_that_nobody_has_written_to_is_empty_and_not_broken(place: Passports) -> None:
    store = PassportStore(place)
    store.look()
    assert store.document(IMAGE) is None
    assert store.documents("small", most=10) == []


def test_two_dags_write_two_parts_and_readers_put_them_together(place: Passports) -> None:
    store = PassportStore(place)
    store.add("one", part(pool()))
    store.add("two", BAD)
    found = store.document(IMAGE)
    assert found is not None
    assert (found.became, found.pools[0].name) == (Became.BAD, "small")
    assert store.documents(IMAGE.split("/")[-3], most=10) == [found]


def test_the_path_says_definition_version_and_dag(tmp_path: Path) -> None:
    PassportStore(Passports(path=str(tmp_path))).add("golden_pool_small", part())
    definition, version = IMAGE.split("/")[-3::2]
    (file,) = tmp_path.rglob("*.json")
    assert file == tmp_path / definition / version / "golden_pool_small.json"
    assert json.loads(file.read_text(encoding="utf-8"))["image"] == IMAGE


def test_a_managed_image_has_a_folder_too(tmp_path: Path) -> None:
    image = "/subscriptions/s/resourceGroups/images/providers/Microsoft.Compute/images/small-1"
    PassportStore(Passports(path=str(tmp_path))).add("one", BAD.model_copy(update={"image": image}))
    assert [path.name for path in (tmp_path / MANAGED_IMAGES / "small-1").iterdir()] == ["one.json"]


def test_a_later_run_adds_to_what_an_earlier_one_knew(place: Passports) -> None:
    store = PassportStore(place)
    store.add("one", part(pool(since=1), built=True, began=0))
    store.add("one", part(pool(since=9), built=False, began=8))
    found = store.document(IMAGE)
    assert found is not None
    assert (found.built, [use.since.hour for use in found.pools]) == (True, [3])


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    store = PassportStore(Passports(path=str(tmp_path)))
    store.add("one", part(pool()))
    (file,) = tmp_path.rglob("one.json")
    before = file.stat()
    store.add("one", part(pool()))
    assert file.stat() == before


def test_the_newest_versions_are_read_by_number(place: Passports) -> None:
    store, stem = PassportStore(place), IMAGE.rpartition("/")[0]
    for number in ("2026.902.1", "2026.1101.1", "2026.1102.1"):
        store.add("one", BAD.model_copy(update={"image": f"{stem}/{number}", "version": number}))
    assert [one.version for one in store.documents(stem.split("/")[-2], most=2)] == ["2026.1101.1", "2026.1102.1"]


@pytest.mark.parametrize("text", ["", "{", '{"passport": 1}', "[]"])
def test_a_file_that_is_no_passport_is_named_and_left_alone(tmp_path: Path, text: str) -> None:
    store = PassportStore(Passports(path=str(tmp_path)))
    store.add("one", part())
    (file,) = tmp_path.rglob("one.json")
    file.write_text(text, encoding="utf-8")
    for use in (lambda: store.add("one", part(pool())), lambda: store.document(IMAGE)):
        with pytest.raises(PassportStoreError, match=r"one\.json") as refused:
            use()
        assert "move it elsewhere" in refused.value.advice
    assert file.read_text(encoding="utf-8") == text


def test_two_galleries_in_one_place_do_not_mix(tmp_path: Path) -> None:
    store = PassportStore(Passports(path=str(tmp_path)))
    store.add("one", part())
    other = BAD.model_copy(update={"image": IMAGE.replace("/galleries/", "/galleries/other-")})
    with pytest.raises(PassportStoreError, match=r"image\.passports\.path of its own"):
        store.add("one", other)


def test_a_place_that_cannot_be_reached_says_how_to_mend_it(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    store = PassportStore(Passports(path=str(blocked)))
    for use in (store.look, lambda: store.add("one", part())):
        with pytest.raises(PassportStoreError, match=r"What to do: correct image\.passports\.path"):
            use()


@pytest.mark.parametrize("url", ["nowhere://x/y", "s3://bucket/x"])
def test_a_file_system_that_is_not_installed_is_no_crash(url: str) -> None:
    with pytest.raises(PassportStoreError, match="The store answered"):
        PassportStore(Passports(path=url)).look()
