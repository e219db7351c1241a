"""Command line of the demo: start simulator and Airflow, run a sample pool's DAG, show it, tidy up."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.json import JSON

from include.airflow_settings import ROOT
from include.demo.azure import Simulator, running_simulator
from include.demo.watch import FollowedRun
from include.local_airflow import ADMIN, LocalAirflow, LocalAirflowError, require_port

HOME = ROOT / ".demo"
SPEED = 60
"""Simulated minutes pass as seconds."""

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

MARKS = {
    "success": "[green]done[/]",
    "skipped": "[magenta]skipped[/]",
    "failed": "[red]failed[/]",
    "upstream_failed": "[red]not reached[/]",
    "up_for_retry": "[yellow]tried again soon[/]",
    "running": "runs",
    "deferred": "waits (no worker)",
}


def main() -> int:
    """Run the demo; returns 0 if the run succeeded."""
    options = _options()
    console = Console(highlight=False, soft_wrap=True)
    for number in STOPPING:
        signal.signal(number, _end)
    try:
        return _demo(console, options)
    except LocalAirflowError as error:
        console.print(f"[red]{error}[/]", markup=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped; nothing is left running.")
        return 130


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--exit", action="store_true", help="end after the run; exit status 0 if it succeeded")
    parser.add_argument("--pool", default="small", help="which sample pool to run (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port of Airflow's UI (default: %(default)s)")
    parser.add_argument("--simulator-port", type=int, default=8070, help="port of the simulator (default: %(default)s)")
    return parser.parse_args()


def _end(number: int, frame: object) -> None:
    for other in STOPPING:
        signal.signal(other, signal.SIG_IGN)  # an impatient second Ctrl-C would leave processes behind
    raise KeyboardInterrupt


def _demo(console: Console, options: argparse.Namespace) -> int:
    started = time.monotonic()
    require_port(options.port, way_round="Another port: make demo PORT=8081")
    require_port(options.simulator_port, way_round="Another port: make demo SIMULATOR_PORT=8071")
    shutil.rmtree(HOME, ignore_errors=True)
    console.print(f"Starting the Azure simulator ({SPEED} times faster than Azure) and Airflow; half a minute ...")
    with running_simulator(options.simulator_port, speed=SPEED, log_file=HOME / "simulator.log") as simulator:
        airflow = LocalAirflow(
            HOME / "airflow",
            port=options.port,
            environment={"AIRFLOW_CONN_AZURE_DEFAULT": simulator.connection()},
        )
        with airflow, airflow.client() as client:
            console.print(f"Airflow: {airflow.url}   user {ADMIN}   password {airflow.password}")
            run = FollowedRun(client, f"golden_pool_{options.pool}")
            if not run.wait_for_dag(timeout_seconds=120):
                raise LocalAirflowError(f"Airflow does not know the DAG {run.dag_id}: see {airflow.url}/dags")
            run.trigger()
            console.print(f"DAG {run.dag_id}, run {run.run_id}\n")
            outcome = _show(console, run, simulator, started)
            _conclude(console, run, airflow, outcome)
            if not options.exit:
                console.print("\nLook around. Ctrl-C stops everything.")
                signal.pause()
    return 0 if outcome == "success" else 1


def _show(console: Console, run: FollowedRun, simulator: Simulator, started: float) -> str:
    """Print what changes until the run has ended; returns its state."""
    waiting: list[str] = []
    said = ""
    for change in run.changes():
        clock = time.strftime("%M:%S", time.gmtime(time.monotonic() - started))
        if change is not None:
            console.print(f"{clock}  {change.task:22} {MARKS.get(change.state, change.state)}")
            waiting = [task for task in waiting if task != change.task]
            if change.state == "deferred":
                waiting.append(change.task)
            continue
        plan = run.xcom("plan") if waiting else None
        for task in waiting:
            line = simulator.progress(plan or {}, task.rpartition(".")[2])
            if line and line != said:
                said = line
                console.print(f"{clock}  {task:22} [cyan]{line}[/]")
        time.sleep(1)
    return run.state


def _conclude(console: Console, run: FollowedRun, airflow: LocalAirflow, outcome: str) -> None:
    where = f"{airflow.url}/dags/{run.dag_id}/runs/{run.run_id}"
    if outcome == "success":
        console.print("\n[green]The pool is on its new image.[/] Its passport:")
        console.print(JSON.from_data(run.xcom("pool.record")))
    else:
        console.print(f"\n[red]The run ended as {outcome}.[/]")
        for task in run.failed_tasks():
            console.print(f"{task}:\n{run.log_tail(task)}", markup=False)
    console.print(f"\nThe run in Airflow:  {where}\nLogs on disk:        {Path(HOME).relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
