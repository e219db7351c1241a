"""The answer of a plan-only run: its table, the quotas, how long such runs took, and what the run costs."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from golden_pools.rules.facts import Pool
from golden_pools.rules.intentions import Work
from golden_pools.rules.markdown import escaped, table
from golden_pools.rules.outcome import LEFT_ALONE
from golden_pools.rules.passport import Passport, new_passport, read_passport, with_pool, with_run
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preflight import Lookup, Observations, lookups, preflight
from golden_pools.rules.preview import Preview, durations, preview
from golden_pools.rules.preview.durations import MOST_RUNS
from golden_pools.spec.model import Strategy
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.rules.build import (
    NOW,
    VERSION_ID,
    account,
    disk,
    from_source,
    golden_vm,
    observations,
    plan,
    pool,
    version,
    vm_size,
)

CURRENT = {"golden_pools_alias": "small", "golden_pools_role": "current"}
PRICES = {
    "node_hour": {"standard_d2s_v5": 0.1},
    "spot_node_hour": {"Standard_D2s_v5": 0.02},
    "snapshot_gib_month": 0.05,
    "replica_gib_month": 0.1,
}


def seen(*pools: Pool, **changes: Any) -> Observations:
    return observations(**{"pools": pools or (pool(metadata=CURRENT),), **changes})


def past(
    *,
    strategy: str = "in_place",
    built: bool = True,
    action: str = "refreshed",
    minutes: float = 90,
    pool: str = "small",
    **stages: float,
) -> Passport:
    """Return the passport of a run; ``stages`` are minutes by task, two underscores standing for a dot."""
    run = plan(conf={"refresh_strategy": strategy}).model_copy(update={"pool": pool})
    whole = new_passport(run, snapshots=None, managed_image=None, findings=[])
    since = (run.stamp + timedelta(minutes=minutes)).isoformat()
    refresh = {"pool": pool, "action": action, "image_before": None}
    whole = with_pool(whole, run, refresh=refresh, nodes={"dedicated": 10, "spot": 5}, since=since)
    ended = [
        {"task_id": name.replace("__", "."), "state": "success", "duration": took * 60} for name, took in stages.items()
    ]
    return read_passport({**with_run(whole, link=None, ended=ended, became_good=True), "built": built})


# -- the table ---------------------------------------------------------------------------------------------------------


def cells(markdown: str) -> list[list[str]]:
    """Return the cells of a table as a reader of Markdown sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            assert {child.type for child in token.children or ()} <= {"text", "text_special"}, token.content
            rows[-1].append("".join(child.content for child in token.children or ()))
    return rows


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["C", "Z"])), min_size=3, max_size=3), max_size=5))
@settings(max_examples=300)
def test_whatever_a_name_is_the_table_shows_it(rows: list[list[str]]) -> None:
    markdown = table(("one", "two", "three"), [list(map(escaped, row)) for row in rows], aligned=True)
    assert cells(markdown) == [["one", "two", "three"], *rows]


@pytest.mark.parametrize(
    "name", ["a|b", "<img src=x>", "**a**", "[a](b)", "`a`", "_a_", "(__a__)", "a\\|b", "&lt;", "~~a~~"]
)
def test_markup_in_a_name_is_no_markup(name: str) -> None:
    assert cells(table(("one", "two"), [(escaped(name), "x")]))[1] == [name, "x"]


def test_a_name_as_azure_has_them_is_not_disfigured() -> None:
    for name in ("golden_gallery/render-farm 2026.1122.41500", "scheduled__2026-11-22T02:00:05+00:00"):
        assert escaped(name) == name


def test_the_columns_stand_below_one_another_in_a_log() -> None:
    lines = table(("one", "two"), [("a", "b"), ("longer", "c")], aligned=True).splitlines()
    assert lines == ["| one    | two |", "| ------ | --- |", "| a      | b |", "| longer | c |"]


def answer(plan: RunPlan, seen: Observations, **arguments: Any) -> Preview:
    return preview(plan, seen, findings=preflight(plan, seen, NOW), **arguments)


