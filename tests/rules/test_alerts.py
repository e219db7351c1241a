from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from golden_pools.errors import PreflightError, ResizeGaveUpError
from golden_pools.rules.alerts import Alert, Ended, FailedTask, Incident, News, alert_of, judge
from golden_pools.rules.markdown import escaped
from golden_pools.rules.outcome import Outcome
from golden_pools.spec.alerts import AlertLevel, Channel, Topic
from golden_pools.spec.model import Targets
from golden_pools.spec.times import Deadline
from hypothesis import given
from hypothesis import strategies as st
from markdown import markdown

T = datetime(2026, 11, 22, 2, 30, tzinfo=UTC)
NO_NODES = ResizeGaveUpError(
    "The pool did not reach its targets", answer="AccountCoreQuotaReached", advice="ask for more"
)
SETTLES = (Outcome.REFRESHED, Outcome.UNCHANGED, Outcome.RESIZED, Outcome.DONE)
FAILURES = [Outcome.FAILED, Outcome.ROLLED_BACK]


def ended(outcome: Outcome = Outcome.FAILED, *tasks: FailedTask, **about: object) -> Ended:
    defaults: dict[str, object] = {
        "pool": "small",
        "account": "goldenbatch",
        "ended": T,
        "targets": Targets(dedicated=3),
        "failed": tasks or ((FailedTask(task_id="pool.resize", error=NO_NODES),) if outcome in FAILURES else ()),
    }
    return Ended(outcome=outcome, **{**defaults, **about})  # type: ignore[arg-type]


# -- incidents ---------------------------------------------------------------------------------------------------------


def incident(*runs: str, reason: str = "why") -> Incident:
    return Incident(since=T, runs=runs or ("run 1",), reason=reason)


@pytest.mark.parametrize(
    ("known", "outcome", "run_id", "reason", "news"),
    [
        (None, Outcome.FAILED, "run 1", "why", News.NEW),
        (incident(), Outcome.FAILED, "run 1", "why", News.KNOWN),
        (incident(), Outcome.ROLLED_BACK, "run 1", "another", News.AGAIN),
        (incident(), Outcome.FAILED, "run 2", "why", News.AGAIN),
        (incident(), Outcome.REFRESHED, "run 2", "", News.OVER),
        (incident(), Outcome.UNCHANGED, "run 2", "", News.OVER),
        (incident(), Outcome.PLAN_ONLY, "run 2", "", News.NOTHING),
        (incident(), Outcome.REJECTED, "run 2", "", News.NOTHING),
        (None, Outcome.REFRESHED, "run 2", "", News.NOTHING),
    ],
)
def test_what_an_end_means_follows_from_what_is_known(
    known: Incident | None, outcome: Outcome, run_id: str, reason: str, news: News
) -> None:
    assert judge(known, outcome=outcome, run_id=run_id, reason=reason, ended=T)[0] is news


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Outcome)), st.integers(1, 4), st.sampled_from(["quota", "image"])), max_size=12
    )
)
def test_each_incident_is_told_once_for_a_run_and_cause_and_once_when_it_is_over(
    ends: list[tuple[Outcome, int, str]],
) -> None:
    known: Incident | None = None
    told: list[tuple[int, str]] = []
    for outcome, run, reason in ends:
        news, after = judge(known, outcome=outcome, run_id=f"run {run}", reason=reason, ended=T)
        if outcome.is_failure:
            assert after is not None
            assert news in (News.NEW, News.AGAIN, News.KNOWN)
            assert (news is News.NEW) == (known is None)
            if news is News.KNOWN:
                assert told[-1][1] == reason
                assert any(run == other for other, _ in told)
            else:
                told.append((run, reason))
        else:
            assert (news is News.OVER) == (known is not None and outcome in SETTLES)
            assert after == known
        known = None if news is News.OVER else after
        if known is None:
            told.clear()
        assert known is None or Incident.of(known.to_dict()) == known


