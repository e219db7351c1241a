"""Stages of ``retire_images``: look at everything and report, then mark, delete, and take marks back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import AzureBusyError, AzureRefusedError, GoldenPoolsError, RunConfError, from_dict
from golden_pools.operators.base import GRACE, StateStore, now
from golden_pools.operators.passport_files import note_deleted
from golden_pools.rules.facts import folded
from golden_pools.rules.retention import (
    Action,
    Decision,
    Kind,
    World,
    decide,
    orders,
    spare_runs,
)
from golden_pools.rules.retention.report import as_json, table, totals_table
from golden_pools.spec.loader import load_pools

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from golden_pools.hooks.operations import PendingOperation
    from golden_pools.hooks.retention import Survey

MOST_AT_A_TIME = 100
"""Things that one task marks or deletes in one run; the rest goes in the next. Azure's bucket holds 200 deletions."""

BETWEEN_LOOKS = 10
"""Writes after which the pools are looked at anew: one may have moved onto a version meanwhile."""

DELETE_TIME = timedelta(hours=6)
"""Longest wait for Azure to have deleted them; with many regions a version takes as long as its replication."""

LONGEST_ANSWER = 1500
"""Characters of an error's answer; the log has each failure in full."""

GOES_ON = ["queued", "running"]
"""States of a run that may still be at work."""


class RetentionOperator(BaseOperator):
    """What the stages share: the form, the look, and what follows from it."""

    def form(self, context: Context) -> tuple[str | None, bool]:
        """Return the spec that the run is limited to, and whether it only reports.

        :raises RunConfError: there is no such spec
        """
        params = context["params"]
        return params.get("pool") or None, bool(params.get("dry_run"))

    def survey(self) -> Survey:
        """Return what looks at Azure; close it."""
        from golden_pools.hooks.retention import Survey

        return Survey(load_pools())

    def judge(self, context: Context, world: World) -> list[Decision]:
        """Return what is to be done with everything that is ours."""
        decisions = decide(world)
        runs = sorted({one.run for one in decisions if one.run})
        count = context["ti"].get_dr_count
        going_on = {(dag, run) for dag, run in runs if dag and count(dag_id=dag, run_ids=[run], states=GOES_ON)}
        return spare_runs(decisions, going_on)


