"""The tactics of stage ``resize`` against the simulator, at the product's own intervals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from golden_pools.errors import FullNowError, OwnershipError, ResizeGaveUpError
from golden_pools.failures import noted_failure
from golden_pools.operators.nodes import ReadyNodesOperator
from golden_pools.operators.refresh import RefreshPoolOperator
from golden_pools.operators.resize import ResizePoolOperator

from tests.operators.conftest import OLD, SECOND, kill_at_write
from tests.operators.mortal import LOST, KilledError, MortalRun
from tests.operators.region import CAPACITY, Region, make_region


@pytest.fixture
def region() -> Iterator[Region]:
    with make_region() as made:
        yield made


def resize() -> ResizePoolOperator:
    return ResizePoolOperator(task_id="resize")


def test_a_large_pool_grows_by_steps(region: Region) -> None:
    result = region.run(dedicated=500, spot=100, step=300).do(resize())
    assert region.asked() == [(300, 0), (500, 100)]
    assert (result["verdict"], result["resizes"], region.size()) == ("reached", 2, (500, 100))


def test_a_pause_passes_before_capacity_is_asked_for_again(region: Region) -> None:
    region.cloud.allocation(max_dedicated_nodes=0, error=CAPACITY)
    before = region.time.now()
    run = region.run(dedicated=3, back_off_minutes=60)
    assert run.do(resize())["resizes"] == 2
    assert run.deferrals == ["ResizeTrigger", "SettleTrigger", "ResizeTrigger"]
    assert timedelta(minutes=60) < region.time.now() - before < timedelta(minutes=70)


def test_a_shortage_is_met_with_smaller_steps(region: Region) -> None:
    """Twenty at once are too many, five are not."""
    region.cloud.allocation(resizes=2, max_dedicated_nodes=0, error=CAPACITY)
    result = region.run(dedicated=20, tactics=["smaller_steps"]).do(resize())
    assert region.asked() == [(20, 0), (10, 0), (5, 0), (10, 0), (15, 0), (20, 0)]
    assert (result["verdict"], region.size()) == ("reached", (20, 0))


def test_a_resize_that_brings_nothing_for_long_is_stopped_and_asked_again(region: Region) -> None:
    region.cloud.allocation(max_dedicated_nodes=2)  # and then nothing until the timeout
    before = region.time.now()
    result = region.run(dedicated=4, timeout_minutes=600, stall_minutes=10).do(resize())
    assert (result["resizes"], region.stops(), region.size()) == (2, 1, (4, 0))
    assert region.time.now() - before < timedelta(minutes=20)


def test_the_answer_to_a_stop_that_is_lost_makes_it_nobody_elses(region: Region) -> None:
    region.cloud.allocation(max_dedicated_nodes=2)
    region.cloud.fault(method="POST", path="stopResize", lose_reply=True)
    run = region.run(dedicated=4, timeout_minutes=600, stall_minutes=10)
    assert run.do_with_retries(resize())["verdict"] == "reached"
    assert region.size() == (4, 0)


@pytest.mark.parametrize(("under_way", "asked"), [("wait", 9), ("stop", 0)])
def test_somebody_elses_resize_is_waited_for_or_stopped(region: Region, under_way: str, asked: int) -> None:
    region.cloud.resize(dedicated=9)
    seen: list[tuple[int, int]] = []
    run = region.run(dedicated=3, under_way=under_way)
    first = run.fire
    run.fire = lambda trigger, timeout: (first(trigger, timeout), seen.append(region.size()))[0]
    assert run.do(resize())["verdict"] == "reached"
    assert run.deferrals == ["SettleTrigger", "ResizeTrigger"]
    assert seen[0] == (asked, 0)
    assert region.stops() == (under_way == "stop")


def test_a_formula_that_still_moves_the_pool_is_switched_off_first(region: Region) -> None:
    formula = {"formula": "$TargetDedicatedNodes=40;", "evaluationInterval": "PT5M"}
    scaled = {"properties": {"scaleSettings": {"autoScale": formula}}}
    pool = "resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/goldenbatch/pools/small"
    region.cloud.arm("PATCH", pool, scaled)
    region.cloud.advance(seconds=30)
    run = region.run(dedicated=3, autoscale="switch_off", under_way="stop")
    assert run.do(resize())["verdict"] == "reached"
    assert region.size() == (3, 0)


def test_other_vm_sizes_are_tried_on_a_second_pool(region: Region) -> None:
    region.cloud.delete_pool()
    region.cloud.advance(minutes=10)
    region.cloud.make_pool(region.cloud.make_version(OLD), dedicated=2)
    region.cloud.allocation(pool=SECOND, max_dedicated_nodes=0, resizes=1, error={"code": "UnsupportedVMSize"})
    run = region.run(
        dedicated=3,
        refresh={"strategy": "blue_green"},
        tactics=["other_vm_sizes"],
        other_vm_sizes=["Standard_D4s_v5"],
    )
    run.do(RefreshPoolOperator(task_id="refresh"))
    result = run.do(ResizePoolOperator(task_id="resize", pool_task_id="refresh"))
    assert (result["verdict"], result["pool"], result["vm_size"]) == ("reached", SECOND, "Standard_D4s_v5")
    assert region.cloud.pool(SECOND)["properties"]["vmSize"].upper() == "STANDARD_D4S_V5"
    assert (region.size(SECOND), region.size()) == ((3, 0), (2, 0))
    assert run.do(ReadyNodesOperator(task_id="nodes", pool_task_id="resize"))["dedicated"] == 3


def test_a_pool_that_jobs_use_keeps_its_size(region: Region) -> None:
    """Another size needs an empty pool, and nobody's nodes may go for it."""
    region.cloud.allocation(max_dedicated_nodes=0, error={"code": "UnsupportedVMSize"})
    run = region.run(
        dedicated=3,
        refresh={"strategy": "blue_green"},
        tactics=["other_vm_sizes"],
        other_vm_sizes=["Standard_D4s_v5"],
    )
    with pytest.raises(ResizeGaveUpError, match="UnsupportedVMSize"):
        run.do(resize())
    assert region.asked() == [(3, 0)]


