"""Stage ``refresh`` with a second pool, and with a pool that is made anew."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat

import pytest
from golden_pools.errors import OwnershipError
from golden_pools.operators.refresh import RefreshPoolOperator
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import NEW, OLD, SECOND, Cloud, Run, with_refresh


@pytest.fixture
def make_run(cloud: Cloud, spec: PoolSpec) -> Callable[..., Run]:
    """Make a run onto the new version; keyword arguments are those of the spec's ``refresh``."""

    def make(*, force: bool = False, **refresh: object) -> Run:
        run = Run(
            with_refresh(spec, **{"strategy": "blue_green", **refresh}), conf={"image_version": NEW, "force": force}
        )
        run.in_waits = repeat(lambda: cloud.advance(minutes=10))
        return run

    return make


def refresh() -> RefreshPoolOperator:
    return RefreshPoolOperator(task_id="refresh")


def test_a_second_pool_is_made_without_nodes_and_the_current_one_is_not_touched(
    cloud: Cloud, images: dict[str, str], make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    before, run = cloud.pool(), make_run()
    assert run.do(refresh()) == {
        "action": "prepared",
        "strategy": "blue_green",
        "pool": SECOND,
        "image": images[NEW],
        "image_before": images[OLD],
        "pool_before": "small",
    }
    assert cloud.pool() == before
    assert cloud.image_of(SECOND) == images[NEW]
    assert cloud.pool(SECOND)["properties"]["currentDedicatedNodes"] == 0
    marks = cloud.marks(SECOND)
    assert (marks["golden_pools_alias"], marks["golden_pools_role"]) == ("small", "candidate")
    assert len(cloud.writes()) == 1
    assert run.pushed["refresh", "before"]["candidate"] == SECOND


def test_the_first_pool_of_an_alias_has_none_before_it(
    cloud: Cloud, images: dict[str, str], make_run: Callable[..., Run]
) -> None:
    run = make_run()
    result = run.do(refresh())
    assert (result["action"], result["pool"], result["pool_before"]) == ("prepared", SECOND, None)
    assert run.pushed == {}


def test_a_former_pool_of_the_version_is_taken_back(
    cloud: Cloud, images: dict[str, str], make_run: Callable[..., Run]
) -> None:
    """Switching back within the soak: its nodes are still there."""
    cloud.make_pool(images[OLD], name="small-2", dedicated=1)
    cloud.make_pool(images[NEW], name="small-1", dedicated=2)
    cloud.mark("small-2", alias="small", role="current", since="2026-11-20", run="a")
    cloud.mark("small-1", alias="small", role="former", since="2026-11-20", run="a")
    cloud.forget()
    run = make_run()
    assert run.do(refresh())["pool"] == "small-1"
    assert cloud.marks("small-1")["golden_pools_role"] == "candidate"
    assert cloud.pool("small-1")["properties"]["currentDedicatedNodes"] == 2
    assert run.pushed["refresh", "before"]["adopted"]["metadata"]["golden_pools_role"] == "former"
    assert len(cloud.writes()) == 1


def test_a_leftover_with_another_size_is_drained_and_changed(
    cloud: Cloud, images: dict[str, str], make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(images[OLD], dedicated=1)
    cloud.make_pool(images[OLD], name=SECOND, dedicated=2)
    cloud.mark(SECOND, alias="small", role="candidate", since="2026-11-20", run="a")
    run = make_run()
    assert run.do(refresh())["pool"] == SECOND
    assert cloud.image_of(SECOND) == images[NEW]
    assert cloud.marks(SECOND)["golden_pools_run"] == "manual__1"
    assert cloud.pool()["properties"]["currentDedicatedNodes"] == 1


def test_a_former_pool_that_begins_to_retire_at_that_moment_is_made_anew(
    cloud: Cloud, images: dict[str, str], make_run: Callable[..., Run]
) -> None:
    """The retire stage was faster: it deletes the pool, and the refresh waits for the id."""
    cloud.make_pool(images[OLD], dedicated=1)
    cloud.make_pool(images[NEW], name=SECOND)
    cloud.mark(SECOND, alias="small", role="retiring", since="2026-11-20", run="a")
    run = make_run()
    run.in_waits = [lambda: (cloud.delete_pool(SECOND), cloud.advance(minutes=10))]
    assert run.do(refresh())["pool"] == SECOND
    assert run.deferrals == ["GoneTrigger"]
    assert cloud.marks(SECOND)["golden_pools_role"] == "candidate"


def test_what_changes_with_nodes_is_changed_on_the_current_pool(
    cloud: Cloud, images: dict[str, str], spec: PoolSpec
) -> None:
    cloud.make_pool(images[NEW], dedicated=2)
    changed = with_refresh(spec, strategy="blue_green").model_dump(mode="json")
    changed["pool"]["metadata"] = {"team": "rendering"}
    run = Run(PoolSpec.model_validate(changed), conf={"image_version": NEW})
    assert run.do(refresh())["action"] == "refreshed"
    assert cloud.marks()["team"] == "rendering"
    assert set(cloud.pools()) & {"small", SECOND} == {"small"}
    assert run.pushed["refresh", "before"]["candidate"] is None


# -- recreate ----------------------------------------------------------------------------------------------------------


def test_recreate_makes_the_pool_anew_under_its_id(
    cloud: Cloud, images: dict[str, str], make_run: Callable[..., Run]
) -> None:
    """Pitfall 20 and 22: pools age, and the id is free only when the deletion is done."""
    cloud.make_pool(images[OLD], dedicated=2)
    run = make_run(strategy="recreate")
    result = run.do(refresh())
    assert (result["action"], result["pool"], result["pool_before"]) == ("recreated", "small", "small")
    assert result["image_before"] == images[OLD]
    assert [write.split()[0] for write in cloud.writes()] == ["DELETE", "PUT"]
    assert run.deferrals == ["GoneTrigger"]
    assert cloud.image_of() == images[NEW]
    assert run.pushed["refresh", "before"]["targets"] == {"dedicated": 2, "spot": 0}


def test_recreate_refuses_a_pool_with_active_jobs_and_names_them(
    cloud: Cloud, images: dict[str, str], make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    cloud.run_task(minutes=300)
    cloud.forget()
    run = make_run(strategy="recreate")
    with pytest.raises(OwnershipError) as refused:
        run.do(refresh())
    assert refused.value.answer == "active jobs: work"
    assert "trigger the run with force" in refused.value.advice
    assert cloud.writes() == []
    assert ("refresh", "before") not in run.pushed
    assert run.pushed["refresh", "failure"]["blames_image"] is False


@pytest.mark.parametrize("how", ["forced", "disabled"])
def test_recreate_loses_no_task_of_a_job_that_stays_bound_to_the_id(
    cloud: Cloud, images: dict[str, str], make_run: Callable[..., Run], how: str
) -> None:
    cloud.make_pool(images[OLD], dedicated=2)
    cloud.run_task(minutes=300)
    if how == "disabled":
        cloud.disable_job()
        cloud.advance(minutes=1)
    make_run(strategy="recreate", force=how == "forced").do(refresh())
    assert cloud.job() == ("small", "active" if how == "forced" else "disabled")
    assert cloud.task()["state"] == "active"
    assert cloud.task()["requeues"] == 1
