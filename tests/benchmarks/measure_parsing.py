"""Measures in a process of its own, since what is imported cannot be unimported; prints one JSON line.

``python measure_parsing.py ours DIRECTORY`` parses the pool DAGs once and says what that brought into the process.
``python measure_parsing.py ratio DIRECTORY`` parses them and dag-factory's DAGs in turns and says the best of each.
"""

from __future__ import annotations

import gc
import json
import logging
import socket
import sys
import time
from pathlib import Path
from typing import Any

import yaml

ROUNDS = 3
OUR_FILE = Path(__file__).parents[2] / "dags" / "golden_pools.py"
PEER_FILE = """\
from airflow.sdk import DAG
from dagfactory import load_yaml_dags

load_yaml_dags(globals_dict=globals(), dags_folder={directory!r}, defaults_config_path={directory!r})
"""


def parse(file: Path) -> dict[str, Any]:
    """Return the DAGs of a file, read as Airflow's dag processor reads it."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(file, bundle_name="benchmark")
    if bag.import_errors:
        raise SystemExit(f"{file} does not import: {bag.import_errors}")
    return bag.dags


def ours() -> dict[str, Any]:
    """Parse once, and say which modules of the Azure SDK are there and who was called over the network."""
    calls: list[str] = []

    def connect(_: socket.socket, address: object) -> None:
        calls.append(str(address))
        raise OSError("parsing a DAG file calls nobody")

    socket.socket.connect = connect  # type: ignore[method-assign, assignment]
    dags = parse(OUR_FILE)
    heavy = ("azure.", "msrest", "msal", "aiohttp", "airflow.providers.microsoft.azure.hooks")
    return {"dags": len(dags), "heavy": sorted(name for name in sys.modules if name.startswith(heavy)), "calls": calls}


def ratio(directory: Path) -> dict[str, Any]:
    """Parse both in turns; the best round of each is the one that the machine disturbed least."""
    dags = parse(OUR_FILE)
    peer_file = write_peer(directory, dags)
    peer_dags = parse(peer_file)
    if differing := [dag_id for dag_id, dag in dags.items() if shape(dag) != shape(peer_dags.get(dag_id))]:
        raise SystemExit(
            f"{peer_file} does not make the same of {differing[0]} (of {len(differing)}); see its log above"
        )
    best = {"ours": float("inf"), "peer": float("inf")}
    for _ in range(ROUNDS):
        for name, file in (("ours", OUR_FILE), ("peer", peer_file)):
            gc.collect()
            start = time.process_time()  # not what other processes take
            parse(file)
            best[name] = min(best[name], time.process_time() - start)
    return {
        "ours": best["ours"] / len(dags),
        "peer": best["peer"] / len(peer_dags),
        "dags": [len(dags), len(peer_dags)],
        "tasks": [sum(len(dag.tasks) for dag in bag.values()) for bag in (dags, peer_dags)],
    }


def shape(dag: Any) -> dict[str, Any] | None:
    """Return each task's group, trigger rule, doc and upstream tasks; nothing where there is no DAG.

    The names are the peer's: dag-factory makes no two tasks of one name, not even in two groups.
    """
    if dag is None:
        return None
    return {
        peer_name(task.task_id): (
            task.task_group.group_id,
            task.trigger_rule,
            task.doc_md,
            {peer_name(upstream) for upstream in task.upstream_task_ids},
        )
        for task in dag.tasks
    }


def write_peer(directory: Path, dags: dict[str, Any]) -> Path:
    """Write one YAML file per DAG for dag-factory: the same tasks, edges, groups, params and retries as ours.

    It has no word for a teardown; what that adds is ours alone.
    """
    for dag_id, dag in dags.items():
        content = {
            dag_id: {
                "description": dag.description,
                "doc_md": dag.doc_md,
                "schedule": "0 2 * * *",
                "catchup": False,
                "max_active_runs": 1,
                "tags": sorted(dag.tags),
                "params": {name: param.value for name, param in dag.params.items()},
                "default_args": {"owner": "rendering", "start_date": "2026-01-01", "retries": 3, "retry_delay_sec": 60},
                "task_groups": {name: {"tooltip": name} for name in dag.task_group_dict if name},
                "tasks": [peer_task(task) for task in dag.tasks],
            }
        }
        (directory / f"{dag_id}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    file = directory / "peer_dags.py"
    file.write_text(PEER_FILE.format(directory=str(directory)), encoding="utf-8")
    return file


def peer_task(task: Any) -> dict[str, Any]:
    """Describe a task for dag-factory, as one of the cheapest operator there is."""
    described = {
        "task_id": peer_name(task.task_id),
        "operator": "airflow.providers.standard.operators.empty.EmptyOperator",
        "doc_md": task.doc_md,
        "trigger_rule": task.trigger_rule.value,
        "dependencies": sorted(map(peer_name, task.upstream_task_ids)),
    }
    group = task.task_group.group_id
    return {**described, "task_group_name": group} if group else described


def peer_name(task_id: str) -> str:
    """Return ``group_task`` for a task of ours (``group.task``) and of the peer (``group.group_task``)."""
    group, _, name = task_id.rpartition(".")
    return name if not group or name.startswith(f"{group}_") else f"{group}_{name}"


if __name__ == "__main__":
    logging.disable(logging.INFO)  # dag-factory says three lines per DAG; that is not what is compared
    result = ours() if sys.argv[1] == "ours" else ratio(Path(sys.argv[2]))
    print(json.dumps(result))