def test_missing_spot_nodes_come_as_dedicated_ones_and_the_nodes_stage_waits_for_those(region: Region) -> None:
    no_spot = {"max_dedicated_nodes": 9, "max_low_priority_nodes": 2}
    region.cloud.allocation(resizes=None, error={"code": "AccountSpotCoreQuotaReached"}, **no_spot)
    run = region.run(dedicated=1, spot=5, tactics=["spot_to_dedicated"])
    result = run.do(resize())
    assert (result["verdict"], result["targets"]) == ("reached", {"dedicated": 4, "spot": 2})
    nodes = run.do(ReadyNodesOperator(task_id="nodes", pool_task_id="resize"))
    assert (nodes["dedicated"], nodes["spot"]) == (4, 2)


def test_spot_nodes_that_no_quota_lets_come_as_dedicated_ones_stay_missing(region: Region) -> None:
    region.quota(dedicated_core_quota=4)  # two nodes
    no_spot = {"max_dedicated_nodes": 9, "max_low_priority_nodes": 2}
    region.cloud.allocation(resizes=None, error={"code": "AccountSpotCoreQuotaReached"}, **no_spot)
    with pytest.raises(ResizeGaveUpError, match="AccountSpotCoreQuotaReached"):
        region.run(dedicated=2, spot=5, tactics=["spot_to_dedicated"]).do(resize())


@pytest.mark.parametrize(
    ("verdicts", "resizes"), [({"AccountCoreQuotaReached": "again"}, 2), ({"unsupportedvmsize": "later"}, 1)]
)
def test_the_spec_treats_a_code_otherwise(region: Region, verdicts: dict[str, str], resizes: int) -> None:
    region.cloud.allocation(max_dedicated_nodes=0, error={"code": "AccountCoreQuotaReached"})
    run = region.run(dedicated=3, verdicts=verdicts)
    if resizes == 1:
        with pytest.raises(ResizeGaveUpError, match="AccountCoreQuotaReached"):
            run.do(resize())
    else:
        assert run.do(resize())["resizes"] == resizes


# Quota that other pools hold


@pytest.fixture
def crowded(region: Region) -> Region:
    """Room for three nodes of which another pool holds two."""
    region.quota(dedicated_core_quota=6)
    region.cloud.make_pool(region.image, name="other", dedicated=2)
    return region


def shrink_other(region: Region) -> None:
    region.cloud.resize(dedicated=0, name="other")
    region.cloud.advance(minutes=5)


