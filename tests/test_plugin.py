"""The plugin as Airflow loads it."""

from __future__ import annotations

import subprocess
import sys

from include.airflow_settings import ROOT


def _plugins() -> list[object]:
    from airflow import plugins_manager

    plugins, errors = plugins_manager._get_plugins()
    assert errors == {}
    return [plugin for plugin in plugins if plugin.name == "golden_pools"]


def test_airflow_finds_one_plugin_and_its_app() -> None:
    (plugin,) = _plugins()

    (entry,) = plugin.fastapi_apps
    assert entry["url_prefix"] == "/golden-pools"
    assert [view["url_route"] for view in plugin.external_views] == ["golden-pools"]


def test_the_plugin_brings_nothing_heavy_into_every_process() -> None:
    probe = (
        "import sys, airflow.plugins_manager as m\n"
        "m._get_plugins()\n"
        "print([name for name in ('fastapi', 'azure', 'aiohttp', 'golden_pools.ui', 'golden_pools.spec') "
        "if name in sys.modules])"
    )

    shown = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)

    assert shown.stdout.splitlines()[-1] == "[]"
