"""What is seen, as numbers: nodes by state, requests by service, the age of images."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest
from golden_pools.rules.facts import NodeCounts, PoolNodes
from golden_pools.rules.family import ALIAS, ROLE
from golden_pools.rules.metrics import (
    IMAGE_AGE,
    NODE_STATES,
    NODES,
    NODES_TARGET,
    REQUESTS,
    THROTTLES,
    Metric,
    Reading,
    of_account,
    of_request,
    of_watch,
    service_of,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.test_watch import HOME, NOW, pool, seen, version

ARM = "https://management.azure.com/subscriptions/s/resourceGroups/g/providers"


def values(readings: Iterable[Reading], metric: Metric) -> dict[tuple[str, ...], float]:
    """Return the values of one metric by its tags."""
    return {
        tuple(reading.tags[tag] for tag in metric.tags): reading.value
        for reading in readings
        if reading.metric is metric
    }


def nodes(
    name: str = "small", dedicated: dict[str, int] | None = None, spot: dict[str, int] | None = None
) -> PoolNodes:
    return PoolNodes(pool=name, dedicated=NodeCounts(by_state=dedicated or {}), spot=NodeCounts(by_state=spot or {}))


MINE = {ALIAS: "small", ROLE: "current"}


def test_every_state_is_told_also_where_no_node_has_it() -> None:
    told = values(of_account([pool(metadata=MINE)], {"small": nodes(dedicated={"idle": 2, "creating": 1})}), NODES)
    assert told == {("small", state): {"idle": 2, "starting": 1}.get(state, 0) for state in NODE_STATES}


@given(st.dictionaries(st.sampled_from([*NODE_STATES, "creating", "leavingpool", "new"]), st.integers(0, 99)))
def test_no_node_is_lost_or_counted_twice(by_state: dict[str, int]) -> None:
    told = values(of_account([pool(metadata=MINE)], {"small": nodes(dedicated=by_state, spot=by_state)}), NODES)
    assert sum(told.values()) == 2 * sum(by_state.values())


def test_both_pools_of_a_switch_count_for_their_spec_and_the_canary_does_not() -> None:
    pools = [
        pool(metadata=MINE),
        pool("small-1-0-3", metadata={ALIAS: "small", ROLE: "candidate"}),
        pool("canary-1-small", metadata={ALIAS: "small", ROLE: "canary"}),
    ]
    counts = {one.name: nodes(one.name, {"idle": 3}) for one in pools}
    readings = [*of_account(pools, counts)]
    assert values(readings, NODES)["small", "idle"] == 6
    assert values(readings, NODES_TARGET) == {("small",): 6}


def test_pools_of_others_and_pools_that_go_are_not_told() -> None:
    strangers = [pool("theirs"), pool(metadata=MINE, provisioning_state="Deleting")]
    assert [*of_account(strangers, {})] == []


def test_a_pool_whose_nodes_are_not_counted_yet_has_none() -> None:
    told = values(of_account([pool(metadata=MINE)], {}), NODES)
    assert set(told.values()) == {0}


@pytest.mark.parametrize(
    ("url", "service"),
    [
        (f"{ARM}/Microsoft.Compute/snapshots/a?api-version=1", "compute"),
        (f"{ARM}/microsoft.batch/batchAccounts/b/pools/c", "batch"),
        (f"{ARM}/Microsoft.Network/networkInterfaces/n", "network"),
        ("https://management.azure.com/subscriptions/s/resourcegroups?api-version=1", "resources"),
        ("https://goldenbatch.westeurope.batch.azure.com/nodecounts?api-version=1", "batch_data"),
        ("http://127.0.0.1:8899/pools/small/nodes", "batch_data"),
    ],
)
def test_a_request_belongs_to_a_service(url: str, service: str) -> None:
    assert service_of(url) == service


@pytest.mark.parametrize(("status", "throttles"), [(200, 0), (404, 0), (429, 1), (503, 1), (500, 0), (None, 0)])
def test_a_request_counts_once_and_as_throttled_where_azure_puts_it_off(status: int | None, throttles: int) -> None:
    readings = [*of_request(f"{ARM}/Microsoft.Compute/disks/d", status)]
    assert values(readings, REQUESTS) == {("compute", str(status or "none")): 1}
    assert sum(values(readings, THROTTLES).values()) == throttles


def test_the_watch_tells_the_age_of_the_image_that_a_pool_is_on() -> None:
    world = seen(pool(), versions=(version(published=NOW - timedelta(hours=30)), version("1.0.3")))
    assert values(of_watch(world), IMAGE_AGE) == {("small",): 30 * 3600}


def test_an_image_that_is_not_known_has_no_age() -> None:
    assert values(of_watch(seen(pool(image_id=None))), IMAGE_AGE) == {}
    assert values(of_watch(seen(pool(), versions=None)), IMAGE_AGE) == {}


def test_the_watch_tells_the_nodes_of_accounts_that_could_be_read() -> None:
    counted = seen(pool(), nodes={HOME: {"small": nodes(dedicated={"idle": 3})}})
    assert values(of_watch(counted), NODES)["small", "idle"] == 3
    assert values(of_watch(seen(pool())), NODES) == {}
    assert [*of_watch(seen(pools={}))] == []
