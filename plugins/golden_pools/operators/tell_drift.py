"""The last task of the drift watch: who has to hear of what is new and what is gone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import AlertError
from golden_pools.notifications import PoolAlertNotifier
from golden_pools.operators.base import StateStore, airflow_link, pulled
from golden_pools.rules.airflow_paths import task_path
from golden_pools.rules.alerts.drift import drift_alerts, unheard
from golden_pools.rules.watch import Finding, watched
from golden_pools.spec.loader import load_pools
from golden_pools.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context


class TellDriftOperator(BaseOperator):
    """Tell the channels of the specs what the look found to be new, and what is gone; one alert for each channel.

    :param news_task_id: task whose XCom holds what is new and what is gone
    :raises AlertError: an address has not taken its alert; a retry tells only those who have not heard yet
    """

    ui_color = "#eef2f7"

    def __init__(self, *, news_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.news_task_id = news_task_id

    def execute(self, context: Context) -> dict[str, int]:
        """Return how many channels were told of what is new and of what is gone."""
        news = pulled(context, self.news_task_id)
        if news is None:
            raise AirflowSkipException(f"there are no news: see the log of task {self.news_task_id}")
        specs = watched(load_pools().specs)
        run = context["dag_run"]
        link = airflow_link(task_path(run.dag_id, run.run_id, self.news_task_id))
        links = (("What the watch found", link),) if link else ()
        told: dict[str, int] = {}
        errors: list[AlertError] = []
        for kind in ("new", "gone"):
            findings = [Finding.of(value) for value in news[kind]]
            alerts = drift_alerts(findings, specs, gone=kind == "gone", links=links)
            if kind == "new" and (silent := unheard(findings, specs)):
                self.log.warning(
                    "%s that no channel takes: nobody is told of them", counted(len(silent), "new finding")
                )
            for channel, alert in alerts.items():
                store = StateStore(context, f"{kind}: {channel.model_dump_json()}")
                reached = list(store.read().get("reached", ()))
                notifier = PoolAlertNotifier(
                    pool="drift", channels=[channel], alert=alert, reached=reached, keep=partial(_keep, store, reached)
                )
                try:
                    notifier.notify(context)
                except AlertError as error:
                    errors.append(error)
            told[kind] = len(alerts)
        if errors:
            raise errors[-1]
        return told


def _keep(store: StateStore, reached: list[str], key: str) -> None:
    reached.append(key)
    store.keep(reached=reached)
