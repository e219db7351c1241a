"""The notifier against a real web hook and a real mail server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from golden_pools.errors import AlertError, PreflightError
from golden_pools.notifications import PoolAlertNotifier
from golden_pools.rules.alerts import Alert
from golden_pools.spec.alerts import AlertLevel, Topic

from tests.receivers import PASSWORD, MailBox, WebHook, mail_box, web_hook

ALERT = Alert(
    topic=Topic.RESIZE,
    level=AlertLevel.ERROR,
    title="small: did not get its nodes (1/3 ready)",
    facts=(
        ("Likely cause", "AccountCoreQuotaReached: *all* 10 cores of <standard_d2s_v5> are taken"),
        ("Nodes", "1/3"),
    ),
    links=(("Run", "http://airflow/dags/golden_pool_small/runs/manual__1"),),
)


@pytest.fixture
def hook() -> Iterator[WebHook]:
    with web_hook() as made:
        yield made


@pytest.fixture
def mail() -> Iterator[MailBox]:
    with mail_box() as made:
        yield made


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the connection ``told`` of addresses, each with a tag."""

    def make(*addresses: tuple[str, str], name: str = "TOLD") -> None:
        config = [{"path": path, "tag": tag} for path, tag in addresses]
        connection = {"conn_type": "apprise", "extra": {"config": config}}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))

    return make


def notifier(*channels: dict[str, Any], alert: Alert | None = ALERT, **options: Any) -> PoolAlertNotifier:
    return PoolAlertNotifier(pool="small", channels=channels or [{"connection": "told"}], alert=alert, **options)


def test_one_connection_reaches_a_web_hook_and_a_mail_box(hook: WebHook, mail: MailBox, connect: Any) -> None:
    connect((hook.address, "ops"), (mail.address, "team"))

    notifier().notify({})

    (posted,) = hook.received
    assert posted["title"] == ALERT.title
    assert posted["type"] == "failure"
    assert "**Likely cause:** AccountCoreQuotaReached: \\*all\\* 10 cores" in posted["message"]
    assert "[Run](<http://airflow/dags/golden_pool_small/runs/manual__1>)" in posted["message"]
    assert mail.received[0]["To"] == "team@example.com"
    assert "1/3 ready" in str(mail.received[0]["Subject"])
    html = mail.bodies()["text/html"]
    assert "*all* 10 cores of &lt;standard_d2s_v5&gt;" in html
    assert 'href="http://airflow/dags/golden_pool_small/runs/manual__1"' in html


def test_an_alert_goes_to_the_tags_of_a_channel_alone(hook: WebHook, mail: MailBox, connect: Any) -> None:
    connect((hook.address, "ops"), (mail.address, "team"))

    notifier({"connection": "told", "tags": ["team"]}).notify({})

    assert (len(hook.received), len(mail.received)) == (0, 1)


@pytest.mark.parametrize(
    ("channel", "told"),
    [
        ({"level": "error"}, True),
        ({"level": "error", "about": ["rollback", "deadline"]}, False),
        ({"level": "info", "about": ["resize"]}, True),
    ],
)
def test_a_channel_takes_what_it_wants(hook: WebHook, connect: Any, channel: dict[str, Any], *, told: bool) -> None:
    connect((hook.address, "ops"))

    notifier({"connection": "told", **channel}).notify({})

    assert len(hook.received) == told


def test_that_nobody_hears_of_it_is_in_the_log_with_all_that_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    PoolAlertNotifier(pool="small", channels=[], alert=ALERT).notify({})

    log = capsys.readouterr().out
    assert "small: nobody hears of this, since no channel in `alerts`" in log
    assert "AccountCoreQuotaReached" in log


def test_a_channel_that_is_down_is_named_and_the_others_are_told(
    hook: WebHook, mail: MailBox, connect: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    hook.status = 503
    connect((hook.address, "ops"), (mail.address, "team"))

    with pytest.raises(AlertError, match=r"1 address did not take an alert: small: did not get its nodes") as down:
        notifier().notify({})

    assert "JSON (ops) has not taken the alert" in down.value.answer
    assert "503" in down.value.answer
    assert len(mail.received) == 1
    log = capsys.readouterr().out
    assert "JSON (ops) has not taken the alert" in log
    assert PASSWORD not in log + str(down.value)


def test_an_address_that_is_written_wrong_does_not_keep_the_others_from_being_told(hook: WebHook, connect: Any) -> None:
    connect(("nonsense://x", "ops"), (hook.address, "ops"))

    with pytest.raises(AlertError) as error:
        notifier().notify({})

    assert "Address 1 of connection told is none that Apprise knows" in error.value.answer
    assert hook.titles == [ALERT.title]


def test_a_second_try_tells_only_those_who_have_not_heard(hook: WebHook, mail: MailBox, connect: Any) -> None:
    connect((hook.address, "ops"), (mail.address, "team"))
    hook.status = 500
    reached: list[str] = []
    with pytest.raises(AlertError):
        notifier(keep=reached.append).notify({})
    hook.status = 200

    notifier(reached=reached).notify({})

    assert (len(hook.received), len(mail.received)) == (1, 1)


def test_two_channels_with_the_same_address_send_it_once(hook: WebHook, connect: Any) -> None:
    connect((hook.address, "ops"))

    notifier({"connection": "told"}, {"connection": "told", "tags": ["ops"]}).notify({})

    assert len(hook.received) == 1


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (None, "There is no Airflow connection told"),
        ({}, "Connection told does not list its addresses"),
        ({"config": []}, "Connection told has no address"),
        ({"config": [{"path": "nonsense://x", "tag": "ops"}]}, "Address 1 of connection told is none that Apprise"),
    ],
)
def test_a_connection_that_does_not_do_is_named(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any] | None, says: str
) -> None:
    if extra is not None:
        monkeypatch.setenv("AIRFLOW_CONN_TOLD", json.dumps({"conn_type": "apprise", "extra": extra}))

    with pytest.raises(AlertError) as error:
        notifier().notify({})

    assert says in error.value.answer