def test_what_fits_is_asked_for_and_the_rest_when_there_is_room(crowded: Region) -> None:
    run = crowded.run(dedicated=3)
    run.in_waits = [lambda: None, lambda: shrink_other(crowded)]
    assert run.do(resize())["verdict"] == "reached"
    assert run.deferrals == ["ResizeTrigger", "QuotaTrigger", "ResizeTrigger"]
    assert crowded.asked() == [(1, 0), (3, 0)]


def test_quota_that_stays_taken_ends_the_run_in_its_time_and_names_the_holder(crowded: Region) -> None:
    before = crowded.time.now()
    with pytest.raises(FullNowError, match="other 4") as full:
        crowded.run(dedicated=3, quota_wait_minutes=45).do(resize())
    assert "shrink other" in full.value.advice
    assert timedelta(minutes=45) < crowded.time.now() - before < timedelta(minutes=55)
    assert crowded.size() == (1, 0)  # what fits is there all the same


def test_a_share_that_fits_is_enough(crowded: Region) -> None:
    run = crowded.run(dedicated=3, quota_wait_minutes=0, smallest_acceptable_share={"dedicated": 0.3, "spot": 1.0})
    assert run.do(resize())["verdict"] == "partial"


def test_a_quota_error_of_azure_is_waited_out_where_another_pool_holds_the_quota(crowded: Region) -> None:
    """The other pool grows between the look at the quotas and the allocation."""
    crowded.cloud.resize(dedicated=0, name="other")
    crowded.cloud.advance(minutes=5)
    run = crowded.run(dedicated=3)

    def other_is_faster() -> None:
        crowded.cloud.resize(dedicated=2, name="other")
        crowded.cloud.advance(minutes=5)

    crowded.cloud.allocation(max_dedicated_nodes=1, error={"code": "AccountCoreQuotaReached"})
    run.in_waits = [other_is_faster, lambda: shrink_other(crowded)]
    assert run.do(resize())["verdict"] == "reached"
    assert run.deferrals == ["ResizeTrigger", "QuotaTrigger", "ResizeTrigger"]


def test_both_pools_of_a_blue_green_refresh_count(region: Region) -> None:
    """Three nodes beside two that stay: waiting for the old pool to shrink would be in vain."""
    region.cloud.delete_pool()
    region.cloud.advance(minutes=10)
    region.cloud.make_pool(region.cloud.make_version(OLD), dedicated=2)
    region.quota(dedicated_core_quota=8)
    run = region.run(dedicated=3, refresh={"strategy": "blue_green"})
    run.do(RefreshPoolOperator(task_id="refresh"))
    with pytest.raises(Exception, match="the targets need 6 dedicated cores beside small 4, 10 in all"):
        run.do(ResizePoolOperator(task_id="resize", pool_task_id="refresh"))


# Repetition


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3], ids=["resize", "stop", "resize again"])
def test_a_worker_killed_at_any_write_of_a_stalled_resize_makes_no_difference(
    region: Region, tmp_path: Path, number: int, sent: bool
) -> None:
    region.cloud.allocation(max_dedicated_nodes=2)
    mortal = partial(MortalRun, folder=tmp_path, kill_at=number, sent=sent)
    run = region.run(dedicated=4, timeout_minutes=600, stall_minutes=10, make=mortal)
    with pytest.raises(KilledError):
        run.do(resize())
    region.time.sleep(LOST.total_seconds())
    assert run.do(resize())["verdict"] == "reached"
    assert (region.size(), len(region.asked()), region.stops()) == ((4, 0), 2, 1)


def test_a_clear_after_somebody_else_resized_the_pool_begins_anew(region: Region) -> None:
    run = region.run(dedicated=3)
    assert run.do(resize())["verdict"] == "reached"
    region.cloud.resize(dedicated=5)
    region.cloud.advance(minutes=20)
    assert run.do(resize())["verdict"] == "reached"
    assert region.size() == (3, 0)


def test_somebody_elses_stop_is_told_and_not_worked_against(region: Region) -> None:
    run = region.run(dedicated=30)
    stop = "resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/goldenbatch/pools/small/stopResize"
    run.in_waits = [lambda: (region.cloud.advance(minutes=1, seconds=40), region.cloud.arm("POST", stop))]
    with pytest.raises((ResizeGaveUpError, OwnershipError)):
        run.do(resize())
    assert len(region.asked()) == 1


