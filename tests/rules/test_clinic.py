"""The node clinic: whom it leaves alone, reboots, replaces, and when it gives up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from golden_pools.rules.facts import Node, PoolNodes
from golden_pools.rules.resize.chart import Chart
from golden_pools.rules.resize.clinic import BAD, REBOOT_SHOWS, ClinicKind, ClinicStep, clinic_step
from golden_pools.spec.model import Clinic, Shares, Targets
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.build import NOW, nodes

READY = timedelta(minutes=30)
SINCE = NOW - timedelta(days=300)
"""Azure's clock, far from ours: the two are never compared."""


def node(name: str = "n1", state: str = "starttaskfailed", *, spell: int = 0, **changes: Any) -> Node:
    facts = {"dedicated": True, "state_since": SINCE + timedelta(minutes=spell), **changes}
    return Node(id=name, state=state, **facts)


def lost(name: str = "n1", **changes: Any) -> Node:
    return node(name, "unknown", **changes)


def broken(name: str = "n1", **changes: Any) -> Node:
    return node(name, "unusable", **{"errors": ("DiskFull: no room",), **changes})


def silent(name: str = "n1", **changes: Any) -> Node:
    return node(name, "unusable", **changes)


def counted(bad: Sequence[Node], *, ready: int, **others: int) -> PoolNodes:
    """Return the counts of dedicated nodes: the bad ones, and how many others there are in which state."""
    return nodes({"idle": ready, **others, **Counter(one.state for one in bad)})


def step(
    *bad: Node,
    ready: int = 9,
    targets: int = 10,
    chart: Chart | None = None,
    share: float = 1.0,
    now: datetime = NOW,
    others: dict[str, int] | None = None,
    **settings: Any,
) -> ClinicStep:
    return clinic_step(
        counted(bad, ready=ready, **(others or {})),
        bad,
        Targets(dedicated=targets),
        (chart or Chart.opened(NOW)).watching(bad, now),
        shares=Shares(dedicated=share),
        settings=Clinic(**settings),
        ready=READY,
        now=now,
        at_rest=True,
    )


def rebooted(*patients: Node, times: int = 1) -> Chart:
    """Return the chart after so many reboots of nodes, the last one for these spells."""
    chart = Chart.opened(NOW)
    for _ in range(times):
        chart = chart.rebooting(patients)
        for patient in patients:
            chart = chart.rebooted(patient.id, NOW - REBOOT_SHOWS)
    return chart


def test_enough_ready_nodes_are_the_end() -> None:
    assert step(ready=10).kind is ClinicKind.REACHED
    assert step(node(), ready=10).kind is ClinicKind.REACHED


@pytest.mark.parametrize("patient", [node(), broken()], ids=["start task failed", "unusable with errors"])
def test_a_failed_node_is_rebooted_at_once(patient: Node) -> None:
    done = step(patient, ready=5, others={"starting": 4})
    assert (done.kind, done.nodes) == (ClinicKind.REBOOT, ("n1",))


@pytest.mark.parametrize("patient", [lost(), silent()], ids=["unknown", "unusable without errors"])
def test_a_node_that_may_recover_is_left_alone_for_a_while(patient: Node) -> None:
    """Batch recovers some; after that they are treated like the others."""
    waits = step(patient)
    assert (waits.kind, waits.until) == (ClinicKind.WAIT, NOW + timedelta(minutes=10))
    chart = Chart.opened(NOW).watching([patient], NOW)
    assert step(patient, chart=chart, now=NOW + timedelta(minutes=9)).kind is ClinicKind.WAIT
    assert step(patient, chart=chart, now=NOW + timedelta(minutes=10)).kind is ClinicKind.REBOOT


def test_another_spell_of_trouble_gets_its_own_grace() -> None:
    chart = Chart.opened(NOW).watching([lost()], NOW)
    assert step(lost(spell=7), chart=chart, now=NOW + timedelta(minutes=10)).kind is ClinicKind.WAIT


def test_a_node_is_rebooted_within_the_budget_then_replaced() -> None:
    second = node(spell=8)
    assert step(second, chart=rebooted(node()), reboots=2).kind is ClinicKind.REBOOT
    done = step(second, chart=rebooted(node()), reboots=1)
    assert (done.kind, done.nodes) == (ClinicKind.REPLACE, ("n1",))
    assert step(node(), reboots=0).kind is ClinicKind.REPLACE


def test_a_reboot_that_does_not_show_yet_is_waited_for() -> None:
    """The list of nodes may be behind: the same spell right after the order."""
    patient = node()
    chart = Chart.opened(NOW).rebooting([patient]).rebooted("n1", NOW)
    waits = step(patient, chart=chart)
    assert (waits.kind, waits.until) == (ClinicKind.WAIT, NOW + REBOOT_SHOWS)
    assert step(patient, chart=chart, now=NOW + REBOOT_SHOWS).kind is ClinicKind.REPLACE


