"""``python -m golden_pools lineage`` on a simulator: four questions, three forms of answer, and what docs show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from golden_pools.__main__ import main
from golden_pools.spec.image import Passports

from include.airflow_settings import ROOT
from tests.operators.test_passport_files import kept
from tests.operators.test_sources import Nights
from tests.virtual_time import virtual_cloud

PICTURE = ROOT / "docs/images/lineage.svg"
PICTURES = os.environ.get("GOLDEN_POOLS_PICTURES")

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """Two nights of the pool ``small``, each with an image of its own, and passports of both."""
    folder = tmp_path_factory.mktemp("pools")
    with virtual_cloud() as (cloud, virtual), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org")
        patch.setenv("GOLDEN_POOLS_DIR", str(folder))
        made = Nights(cloud, virtual)
        spec = kept(made, Passports(path=str(folder / "passports")), golden_vm={"capture": "running"})
        text = yaml.safe_dump(spec.model_dump(mode="json", exclude_defaults=True))
        (folder / "small.yaml").write_text(text, encoding="utf-8")
        for run_id in ("manual__1", "manual__2"):
            assert made.night(spec, run_id=run_id, force_rebuild=True).succeeded
            cloud.advance(hours=24)
        yield made


@pytest.fixture
def ask(nights: Nights, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Ask the command; returns exit code, output and errors."""
    monkeypatch.setenv("COLUMNS", "118")

    def asked(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["lineage", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return asked


def kinds(output: str) -> list[str]:
    return [station["kind"] for station in json.loads(output)["stations"]]


def node_of(nights: Nights) -> str:
    return str(nights.cloud.plane("GET", "/pools/small/nodes")["value"][0]["id"])


LINE = ["source", "snapshot set", "managed image", "image version", "pool", "nodes"]


def test_the_four_questions_lead_from_end_to_end(nights: Nights, ask: Ask) -> None:
    version = nights.cloud.image_of()
    for question in (
        ("from_node", "small", node_of(nights)),
        ("from_pool", "small"),
        ("from_version", version),
        ("from_vm", "golden-vm"),
    ):
        code, output, _ = ask(*question, "--json")
        assert code == 0
        assert list(dict.fromkeys(kinds(output))) == LINE, question
        assert json.loads(output)["unknown"] == []
        assert any(station["id"].casefold() == version.casefold() for station in json.loads(output)["stations"])


def test_without_a_place_of_passports_tags_tell_the_same_line(
    nights: Nights, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = yaml.safe_load((Path(os.environ["GOLDEN_POOLS_DIR"]) / "small.yaml").read_text(encoding="utf-8"))
    del spec["image"]["passports"]
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    monkeypatch.setenv("GOLDEN_POOLS_DIR", str(tmp_path))
    _, output, _ = ask("from_node", "small", node_of(nights), "--json")
    assert list(dict.fromkeys(kinds(output))) == LINE
    (gap,) = json.loads(output)["unknown"]
    assert gap.startswith("no spec names image.passports")


def test_it_only_reads(nights: Nights, ask: Ask) -> None:
    nights.cloud.forget()
    ask("from_vm", "golden-vm")
    assert nights.cloud.writes() == []


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(nights: Nights, ask: Ask) -> None:
    nights.cloud.fault(method="GET", path="/snapshots", status=403, code="AuthorizationFailed")
    code, output, _ = ask("from_pool", "small")
    assert code == 0
    assert "Not known: Could not list the snapshots" in output
    assert "golden-vm" in output


def test_an_unknown_name_is_a_line_on_stderr_and_exit_code_1(ask: Ask) -> None:
    code, output, error = ask("from_pool", "smal")
    assert (code, output) == (1, "")
    assert "did you mean small?" in error


def alike(text: str) -> str:
    """Return a text without what differs from night to night: moments, numbers, and ids of nodes."""
    return re.sub(r"[0-9]", "0", text)


def test_the_docs_show_what_the_command_prints(ask: Ask) -> None:
    _, output, _ = ask("from_pool", "small")
    page = (ROOT / "docs/passport.md").read_text(encoding="utf-8")
    shown = re.search(r"```text\n(from_pool small\n.*?)```", page, re.DOTALL)
    assert shown, f"docs/passport.md has to show this:\n{output}"
    assert alike("\n".join(map(str.rstrip, output.splitlines())).rstrip()) == alike(shown[1].rstrip())


def test_the_docs_show_the_picture_that_the_command_draws(ask: Ask, tmp_path: Path) -> None:
    file = (ROOT / PICTURES if PICTURES else tmp_path) / "lineage.svg"
    assert ask("from_pool", "small", "--picture", str(file))[0] == 0
    assert alike(file.read_text(encoding="utf-8")) == alike(PICTURE.read_text(encoding="utf-8"))


def test_an_airflow_that_does_not_start_is_told_as_what_it_is(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "plugins"), "AIRFLOW_HOME": "not/absolute"}
    command = [sys.executable, "-m", "golden_pools", "lineage", "from_pool", "small"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Airflow, which knows the connections, does not start here" in done.stderr
    assert "Cannot use relative path" in done.stderr


def test_it_runs_from_a_checkout_with_a_connection_of_the_environment(nights: Nights, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "plugins"),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONN_AZURE_DEFAULT": os.environ["AIRFLOW_CONN_AZURE_DEFAULT"],
        "GOLDEN_POOLS_DIR": os.environ["GOLDEN_POOLS_DIR"],
    }
    command = [sys.executable, "-m", "golden_pools", "lineage", "from_pool", "small", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(dict.fromkeys(kinds(done.stdout))) == LINE
