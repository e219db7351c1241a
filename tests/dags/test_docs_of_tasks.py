"""What the UI says of DAGs, groups and tasks: all of them, each something of its own, and nothing left over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from golden_pools import clearing
from golden_pools.spec.loader import load_pools
from golden_pools.spec.model import PoolSpec

from dags.golden_pools import pool_dag
from dags.resize_pool import resize_dag, scale_dag
from tests.operators.test_preflight import changed

MARK = "\n\n**Retry or clear** "


def dags() -> dict[str, tuple[DAG, Mapping[str, str]]]:
    """Return a DAG of every kind, with the texts that it takes; those of pools with every stage that there is."""
    from airflow.dag_processing.dagbag import DagBag

    folder = Path(__file__).parents[2] / "dags"
    others = {
        "retire_images": clearing.OF_RETENTION,
        "retire_pools": clearing.OF_FORMER_POOLS,
        "watch_pools": clearing.OF_THE_WATCH,
    }
    found = {}
    for file, texts in others.items():
        [dag] = DagBag(folder / f"{file}.py", bundle_name="dags").dags.values()
        found[file] = (dag, texts)
    found["resize"] = (resize_dag(["small"]), clearing.OF_A_RESIZE)
    found["scale"] = (scale_dag("small", specs()["sample"]), clearing.OF_A_RESIZE)
    for name, spec in specs().items():
        found[f"pool: {name}"] = (pool_dag("small", spec, {"other": specs()["sample"]}), clearing.OF_A_POOL)
    return found


def specs() -> dict[str, PoolSpec]:
    """Return specs whose DAGs have all stages together."""
    sample = load_pools().specs["small"]
    vm: dict[str, Any] = {"resource_group": "golden", "name": "golden-vm"}
    network = f"/subscriptions/{sample.subscription}/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/n"
    return {
        "sample": sample,
        "approved": changed(sample, refresh={"approve": True}),
        "cloned": changed(
            sample, golden_vm={**vm, "generalize": "clone", "clone": {"subnet_id": f"{network}/subnets/s"}}
        ),
        "restore point": changed(sample, golden_vm={**vm, "capture": "restore_point"}),
        "follower": PoolSpec.model_validate(
            {
                **sample.model_dump(mode="json", exclude={"golden_vm", "image", "schedule"}),
                "image": {"source": {"follow": {"pool": "other"}}},
            }
        ),
    }


DAGS = dags()


@pytest.mark.parametrize("name", DAGS)
def test_every_task_says_what_it_does_and_what_a_clear_does(name: str) -> None:
    dag, _ = DAGS[name]
    assert dag.doc_md
    for task in dag.tasks:
        what, mark, clear = (task.doc_md or "").partition(MARK)
        assert what.endswith("."), f"{task.task_id}: {what!r}"
        assert mark
        assert clear.endswith("."), task.task_id
    whats = [(task.doc_md or "").partition(MARK)[0] for task in dag.tasks if not task.task_id.endswith("mark_bad")]
    assert len(set(whats)) == len(whats), "two tasks say the same"


@pytest.mark.parametrize("name", DAGS)
def test_every_group_says_so_too(name: str) -> None:
    dag, _ = DAGS[name]
    for group in dag.task_group_dict.values():
        assert group.doc_md is not None
        assert MARK in group.doc_md


def test_no_text_is_left_over() -> None:
    used: dict[int, set[str]] = {}
    for dag, texts in DAGS.values():
        used.setdefault(id(texts), set()).update({*dag.task_dict, *dag.task_group_dict})
    for _, texts in DAGS.values():
        assert texts.keys() - used[id(texts)] == set()


def test_texts_name_tasks_that_there_are() -> None:
    names = {task_id.rpartition(".")[2] for task_id in clearing.OF_A_POOL}
    for text in clearing.OF_A_POOL.values():
        for word in text.split("*")[1::2]:
            assert word.rpartition(".")[2] in names | {"force", "new"}, text
