"""The wait for jobs that are being disabled: its end, its deadline, and what it outlives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from golden_pools.errors import AzureRefusedError, from_dict
from golden_pools.triggers.jobs import JobsTrigger

from tests.operators.conftest import Cloud, fire, reborn


@pytest.fixture
def busy(cloud: Cloud) -> str:
    """A job that is being disabled while its task runs for an hour."""
    cloud.freeze()
    cloud.make_pool(cloud.make_version(), dedicated=1)
    cloud.run_task(minutes=60)
    cloud.disable_job(tasks="wait")
    return "work"


def trigger(cloud: Cloud, *jobs: str, left: timedelta = timedelta(hours=1)) -> JobsTrigger:
    return JobsTrigger(
        connection="azure_default",
        subscription=cloud.subscription,
        resource_group="batch",
        account="goldenbatch",
        pool="small",
        jobs=jobs,
        deadline=(datetime.now(tz=UTC) + left).isoformat(),
    )


def test_it_ends_when_the_job_is_disabled(cloud: Cloud, busy: str) -> None:
    cloud.control("PATCH", "clock", {"speed": 3600})
    assert fire(reborn(trigger(cloud, busy))).payload == {"ready": 1}


def test_one_of_several_jobs_is_enough(cloud: Cloud, busy: str) -> None:
    cloud.make_job("quick", disabled=True)
    assert fire(trigger(cloud, busy, "quick")).payload == {"ready": 1}


@pytest.mark.parametrize("gone", ["ended", "deleted"])
def test_a_job_that_is_over_is_not_waited_for(cloud: Cloud, busy: str, gone: str) -> None:
    cloud.make_job("over")
    cloud.plane(*(("POST", "/jobs/over/terminate", {}) if gone == "ended" else ("DELETE", "/jobs/over")))
    cloud.advance(minutes=1)
    assert fire(trigger(cloud, busy, "over")).payload == {"ready": 1}


def test_it_ends_at_its_deadline_and_leaves_the_verdict_to_the_task(cloud: Cloud, busy: str) -> None:
    assert fire(trigger(cloud, busy, left=timedelta(0))).payload == {"ready": 0}


def test_throttling_is_outlived(cloud: Cloud, busy: str) -> None:
    cloud.advance(hours=1)
    cloud.fault(path="/jobs$", status=503, code="ServerBusy", count=5)
    assert fire(trigger(cloud, busy)).payload == {"ready": 1}


def test_an_outage_ends_at_the_deadline_like_any_other_wait(cloud: Cloud, busy: str) -> None:
    cloud.fault(path="/jobs$", status=503, code="ServerBusy", count=None)
    assert fire(trigger(cloud, busy, left=timedelta(0))).payload == {"ready": 0}


def test_refusals_in_a_row_end_the_wait(cloud: Cloud, busy: str) -> None:
    cloud.fault(path="/jobs$", status=403, code="InsufficientAccountPermissions", count=None)
    event = fire(trigger(cloud, busy))
    assert isinstance(from_dict(event.payload["failure"]), AzureRefusedError)
