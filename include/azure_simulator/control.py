"""``/_simulator/...``: clock, settings, faults, allocations, commands, replications, log and counters."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from include.azure_simulator.compute.replication import ReplicationScript
from include.azure_simulator.describe import describe
from include.azure_simulator.faults import FaultRequest
from include.azure_simulator.links import base_url
from include.azure_simulator.resources import JsonObject, timestamp
from include.azure_simulator.wire import empty_response, json_response, read_object
from include.azure_simulator.world import World

router = APIRouter(prefix="/_simulator")

ModelT = TypeVar("ModelT", bound=BaseModel)


class ClockChange(BaseModel):
    """A change of the clock: a new speed, a jump forward, or both (speed first)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    speed: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    advance: timedelta | None = Field(default=None, ge=timedelta(0), description="ISO 8601 duration or seconds")


def _world(request: Request) -> World:
    world: World = request.app.state.world
    return world


@router.get("/health")
async def health(request: Request) -> Response:
    """200 as soon as the server answers."""
    return json_response({"status": "ok", "now": timestamp(_world(request).clock.now())})


@router.get("/world")
async def get_world(request: Request) -> Response:
    """What a client needs to know to use this world, as ``--describe`` prints it."""
    return json_response(describe(_world(request), base_url(request)))


@router.get("/clock")
async def get_clock(request: Request) -> Response:
    """Simulated time and speed."""
    return json_response(_clock(_world(request)))


@router.patch("/clock")
async def change_clock(request: Request) -> Response:
    """Change the speed or jump forward; what has ended by then is settled at once."""
    world = _world(request)
    change = _parse(ClockChange, await read_object(request))
    if isinstance(change, Response):
        return change
    if change.speed is not None:
        world.clock.set_speed(change.speed)
    if change.advance is not None:
        world.clock.advance(change.advance)
    world.operations.settle()
    return json_response(_clock(world))


@router.get("/settings")
async def get_settings(request: Request) -> Response:
    """All settings."""
    return json_response(_world(request).settings.model_dump(mode="json"))


@router.patch("/settings")
async def change_settings(request: Request) -> Response:
    """Change some settings; what runs already keeps its durations."""
    world = _world(request)
    change = await read_object(request)
    try:
        world.settings = world.settings.patched(change)
    except ValidationError as error:
        return _refused(error)
    return json_response(world.settings.model_dump(mode="json"))


@router.get("/faults")
async def list_faults(request: Request) -> Response:
    """All scripted faults, and how often each met a call."""
    return json_response(
        [state.model_dump(mode="json", exclude_defaults=False) for state in _world(request).faults.list()]
    )


@router.post("/faults")
async def add_fault(request: Request) -> Response:
    """Script a fault."""
    fault = _parse(FaultRequest, await read_object(request))
    if isinstance(fault, Response):
        return fault
    return json_response(_world(request).faults.add(fault).model_dump(mode="json"), status=201)


@router.delete("/faults")
async def clear_faults(request: Request) -> Response:
    """Forget all faults."""
    _world(request).faults.clear()
    return empty_response(204)


@router.delete("/faults/{fault_id}")
async def remove_fault(request: Request, fault_id: int) -> Response:
    """Forget one fault."""
    found = _world(request).faults.remove(fault_id)
    return empty_response(204 if found else 404)


@router.get("/allocations")
async def list_allocations(request: Request) -> Response:
    """The scripts that wait for resizes."""
    scripts: list[JsonValue] = [*_world(request).batch.allocation_scripts()]
    return json_response(scripts)


@router.post("/allocations")
async def script_allocation(request: Request) -> Response:
    """Script how the next allocations of pools go; the Batch part defines the body."""
    try:
        scripted = _world(request).batch.script_allocation(await read_object(request))
    except ValidationError as error:
        return _refused(error)
    return json_response(scripted, status=201)


@router.delete("/allocations")
async def clear_allocations(request: Request) -> Response:
    """Forget the scripts that wait for resizes; what has begun goes on as it was scripted."""
    _world(request).batch.clear_allocation_scripts()
    return empty_response(204)


@router.get("/commands")
async def list_commands(request: Request) -> Response:
    """The scripts that wait for commands."""
    scripts: list[JsonValue] = [*_world(request).batch.command_scripts()]
    return json_response(scripts)


@router.post("/commands")
async def script_command(request: Request) -> Response:
    """Script what the next commands on nodes come to; the Batch part defines the body."""
    try:
        scripted = _world(request).batch.script_command(await read_object(request))
    except ValidationError as error:
        return _refused(error)
    return json_response(scripted, status=201)


@router.delete("/commands")
async def clear_commands(request: Request) -> Response:
    """Forget the scripts that wait for commands; what runs already ends as it was scripted."""
    _world(request).batch.clear_command_scripts()
    return empty_response(204)


@router.get("/replications")
async def list_replications(request: Request) -> Response:
    """The scripts that wait for copies of image versions."""
    scripts: list[JsonValue] = [*_world(request).compute.versions.replication.scripts.to_json()]
    return json_response(scripts)


@router.post("/replications")
async def script_replication(request: Request) -> Response:
    """Script how the next copies of image versions into a region go."""
    script = _parse(ReplicationScript, await read_object(request))
    if isinstance(script, Response):
        return script
    _world(request).compute.versions.replication.scripts.add(script, script.count)
    return json_response({**script.to_json(), "left": script.count}, status=201)


@router.delete("/replications")
async def clear_replications(request: Request) -> Response:
    """Forget the scripts that wait for copies; what is being copied ends as it was scripted."""
    _world(request).compute.versions.replication.scripts.clear()
    return empty_response(204)


@router.get("/log")
async def get_log(request: Request) -> Response:
    """The request log as JSON lines, secrets masked."""
    return StreamingResponse(_world(request).traffic.lines(), media_type="application/x-ndjson")


@router.delete("/log")
async def clear_log(request: Request) -> Response:
    """Forget the log."""
    _world(request).traffic.clear()
    return empty_response(204)


@router.get("/counters")
async def get_counters(request: Request) -> Response:
    """Calls by method and route template."""
    return json_response(_world(request).traffic.counters())


@router.delete("/counters")
async def clear_counters(request: Request) -> Response:
    """Set all counters to zero."""
    _world(request).traffic.clear_counters()
    return empty_response(204)


def _clock(world: World) -> JsonObject:
    return {"now": timestamp(world.clock.now()), "speed": world.clock.speed}


def _parse(model: type[ModelT], body: JsonObject) -> ModelT | Response:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        return _refused(error)


def _refused(error: ValidationError) -> Response:
    """422 with every problem of the body."""
    problems: JsonValue = json.loads(error.json(include_url=False, include_input=False, include_context=False))
    return json_response({"errors": problems}, status=422)