# Bad nodes while others still come

DISK_FULL = {"code": "DiskFull", "message": "There is not enough disk space"}


def stages() -> tuple[ResizePoolOperator, ReadyNodesOperator]:
    """Return the two stages as the DAG of a pool has them."""
    return (
        ResizePoolOperator(task_id="resize", tend_nodes=True),
        ReadyNodesOperator(task_id="nodes", pool_task_id="resize"),
    )


def done(region: Region) -> list[str]:
    """Return what was done to the pool and its nodes, in order."""
    names = {"small": "resize", "stopResize": "stop", "removenodes": "remove"}
    actions = [write.rpartition("/")[2].partition("?")[0] for write in region.cloud.writes()]
    return [names.get(action, action) for action in actions]


def bad_nodes(region: Region, *, nodes: int | None = None, share: float | None = None, **more: Any) -> None:
    amount = {"nodes": nodes} if nodes else {"share": share}
    region.cloud.allocation(node_outcomes=[{"state": "unusable", "error": DISK_FULL, **amount, **more}])


def test_nodes_that_fail_while_others_come_are_rebooted_meanwhile(region: Region) -> None:
    bad_nodes(region, nodes=3, cured_by_reboots=1)
    run, (resize, nodes) = region.run(dedicated=300), stages()
    tended = run.do(resize)
    assert done(region) == ["resize", "reboot", "reboot", "reboot"]
    ready = run.do(nodes)
    assert (ready["dedicated"], ready["replaced"]) == (300, 0)
    assert ready["rebooted"] == list(tended["chart"]["reboots"])
    assert done(region) == ["resize", "reboot", "reboot", "reboot"]


def test_what_a_node_has_had_counts_in_the_next_stage(region: Region) -> None:
    """One reboot in a run, so the stage that waits for the nodes replaces at once what the resize has rebooted."""
    bad_nodes(region, nodes=2)
    run, (resize, nodes) = region.run(dedicated=300), stages()
    run.do(resize)
    assert run.do(nodes)["replaced"] == 2
    assert done(region) == ["resize", "reboot", "reboot", "remove", "resize"]


def test_a_task_that_is_cleared_days_later_looks_after_nodes_with_time_of_its_own(region: Region) -> None:
    run, (resize, _) = region.run(dedicated=300), stages()
    bad_nodes(region, nodes=2, cured_by_reboots=1)
    run.do(resize)
    region.time.sleep(timedelta(days=2).total_seconds())
    region.cloud.resize(dedicated=0)
    region.cloud.advance(minutes=30)
    region.cloud.forget()
    region.cloud.allocation(node_outcomes=[{"state": "unusable", "nodes": 2}])  # which Batch may reach again
    assert run.do(resize)["verdict"] == "reached"
    assert done(region) == ["resize"]


def test_a_bad_image_stops_its_resize(region: Region) -> None:
    """Each further node would be one more that is paid for and removed again."""
    bad_nodes(region, share=1.0)
    run, (resize, _) = region.run(dedicated=1000), stages()
    with pytest.raises(ResizeGaveUpError, match="more than 200, so nothing is tried"):
        run.do(resize)
    noted = noted_failure(run.context(resize), "resize")  # type: ignore[arg-type]
    assert noted is not None
    assert noted["blames_image"]
    assert done(region) == ["resize", "stop"]
    region.cloud.advance(minutes=5)
    assert region.size()[0] < 400


def test_a_resize_alone_does_nothing_for_nodes(region: Region) -> None:
    """Such as that of a rollback: it brings back whatever it can."""
    bad_nodes(region, share=1.0)
    assert region.run(dedicated=300).do(resize())["verdict"] == "reached"
    assert done(region) == ["resize"]


@pytest.mark.parametrize("sent", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_killed_at_any_write_the_nodes_fare_as_undisturbed(region: Region, number: int, sent: bool) -> None:
    bad_nodes(region, nodes=2, cured_by_reboots=1)
    run, (resize, nodes) = region.run(dedicated=300), stages()
    kill_at_write(run, resize, number, sent=sent)
    run.do(resize)
    assert run.do(nodes)["dedicated"] == 300
    assert done(region) == ["resize", "reboot", "reboot"]