# -- what is told ------------------------------------------------------------------------------------------------------


def tell(end: Ended, news: News = News.NEW, known: Incident | None = None) -> Alert:
    alert = alert_of(end, news, known)
    assert alert is not None
    return alert


def test_a_failure_has_what_why_and_what_to_do_before_anything_else() -> None:
    alert = tell(ended(nodes="1/3 ready", version="2026.1122.1", on_it="2026.1121.1"))
    assert alert.title == "small: did not get its nodes (1/3 ready)"
    assert [label for label, _ in alert.facts] == [
        "What happened",
        "Likely cause",
        "What to do",
        "Pool",
        "Target",
        "Nodes now",
        "Image now",
    ]
    assert dict(alert.facts)["Image now"] == "2026.1121.1; the run was to bring 2026.1122.1"


@pytest.mark.parametrize(
    ("task", "topic", "title"),
    [
        ("preflight", Topic.PREFLIGHT, "small: stopped before anything was written"),
        ("image.snapshot", Topic.RUN, "small: image.snapshot failed"),
        ("pool.nodes", Topic.RESIZE, "small: did not get its nodes"),
        ("rollback.restore", Topic.ROLLBACK, "small: could not be rolled back"),
    ],
)
def test_the_first_task_that_failed_says_what_it_is_about(task: str, topic: Topic, title: str) -> None:
    alert = tell(ended(Outcome.FAILED, FailedTask(task_id=task, error=NO_NODES)))
    assert (alert.topic, alert.level, alert.title) == (topic, AlertLevel.ERROR, title)


@pytest.mark.parametrize(
    ("failed", "title"),
    [
        (["pool.nodes", "rollback.report"], "small: rolled back"),
        (["pool.nodes", "rollback.resize", "rollback.report"], "small: rolled back, but without all its nodes"),
    ],
)
def test_a_way_back_without_nodes_is_no_plain_rollback(failed: list[str], title: str) -> None:
    tasks = [FailedTask(task_id=task, error=NO_NODES) for task in failed]
    assert tell(ended(Outcome.ROLLED_BACK, *tasks)).title == title


def test_every_failed_task_is_named_and_each_advice_stands_once() -> None:
    other = FailedTask(task_id="replicate", error=PreflightError("No region", advice="ask for more"))
    lost = FailedTask(task_id="pool.probe", error=None)
    facts = tell(ended(Outcome.FAILED, FailedTask(task_id="pool.resize", error=NO_NODES), other, lost)).facts
    assert ("Also failed", "task replicate: No region") in facts
    assert (
        "Also failed",
        "task pool.probe: it left no reason: its worker was lost, or somebody marked it as failed",
    ) in facts
    assert ("What to do", "ask for more") in facts


def test_a_version_that_was_marked_bad_is_named() -> None:
    alert = tell(ended(Outcome.ROLLED_BACK, version="2026.1122.1", on_it="2026.1121.1", marked_bad=True))
    assert dict(alert.facts)["Done by itself"] == (
        "the pool was put back on 2026.1121.1; version 2026.1122.1 was marked bad: no run takes it by itself any more"
    )


def test_a_recovery_says_what_it_was_and_how_long_it_lasted() -> None:
    known = Incident(since=T - timedelta(hours=5), runs=("1", "2"), reason="").told(tell(ended()))
    alert = tell(ended(Outcome.REFRESHED, nodes="3/3 ready"), News.OVER, known)
    assert alert.title == "small: over after 5h"
    assert alert.over
    assert (alert.topic, alert.level) == (Topic.RESIZE, AlertLevel.ERROR), "it reaches those who were told"
    assert ("What it was", "small: did not get its nodes") in alert.facts


def test_a_run_that_ends_well_after_its_deadline_ends_what_the_deadline_told() -> None:
    alert = tell(ended(Outcome.REFRESHED, late=timedelta(minutes=40)), News.NOTHING)
    assert (alert.title, alert.topic, alert.over) == ("small: on its image, 40m late", Topic.DEADLINE, True)


