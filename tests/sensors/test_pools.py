"""The sensor of ready nodes, as one task of a run."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import pytest
from golden_pools.errors import ResizeGaveUpError
from golden_pools.sensors.pools import PoolNodesSensor

from tests.operators.conftest import Cloud, Run


def sensor(cloud: Cloud, **changes: Any) -> PoolNodesSensor:
    return PoolNodesSensor(
        **{
            "task_id": "nodes",
            "connection": "azure_default",
            "subscription": cloud.subscription,
            "resource_group": "batch",
            "account": "goldenbatch",
            "pool_name": "small",
            "dedicated": "2",
            **changes,
        }
    )


@pytest.fixture
def image(cloud: Cloud) -> str:
    """An image version, and a clock that stands still."""
    cloud.freeze()
    return cloud.make_version()


def test_it_ends_in_the_triggerer_with_the_counts(cloud: Cloud, image: str, run: Run) -> None:
    """Pitfall 36: the wait holds no worker."""
    cloud.make_pool(image, dedicated=2)
    assert run.do(sensor(cloud)) == {"pool": "small", "dedicated": 2, "spot": 0}
    assert run.deferrals == ["NodesTrigger"]


def test_allocated_nodes_are_not_ready_before_their_start_task_is_done(cloud: Cloud, image: str, run: Run) -> None:
    """Pitfall 9: allocation alone is no success."""
    cloud.make_pool(image, startTask={"commandLine": "/bin/sleep 300", "waitForSuccess": True})
    cloud.resize(dedicated=2)
    cloud.advance(minutes=4)
    assert cloud.pool()["properties"]["currentDedicatedNodes"] == 2
    run.in_waits = repeat(lambda: cloud.control("PATCH", "clock", {"speed": 600}))
    assert run.do(sensor(cloud)) == {"pool": "small", "dedicated": 2, "spot": 0}


def test_failed_nodes_fail_the_task_with_advice(cloud: Cloud, image: str, run: Run) -> None:
    """Pitfall 14: failed nodes do not leave anything waiting for ever."""
    cloud.allocation(node_outcomes=[{"state": "unusable", "nodes": 1}])
    cloud.make_pool(image, dedicated=2)
    with pytest.raises(ResizeGaveUpError) as gave_up:
        run.do(sensor(cloud))
    assert "1 idle, 1 unusable" in gave_up.value.answer
    assert "check that the image was generalized" in gave_up.value.advice


def test_failed_nodes_say_why_in_the_log(
    cloud: Cloud, image: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pitfall 13: unusable nodes without any cause."""
    cloud.allocation(
        node_outcomes=[
            {"state": "starttaskfailed", "nodes": 1, "exit_code": 7},
            {
                "state": "unusable",
                "nodes": 1,
                "error": {"code": "BatchAgentInstallationFailure", "message": "no agent"},
            },
        ]
    )
    cloud.make_pool(image, dedicated=2, startTask={"commandLine": "/bin/true", "waitForSuccess": True})
    with pytest.raises(ResizeGaveUpError):
        run.do(sensor(cloud))
    log = capsys.readouterr().out
    assert "1 node starttaskfailed (FailureExitCode" in log
    assert "exit code 7" in log
    assert "end of stderr.txt:" in log
    assert "1 node unusable (BatchAgentInstallationFailure: no agent)" in log


def test_lost_nodes_are_failed_nodes_after_a_while(cloud: Cloud, image: str, run: Run) -> None:
    """Pitfall 14: a node without contact to Batch is not waited for until the deadline."""
    cloud.make_pool(image, dedicated=2)
    cloud.allocation(incident={"state": "unknown", "nodes": 1})
    with pytest.raises(ResizeGaveUpError) as gave_up:
        run.do(sensor(cloud, grace_minutes="0"))
    assert "1 idle, 1 unknown" in gave_up.value.answer
    assert "lost contact" in gave_up.value.advice


def test_lost_nodes_that_come_back_are_no_failure(cloud: Cloud, image: str, run: Run) -> None:
    cloud.make_pool(image, dedicated=2)
    cloud.allocation(incident={"state": "unknown", "nodes": 1, "recovers_after": "PT5M"})
    run.in_waits = repeat(lambda: cloud.control("PATCH", "clock", {"speed": 600}))
    assert run.do(sensor(cloud)) == {"pool": "small", "dedicated": 2, "spot": 0}


def test_nodes_that_cannot_be_read_do_not_hide_the_verdict(
    cloud: Cloud, image: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.allocation(node_outcomes=[{"state": "unusable", "nodes": 1}])
    cloud.make_pool(image, dedicated=2)
    cloud.fault(path="/pools/small/nodes", status=403, code="AuthorizationFailed", count=None)
    with pytest.raises(ResizeGaveUpError) as gave_up:
        run.do(sensor(cloud))
    assert "1 idle, 1 unusable" in gave_up.value.answer
    assert "The failed nodes could not be read" in capsys.readouterr().out


def test_a_pool_that_is_kept_empty_is_ready(cloud: Cloud, image: str, run: Run) -> None:
    """Pitfall 10: no alarm at zero."""
    cloud.make_pool(image)
    assert run.do(sensor(cloud, dedicated="0")) == {"pool": "small", "dedicated": 0, "spot": 0}


def test_numbers_may_come_from_a_template(cloud: Cloud) -> None:
    made = sensor(cloud, dedicated="{{ dedicated }}", spot="{{ spot }}")
    made.render_template_fields({"dedicated": 7, "spot": 3})  # type: ignore[arg-type]
    assert (made.dedicated, made.spot) == ("7", "3")
