"""The findings of the drift watch, one by one, and which of them are news."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from golden_pools.rules import watch
from golden_pools.rules.facts import (
    AllocationState,
    BatchAccount,
    ImageVersion,
    ManagedImage,
    NodeCounts,
    Pool,
    PoolNodes,
    RegionReplication,
    ResizeError,
    Resource,
    RestorePointCollection,
    Snapshot,
    SupportedImage,
    VmSize,
)
from golden_pools.rules.watch import Finding, Kind, Level, Look, Seen, new_and_gone, retired, watched
from golden_pools.rules.watch.seen import newest
from golden_pools.rules.watch.whose import whose
from golden_pools.spec.model import PoolSpec
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
S = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups"
GROUP = f"{S}/images"
ACCOUNT = f"{S}/batch/providers/Microsoft.Batch/batchAccounts/goldenbatch"
COMPUTE = f"{GROUP}/providers/Microsoft.Compute"
DEFINITION = f"{COMPUTE}/galleries/golden_gallery/images/small"
HOME = ACCOUNT.casefold()
AGENT = "batch.node.ubuntu 24.04"
GOOD, BAD = {"golden-pools-verdict": "good"}, {"golden-pools-verdict": "bad", "golden-pools-why": "no licence"}
OURS = {"golden-pools-run": "scheduled__1"}
LONG_AGO = NOW - timedelta(days=3)


def spec(**changes: Any) -> PoolSpec:
    values: dict[str, Any] = {
        "subscription": "11111111-1111-1111-1111-111111111111",
        "golden_vm": {"resource_group": "golden", "name": "golden-vm"},
        "image": {"resource_group": "images", "gallery": "golden_gallery", "definition": "small"},
        "pool": {
            "resource_group": "batch",
            "account": "goldenbatch",
            "vm_size": "Standard_D2s_v5",
            "node_agent_sku": AGENT,
            "targets": {"dedicated": 3},
        },
    }
    return PoolSpec.model_validate({**values, **changes})


def pool(name: str = "small", **changes: Any) -> Pool:
    values: dict[str, Any] = {
        "id": f"{ACCOUNT}/pools/{name}",
        "name": name,
        "etag": "1",
        "provisioning_state": "Succeeded",
        "allocation_state": AllocationState.STEADY,
        "vm_size": "STANDARD_D2S_V5",
        "node_agent_sku": AGENT,
        "image_id": f"{DEFINITION}/versions/1.0.2",
        "current_dedicated": 3,
        "current_spot": 0,
        "target_dedicated": 3,
        "target_spot": 0,
        "autoscale": False,
    }
    return Pool(**{**values, **changes})


def version(name: str = "1.0.2", **changes: Any) -> ImageVersion:
    values: dict[str, Any] = {
        "id": f"{DEFINITION}/versions/{name}",
        "name": name,
        "location": "westeurope",
        "provisioning_state": "Succeeded",
        "aggregated_state": "Completed",
        "regions": (),
        "target_regions": {"westeurope": 1},
        "source_id": None,
        "exclude_from_latest": False,
        "tags": GOOD,
        "published": NOW - timedelta(days=5),
    }
    return ImageVersion(**{**values, **changes})


def account(**changes: Any) -> BatchAccount:
    values: dict[str, Any] = {
        "id": ACCOUNT,
        "name": "goldenbatch",
        "location": "westeurope",
        "endpoint": "goldenbatch.westeurope.batch.azure.com",
        "allocation_mode": "BatchService",
        "provisioning_state": "Succeeded",
        "authentication_modes": (),
        "public_network_access": None,
        "dedicated_core_quota": None,
        "low_priority_core_quota": None,
        "family_quotas": {},
        "family_quotas_enforced": False,
        "pool_quota": None,
    }
    return BatchAccount(**{**values, **changes})


def agent(sku: str = AGENT, ends: datetime | None = None) -> SupportedImage:
    return SupportedImage(
        node_agent_sku=sku, publisher="p", offer="o", sku="s", os_type="linux", verified=True, support_ends=ends
    )


def seen(
    *pools: Pool,
    versions: tuple[ImageVersion, ...] | None = (version(),),
    specs: dict[str, PoolSpec] | None = None,
    **changes: Any,
) -> Seen:
    values: dict[str, Any] = {
        "now": NOW,
        "watched": tuple(watched({"small": spec()} if specs is None else specs)),
        "accounts": {HOME: account()},
        "pools": {HOME: pools},
        "supported_images": {HOME: (agent(),)},
        "versions": {} if versions is None else {DEFINITION.casefold(): versions},
    }
    return Seen(**{**values, **changes})


FAULTY = {"faulty": ("line 3: pool: there is no such field", "line 9: targets is missing")}


def found(world: Seen) -> dict[str, Finding]:
    """Return the findings by kind; there is one of a kind."""
    findings = watch.findings(world)
    assert len({finding.check for finding in findings}) == len(findings), findings
    return {finding.check: finding for finding in findings}


def only(world: Seen, kind: Kind) -> Finding:
    findings = found(world)
    assert list(findings) == [kind]
    assert findings[kind].advice
    assert findings[kind].az.startswith("az ")
    return findings[kind]


def test_a_pool_as_its_spec_says_is_no_finding() -> None:
    assert found(seen(pool())) == {}


def test_ids_and_names_compare_without_case() -> None:
    upper = pool(id=f"{ACCOUNT}/pools/SMALL".upper(), name="SMALL", image_id=f"{DEFINITION}/versions/1.0.2".upper())
    assert found(seen(upper)) == {}


# Pools


def test_a_missing_pool() -> None:
    assert "never succeeded" not in only(seen(), Kind.POOL_MISSING).seen
    assert "its DAG has never succeeded" in only(seen(versions=()), Kind.POOL_MISSING).seen


def test_a_pool_that_is_being_made_anew_is_not_missing() -> None:
    assert found(seen(pool(provisioning_state="Deleting"))) == {}


def test_a_pool_of_another_account_is_not_the_specs() -> None:
    elsewhere = ACCOUNT.replace("goldenbatch", "other").casefold()
    assert Kind.POOL_MISSING in found(seen(pools={HOME: (), elsewhere: (pool(),)}))


def test_other_settings_are_told_and_the_image_is_not_one_of_them() -> None:
    finding = only(seen(pool(task_slots_per_node=4)), Kind.POOL_SETTINGS)
    assert "task_slots_per_node: 4 -> 1" in finding.seen
    assert "image" not in finding.seen


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"current_dedicated": 2}, Level.WARNING),
        ({"current_dedicated": 5, "target_dedicated": 5}, Level.INFO),
        ({"current_dedicated": 3, "target_dedicated": 7}, Level.INFO),
        ({"current_dedicated": 3, "allocation_state": AllocationState.RESIZING, "target_dedicated": 7}, None),
        ({"current_dedicated": 1, "autoscale": True}, None),
    ],
)
def test_nodes_off_target(changes: dict[str, Any], level: Level | None) -> None:
    findings = found(seen(pool(**changes)))
    assert [finding.level for finding in findings.values()] == ([level] if level else [])


def test_nodes_off_target_within_the_smallest_share_are_worth_knowing_only() -> None:
    lenient = spec(resize={"smallest_acceptable_share": {"dedicated": 0.5}})
    few = pool(current_dedicated=2, resize_errors=(ResizeError(code="AllocationTimedout", message=""),))
    finding = only(seen(few, specs={"small": lenient}), Kind.NODES_OFF_TARGET)
    assert finding.level is Level.INFO
    assert "AllocationTimedout" in finding.seen


def test_targets_are_those_of_the_scale_time_in_force() -> None:
    scaled = spec(scale=[{"cron": "0 7 * * *", "dedicated": 5}, {"cron": "0 19 * * *", "dedicated": 3}])
    assert "should have 5 and 0" in only(seen(pool(), specs={"small": scaled}), Kind.NODES_OFF_TARGET).seen
    just_come = NOW.replace(hour=7, minute=20)
    assert found(seen(pool(), specs={"small": scaled}, now=just_come)) == {}


def test_nodes_that_take_no_work() -> None:
    counts = PoolNodes(pool="small", dedicated=NodeCounts(by_state={"idle": 1, "unusable": 1, "starttaskfailed": 1}))
    finding = only(seen(pool(), nodes={HOME: {"Small": counts}}), Kind.NODES_FAILED)
    assert "1 starttaskfailed, 1 unusable" in finding.seen


def test_a_pool_without_spec() -> None:
    assert only(seen(pool(), pool("stray")), Kind.POOL_WITHOUT_SPEC).level is Level.INFO


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": {"Golden-Pools-Allowed": "yes"}},
        {"metadata": {"golden-pools-allowed": ""}},
        {"metadata": {"golden_pools_alias": "small", "golden_pools_role": "former"}},
        {"metadata": {"golden_pools_alias": "faulty", "golden_pools_role": "current"}},
        {"metadata": {"golden_pools_alias": "elsewhere", "golden_pools_role": "canary"}},
        {"provisioning_state": "Deleting"},
    ],
    ids=["tag", "metadata", "family", "unread spec", "canary", "deleting"],
)
def test_a_pool_that_needs_no_spec_of_its_own(changes: dict[str, Any]) -> None:
    assert found(seen(pool(), pool("stray", **changes), unread=FAULTY)).keys() == {Kind.SPEC_FAULTY}


def test_a_spec_with_faults_is_told_since_its_pool_has_no_run_that_could_fail() -> None:
    finding = found(seen(pool(), unread=FAULTY))[Kind.SPEC_FAULTY]
    assert (finding.level, finding.subject) == (Level.ERROR, "spec faulty")
    assert "its spec has 2 faults, the first: line 3: pool: there is no such field" in finding.seen
    assert "pool_spec_check.py" in finding.advice
    assert [one.name for one in whose(finding, watched({"small": spec(), "other": spec()}))] == ["small", "other"]


# Versions


def test_a_pool_behind_its_image() -> None:
    versions = (version("1.0.2"), version("1.0.10"), version("1.0.9", tags=BAD), version("1.0.11", tags={}))
    finding = only(seen(pool(), versions=versions), Kind.POOL_BEHIND)
    assert "1 good version behind; the newest good version is 1.0.10, published 5 days ago" in finding.seen


def test_a_pool_that_takes_whatever_is_newest_is_not_on_a_version() -> None:
    assert "not on a version" in only(seen(pool(image_id=DEFINITION)), Kind.POOL_BEHIND).seen


def test_a_pool_without_an_image_of_ours_says_so() -> None:
    assert "pool small is on no image, not on a version" in only(seen(pool(image_id=None)), Kind.POOL_BEHIND).seen


def test_a_follower_is_compared_with_the_image_that_it_follows() -> None:
    follower = spec(golden_vm=None, image={"source": {"follow": {"pool": "small"}}})
    specs = {"small": spec(), "wave": follower}
    old = pool("wave", image_id=f"{DEFINITION}/versions/1.0.1")
    versions = (version("1.0.1"), version("1.0.2"))
    assert only(seen(pool(), old, specs=specs, versions=versions), Kind.POOL_BEHIND).subject.endswith("/pools/wave")


@pytest.mark.parametrize(("hours", "told"), [(25, False), (27, True)])
def test_a_follower_has_its_pause_and_a_day_to_take_a_version(hours: int, told: bool) -> None:
    follower = spec(golden_vm=None, image={"source": {"follow": {"pool": "small", "pause_minutes": 120}}})
    versions = (version("1.0.1"), version("1.0.2", published=NOW - timedelta(hours=hours)))
    old = pool("wave", image_id=f"{DEFINITION}/versions/1.0.1")
    world = seen(pool(), old, specs={"small": spec(), "wave": follower}, versions=versions)
    assert (Kind.POOL_BEHIND in found(world)) is told
    assert Kind.POOL_BEHIND in found(seen(pool(image_id=old.image_id), versions=versions))


def test_followers_in_a_circle_and_of_nobody_live_on_no_definition() -> None:
    def follow(name: str) -> PoolSpec:
        return spec(golden_vm=None, image={"source": {"follow": {"pool": name}}})

    specs = {"one": follow("two"), "two": follow("one"), "three": follow("nobody"), "four": follow("one")}
    assert [one.definition for one in watched(specs)] == [None] * 4


def test_a_version_that_the_spec_names_is_the_current_one() -> None:
    named = spec(golden_vm=None, image={"source": {"image_version": {"id": f"{DEFINITION}/versions/1.0.2"}}})
    versions = (version("1.0.2", tags={}), version("1.0.3", tags={}))
    assert found(seen(pool(), specs={"small": named}, versions=versions)) == {}


def test_versions_of_others_are_good_unless_somebody_says_otherwise() -> None:
    versions = [
        version("1.0.1", tags={}),
        version("1.0.2", tags={}, exclude_from_latest=True),
        version("1.0.3", tags=BAD),
        version("1.0.4", tags={}, provisioning_state="Failed"),
    ]
    assert newest(versions, made_by_runs=False) is versions[0]
    assert newest(versions, made_by_runs=True) is None


def test_a_pool_on_a_bad_version() -> None:
    finding = found(seen(pool(), versions=(version(tags=BAD),)))[Kind.POOL_ON_BAD_VERSION]
    assert finding.level is Level.ERROR
    assert "no licence" in finding.seen


def test_a_version_that_is_gone() -> None:
    findings = found(seen(pool(), versions=(version("1.0.3"),)))
    assert findings[Kind.POOL_IMAGE_GONE].level is Level.ERROR
    assert Kind.POOL_IMAGE_GONE not in found(seen(pool(), versions=None))


@pytest.mark.parametrize(("days", "told"), [(-1, True), (1, False)])
def test_a_version_past_its_end_of_life(days: int, told: bool) -> None:
    ended = version(end_of_life=NOW + timedelta(days=days))
    assert (Kind.VERSION_PAST_END_OF_LIFE in found(seen(pool(), versions=(ended,)))) is told


def test_a_region_of_the_spec_without_replica() -> None:
    wide = spec(
        image={
            "resource_group": "images",
            "gallery": "golden_gallery",
            "definition": "small",
            "target_regions": [{"name": "North Europe"}],
        }
    )
    finding = only(seen(pool(), specs={"small": wide}), Kind.REGION_MISSING)
    assert finding.level is Level.WARNING
    assert finding.subject.endswith("in northeurope")


def test_the_pools_own_region_without_replica_is_an_error() -> None:
    world = seen(pool(), versions=(version(target_regions={"northeurope": 1}),))
    assert only(world, Kind.REGION_MISSING).level is Level.ERROR


def test_a_replication_that_failed() -> None:
    failed = version(
        regions=(RegionReplication(region="westeurope", state="Failed", progress_percent=0, details="no space"),)
    )
    finding = only(seen(pool(), replicated={failed.id.casefold(): failed}), Kind.REPLICATION_FAILED)
    assert "no space" in finding.seen


@pytest.mark.parametrize(("nodes", "told"), [(300, False), (301, True)])
def test_replicas_count_the_nodes_of_all_pools_in_the_region(nodes: int, told: bool) -> None:
    elsewhere = ACCOUNT.replace("goldenbatch", "second")
    other = pool("big", id=f"{elsewhere}/pools/big", current_dedicated=nodes - 3, target_dedicated=nodes - 3)
    world = seen(
        pools={HOME: (pool(),), elsewhere.casefold(): (other,)},
        accounts={HOME: account(), elsewhere.casefold(): account(id=elsewhere, name="second")},
    )
    findings = found(world)
    assert (Kind.REPLICAS_TOO_FEW in findings) is told
    if told:
        assert "1 replica in westeurope for 301 nodes of big, small; Batch wants 2" in str(
            findings[Kind.REPLICAS_TOO_FEW].seen
        )


# What Azure retires


def test_a_pool_on_a_managed_image() -> None:
    findings = found(seen(pool("stray", image_id=f"{COMPUTE}/images/small-20261121T020005"), specs={}))
    assert findings[Kind.MANAGED_IMAGE_POOL].level is Level.ERROR
    assert "2026-03-31" in findings[Kind.MANAGED_IMAGE_POOL].seen


@pytest.mark.parametrize(("mode", "told"), [("BatchService", True), ("UserSubscription", False)])
def test_spot_nodes_in_a_batch_service_account(mode: str, told: bool) -> None:
    spot = pool("stray", target_spot=2)
    findings = found(seen(spot, specs={}, accounts={HOME: account(allocation_mode=mode)}))
    assert (Kind.SPOT_IN_BATCH_SERVICE in findings) is told


@pytest.mark.parametrize(
    ("days", "level"), [(-1, Level.ERROR), (89, Level.WARNING), (91, Level.INFO)], ids=["past", "soon", "later"]
)
def test_ends_that_batch_lists(days: int, level: Level) -> None:
    ends = NOW + timedelta(days=days)
    size = VmSize(name="Standard_D2s_v5", family="f", vcpus=2, batch_support_ends=ends)
    by_agent = seen(pool(), supported_images={HOME: (agent(ends=ends), agent(ends=ends - timedelta(days=30)))})
    assert only(by_agent, Kind.NODE_AGENT_ENDING).level is level
    by_size = seen(pool(), vm_sizes={"westeurope": {"standard_d2s_v5": size}})
    assert only(by_size, Kind.VM_SIZE_ENDING).level is level


def test_a_node_agent_that_batch_does_not_list() -> None:
    assert only(seen(pool(), supported_images={HOME: ()}), Kind.NODE_AGENT_ENDING).level is Level.ERROR


def test_a_node_agent_whose_end_is_announced_and_not_listed() -> None:
    old = "batch.node.ubuntu 22.04"
    world = seen(pool("stray", node_agent_sku=old), specs={}, supported_images={HOME: (agent(old), agent())})
    finding = found(world)[Kind.NODE_AGENT_ENDING]
    assert finding.level is Level.INFO
    assert "until 2027-06-30, says Azure/Batch#200" in finding.seen


@pytest.mark.parametrize(
    ("size", "when"),
    [
        ("STANDARD_D2_V2", "2028-05-01"),
        ("standard_ds13-4_v2", "2028-05-01"),
        ("standard_l8s", "2028-05-01"),
        ("standard_f4s_v2", "2028-11-15"),
        ("standard_a2m_v2", "2028-11-15"),
        ("standard_b2ms", "2028-11-15"),
        ("standard_hc44rs", "not announced"),
        ("standard_np10s", "not announced"),
        ("standard_d4s_v5", None),
        ("standard_d2_v3", None),
        ("standard_ds2_v5", None),
        ("standard_b2s_v2", None),
        ("standard_l8s_v3", None),
        ("standard_hb120rs_v3", None),
        ("standard_f4as_v6", None),
    ],
)
def test_vm_families_that_are_going_to_be_retired(size: str, when: str | None) -> None:
    finding = found(seen(pool("stray", vm_size=size), specs={})).get(Kind.VM_SIZE_ENDING)
    assert (when is None) is (finding is None)
    if finding and when:
        assert when in finding.seen


def test_every_retirement_has_a_source() -> None:
    assert all(one.source for one in (*retired.NODE_AGENTS, *retired.VM_SIZES))


# Leftovers

STEM = "small-20261101T020005"
SNAPSHOT = Snapshot(
    id=f"{COMPUTE}/snapshots/{STEM}-os",
    name=f"{STEM}-os",
    location="westeurope",
    source_id=None,
    provisioning_state="Succeeded",
    completion_percent=100,
    size_gib=64,
    created=LONG_AGO,
    tags=OURS,
)
IMAGE = ManagedImage(
    id=f"{COMPUTE}/images/{STEM}",
    name=STEM,
    location="westeurope",
    provisioning_state="Succeeded",
    snapshot_ids=(SNAPSHOT.id,),
    tags=OURS,
)
DISK = Resource(id=f"{COMPUTE}/disks/clone", name="clone", created=LONG_AGO, tags=OURS)
CARD = Resource(
    id=f"{GROUP}/providers/Microsoft.Network/networkInterfaces/clone-20261101T020005-small-nic",
    name="clone-20261101T020005-small-nic",
    created=None,
    tags=OURS,
)
POINTS = RestorePointCollection(
    id=f"{COMPUTE}/restorePointCollections/small-golden-vm",
    name="small-golden-vm",
    vm_id="/vm",
    points=(STEM,),
    tags={**OURS, "golden-pools-throwaway": "restore_point"},
)
CANARY = {"golden_pools_alias": "small", "golden_pools_role": "canary", "golden_pools_since": LONG_AGO.isoformat()}


@pytest.mark.parametrize(
    ("lists", "text"),
    [
        ({"snapshots": (SNAPSHOT,)}, "1 snapshot of 64 GiB"),
        ({"snapshots": (SNAPSHOT,), "managed_images": (IMAGE,)}, f"managed image {STEM}"),
        ({"disks": (DISK,)}, "throwaway disk clone"),
        ({"vms": (DISK,)}, "throwaway VM clone"),
        ({"restore_points": (POINTS,)}, "restore point small-golden-vm"),
        ({"network_cards": (CARD,)}, "throwaway network card clone-20261101T020005-small-nic"),
    ],
)
def test_what_broken_runs_left(lists: dict[str, Any], text: str) -> None:
    by_group = {name: {GROUP.casefold(): items} for name, items in {"managed_images": (), **lists}.items()}
    finding = only(seen(pool(), **by_group), Kind.ORPHAN)
    assert text in finding.seen
    assert "scheduled__1" in finding.seen


def test_the_managed_image_of_a_pool_is_no_orphan() -> None:
    groups = {"managed_images": {GROUP.casefold(): (IMAGE,)}, "snapshots": {GROUP.casefold(): (SNAPSHOT,)}}
    assert Kind.ORPHAN not in found(seen(pool("stray", image_id=IMAGE.id.upper()), specs={}, **groups))


def test_a_canary_that_was_left() -> None:
    canary = pool("canary-1", metadata=CANARY)
    assert only(seen(pool(), canary), Kind.ORPHAN).subject == canary.id


def test_nobody_is_an_orphan_while_versions_are_unknown() -> None:
    groups = {"snapshots": {GROUP.casefold(): (SNAPSHOT,)}, "managed_images": {GROUP.casefold(): ()}}
    assert watch.findings(seen(pool(), **{**groups, "versions": None})) == []


# News


def finding(number: int, text: str = "", needs: tuple[str, ...] = ()) -> Finding:
    return Finding(
        level=Level.WARNING, check=Kind.ORPHAN, subject=f"/{number}", seen=text, advice="a", az="az", needs=needs
    )


def test_a_finding_survives_being_kept() -> None:
    one = finding(1, "text", ("pools of x",))
    assert Finding.of(json.loads(json.dumps(one.to_dict()))) == one


def test_other_numbers_and_other_case_are_the_same_finding() -> None:
    before, after = finding(1, "3 nodes"), finding(1, "4 nodes")
    news = new_and_gone([before], [after], [])
    assert (news.new, news.gone, news.known) == ((), (), (after,))


def test_what_could_not_be_seen_is_not_gone_and_is_gone_once_it_can() -> None:
    before = finding(1, needs=("pools of x", "versions of y"))
    blind = new_and_gone([before], [], ["versions of y"])
    assert (blind.gone, blind.known) == ((), (before,))
    assert new_and_gone(blind.known, [], []).gone == (before,)


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 5)), st.sets(st.sampled_from(["a", "b"]))), max_size=12),
)
def test_news_and_farewells_take_turns(looks: list[tuple[set[int], set[str]]]) -> None:
    """Each finding is told as new, then as gone, then as new ..., whatever fails in between."""
    known: tuple[Finding, ...] = ()
    told: dict[str, list[str]] = {}
    for present, unknown in looks:
        # A look-up that failed shows nothing of what needs it.
        needs = {number: ("a",) if number % 2 else ("b",) for number in present}
        visible = [finding(number, needs=needs[number]) for number in present if not unknown & set(needs[number])]
        news = new_and_gone(known, visible, unknown)
        known = news.known
        for name, items in (("new", news.new), ("gone", news.gone)):
            for item in items:
                told.setdefault(item.id, []).append(name)
    for turns in told.values():
        assert turns == [("new", "gone")[place % 2] for place in range(len(turns))]


def test_every_kind_of_finding_has_a_test_here() -> None:
    text = open(__file__, encoding="utf-8").read()  # noqa: SIM115, PTH123
    assert [kind for kind in Kind if f"Kind.{kind.name}" not in text] == []


def test_a_look_ups_key_does_not_depend_on_case() -> None:
    assert Look.POOLS.of(ACCOUNT) == Look.POOLS.of(ACCOUNT.upper())