def test_a_run_that_does_nothing_says_so() -> None:
    there = plan(version=pool().image_id, canary={"enabled": False})
    good = {"golden-pools-verdict": "good"}
    found = answer(there, seen(image_version=version(tags=good)))
    assert found.rows == found.quota == found.cost == ()
    assert "#### Changes\n\nNone: everything is as it should be." in found.markdown
    assert "#### Quota\n\nNone: no node and no pool is made." in found.markdown
    assert "#### Cost\n\nNone beside what the pool costs anyway." in found.markdown


def test_a_blocker_stands_above_what_can_be_said_all_the_same() -> None:
    found = answer(plan(), seen(account=None))
    assert "**Preflight would stop this run before it writes anything: 1 blocker.**" in found.markdown
    assert "- account-exists: there is no" in found.markdown
    assert "What would become of pool small is not known: its Batch account could not be read." in found.markdown
    assert {action.stage for action in found.rows} == {"snapshot", "managed_image", "publish", "record"}


UNSEEN = {
    "golden_vm": None,
    "gallery": None,
    "definition": None,
    "image_version": None,
    "account": None,
    "pools": (),
    "vm_sizes": {},
    "batch_vm_sizes": {},
    "supported_images": (),
}


@given(
    unseen=st.sets(st.sampled_from(sorted(UNSEEN))),
    refused=st.sets(st.sampled_from(list(Lookup))),
    strategy=st.sampled_from(list(Strategy)),
    version_id=st.sampled_from([None, VERSION_ID]),
    source=st.sampled_from(["golden_vm", "clone", "generalized_vm", "packer"]),
)
@settings(max_examples=150, deadline=None)
def test_whatever_could_not_be_seen_the_rest_is_said(
    unseen: set[str], refused: set[Lookup], strategy: Strategy, version_id: str | None, source: str
) -> None:
    """A blocker is told by preflight's own error, which must not be hidden by one of the table."""
    run = a_plan(source, strategy, version_id)
    refused &= lookups(run)
    blind = {name: UNSEEN[name] for name in unseen | {lookup.name.lower() for lookup in refused}}
    found = answer(run, seen(**blind, unreadable=dict.fromkeys(refused, "HTTP 403")))
    assert found.markdown.startswith("### Plan of pool small")
    assert bool(found.rows) or unseen or refused or version_id


def a_plan(source: str, strategy: Strategy, version_id: str | None) -> RunPlan:
    """Return the plan of a run from a kind of source; with a version it makes none."""
    if source == "generalized_vm":
        return from_source(generalized_vm={"resource_group": "golden", "name": "build-vm"})
    if source == "packer":
        return from_source(packer={"manifest": "/builds/manifest.json"})
    network = plan().pool_id.partition("/resourceGroups/")[0] + "/resourceGroups/g/providers/Microsoft.Network"
    clone = {"generalize": "clone", "clone": {"subnet_id": f"{network}/virtualNetworks/net/subnets/builders"}}
    return plan(
        version=version_id,
        golden_vm=clone if source == "clone" else {},
        refresh={"strategy": strategy},
        prices=PRICES,
    )


def test_a_long_command_does_not_break_the_table() -> None:
    command = {"start_task": {"command_line": "x" * 5000}}
    found = answer(plan(pool=command), seen())
    assert max(map(len, found.markdown.splitlines())) < 1000


def test_the_answer_is_json_and_small() -> None:
    blue_green = plan(refresh={"strategy": "blue_green"}, prices=PRICES)
    work = Work(jobs=tuple(f"job-{number}" for number in range(1000)))
    vm = golden_vm(data_disks=tuple(disk(lun=lun) for lun in range(32)))
    value = answer(blue_green, seen(golden_vm=vm), work=work, passports=[past()] * 100).to_dict()
    assert set(value) == {"markdown", "rows", "quota", "durations", "cost"}
    assert set(value["rows"][0]) == {"stage", "kind", "what", "before", "after", "resource"}
    assert len(json.dumps(value)) < 40_000