@pytest.mark.parametrize(
    ("channels", "says"),
    [
        ([], ["Nobody will hear of a failure of pool small"]),
        ([{"connection": "told", "about": ["drift"]}], ["Nobody will hear of a failure of pool small"]),
        ([{"connection": "told"}], []),
        ([{"connection": "told", "tags": ["nobody"]}], ["Connection told has no address with a tag of nobody"]),
        ([{"connection": "another"}], ["There is no Airflow connection another"]),
    ],
)
def test_what_keeps_a_failure_from_being_heard_shows_before_there_is_one(
    connect: Any, channels: list[dict[str, Any]], says: list[str]
) -> None:
    connect(("json://127.0.0.1:9", "ops"))

    troubles = PoolAlertNotifier(pool="small", channels=channels).look()

    assert [trouble.what for trouble in troubles] == says


def test_as_a_callback_it_says_what_the_exception_says_and_never_raises(hook: WebHook, connect: Any) -> None:
    connect((hook.address, "ops"))
    error = PreflightError("Preflight found 1 blocker", answer="quota", advice="raise the quota")
    ti = SimpleNamespace(dag_id="retire_pools", run_id="manual__1", task_id="remove")

    notifier(alert=None)({"ti": ti, "exception": error, "task": None})
    hook.status = 500
    notifier(alert=None)({"ti": ti, "exception": error, "task": None})

    (posted,) = hook.received
    assert posted["title"] == "small: retire_pools failed at remove"
    assert "raise the quota" in posted["message"]


def test_in_the_triggerer_it_tells_of_a_missed_deadline(hook: WebHook, connect: Any) -> None:
    connect((hook.address, "ops"))
    run = {
        "dag_id": "golden_pool_small",
        "dag_run_id": "scheduled__1",
        "state": "running",
        "start_date": "2026-11-22T02:00:05Z",
    }
    context = {"dag_run": run, "deadline": {"id": "1", "deadline_time": "2026-11-22T05:00:00+00:00"}}

    async def as_the_triggerer() -> None:
        await PoolAlertNotifier(pool="small", channels=[{"connection": "told"}], context=context)  # type: ignore[arg-type]

    asyncio.run(as_the_triggerer())

    (posted,) = hook.received
    assert posted["title"] == "small: not on its new image by 2026-11-22 05:00 UTC"
    assert "scheduled__1 is running, since 2026-11-22 02:00 UTC" in posted["message"]


def test_a_deadline_of_a_run_that_has_failed_is_no_second_alert(hook: WebHook, connect: Any) -> None:
    connect((hook.address, "ops"))
    run = {"dag_id": "golden_pool_small", "dag_run_id": "scheduled__1", "state": "failed", "start_date": None}
    context = {"dag_run": run, "deadline": {"id": "1", "deadline_time": "2026-11-22T05:00:00+00:00"}}

    asyncio.run(notifier(alert=None).async_notify(context))  # type: ignore[arg-type]

    assert hook.received == []


def test_a_question_says_where_to_answer(hook: WebHook, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow/")
    connect((hook.address, "ops"))
    ti = SimpleNamespace(dag_id="golden_pool_small", run_id="scheduled__1", task_id="approve")

    notifier(alert=None)({"ti": ti, "task": SimpleNamespace(subject="version 2026.1122.20005 wants to be approved")})

    (posted,) = hook.received
    assert posted["title"] == "small: version 2026.1122.20005 wants to be approved"
    assert posted["type"] == "warning"
    assert "http://airflow/dags/golden_pool_small/runs/scheduled__1/tasks/approve/required_actions" in posted["message"]


def test_a_secret_that_airflow_knows_is_masked(hook: WebHook, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.log import mask_secret

    connect((hook.address, "ops"))
    monkeypatch.setattr("airflow.sdk.log._secrets_masker", lambda: _masker())
    mask_secret("s3cret-of-azure")
    leaky = Alert(
        topic=Topic.RUN, level=AlertLevel.ERROR, title="small: failed", facts=(("Cause", "key s3cret-of-azure"),)
    )

    notifier(alert=leaky).notify({})

    assert "s3cret-of-azure" not in hook.received[0]["message"]
    assert "key" in hook.received[0]["message"]


def _masker() -> Any:
    from airflow.sdk._shared.secrets_masker import _secrets_masker

    return _secrets_masker()
