"""Many pools in one Batch account, and a DAG in which each of them has a task that waits for its node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from include.azure_simulator.clock import Clock
from include.azure_simulator.world import SAMPLE_WORLD, World
from tests.simulator import ANSWER_SECONDS, SimulatorProcess, serve

DAG_ID, TASK_ID = "waits", "wait"
SPEED = 600
ARM_VERSION = "2024-07-01"

WAITS = """\
from airflow.sdk import DAG
from golden_pools.sensors.pools import PoolNodesSensor

with DAG({dag_id!r}, max_active_tasks={count}):
    PoolNodesSensor.partial(
        task_id={task_id!r},
        connection="azure_default",
        subscription={subscription!r},
        resource_group={resource_group!r},
        account={account!r},
        dedicated=1,
        timeout_minutes=60,
    ).expand(pool_name=[f"farm-{{number}}" for number in range({count})])
"""

POOL = {
    "vmSize": "Standard_D2s_v5",
    "deploymentConfiguration": {
        "virtualMachineConfiguration": {
            "imageReference": {
                "publisher": "canonical",
                "offer": "ubuntu-24_04-lts",
                "sku": "server",
                "version": "latest",
            },
            "nodeAgentSkuId": "batch.node.ubuntu 24.04",
        }
    },
    "scaleSettings": {"fixedScale": {"targetDedicatedNodes": 0, "targetLowPriorityNodes": 0}},
    "startTask": {"commandLine": "/bin/sh -c 'mount -a'", "waitForSuccess": True},
}
"""A pool without nodes, as a world file describes it."""


class ManyPools(SimulatorProcess):
    """A simulator with ``count`` pools without nodes in one account.

    It runs in a thread of the test's own process: only what Airflow's processes cost is measured.
    """

    def __init__(self, url: str, account: dict[str, Any], count: int) -> None:
        super().__init__(url)
        self.account = account
        self.count = count

    def write_dag(self, folder: Path) -> Path:
        """Write the DAG with one mapped task per pool; the result is ``folder``."""
        folder.mkdir()
        names = {"subscription": self.account["subscription"], "resource_group": self.account["resource_group"]}
        text = WAITS.format(dag_id=DAG_ID, task_id=TASK_ID, account=self.account["name"], count=self.count, **names)
        (folder / "waits.py").write_text(text, encoding="utf-8")
        return folder

    def requests(self) -> dict[str, int]:
        """Requests to Azure so far, by the route's last word: ``pools``, ``nodecounts`` and whatever else there was."""
        routes: Any = self.counters()["routes"]
        azure = [entry for entry in routes if not entry["route"].startswith("/_simulator")]
        return {f"{entry['method']} {entry['route'].rpartition('/')[2]}": entry["count"] for entry in azure}

    def let_nodes_come(self) -> None:
        """Resize every pool to one node, as its owner would."""
        group = f"/subscriptions/{self.account['subscription']}/resourceGroups/{self.account['resource_group']}"
        account = f"{self.url}{group}/providers/Microsoft.Batch/batchAccounts/{self.account['name']}"
        body = {"properties": {"scaleSettings": {"fixedScale": {"targetDedicatedNodes": 1}}}}
        with httpx.Client(params={"api-version": ARM_VERSION}, timeout=ANSWER_SECONDS) as client:
            for number in range(self.count):
                client.patch(f"{account}/pools/farm-{number}", json=body).raise_for_status()


@contextmanager
def many_pools(count: int, world_file: Path) -> Iterator[ManyPools]:
    """Run a simulator with so many pools on a free port; it ends with the block.

    :param world_file: where its world is written
    """
    content = yaml.safe_load(SAMPLE_WORLD.read_text(encoding="utf-8"))
    (account,) = content["batch"]["accounts"]
    account["pool_quota"] = count
    account["pools"] = [{"name": f"farm-{number}", "properties": POOL} for number in range(count)]
    world_file.write_text(json.dumps(content), encoding="utf-8")
    with serve(World.load(world_file, clock=Clock(SPEED))) as url:
        yield ManyPools(url, account, count)