PAGE = Path(__file__).parents[2] / "docs" / "plan-only.md"


def sample() -> str:
    """Return the answer that stands in the docs: a pool that changes with a second one beside it."""
    blue_green = plan(
        refresh={"strategy": "blue_green"}, prices=PRICES, image={"target_regions": [{"name": "northeurope"}]}
    )
    runs = [
        past(
            strategy="blue_green",
            minutes=75 + late,
            image__snapshot=4,
            image__managed_image=3,
            image__publish=21 + late,
            canary__pool=6,
            canary__probe=2,
            canary__remove=3,
            pool__resize=9,
            pool__nodes=7,
            pool__switch=5,
        )
        for late in (0, 3, 40)
    ]
    order = tuple(run for run in runs[0].run.stages) if runs[0].run else ()
    work = Work(jobs=("render", "report"), schedules=("nightly",))
    return answer(blue_green, seen(), work=work, passports=runs, order=order).markdown


def test_the_sample_in_the_docs_is_what_a_run_says() -> None:
    assert f"```markdown\n{sample()}\n```" in PAGE.read_text(encoding="utf-8"), sample()


# -- quotas ------------------------------------------------------------------------------------------------------------


def needs(plan: RunPlan, seen: Observations) -> dict[tuple[str, str], tuple[int | None, ...]]:
    """Return taken now, needed, the most, and the limit, by step and quota."""
    return {(one.step, one.quota): (one.now, one.needed, one.peak, one.limit) for one in answer(plan, seen).quota}


def test_in_place_needs_no_more_than_it_gives_back() -> None:
    assert needs(plan(), seen()) == {
        ("canary", "dedicated cores"): (20, 2, 22, 100),
        ("canary", "cores of standardDSv5Family"): (20, 2, 22, 60),
        ("pool", "dedicated cores"): (20, 20, 20, 100),
        ("pool", "cores of standardDSv5Family"): (20, 20, 20, 60),
        ("pool", "Spot/low-priority cores"): (10, 10, 10, 50),
        ("new pools", "pools"): (1, 1, 2, 10),
    }


def test_blue_green_needs_room_for_both_pools() -> None:
    other = pool(name="lab", current_dedicated=5, target_dedicated=5, current_spot=0, target_spot=0)
    found = needs(plan(refresh={"strategy": "blue_green"}), seen(pool(metadata=CURRENT), other))
    assert found["second pool", "dedicated cores"] == (30, 20, 50, 100)
    assert found["second pool", "Spot/low-priority cores"] == (10, 10, 20, 50)
    assert found["new pools", "pools"] == (2, 2, 4, 10)


@pytest.mark.parametrize(("quota", "says"), [(40, "fits"), (39, "never fits")])
def test_a_quota_that_does_not_suffice_is_told(quota: int, says: str) -> None:
    blue_green = plan(refresh={"strategy": "blue_green"}, canary={"enabled": False})
    tight = account(dedicated_core_quota=quota, family_quotas_enforced=False)
    text = answer(blue_green, seen(account=tight)).markdown
    (line,) = [line for line in text.splitlines() if "dedicated cores" in line and line.startswith("| second pool")]
    assert line.endswith(f"| 20        | 20     | 40          | {quota}    | {says} |")


def test_what_cannot_be_compared_is_not_passed_over() -> None:
    own = account(allocation_mode="UserSubscription")
    (canary, target, pools) = answer(plan(), seen(account=own)).quota
    assert (
        canary.note
        == target.note
        == ("the account allocates in your subscription, whose vCPU quotas were not compared")
    )
    assert pools.quota == "pools"


# -- time --------------------------------------------------------------------------------------------------------------


def times(plan: RunPlan, *passports: Passport, moves: bool = True, order: tuple[str, ...] = ()) -> dict[str, Any]:
    found = durations(plan, passports, moves=moves, order=order)
    return {one.stage: (one.runs, one.median_seconds / 60, one.longest_seconds / 60) for one in found}


