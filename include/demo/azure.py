"""The demo's simulator: started as a process of its own, looked at over HTTP as any client would."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from include.airflow_settings import ROOT
from include.local_airflow import LocalAirflowError

COMPUTE_API, BATCH_API, DATA_PLANE_API = "2024-07-01", "2024-07-01", "2024-07-01.20.0"


@dataclass(frozen=True)
class Simulator:
    """A running simulator.

    :param url: base URL, ``http`` on loopback
    """

    url: str

    def connection(self) -> str:
        """Return the Airflow connection to it, as the value of ``AIRFLOW_CONN_AZURE_DEFAULT``."""
        return json.dumps({"conn_type": "azure", "extra": {"arm_endpoint": self.url, "poll_seconds": 2}})

    def progress(self, plan: Mapping[str, Any], stage: str) -> str:
        """Return in words how far Azure is with a stage of the run, or nothing where there is nothing to say.

        :param plan: the run plan's JSON
        :param stage: task id without its group
        """
        look = {
            "snapshot": self._snapshots,
            "publish": self._replication,
            "refresh": self._pool,
            "resize": self._pool,
            "nodes": self._nodes,
        }.get(stage)
        with contextlib.suppress(httpx.HTTPError, KeyError):
            return look(plan) if look else ""
        return ""

    def _snapshots(self, plan: Mapping[str, Any]) -> str:
        spec = plan["spec"]
        group = f"/subscriptions/{spec['subscription']}/resourceGroups/{spec['image']['resource_group']}"
        found = self._get(f"{group}/providers/Microsoft.Compute/snapshots", COMPUTE_API)["value"]
        mine = [item for item in found if item.get("tags", {}).get("golden-pools-run") == plan["run_id"]]
        done = sum(item["properties"]["provisioningState"] == "Succeeded" for item in mine)
        return f"{done} of {len(mine)} snapshots" if mine else ""

    def _replication(self, plan: Mapping[str, Any]) -> str:
        spec = plan["spec"]
        image = spec["image"]
        definition = (
            f"/subscriptions/{spec['subscription']}/resourceGroups/{image['resource_group']}"
            f"/providers/Microsoft.Compute/galleries/{image['gallery']}/images/{image['definition']}"
        )
        versions = self._get(f"{definition}/versions", COMPUTE_API)["value"]
        if not versions:
            return ""
        newest = max(versions, key=lambda version: [int(part) for part in version["name"].split(".")])
        status = self._get(newest["id"], COMPUTE_API, expand="ReplicationStatus")["properties"]["replicationStatus"]
        regions = ", ".join(f"{region['region']} {region['progress']} %" for region in status["summary"])
        return f"version {newest['name']}: {regions}"

    def _pool(self, plan: Mapping[str, Any]) -> str:
        spec = plan["spec"]
        account = (
            f"/subscriptions/{spec['subscription']}/resourceGroups/{spec['pool']['resource_group']}"
            f"/providers/Microsoft.Batch/batchAccounts/{spec['pool']['account']}"
        )
        pool = self._get(f"{account}/pools/{plan['pool']}", BATCH_API)["properties"]
        current = pool["currentDedicatedNodes"] + pool["currentLowPriorityNodes"]
        return f"{pool['allocationState']}, {current} of {_target(plan)} nodes allocated"

    def _nodes(self, plan: Mapping[str, Any]) -> str:
        counts = self._get("/nodecounts", DATA_PLANE_API)["value"]
        mine = next(pool for pool in counts if pool["poolId"] == plan["pool"])
        ready = sum(mine[kind][state] for kind in ("dedicated", "lowPriority") for state in ("idle", "running"))
        return f"{ready} of {_target(plan)} nodes ready"

    def _get(self, path: str, api_version: str, *, expand: str | None = None) -> Any:
        query = {"api-version": api_version, **({"$expand": expand} if expand else {})}
        return httpx.get(f"{self.url}{path}", params=query, timeout=10).raise_for_status().json()


def _target(plan: Mapping[str, Any]) -> int:
    targets = plan["spec"]["pool"]["targets"]
    return int(targets["dedicated"]) + int(targets["spot"])


@contextlib.contextmanager
def running_simulator(port: int, *, speed: float, log_file: Path) -> Iterator[Simulator]:
    """Run a simulator with the sample world; it ends with the block.

    :param speed: how many times faster than the wall clock its time passes
    :raises LocalAirflowError: it did not come up
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  a fixed command
            [sys.executable, "-m", "include.azure_simulator", "--port", str(port), "--speed", str(speed)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which ends it
        )
    try:
        simulator = Simulator(f"http://127.0.0.1:{port}")
        _wait_for(simulator, process, log_file)
        yield simulator
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(simulator: Simulator, process: subprocess.Popen[bytes], log_file: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{simulator.url}/_simulator/health", timeout=5).raise_for_status()
            return
        time.sleep(0.1)
    tail = log_file.read_text(encoding="utf-8", errors="replace").strip()[-1000:]
    raise LocalAirflowError(f"The simulator did not come up. Its log, {log_file}:\n{tail}")
