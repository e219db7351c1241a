"""What Golden Pools adds to Airflow itself. Every Airflow process loads this file, so it imports nothing that costs."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin
from golden_pools import listener

log = logging.getLogger(__name__)

URL_PREFIX = "/golden-pools"


class GoldenPoolsPlugin(AirflowPlugin):
    """The page "Golden pools" in the menu.

    Airflow shows it in a frame at ``/plugin/golden-pools``; the app behind it asks for Airflow's own login.
    """

    name = "golden_pools"
    external_views = [
        {
            "name": "Golden pools",
            "href": f"{URL_PREFIX}/page",
            "destination": "nav",
            "url_route": "golden-pools",
            "nav_top_level": True,
            "icon": f"{URL_PREFIX}/static/icon.svg",  # the menu cuts a name of more than eight letters
        }
    ]
    listeners: list[Any] = [listener]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # only the API server asks
        """The app of the page; one that cannot be imported must not keep the API server from its start."""
        try:
            from golden_pools.ui.app import app
        except ImportError:
            log.exception("There will be no page %s/page", URL_PREFIX)
            return []
        return [{"app": app, "url_prefix": URL_PREFIX, "name": "golden pools"}]

    @cached_property
    def deadline_references(self) -> list[type]:  # whoever makes a run of a DAG with a deadline asks
        """What a deadline of a pool counts from."""
        from golden_pools.deadline import WallClockDeadline

        return [WallClockDeadline]
