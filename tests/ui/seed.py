"""Rows of Airflow's database as runs leave them, and pool specs to go with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance, TaskInstanceNote
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from golden_pools.assets import WATCH
from sqlalchemy import delete, insert, select
from uuid6 import uuid7

from include.airflow_settings import ROOT

SAMPLE = yaml.safe_load((ROOT / "include" / "pools" / "small.yaml").read_text(encoding="utf-8"))
NOW = datetime.now(tz=UTC).replace(microsecond=0)
BUNDLE = "dags-folder"


@dataclass
class Seed:
    """Writes specs into a directory, and what Airflow would know of their DAGs.

    :param specs: the directory
    """

    specs: Path
    dag_ids: list[str] = field(default_factory=list)

    def spec(self, name: str, /, **changes: Any) -> None:
        """Write the sample's spec under another name; ``changes`` replace its top-level parts."""
        account = {**SAMPLE["pool"], **changes.pop("pool", {})}
        image = {**SAMPLE["image"], "definition": name, **changes.pop("image", {})}
        text = yaml.safe_dump({**SAMPLE, "pool": account, "image": image, **changes})
        (self.specs / f"{name}.yaml").write_text(text, encoding="utf-8")

    def dag(self, dag_id: str, *, paused: bool = False, next_run_at: datetime | None = None) -> None:
        """Let Airflow have a DAG, without its tasks."""
        with create_session() as session:
            if session.get(DagBundleModel, BUNDLE) is None:
                session.add(DagBundleModel(name=BUNDLE))
                session.flush()
            session.execute(delete(DagModel).where(DagModel.dag_id == dag_id))
            session.execute(
                insert(DagModel).values(
                    dag_id=dag_id,
                    is_paused=paused,
                    is_stale=False,
                    bundle_name=BUNDLE,
                    fileloc="/dags/golden_pools.py",
                    relative_fileloc="golden_pools.py",
                    owners="data-team",
                    next_dagrun_create_after=next_run_at,
                    max_active_tasks=16,
                    max_active_runs=1,
                    max_consecutive_failed_dag_runs=0,
                    has_task_concurrency_limits=False,
                    timetable_type="",
                )
            )
        self.dag_ids.append(dag_id)

    def pool(self, name: str, /, *, paused: bool = False, next_run_at: datetime | None = None, **changes: Any) -> str:
        """Write a spec and let Airflow have its DAG; returns the DAG's id."""
        self.spec(name, **changes)
        self.dag(f"golden_pool_{name}", paused=paused, next_run_at=next_run_at)
        return f"golden_pool_{name}"

    def run(
        self,
        dag_id: str,
        state: str,
        tasks: Mapping[str, str] | None = None,
        *,
        run_id: str | None = None,
        started: datetime | None = None,
        minutes: float = 30,
        results: Mapping[str, Any] | None = None,
        failures: Mapping[str, Mapping[str, Any]] | None = None,
        others: Mapping[tuple[str, str], Any] | None = None,
        conf: Mapping[str, Any] | None = None,
        run_type: str = "scheduled",
        by: str | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> str:
        """Let a DAG have run; its tasks took equal shares of the time, one after the other.

        :param tasks: state by task
        :param results: XCom by task, as an operator returns it
        :param failures: what a failed task has noted
        :param others: further XComs by task and key
        """
        started = started or NOW - timedelta(hours=2)
        run_id = run_id or f"{run_type}__{started.isoformat()}"
        ended = started + timedelta(minutes=minutes)
        over = state in ("success", "failed")
        xcoms = {(task, "return_value"): value for task, value in (results or {}).items()}
        xcoms |= {(task, "failure"): value for task, value in (failures or {}).items()}
        xcoms |= dict(others or {})
        with create_session() as session:
            number = session.execute(
                insert(DagRun.__table__)
                .values(
                    dag_id=dag_id,
                    run_id=run_id,
                    state=state,
                    run_type=run_type,
                    queued_at=started,
                    run_after=started,
                    start_date=None if state == "queued" else started,
                    end_date=ended if over else None,
                    conf=dict(conf or {}),
                    triggering_user_name=by,
                    clear_number=0,
                    span_status="not_started",
                )
                .returning(DagRun.__table__.c.id)
            ).scalar_one()
            share = timedelta(minutes=minutes) / max(1, len(tasks or {}))
            for place, (task, task_state) in enumerate((tasks or {}).items()):
                id_ = uuid7()
                begun = task_state not in ("none", "scheduled", "skipped", "upstream_failed")
                done = task_state in ("success", "failed", "skipped", "upstream_failed")
                session.execute(
                    insert(TaskInstance.__table__).values(
                        id=id_,
                        dag_id=dag_id,
                        run_id=run_id,
                        task_id=task,
                        map_index=-1,
                        state=None if task_state == "none" else task_state,
                        start_date=started + place * share if begun else None,
                        end_date=started + (place + 1) * share if done else None,
                        try_number=1 if begun else 0,
                        max_tries=3,
                        pool="default_pool",
                        pool_slots=1,
                        span_status="not_started",
                    )
                )
                if notes and task in notes:
                    session.execute(insert(TaskInstanceNote.__table__).values(ti_id=id_, content=notes[task]))
            for (task, key), value in xcoms.items():
                session.execute(
                    insert(XComModel.__table__).values(
                        dag_run_id=number,
                        dag_id=dag_id,
                        run_id=run_id,
                        task_id=task,
                        map_index=-1,
                        key=key,
                        value=json.dumps(value),  # as the task SDK sends it: JSON text
                        timestamp=started,
                    )
                )
        return run_id

    def asset(self) -> int:
        """Let Airflow have the watch's asset; returns its number."""
        with create_session() as session:
            there = session.scalar(select(AssetModel.id).where(AssetModel.name == WATCH.name))
            if there is not None:
                return int(there)
            made = AssetModel(name=WATCH.name, uri=WATCH.uri, group=WATCH.group)
            session.add(made)
            session.flush()
            return int(made.id)

    def forget_asset(self) -> None:
        """Let Airflow not have the watch's asset."""
        with create_session() as session:
            session.execute(delete(AssetStateStoreModel))
            session.execute(delete(AssetModel).where(AssetModel.name == WATCH.name))

    def shared(self, key: str, value: Any) -> None:
        """Put a value into the state store of the watch's asset."""
        asset = self.asset()
        with create_session() as session:
            session.execute(
                delete(AssetStateStoreModel).where(
                    AssetStateStoreModel.asset_id == asset, AssetStateStoreModel.key == key
                )
            )
            session.execute(
                insert(AssetStateStoreModel).values(asset_id=asset, key=key, value=json.dumps(value), updated_at=NOW)
            )

    def clean(self) -> None:
        """Take everything away again."""
        with create_session() as session:
            session.execute(delete(DagRun).where(DagRun.dag_id.in_(self.dag_ids)))
            session.execute(delete(DagModel).where(DagModel.dag_id.in_(self.dag_ids)))
        self.forget_asset()