def test_an_order_that_may_have_been_lost_is_given_again_and_counts_once() -> None:
    """Killed between the note and the order: the same spell is still there, so the node was never rebooted."""
    patient = node()
    chart = Chart.opened(NOW).rebooting([patient])
    assert step(patient, chart=chart).kind is ClinicKind.REBOOT
    assert chart.rebooting([patient]) == chart
    assert chart.rebooting([patient]).reboots["n1"].times == 1


def test_a_node_that_azure_does_not_reboot_is_replaced() -> None:
    """Pitfall 13: "unusable nodes, cannot reboot"."""
    patient = broken()
    chart = Chart.opened(NOW).rebooting([patient]).rebooted("n1", NOW, refused=True)
    assert step(patient, chart=chart, reboots=5).kind is ClinicKind.REPLACE
    assert chart.nodes_rebooted == []


@pytest.mark.parametrize(
    ("bad", "others"), [([], {"starting": 2}), ([lost("n2")], {})], ids=["still starts", "may recover"]
)
def test_a_round_of_replacement_waits_for_the_others(bad: list[Node], others: dict[str, int]) -> None:
    """Rounds are few, so all nodes that need it go into the same one; the deadline ends the patience."""
    patient = node()
    waits = step(patient, *bad, ready=7, others=others, reboots=0)
    assert waits.kind is ClinicKind.WAIT
    assert waits.others is bool(others)
    late = step(patient, *bad, ready=7, others=others, reboots=0, now=NOW + READY, grace_minutes=60)
    assert (late.kind, late.nodes) == (ClinicKind.REPLACE, ("n1",))


def test_too_many_failed_nodes_are_the_images_fault() -> None:
    """Pitfall 8: a bad image is not cured by rebooting a hundred nodes."""
    bad = [node(f"n{number}") for number in range(3)]
    assert step(*bad[:2], ready=8).kind is ClinicKind.REBOOT
    gives_up = step(*bad, ready=7)
    assert (gives_up.kind, gives_up.blames_image) == (ClinicKind.GIVE_UP, True)
    assert "3 nodes failed, more than 2, so nothing is tried" in gives_up.reason
    assert "billed" in gives_up.advice


def test_nodes_that_fail_one_after_the_other_are_counted_together() -> None:
    """A bad image's nodes trickle in: those that are being rebooted count until their round is over."""
    before = rebooted(node("n1"), node("n2"))
    assert step(node("n3"), ready=5, others={"rebooting": 2}, chart=before).kind is ClinicKind.GIVE_UP
    next_round = before.replacing_nodes(["n1", "n2"]).round_done(NOW + READY)
    assert step(node("n3"), chart=next_round).kind is ClinicKind.REBOOT


def test_a_single_node_is_not_yet_a_bad_image() -> None:
    assert step(node(), ready=0, targets=1).kind is ClinicKind.REBOOT
    assert step(node(), ready=0, targets=1, largest_bad_share=0.0).kind is ClinicKind.GIVE_UP


def test_a_used_budget_ends_at_once_where_the_share_is_out_of_reach() -> None:
    chart = rebooted(node()).replacing_nodes(["n0"]).removal_done(1).round_done(NOW)
    gives_up = step(node(spell=5), ready=7, others={"starting": 2}, chart=chart)
    assert (gives_up.kind, gives_up.blames_image) == (ClinicKind.GIVE_UP, True)
    assert "1 node rebooted, 1 node replaced in 1 round" in gives_up.reason


def test_a_used_budget_is_no_failure_within_the_share() -> None:
    waits = step(node(), ready=7, others={"starting": 2}, share=0.9, reboots=0, replacements=0)
    assert (waits.kind, waits.others) == (ClinicKind.WAIT, True)
    assert step(node(), share=0.9, reboots=0, replacements=0).kind is ClinicKind.PARTIAL


def test_nodes_that_only_come_late_do_not_blame_the_image() -> None:
    gives_up = step(ready=8, others={"starting": 2}, now=NOW + READY)
    assert (gives_up.kind, gives_up.blames_image) == (ClinicKind.GIVE_UP, False)
    assert "resize.ready_minutes" in gives_up.advice


def test_a_failed_node_among_many_late_ones_does_not_blame_the_image() -> None:
    """The share is missed by the late ones; without them the failed node would have been accepted."""
    spent = {"reboots": 0, "replacements": 0}
    late = step(node(), ready=5, others={"starting": 4}, share=0.9, now=NOW + READY, **spent)
    assert (late.kind, late.blames_image) == (ClinicKind.GIVE_UP, False)
    assert "resize.ready_minutes" in late.advice


def test_nodes_that_still_may_recover_at_the_deadline_blame_the_image() -> None:
    gives_up = step(silent(), now=NOW + READY, grace_minutes=60)
    assert (gives_up.kind, gives_up.blames_image) == (ClinicKind.GIVE_UP, True)


def test_a_lost_node_does_not_blame_the_image() -> None:
    gives_up = step(lost(), grace_minutes=0, reboots=0, replacements=0)
    assert (gives_up.kind, gives_up.blames_image) == (ClinicKind.GIVE_UP, False)


