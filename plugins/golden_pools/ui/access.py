"""Who may see and do what: Airflow's own auth manager answers, for the DAGs of the pools."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends

Viewer = Annotated[BaseUser, Depends(get_user)]
"""Who asks: Airflow answers 401 where nobody is logged in."""

SHOWN = (DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
"""What the page is made of, beside the DAGs themselves."""


class Rights:
    """What one viewer may do.

    :param teams: team of each DAG that Airflow knows, None where it belongs to none
    """

    def __init__(self, user: BaseUser, teams: dict[str, str | None]) -> None:
        self._user = user
        self._teams = teams

    def readable(self, dag_ids: Collection[str]) -> set[str]:
        """Return which of the DAGs the viewer may read, with their runs."""
        manager = get_auth_manager()
        if not manager.batch_is_authorized_dag(
            [{"method": "GET", "access_entity": entity} for entity in SHOWN], user=self._user
        ):
            return set()
        by_team: dict[str | None, set[str]] = defaultdict(set)
        for dag_id in dag_ids:
            by_team[self._teams.get(dag_id)].add(dag_id)
        return {
            dag_id
            for team, ids in by_team.items()
            for dag_id in manager.filter_authorized_dag_ids(dag_ids=ids, user=self._user, method="GET", team_name=team)
        }

    def sees_import_errors(self) -> bool:
        """Return whether the viewer may read what is wrong with files of DAGs."""
        return bool(get_auth_manager().is_authorized_view(access_view=AccessView.IMPORT_ERRORS, user=self._user))

    def triggerable(self, dag_ids: Collection[str]) -> frozenset[str]:
        """Return which of the DAGs the viewer may trigger."""
        manager = get_auth_manager()
        return frozenset(
            dag_id
            for dag_id in dag_ids
            if manager.is_authorized_dag(
                method="POST",
                access_entity=DagAccessEntity.RUN,
                details=DagDetails(id=dag_id, team_name=self._teams.get(dag_id)),
                user=self._user,
            )
        )
