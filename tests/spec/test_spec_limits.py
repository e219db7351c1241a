"""Azure's numbers: what is refused, what is only warned about, and the same for targets that a run changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from golden_pools.errors import SpecError
from golden_pools.spec.limits import limit_faults, limit_warnings
from golden_pools.spec.loader import load_pool
from golden_pools.spec.model import PoolSpec

Write = Callable[..., Path]
SCHEDULE = "  timezone: Europe/Berlin\n"


def scale(*entries: str) -> tuple[str, str]:
    """Add scale times, each as the inside of a YAML mapping."""
    return SCHEDULE, f"{SCHEDULE}scale: [{', '.join('{' + entry + '}' for entry in entries)}]\n"


MPI = ("  targets:", "  inter_node_communication: true\n  targets:")


def with_targets(spec: PoolSpec, **counts: int) -> PoolSpec:
    """Change the targets as a run's form does: without asking the model."""
    targets = spec.pool.targets.model_copy(update=counts)
    return spec.model_copy(update={"pool": spec.pool.model_copy(update={"targets": targets})})


@pytest.mark.parametrize(("counts"), [{"dedicated": 2500}, {"spot": 1000}, {"dedicated": 0, "spot": 0}])
def test_targets_up_to_the_limit_break_none(counts: dict[str, int], write: Write) -> None:
    assert limit_faults(with_targets(load_pool(write()), **counts)) == []


@pytest.mark.parametrize(
    ("counts", "fault"),
    [
        ({"dedicated": 2501}, "pool.targets.dedicated: found 2501; allowed: a whole number from 0 to 2,500"),
        ({"spot": 1001}, "pool.targets.spot: found 1001; allowed: a whole number from 0 to 1,000"),
    ],
)
def test_targets_of_a_run_above_the_limit_are_named(counts: dict[str, int], fault: str, write: Write) -> None:
    assert [str(remark) for remark in limit_faults(with_targets(load_pool(write()), **counts))] == [fault]


def test_all_broken_limits_are_named_at_once(write: Write) -> None:
    assert len(limit_faults(with_targets(load_pool(write()), dedicated=3000, spot=3000))) == 2


def test_a_run_cannot_give_a_communicating_pool_too_many_nodes(write: Write) -> None:
    (fault,) = limit_faults(with_targets(load_pool(write(MPI)), dedicated=90, spot=11))
    assert "pool.inter_node_communication" in str(fault)
    assert "up to 100 nodes in all, and the targets are 101" in str(fault)


def test_a_communicating_pool_cannot_have_a_scale_time_with_too_many_nodes(write: Write) -> None:
    with pytest.raises(SpecError) as refused:
        load_pool(write(MPI, scale("cron: 0 7 * * *, dedicated: 90, spot: 11")))
    assert "line" in str(refused.value)
    assert "times with at most 100 nodes in all with pool.inter_node_communication, and the most are 101" in str(
        refused.value
    )