def test_a_preempted_node_is_no_case_for_the_clinic() -> None:
    """Pitfall 6: Spot nodes that are taken away come back."""
    waits = clinic_step(
        nodes(None, {"idle": 9, "preempted": 1}),
        [node(state="preempted", dedicated=False)],
        Targets(spot=10),
        Chart.opened(NOW),
        shares=Shares(),
        settings=Clinic(),
        ready=READY,
        now=NOW,
        at_rest=True,
    )
    assert (waits.kind, waits.until, waits.others) == (ClinicKind.WAIT, None, False)


def test_each_wave_of_reboots_and_each_round_gets_its_time() -> None:
    chart = rebooted(node(), times=2)
    assert chart.deadline(READY) == NOW + 3 * READY
    later = NOW + timedelta(hours=2)
    assert chart.replacing_nodes(["n1"]).round_done(later).deadline(READY) == later + READY


def test_the_chart_travels_as_json() -> None:
    chart = rebooted(node()).watching([lost("n2")], NOW).replacing_nodes(["n1"]).asking_for_removal()
    assert Chart.from_dict(json.loads(json.dumps(chart.to_dict()))) == chart


@dataclass
class Ward:
    """A pool whose nodes behave as drawn: each node's fate is a list of states, one for each time it comes up."""

    fates: list[list[str]]
    targets: int
    next_id: int = 0
    now: datetime = NOW
    alive: dict[str, tuple[str, int, list[str]]] = field(default_factory=dict)
    reboots: Counter[str] = field(default_factory=Counter)
    rounds: int = 0

    def grow(self) -> None:
        while len(self.alive) < self.targets:
            fate = list(self.fates[self.next_id % len(self.fates)])
            self.alive[f"n{self.next_id}"] = (fate.pop(0), 0, fate)
            self.next_id += 1

    def come_up(self, name: str) -> None:
        state, spell, fate = self.alive[name]
        self.alive[name] = (fate.pop(0) if fate else state, spell + 1, fate)

    @property
    def bad(self) -> list[Node]:
        return [node(name, state, spell=spell) for name, (state, spell, _) in self.alive.items() if state in BAD]


STATES = st.sampled_from(["idle", "idle", "idle", "starttaskfailed", "unusable", "unknown"])


@given(
    fates=st.lists(st.lists(STATES, min_size=1, max_size=4), min_size=1, max_size=30),
    targets=st.integers(1, 12),
    settings_drawn=st.builds(
        Clinic,
        grace_minutes=st.sampled_from([0, 10]),
        reboots=st.integers(0, 3),
        replacements=st.integers(0, 3),
        largest_bad_share=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    ),
    share=st.sampled_from([0.5, 0.9, 1.0]),
    kills=st.lists(st.sampled_from(["none", "before the order", "after the order"]), max_size=20),
)
def test_the_clinic_ends_within_its_budget_and_never_touches_a_healthy_node(
    fates: list[list[str]], targets: int, settings_drawn: Clinic, share: float, kills: list[str]
) -> None:
    """Also where the worker is killed around orders, of which the chart then does not say whether they were given."""
    ward = Ward(fates=fates, targets=targets)
    ward.grow()
    chart = Chart.opened(ward.now)
    for _ in range(200):
        bad = ward.bad
        chart = Chart.from_dict(json.loads(json.dumps(chart.watching(bad, ward.now).to_dict())))
        ready = len(ward.alive) - len(bad)
        done = clinic_step(
            counted(bad, ready=ready),
            bad,
            Targets(dedicated=targets),
            chart,
            shares=Shares(dedicated=share),
            settings=settings_drawn,
            ready=READY,
            now=ward.now,
            at_rest=True,
        )
        assert set(done.nodes) <= {one.id for one in bad}
        if done.kind is ClinicKind.REBOOT:
            chart = chart.rebooting([one for one in bad if one.id in done.nodes])
            for name in done.nodes:
                kill = kills.pop() if kills else "none"
                if kill == "before the order":
                    break
                ward.reboots[name] += 1
                ward.come_up(name)
                if kill == "after the order":
                    break
                chart = chart.rebooted(name, ward.now)
        elif done.kind is ClinicKind.REPLACE:
            ward.rounds += 1
            chart = chart.replacing_nodes(done.nodes).removal_done(len(done.nodes)).round_done(ward.now)
            for name in done.nodes:
                del ward.alive[name]
            ward.grow()
        elif done.kind is ClinicKind.WAIT:
            ward.now = max(ward.now + timedelta(minutes=1), done.until or ward.now)
        else:
            break
    else:
        pytest.fail("the clinic does not come to an end")
    assert all(times <= settings_drawn.reboots for times in ward.reboots.values())
    assert ward.rounds <= settings_drawn.replacements
    if done.kind is ClinicKind.REACHED:
        assert ready >= targets
    elif done.kind is ClinicKind.PARTIAL:
        assert ready >= share * targets
    else:
        assert done.kind is ClinicKind.GIVE_UP
        assert done.advice
