"""The DAGs of pools that follow another's image: what starts them, and what a task's start reads."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest
from airflow.sdk import Asset, AssetAny, AssetOrTimeSchedule

from tests.dags.conftest import sample

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG

IMAGE = "golden-image/golden_gallery/small"


def follower(*after: str, pool: str = "small", schedule: bool = False) -> str:
    """Return the text of the sample, following another pool."""
    text = sample()
    text = re.sub(r"^golden_vm:\n(?:  .*\n)+", "", text, flags=re.MULTILINE)
    text = re.sub(
        r"^image:\n(?:  .*\n)+",
        f"image: {{source: {{follow: {{pool: {pool}, after: {list(after)}}}}}}}\n",
        text,
        flags=re.MULTILINE,
    )
    return text if schedule else re.sub(r"^schedule:\n(?:  .*\n)+", "", text, flags=re.MULTILINE)


@pytest.fixture
def parse(parse_file: Callable[..., DagBag]) -> Callable[..., DagBag]:
    return partial(parse_file, "golden_pools", small=sample())


def names(dag: DAG) -> set[str]:
    """Return the names of the assets whose events start a DAG."""
    assert isinstance(dag.timetable.asset_condition, AssetAny)
    return {asset.name for asset in dag.timetable.asset_condition.objects if isinstance(asset, Asset)}


def test_what_starts_a_follower(parse: Callable[..., DagBag]) -> None:
    bag = parse(first=follower(), last=follower("first"), both=follower(schedule=True))
    assert bag.import_errors == {}
    assert names(bag.dags["golden_pool_first"]) == {IMAGE}
    assert names(bag.dags["golden_pool_last"]) == {"batch-pool/goldenbatch/first"}, "not the image: first goes first"
    both = bag.dags["golden_pool_both"]
    assert names(both) == {IMAGE}
    assert isinstance(both.timetable, AssetOrTimeSchedule)


def test_the_tasks_read_the_events_of_the_image_and_of_the_pools_before(parse: Callable[..., DagBag]) -> None:
    dag = parse(first=follower(), last=follower("first")).dags["golden_pool_last"]
    both = {IMAGE, "batch-pool/goldenbatch/first"}
    for task in ("source", "wave"):
        assert {asset.name for asset in dag.get_task(task).inlets} == both
    assert [asset.name for asset in dag.get_task("pool.announce").outlets] == [IMAGE]
    assert [asset.name for asset in dag.get_task("pool.record").outlets] == ["batch-pool/goldenbatch/last"]


def test_a_follower_survives_airflows_database(parse: Callable[..., DagBag]) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in parse(first=follower(), last=follower("first", schedule=True)).dags.values():
        assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).task_dict.keys() == dag.task_dict.keys()


def test_a_task_of_a_follower_reads_only_what_it_needs(
    parse: Callable[..., DagBag], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.definitions import context

    monkeypatch.setenv(context._AIRFLOW_PARSING_CONTEXT_DAG_ID, "golden_pool_last")
    bag = parse(first=follower(), last=follower("first"), broken="no: spec")
    assert set(bag.dags) == {"golden_pool_last"}
    assert bag.import_errors == {}


def test_a_follower_of_a_broken_spec_makes_no_dag_and_the_others_go_on(parse_file: Callable[..., DagBag]) -> None:
    bag = parse_file("golden_pools", small="no: spec", first=follower(), other=sample())
    assert set(bag.dags) == {"golden_pool_other"}
    assert bag.import_errors == {}, "the faults stand in pool_spec_check"