def test_no_run_yet_is_said_plainly() -> None:
    found = answer(plan(), seen())
    assert found.durations == ()
    assert "#### Time\n\nNo run yet of this pool with in_place that builds an image." in found.markdown


def test_median_and_longest_of_every_stage_and_in_all() -> None:
    runs = [past(minutes=m, pool__resize=m / 2, image__publish=10) for m in (60, 90, 600)]
    assert times(plan(), *runs, order=("image.publish", "pool.resize")) == {
        "image.publish": (3, 10, 10),
        "pool.resize": (3, 45, 300),
        "in all": (3, 90, 600),
    }
    assert list(times(plan(), *runs, order=("image.publish", "pool.resize"))) == [
        "image.publish",
        "pool.resize",
        "in all",
    ]


@pytest.mark.parametrize(
    "other", [{"strategy": "recreate"}, {"built": False}, {"action": LEFT_ALONE}, {"pool": "somebody-elses"}]
)
def test_a_run_of_another_kind_does_not_count(other: dict[str, Any]) -> None:
    assert times(plan(), past(**other), past(minutes=30)) == {"in all": (1, 30, 30)}


def test_a_run_that_leaves_the_pool_alone_is_compared_with_such() -> None:
    assert times(plan(), past(action=LEFT_ALONE, minutes=5), past(), moves=False) == {"in all": (1, 5, 5)}


def test_only_the_latest_runs_count() -> None:
    assert times(plan(), *[past(minutes=30)] * MOST_RUNS, past(minutes=900))["in all"] == (MOST_RUNS, 30, 30)


def test_a_person_who_took_a_night_to_approve_does_not_make_the_run_slow() -> None:
    assert times(plan(), past(minutes=700, approve=600, pool__nodes=20)) == {
        "pool.nodes": (1, 20, 20),
        "in all": (1, 100, 100),
    }


def test_a_stage_that_skipped_itself_took_no_time() -> None:
    whole = new_passport(plan(), snapshots=None, managed_image=None, findings=[])
    ended = [{"task_id": "pool.probe", "state": "skipped", "duration": 0.7}]
    assert with_run(whole, link=None, ended=ended, became_good=False)["run"]["stages"] == {}


@given(st.lists(st.floats(1, 5000), min_size=1, max_size=30))
@settings(max_examples=50)
def test_the_median_lies_between_the_runs_and_no_run_took_longer_than_the_longest(minutes: list[float]) -> None:
    found = times(plan(), *(past(minutes=one) for one in minutes))["in all"]
    counted = [round(one * 60, 1) / 60 for one in minutes[:MOST_RUNS]]
    assert found[0] == len(counted)
    assert min(counted) - 0.01 <= found[1] <= found[2] + 0.01
    assert found[2] == pytest.approx(max(counted))


# -- cost --------------------------------------------------------------------------------------------------------------


def costs(plan: RunPlan, seen: Observations, *passports: Passport) -> dict[str, tuple[float | None, float | None]]:
    """Return hours or GiB, and the amount, by what costs."""
    found = answer(plan, seen, passports=passports).cost
    return {one.what: (one.gib if one.hours is None else one.hours, one.amount) for one in found}


def test_in_place_costs_the_canary_and_what_is_stored() -> None:
    regions = {"target_regions": [{"name": "northeurope", "replicas": 2}]}
    assert costs(plan(prices=PRICES, image=regions), seen()) == {
        "canary node, 1 x Standard_D2s_v5": (0.75, 0.08),
        "extra nodes": (0.0, 0.0),
        "snapshots": (192, 9.6),
        "image version, 3 replicas": (576, 57.6),
    }


def test_former_runs_tell_how_long_the_canary_lives() -> None:
    found = costs(plan(prices=PRICES), seen(), past(canary__pool=9, canary__probe=2, canary__remove=1))
    assert found["canary node, 1 x Standard_D2s_v5"] == (0.2, 0.02)


