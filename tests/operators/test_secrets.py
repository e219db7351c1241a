"""Secrets that come the way of a failing run: none of them gets into anything that Airflow keeps or shows."""

from __future__ import annotations

import base64
import json
import logging
import re
import traceback
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from golden_pools.errors import GoldenPoolsError
from golden_pools.operators.preflight import PreflightOperator
from golden_pools.operators.refresh import RefreshPoolOperator
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.operators.snapshots import SnapshotGoldenVmOperator
from golden_pools.sensors.pools import PoolNodesSensor
from golden_pools.spec.model import PoolSpec
from golden_pools.triggers import pool

from include.azure_simulator.tls import ensure_certificates
from tests.operators.conftest import NEW, Cloud, Run, left_running
from tests.simulator import serve

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJvaWQiOiJwbGFudGVkIn0.cGxhbnRlZFRva2Vu"
PLANTED = ("sasSignaturePlanted", "accountKeyPlanted", "clientSecretPlanted", "cGxhbnRlZFRva2Vu")
"""What must not be found anywhere."""

JWT = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.")

MESSAGE = (
    "Could not read https://store.blob.core.windows.net/vhds/os.vhd?sv=2026-01-01&sig=sasSignaturePlanted%3D&se=2027 "
    'with AccountKey=accountKeyPlanted== as {"client_secret":"clientSecretPlanted"}, Authorization: Bearer ' + TOKEN
)
ERROR = {"code": "BadRequest", "message": MESSAGE}


class Traces:
    """Everything that Airflow keeps or shows of a run."""

    def __init__(self, run: Run, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
        self.run = run
        self._caplog = caplog
        self._capsys = capsys
        self._kept: list[str] = []

    def fail(self, task: BaseOperator) -> GoldenPoolsError:
        """Run a task that fails; keeps the exception as Airflow's log shows it, and the rendered template fields."""
        with pytest.raises(GoldenPoolsError) as failed:
            self.run.do(task)
        self._kept.append("".join(traceback.format_exception(failed.value)))
        self._kept += [repr(failed.value), json.dumps(failed.value.to_dict())]
        self._kept += [str(getattr(task, name)) for name in task.template_fields]
        return failed.value

    def text(self) -> str:
        """Return all of it as one text."""
        run, printed = self.run, self._capsys.readouterr()
        stores = {name: store.values for name, store in run.stores.items()}
        kept = [json.dumps([run.xcoms, stores, run.kwargs, run.events], default=str), *self._kept]
        return "\n".join([*kept, self._caplog.text, printed.out, printed.err])


@pytest.fixture
def traces(run: Run, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Traces:
    """What a run leaves behind, with every logger at DEBUG."""
    caplog.set_level(logging.DEBUG)
    return Traces(run, caplog, capsys)


@pytest.fixture
def run(spec: PoolSpec) -> Run:
    """A run on a version that is there, which asks for two resizes."""
    resize = {"attempts": 2, "back_off_minutes": 0}
    return Run(PoolSpec.model_validate({**spec.model_dump(mode="json"), "resize": resize}), conf={"image_version": NEW})


def assert_clean(text: str, *, told: str) -> None:
    """Fail if a secret is in ``text``; ``told`` must be in it: the error was really reported."""
    assert told in text
    assert [secret for secret in PLANTED if secret in text] == []


def test_an_answer_with_secrets(cloud: Cloud, run: Run, traces: Traces) -> None:
    cloud.fault(path="/batchAccounts/goldenbatch$", status=403, **ERROR, count=None)
    traces.fail(PreflightOperator(task_id="preflight"))
    assert_clean(traces.text(), told="HTTP 403 BadRequest")


def test_a_failed_operation_with_secrets(cloud: Cloud, spec: PoolSpec, traces: Traces) -> None:
    traces.run = Run(left_running(spec))
    cloud.fault(method="PUT", path="/snapshots/", operation_error=ERROR, count=None)
    traces.fail(SnapshotGoldenVmOperator(task_id="snapshot"))
    assert_clean(traces.text(), told="BadRequest: Could not read https://store.blob.core.windows.net/vhds/os.vhd")


def test_a_resize_error_with_secrets(cloud: Cloud, run: Run, traces: Traces) -> None:
    cloud.freeze()
    cloud.make_pool(cloud.make_version())
    detail = {"code": "Provider Error Json", "message": json.dumps({"error": ERROR})}
    cloud.allocation(error={"code": "AllocationFailed", "message": MESSAGE, "details": [detail]}, resizes=9)
    run.in_waits = repeat(lambda: cloud.advance(minutes=20))
    traces.fail(ResizePoolOperator(task_id="resize"))
    assert_clean(traces.text(), told="AllocationFailed/BadRequest")


def test_a_refused_write_with_secrets(cloud: Cloud, run: Run, traces: Traces) -> None:
    cloud.freeze()
    cloud.make_version()
    cloud.fault(method="PUT", path="/pools/", status=400, **ERROR)
    traces.fail(RefreshPoolOperator(task_id="refresh"))
    assert_clean(traces.text(), told="HTTP 400 BadRequest")


def test_a_poll_that_is_refused_with_secrets(
    cloud: Cloud, run: Run, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "REFUSALS", 1)
    cloud.fault(path="/pools$", status=403, **ERROR, count=None)
    nodes = {"connection": "azure_default", "subscription": cloud.subscription, "resource_group": "batch"}
    traces.fail(PoolNodesSensor(task_id="nodes", account="goldenbatch", pool_name="small", dedicated="1", **nodes))
    assert_clean(traces.text(), told="HTTP 403 BadRequest")


@pytest.fixture
def connection(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """The connection to the same simulator over https, where it wants tokens."""
    tls = ensure_certificates(tmp_path_factory.mktemp("tls"))
    tenant = cloud.world.tenant
    with serve(cloud.world, tls) as url:
        connection = {
            "conn_type": "azure",
            "login": tenant.client_id,
            "password": tenant.client_secret,
            "extra": {
                "arm_endpoint": url,
                "login_endpoint": url,
                "tenantId": tenant.id,
                "ca_bundle": str(tls.ca),
                "poll_seconds": 1,
            },
        }
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", json.dumps(connection))
        yield connection


def test_the_client_secret_and_its_tokens(
    cloud: Cloud, connection: dict[str, Any], traces: Traces, spec: PoolSpec
) -> None:
    """A run that logs in, waits and fails, on worker and triggerer."""
    traces.run = run = Run(left_running(spec))
    run.do(PreflightOperator(task_id="preflight"))
    cloud.fault(method="PUT", path="/snapshots/", operation_error={"code": "BadRequest"})
    traces.fail(SnapshotGoldenVmOperator(task_id="snapshot"))
    used = [entry for entry in cloud.requests() if "authorization" in entry["request_headers"]]
    assert used, "no token travelled: the test tests nothing"
    text = traces.text()
    assert connection["password"] not in text
    assert JWT.search(text) is None
    for waited_for in run.kwargs[0]["operations"]:
        kept = base64.b64decode(waited_for["token"]).decode("latin-1")
        assert "DiskOperations" in kept  # it is the SDK's own, in the clear
        assert "authorization" not in kept.lower()
        assert JWT.search(kept) is None


def test_a_wrong_client_secret(connection: dict[str, Any], traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    """The login's refusal names what is wrong, not the secret itself, and sends nobody to grant a right."""
    wrong = {**connection, "password": "clientSecretPlanted"}
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", json.dumps(wrong))
    error = traces.fail(PreflightOperator(task_id="preflight"))
    assert "check login, password and tenantId" in error.advice
    assert_clean(traces.text(), told="AADSTS")
