"""The wait for the tasks of a job: its end, its deadline, and what it outlives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from golden_pools.errors import AzureBusyError, AzureRefusedError, from_dict
from golden_pools.triggers.job import JobTasksTrigger

from tests.operators.conftest import Cloud, fire, reborn


@pytest.fixture
def job(cloud: Cloud) -> str:
    """A job with two tasks on a pool with one node."""
    cloud.make_pool(cloud.make_version(), dedicated=1)
    cloud.plane("POST", "/jobs", {"id": "probes", "poolInfo": {"poolId": "small"}})
    for number in (1, 2):
        cloud.plane("POST", "/jobs/probes/tasks", {"id": f"t{number}", "commandLine": "/bin/sleep 600"})
    cloud.freeze()
    return "probes"


def trigger(cloud: Cloud, job: str, *, left: timedelta = timedelta(hours=1)) -> JobTasksTrigger:
    return JobTasksTrigger(
        connection="azure_default",
        subscription=cloud.subscription,
        resource_group="batch",
        account="goldenbatch",
        job=job,
        deadline=(datetime.now(tz=UTC) + left).isoformat(),
    )


def test_it_ends_when_all_tasks_have(cloud: Cloud, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.control("PATCH", "clock", {"speed": 1200})
    assert fire(reborn(trigger(cloud, job))).payload == {"ended": 2, "of": 2}
    assert "probes: 2/2 ended" in capsys.readouterr().out


def test_it_ends_at_its_deadline_with_what_there_is(cloud: Cloud, job: str) -> None:
    assert fire(trigger(cloud, job, left=timedelta(0))).payload == {"ended": 0, "of": 2}


def test_throttling_is_outlived(cloud: Cloud, job: str) -> None:
    cloud.fault(path="/jobs/probes/tasks", status=503, code="ServerBusy", count=5)
    cloud.advance(hours=1)
    assert fire(trigger(cloud, job)).payload == {"ended": 2, "of": 2}


def test_an_outage_ends_the_wait_at_its_deadline(cloud: Cloud, job: str) -> None:
    cloud.fault(path="/jobs/probes/tasks", status=503, code="ServerBusy", count=None)
    event = fire(trigger(cloud, job, left=timedelta(0)))
    assert isinstance(from_dict(event.payload["failure"]), AzureBusyError)


def test_refusals_in_a_row_end_the_wait(cloud: Cloud, job: str) -> None:
    cloud.fault(path="/jobs/probes/tasks", status=403, code="InsufficientAccountPermissions", count=None)
    event = fire(trigger(cloud, job))
    assert isinstance(from_dict(event.payload["failure"]), AzureRefusedError)


def test_a_refusal_once_is_outlived(cloud: Cloud, job: str) -> None:
    cloud.fault(path="/jobs/probes/tasks", status=403, code="InsufficientAccountPermissions", count=2)
    cloud.advance(hours=1)
    assert fire(trigger(cloud, job)).payload == {"ended": 2, "of": 2}