def test_blue_green_pays_for_the_old_pool_while_the_new_one_grows_and_through_the_soak() -> None:
    blue_green = plan(refresh={"strategy": "blue_green", "soak_minutes": 90}, prices=PRICES, canary={"enabled": False})
    run = past(strategy="blue_green", pool__resize=20, pool__nodes=8, pool__switch=2)
    found = answer(blue_green, seen(), passports=[run])
    (old, *_) = found.cost
    assert (old.what, old.hours, old.amount) == ("old pool beside the new, 15 x STANDARD_D2S_V5", 30.0, 2.2)
    assert old.basis == "grows 30m, median of 1 run, soak of 1h30m"
    assert "Extra cost of the run: 2.20 EUR." in found.markdown


def test_what_nobody_knows_yet_makes_a_cost_a_least_one() -> None:
    blue_green = plan(refresh={"strategy": "blue_green"}, prices=PRICES, canary={"enabled": False})
    found = answer(blue_green, seen())
    assert "how long the new pool grows is not known: no run yet" in found.markdown
    assert "Extra cost of the run: at least 1.10 EUR." in found.markdown


def test_without_prices_hours_are_told_without_money() -> None:
    found = answer(plan(), seen())
    canary = found.cost[0]
    assert (canary.what, canary.hours, canary.amount) == ("canary node, 1 x Standard_D2s_v5", 0.75, None)
    assert "no price of Standard_D2s_v5 in prices" in found.markdown
    assert "Extra cost of the run: not known; give the prices in `prices.node_hour`" in found.markdown


def test_a_clone_costs_an_hour_of_its_own_size() -> None:
    network = plan().pool_id.partition("/resourceGroups/")[0] + "/resourceGroups/g/providers/Microsoft.Network"
    clone = {"subnet_id": f"{network}/virtualNetworks/net/subnets/builders", "vm_size": "Standard_D8s_v5"}
    cloned = plan(golden_vm={"generalize": "clone", "clone": clone}, prices={"node_hour": {"Standard_D8s_v5": 0.4}})
    eight = {"standard_d8s_v5": vm_size(name="Standard_D8s_v5", vcpus=8), "standard_d2s_v5": vm_size()}
    found = answer(cloned, seen(vm_sizes=eight))
    assert (found.cost[0].what, found.cost[0].hours, found.cost[0].amount) == (
        "clone VM, 1 x Standard_D8s_v5",
        1.0,
        0.4,
    )
    assert (found.quota[0].step, found.quota[0].needed) == ("clone VM", 8)


def test_a_version_that_is_there_is_paid_for_already() -> None:
    assert set(costs(plan(version=VERSION_ID, prices=PRICES), seen(pool(image_id="another", metadata=CURRENT)))) == {
        "canary node, 1 x Standard_D2s_v5",
        "extra nodes",
    }


def test_disks_of_unknown_size_have_no_price() -> None:
    vm = golden_vm(os_disk=disk(size_gib=None))
    assert costs(plan(prices=PRICES), seen(golden_vm=vm))["snapshots"] == (None, None)


@given(dedicated=st.integers(0, 50), spot=st.integers(0, 50), soak=st.integers(0, 600), price=st.floats(0, 10))
@settings(max_examples=50)
def test_the_old_pool_costs_its_nodes_times_the_hours(dedicated: int, spot: int, soak: int, price: float) -> None:
    nodes = {"current_dedicated": dedicated, "target_dedicated": dedicated, "current_spot": spot, "target_spot": spot}
    prices = {"node_hour": {"Standard_D2s_v5": price}, "spot_node_hour": {"Standard_D2s_v5": price}}
    blue_green = plan(
        refresh={"strategy": "blue_green", "soak_minutes": soak}, prices=prices, canary={"enabled": False}
    )
    (old, *_) = answer(blue_green, seen(pool(metadata=CURRENT, **nodes))).cost
    assert old.hours == pytest.approx((dedicated + spot) * soak / 60, abs=0.01)
    assert old.amount == pytest.approx((dedicated + spot) * soak / 60 * price, abs=0.01)
