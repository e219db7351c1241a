"""What a person is asked before a pool moves."""

from __future__ import annotations

from typing import Any

import pytest
from golden_pools.rules.approval import Question, answer_in_words, question
from golden_pools.rules.facts import Pool
from golden_pools.rules.intentions import pool_intentions
from golden_pools.rules.passport import Answer, AnswerOf, Passport, new_passport, read_passport
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preview import Duration
from golden_pools.rules.source import ImageSource

from tests.rules.build import NOW, VERSION_ID, plan, pool

CURRENT = {"golden_pools_alias": "small", "golden_pools_role": "current"}


def passport(run: RunPlan, *, fingerprint: str = "vm=1", size: int = 64, findings: tuple[str, ...] = ()) -> Passport:
    source = ImageSource(builds=True, reason="it runs", resource_id="/vms/golden-vm", fingerprint=fingerprint)
    snapshots = {
        "golden_vm": "/vms/golden-vm",
        "consistency": {"word": "at_rest", "note": ""},
        "os": {"disk": "/disks/os", "snapshot": "/snapshots/os", "size_gib": size},
        "data": [],
    }
    seen = [{"level": "WARNING", "check": "disks", "seen": text, "advice": "look"} for text in findings]
    return read_passport(
        new_passport(run.model_copy(update={"source": source}), snapshots=snapshots, managed_image=None, findings=seen)
    )


def asked(
    run: RunPlan | None = None,
    *,
    current: Pool | None = None,
    before: Passport | None = None,
    probes: Any = None,
    past: tuple[Duration, ...] = (),
    **facts: Any,
) -> Question:
    run = run or plan()
    return question(
        run,
        current=current,
        before=before,
        after=passport(run, **facts),
        actions=pool_intentions(run, [current] if current else []),
        probes=probes,
        past=past,
        until=NOW,
    )


def rows(found: Question) -> dict[str, list[str]]:
    """Return the cells of each row of the body's tables, by the first of them."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in found.body.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in cells}


def test_what_differs_from_the_present_version_is_marked() -> None:
    here = pool(metadata=CURRENT)
    found = rows(
        asked(current=here, before=passport(plan(), size=32), fingerprint="vm=2", findings=("nothing is mounted",))
    )
    assert found["disks"] == ["yes", "OS 32 GiB", "OS 64 GiB"]
    assert found["fingerprint"] == ["yes", "vm=1", "vm=2"]
    assert found["findings"] == ["yes", "none", "disks: nothing is mounted"]
    assert found["from"] == ["", "golden_vm golden-vm", "golden_vm golden-vm"]
    assert found["copies"] == ["", "at rest", "at rest"]


def test_of_a_pool_that_is_not_there_nothing_is_compared() -> None:
    found = asked()
    assert "Pool small of Batch account goldenbatch is not there yet" in found.body
    assert rows(found)["disks"] == ["", "-", "OS 64 GiB"]
    assert "No run has told" not in found.body
    assert rows(found)["refresh"][:2] == ["make", "pool small"]


def test_a_present_version_that_nobody_knows_is_called_so() -> None:
    found = asked(current=pool(metadata=CURRENT))
    assert "is on golden/2026.1121.41500" in found.body
    assert "No run has told what the pool's present image was made from." in found.body


@pytest.mark.parametrize("default", ["reject", "approve"])
def test_what_holds_without_an_answer_is_said_with_its_moment(default: str) -> None:
    found = asked(plan(refresh={"approve": True, "approval_default": default}))
    assert f"Without an answer by 2026-11-22 04:15 UTC it counts as {default.rstrip('e')}ed." in found.body


def test_the_subject_is_short_and_names_the_version() -> None:
    assert asked().subject == "version golden/2026.1122.41500 wants to be approved"


def test_probes_stand_with_what_they_saw() -> None:
    found = asked(probes=[{"probe": "renderer", "outcome": "passed", "seen": "exit code 0\n*bold*"}])
    assert rows(found)["renderer"] == ["passed", "exit code 0 \\*bold\\*"]
    assert "Not tried in this run" in asked(probes=None).body


def test_how_long_it_takes_from_here_on_is_told() -> None:
    past = tuple(
        Duration(stage=stage, runs=3, median_seconds=600, longest_seconds=900)
        for stage in ("image.publish", "pool.resize", "in all")
    )
    found = rows(asked(past=past))
    assert found["pool.resize"] == found["in all"] == ["3", "10m", "15m"]
    assert "image.publish" not in found


@pytest.mark.parametrize(
    ("answer", "by", "said"),
    [
        (Answer.APPROVED, "ada", "Approved by ada"),
        (Answer.APPROVED, None, "Approved by default: nobody answered in time"),
        (Answer.REJECTED, "ada", "Rejected by ada. Pool small stays as it is, and golden/2026.1121.41500 is neither"),
        (Answer.REJECTED, None, "Rejected by default: nobody answered in time. Pool small stays"),
    ],
)
def test_the_log_says_who_answered_what(answer: Answer, by: str | None, said: str) -> None:
    found = AnswerOf(pool="small", answer=answer, by=by, when=NOW, run="manual__1")
    assert answer_in_words(found, plan(version=VERSION_ID)).startswith(said)