def test_what_is_known_or_only_planned_is_not_told() -> None:
    assert alert_of(ended(), News.KNOWN, incident()) is None
    assert alert_of(ended(Outcome.PLAN_ONLY), News.NOTHING, None) is None


# -- how it reads ------------------------------------------------------------------------------------------------------


def test_an_alert_reads_as_text_and_as_markdown() -> None:
    alert = Alert(
        topic=Topic.RUN,
        level=AlertLevel.ERROR,
        title="small: failed",
        facts=(("Cause", "a *star*"), ("What to do", "this\nthat")),
        links=(("Run", "http://airflow/x"), ("Log", "http://airflow/y")),
    )
    assert alert.text() == "Cause: a *star*\nWhat to do: this\n  that\n\nRun: http://airflow/x\nLog: http://airflow/y"
    assert alert.markdown() == (
        "**Cause:** a \\*star\\*\n\n**What to do:** this  \nthat\n\n[Run](<http://airflow/x>) · [Log](<http://airflow/y>)"
    )
    assert Alert.of(alert.to_dict()) == alert


@given(st.text(alphabet="ab_*`[]<>&|\\ ", max_size=20))
def test_what_is_escaped_reads_the_same_when_it_is_rendered(text: str) -> None:
    rendered = markdown(f"x{escaped(text)}x").removeprefix("<p>").removesuffix("</p>")
    assert html.unescape(rendered).split() == f"x{text}x".split()


def test_names_keep_their_underscores() -> None:
    assert escaped("golden_pool_small, scheduled__2026") == "golden_pool_small, scheduled__2026"


# -- who is told, and until when ---------------------------------------------------------------------------------------


@given(st.sampled_from(list(AlertLevel)), st.sampled_from(list(AlertLevel)), st.sampled_from(list(Topic)))
def test_a_channel_takes_its_level_and_what_is_above(level: AlertLevel, lowest: AlertLevel, topic: Topic) -> None:
    channel = Channel(connection="told", level=lowest)
    assert channel.wants(topic, level) == (list(AlertLevel).index(level) >= list(AlertLevel).index(lowest))
    assert not Channel(connection="told", level=lowest, about=(Topic.RUN,)).wants(Topic.DRIFT, AlertLevel.ERROR)


@pytest.mark.parametrize(
    ("due", "at"),
    [
        ("2026-11-22T01:00:00+00:00", "2026-11-22T06:00:00+01:00"),
        ("2026-11-22T05:00:00+00:00", "2026-11-23T06:00:00+01:00"),  # due at the very time: the next one
        ("2026-11-22T22:00:00+00:00", "2026-11-23T06:00:00+01:00"),
        ("2026-03-28T23:00:00+00:00", "2026-03-29T06:00:00+02:00"),  # clocks go forward in that night
        ("2026-10-24T22:00:00+00:00", "2026-10-25T06:00:00+01:00"),  # and back in that
    ],
)
def test_a_deadline_is_the_first_time_of_the_wall_clock_after_the_run_was_due(due: str, at: str) -> None:
    deadline = Deadline(time="06:00", timezone="Europe/Berlin")
    assert deadline.after(datetime.fromisoformat(due)) == datetime.fromisoformat(at)


@given(
    st.integers(0, 3 * 365 * 24 * 60).map(lambda minutes: T + timedelta(minutes=minutes)),
    st.integers(0, 23),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_a_deadline_comes_within_a_day_of_its_run(due: datetime, hour: int, zone: str) -> None:
    at = Deadline(time=f"{hour:02}:30", timezone=zone).after(due)
    assert timedelta(0) < at - due <= timedelta(hours=26)
    local = at.astimezone(ZoneInfo(zone))
    assert (local.hour, local.minute) == (hour, 30) or local.utcoffset() != at.utcoffset() or local.hour == hour + 1