class ReportRetentionOperator(RetentionOperator):
    """Say what may go, why, and what it costs; changes nothing.

    :param asset: the asset of retention, an outlet of this task
    """

    ui_color = "#eef2f7"

    def __init__(self, *, asset: Asset, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.asset = asset

    def execute(self, context: Context) -> dict[str, Any]:
        """Log the tables, and return them as JSON, which is also the asset's event."""
        pool, _ = self.form(context)
        with self.survey() as survey:
            world = survey.world(now())
        if pool is not None and pool not in world.specs:
            raise RunConfError(
                f"There is no pool spec {pool}",
                resource=f"DAG {self.dag_id}",
                advice=f"name one of {', '.join(world.specs) or '(there is none)'}, or none for all",
            )
        decisions = [one for one in self.judge(context, world) if pool is None or one.spec == pool]
        for line in world.unread:
            self.log.error("Nothing is marked or deleted in this run, since a look-up failed: %s", line)
        if lines := table(decisions):
            self.log.info("What may go:\n%s", lines)
        self.log.info("In all:\n%s", totals_table(decisions) or "there is nothing that our runs made")
        report = as_json(world, decisions)
        context["outlet_events"][self.asset].extra = report
        return report


class CarryOutOperator(RetentionOperator):
    """Do what was decided, for things of some kinds, where their spec switches ``retention.delete`` on.

    It looks at everything anew, and at the pools again and again while it works. What Azure refuses does not keep the
    others from going; the task fails in the end and names it all.

    :param kinds: what is dealt with
    :param actions: and how
    :raises AzureBusyError: nothing but throttling and outages kept things from going; tried again by itself
    :raises AzureRefusedError: Azure refused some, or a look-up failed, and then nothing was done
    """

    ui_color = "#f7dada"

    def __init__(self, *, kinds: Sequence[Kind], actions: Sequence[Action], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kinds = tuple(kinds)
        self.actions = tuple(actions)

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Begin with what is due, and wait for Azure."""
        pool, dry_run = self.form(context)
        if dry_run:
            raise AirflowSkipException("dry run: what would be done stands in the report")
        if not any(spec.retention.delete for spec in load_pools().specs.values()):
            raise AirflowSkipException("retention.delete is false in every spec")
        with self.survey() as survey:
            world = survey.world(now())
            if survey.errors:
                raise _blind(survey.errors)
            self._note_gone(world, StateStore(context, "retention").read().get("done", ()))
            decisions = self.judge(context, world)
            due = [one for one in orders(world, decisions, pool=pool) if self._is_mine(one)]
            done, failures, operations = self._begin_all(survey, world, due[:MOST_AT_A_TIME])
        if len(due) > MOST_AT_A_TIME:
            self.log.info("%d more are left for the next run", len(due) - MOST_AT_A_TIME)
        if not due:
            raise AirflowSkipException("nothing is due")
        StateStore(context, "retention").keep(
            done=done, failures=[error.to_dict() for error in failures], waits=_by_login(world, operations)
        )
        return self.go_on(context)

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Wait for what was begun, one login after the other; return what was done, or fail with all that was not."""
        store = StateStore(context, "retention")
        kept = store.read()
        kept = store.keep(failures=[*kept["failures"], *((event or {}).get("failures") or ())])
        if kept["waits"]:
            wait, *waits = kept["waits"]
            store.keep(waits=waits)
            self._wait(**wait)
        failures = [from_dict(error) for error in kept["failures"]]
        failed = {folded(error.resource) for error in failures}
        done = [resource_id for resource_id in kept["done"] if folded(resource_id) not in failed]
        self.log.info("Done with %d; %d failed", len(done), len(failures))
        self._note_gone(None, done)
        if failures:
            raise _together(failures, len(done))
        return {"done": done}

    def _note_gone(self, world: World | None, image_ids: Sequence[str]) -> None:
        """Note in the passports what this task has deleted, also what an earlier try did that was killed over it."""
        there = {folded(version.id) for version in world.versions} if world else set()
        if Action.DELETE in self.actions:
            note_deleted(self.dag_id, [image_id for image_id in image_ids if folded(image_id) not in there])

    def _is_mine(self, one: Decision) -> bool:
        return one.kind in self.kinds and (one.action in self.actions or one.action is Action.GOING)

    def _begin_all(
        self, survey: Survey, world: World, due: Sequence[Decision]
    ) -> tuple[list[str], list[GoldenPoolsError], list[tuple[str, PendingOperation]]]:
        """Begin with everything that is still due right before its turn."""
        from golden_pools.hooks.disposal import begin

        done: list[str] = []
        failures: list[GoldenPoolsError] = []
        operations: list[tuple[str, PendingOperation]] = []
        for start in range(0, len(due), BETWEEN_LOOKS):
            now_due = self._still_due(survey, world)
            for one in due[start : start + BETWEEN_LOOKS]:
                if now_due.get(folded(one.id)) is not one.action:
                    self.log.warning("%s %s is left: the pools have changed", one.kind, one.id)
                    continue
                try:
                    operation = begin(world, one)
                except GoldenPoolsError as error:
                    self.log.error("%s", error)
                    failures.append(error)
                    continue
                self.log.info("%s: %s %s (%s)", one.action, one.kind, one.id, one.why)
                done.append(one.id)
                if operation is not None:
                    operations.append((one.spec, operation))
        return done, failures, operations

    def _still_due(self, survey: Survey, world: World) -> dict[str, Action]:
        pools = survey.pools()
        if survey.errors:
            raise _blind(survey.errors)
        return {folded(one.id): one.action for one in decide(replace(world, pools=pools))}

    def _wait(self, connection: str, subscription: str, operations: Sequence[dict[str, Any]]) -> None:
        from golden_pools.triggers.operation import OperationsTrigger

        self.defer(
            trigger=OperationsTrigger(
                connection=connection, subscription=subscription, operations=operations, ends_task=False
            ),
            method_name="go_on",
            timeout=DELETE_TIME + GRACE,
        )


class FailAfterAllOperator(BaseOperator):
    """Fail because another task did: each deals with its own kind whatever became of the others."""

    ui_color = "#f7dada"

    def execute(self, context: Context) -> None:
        """Fail."""
        raise AzureRefusedError(
            "At least one task of this run failed",
            resource=f"DAG {self.dag_id}",
            advice="read the logs of the red tasks; what could be done was done",
        )


def _by_login(world: World, begun: Sequence[tuple[str, PendingOperation]]) -> list[dict[str, Any]]:
    """Return the operations by the connection that may read how they go.

    :param begun: spec and operation
    """
    found: dict[str, dict[str, Any]] = {}
    for name, operation in begun:
        spec = world.specs[name]
        wait = {"connection": spec.connection, "subscription": spec.subscription, "operations": []}
        found.setdefault(spec.connection, wait)["operations"].append(operation.to_dict())
    return list(found.values())


def _blind(errors: Sequence[GoldenPoolsError]) -> GoldenPoolsError:
    """Return the error of a run that could not see everything."""
    return _all_as_one(
        errors,
        "A look-up failed, so nothing more was marked or deleted: what it hides may be in use",
        "; ".join(" ".join(str(error).split()) for error in errors),
        "then clear this task",
    )


def _together(failures: Sequence[GoldenPoolsError], done: int) -> GoldenPoolsError:
    """Return one error for everything that did not go."""
    return _all_as_one(
        failures,
        f"{len(failures)} of {len(failures) + done} could not be marked or deleted",
        "; ".join(f"{error.resource}: {error.answer or error.what}" for error in failures),
        "the next run tries it again",
    )


def _all_as_one(errors: Sequence[GoldenPoolsError], what: str, answer: str, then: str) -> GoldenPoolsError:
    resource, answer = errors[0].resource, answer[:LONGEST_ANSWER]
    if all(isinstance(error, AzureBusyError) for error in errors):
        return AzureBusyError(what, resource=resource, answer=answer, advice="nothing: it is tried again by itself")
    first = next(error for error in errors if not isinstance(error, AzureBusyError))
    advice = f"{first.advice or 'mend what is named'}; {then}"
    return AzureRefusedError(what, resource=resource, answer=answer, advice=advice)
