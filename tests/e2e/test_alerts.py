"""Alerts from a real Airflow to a web hook and a mail server: a failure, a missed deadline, the end of both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.conftest import DAG_ID, SAMPLE, site_of
from tests.e2e.real_airflow import PAST, RealAirflow, wait_for
from tests.operators.conftest import OLD, Cloud
from tests.receivers import PASSWORD, MailBox, WebHook, mail_box, web_hook

pytestmark = pytest.mark.e2e

GOOD = {"golden-pools-verdict": "good"}
NOT_THERE = "1.0.0"


@dataclass(frozen=True)
class Office:
    """An Airflow with the sample pool, and those who are told of it."""

    airflow: RealAirflow
    cloud: Cloud
    hook: WebHook
    mail: MailBox

    def told(self, number: int) -> list[str]:
        """Return the titles that the web hook has, as soon as it has so many."""
        return wait_for(
            lambda: self.hook.titles, lambda titles: len(titles) >= number, lambda: f"told: {self.hook.titles}"
        )


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with web_hook() as hook, mail_box() as mail:
        config = [{"path": hook.address, "tag": "oncall"}, {"path": mail.address, "tag": "team"}]
        told = json.dumps({"conn_type": "apprise", "extra": {"config": config}})
        with site_of(tmp_path_factory.mktemp("alerts"), {"AIRFLOW_CONN_TOLD": told}) as (airflow, cloud, specs):
            cloud.make_pool(cloud.make_version(OLD, **GOOD), dedicated=2)
            deadline = datetime.now(tz=UTC) + timedelta(hours=6)
            alerts = [
                {"connection": "told", "tags": ["oncall"]},
                {"connection": "told", "tags": ["team"], "level": "error"},
            ]
            parts = {"deadline": {"time": f"{deadline:%H:%M}"}, "alerts": alerts}
            more = "".join(f"\n{name}: {json.dumps(part)}\n" for name, part in parts.items())
            (specs / SAMPLE.name).write_text(SAMPLE.read_text(encoding="utf-8") + more, encoding="utf-8")
            with airflow:
                yield Office(airflow, cloud, hook, mail)


def test_a_failure_a_missed_deadline_and_the_end_of_both_are_told_once_each(office: Office) -> None:
    airflow, hook = office.airflow, office.hook

    failed = airflow.trigger(DAG_ID, {"image_version": NOT_THERE})
    assert airflow.wait(DAG_ID, failed) == "failed"
    assert airflow.wait_for_task(DAG_ID, failed, "alert") == "success"
    assert office.told(1) == ["small: stopped before anything was written (2/2 ready, 0 starting, 0 failed)"]
    message = hook.received[0]["message"]
    assert "task preflight: Preflight found 1 blocker for pool small: version-exists" in message
    assert f"/dags/{DAG_ID}/runs/{failed}/tasks/preflight" in message.replace("%3A", ":").replace("%2B", "+")
    assert len(office.mail.received) == 1

    office.cloud.freeze()
    late = airflow.trigger(DAG_ID, {"image_version": OLD, "dedicated": 3})
    airflow.wait_for_task(DAG_ID, late, "plan", states={"success"})
    assert len(office.told(1)) == 1, "it is hours until then"
    airflow.update(
        "UPDATE deadline SET deadline_time = ? WHERE dagrun_id = (SELECT id FROM dag_run WHERE run_id = ?)", PAST, late
    )
    titles = office.told(2)
    assert titles[1].startswith("small: not on its new image by ")
    assert f"the run {late} is running" in hook.received[1]["message"], "the run that had failed is no second incident"

    office.cloud.control("PATCH", "clock", {"speed": 600})
    assert airflow.wait(DAG_ID, late) == "success"
    assert airflow.wait_for_task(DAG_ID, late, "alert") == "success"
    titles = office.told(3)
    assert titles[2].startswith("small: over after ")
    assert hook.received[2]["type"] == "success"
    assert len(office.mail.received) == 3

    hook.status = 503
    down = airflow.trigger(DAG_ID, {"image_version": NOT_THERE})
    airflow.wait_for_task(DAG_ID, down, "alert", states={"up_for_retry"})
    log = airflow.log(DAG_ID, down, "alert")
    assert "JSON (oncall) has not taken the alert" in log
    assert "503" in log
    assert PASSWORD not in log
    assert len(office.mail.received) == 4, "the others are told all the same"
    hook.status = 200
    assert airflow.wait(DAG_ID, down) == "failed", "what a channel does changes nothing about the run"
    assert len(office.told(4)) == 4
    assert len(office.mail.received) == 4, "a retry tells those alone who have not heard"