WARNINGS = {
    "dedicated nodes that not all pages grant": (
        [("dedicated: 2", "dedicated: 2001")],
        "pool.targets.dedicated: found 2,001; Microsoft's pages disagree whether a pool with a custom image may have "
        "2,000 or 2,500 dedicated nodes",
    ),
    "communicating nodes that not all accounts take": (
        [MPI, ("dedicated: 2", "dedicated: 80")],
        "pool.inter_node_communication: found true with 81 nodes; Azure takes 80 in accounts that allocate pools in "
        "your own subscription",
    ),
    "an empty pool": (
        [("dedicated: 2", "dedicated: 0"), ("spot: 1", "spot: 0")],
        "pool.targets: found 0 nodes in all; the pool is kept empty",
    ),
    "too few replicas at home": (
        [("dedicated: 2", "dedicated: 601"), ("  definition: farm", "  definition: farm\n  replicas: 2")],
        "image.replicas: found 2; 602 nodes need 3, one per 300, or `auto`, where they are in this region",
    ),
    "too few replicas elsewhere": (
        [("dedicated: 2", "dedicated: 601"), ("- name: northeurope", "- {name: northeurope, replicas: 1}")],
        "image.target_regions[0].replicas: found 1; 602 nodes need 3, one per 300, or `auto`, "
        "where they are in this region",
    ),
    "more slots than the cores of the size's name allow": (
        [("  targets:", "  task_slots_per_node: 9\n  targets:")],
        "pool.task_slots_per_node: found 9; Azure takes 8, 4 per core, if Standard_D2s_v5 has the 2 cores that its "
        "name says",
    ),
    "constrained cores": (
        [("  targets:", "  task_slots_per_node: 9\n  targets:"), ("Standard_D2s_v5", "Standard_E8-2s_v5")],
        "pool.task_slots_per_node: found 9; Azure takes 8, 4 per core, if Standard_E8-2s_v5 has the 2 cores that its "
        "name says",
    ),
    "dedicated nodes at a scale time that not all pages grant": (
        [scale("cron: 0 7 * * *, dedicated: 2", "cron: 0 9 * * *, dedicated: 2001")],
        "scale[1].dedicated: found 2,001; Microsoft's pages disagree whether a pool with a custom image may have "
        "2,000 or 2,500 dedicated nodes",
    ),
    "communicating nodes at a scale time that not all accounts take": (
        [MPI, scale("cron: 0 7 * * *, dedicated: 50, spot: 31")],
        "pool.inter_node_communication: found true with 81 nodes; Azure takes 80 in accounts that allocate pools in "
        "your own subscription",
    ),
    "too few replicas for a scale time": (
        [("  definition: farm", "  definition: farm\n  replicas: 2"), scale("cron: 0 7 * * *, dedicated: 601")],
        "image.replicas: found 2; 601 nodes need 3, one per 300, or `auto`, where they are in this region",
    ),
    "a pool that is empty at all times": (
        [("dedicated: 2", "dedicated: 0"), ("spot: 1", "spot: 0"), scale("cron: 0 7 * * *")],
        "pool.targets: found 0 nodes in all; the pool is kept empty",
    ),
    "two scale times that come together": (
        [scale("cron: 0 7 * * *, dedicated: 2", "cron: 0 9 * * *, spot: 1", "cron: 0  7 * * *, dedicated: 3")],
        "scale[0].cron: found 0 7 * * *, the time of scale[2] too, which holds instead of this one",
    ),
    "a share of less than one node": (
        [("timeout_minutes: 15", "smallest_acceptable_share: {spot: 0.5}")],
        "resize.smallest_acceptable_share.spot: found 0.5, which is less than one of 1 nodes; one node is "
        "asked for all the same",
    ),
}


@pytest.mark.parametrize(("changes", "warning"), WARNINGS.values(), ids=WARNINGS.keys())
def test_what_azure_may_refuse_is_a_warning(changes: list[tuple[str, str]], warning: str, write: Write) -> None:
    assert [str(remark) for remark in limit_warnings(load_pool(write(*changes)))] == [warning]


NO_WARNINGS = {
    "as many as all pages grant": [("dedicated: 2", "dedicated: 2000")],
    "communicating nodes that all accounts take": [MPI, ("dedicated: 2", "dedicated: 79")],
    "replicas left to the run": [("dedicated: 2", "dedicated: 601")],
    "enough replicas": [
        ("dedicated: 2", "dedicated: 600"),
        ("- name: northeurope", "- {name: northeurope, replicas: 3}"),
    ],
    "slots up to four per core": [("  targets:", "  task_slots_per_node: 8\n  targets:")],
    "an old size, whose name says nothing of its cores": [
        ("  targets:", "  task_slots_per_node: 16\n  targets:"),
        ("Standard_D2s_v5", "Standard_D3_v2"),
    ],
    "a pool that is empty at times": [
        ("dedicated: 2", "dedicated: 0"),
        ("spot: 1", "spot: 0"),
        scale("cron: 0 7 * * *, dedicated: 2", "cron: 0 19 * * *"),
    ],
    "a share of none": [("spot: 1", "spot: 0"), ("timeout_minutes: 15", "smallest_acceptable_share: {spot: 0.5}")],
}


@pytest.mark.parametrize("changes", NO_WARNINGS.values(), ids=NO_WARNINGS.keys())
def test_what_azure_takes_for_sure_is_no_warning(changes: list[tuple[str, str]], write: Write) -> None:
    assert limit_warnings(load_pool(write(*changes))) == []
