"""The HTTP application: both planes, login and control on one port."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from include.azure_simulator import control, identity, subscriptions
from include.azure_simulator.batch import arm_routes, data_plane_routes
from include.azure_simulator.compute import gallery_routes, operation_routes, restore_point_routes, routes
from include.azure_simulator.errors import ArmError, SimulatedError
from include.azure_simulator.middleware import ArmGate, Exchanges, ScriptedFaults
from include.azure_simulator.network import routes as network_routes
from include.azure_simulator.rendering import no_route, render_error
from include.azure_simulator.storage import routes as storage_routes
from include.azure_simulator.world import World


def build_app(world: World) -> FastAPI:
    """The application that serves ``world``.

    A call goes through log, faults, throttling and ARM authentication before its route. The Batch data plane
    authenticates its calls itself.
    """
    app = FastAPI(title="Azure simulator", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.world = world
    for part in (
        control,
        identity,
        subscriptions,
        network_routes,
        routes,
        restore_point_routes,
        gallery_routes,
        operation_routes,
        storage_routes,
        arm_routes,
        data_plane_routes,
    ):
        app.include_router(part.router)
    app.add_middleware(ArmGate, world=world)
    app.add_middleware(ScriptedFaults, world=world)
    app.add_middleware(Exchanges, fastapi_app=app, world=world)
    app.add_exception_handler(SimulatedError, _refused)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _broken)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, SimulatedError)
    return render_error(request, error)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return render_error(request, no_route(request, error.status_code))


async def _broken(request: Request, error: Exception) -> Response:
    """A defect of the simulator itself; the traceback goes to its standard error."""
    message = f"The simulator failed with {type(error).__name__}."
    return render_error(request, ArmError(500, "InternalServerError", message))
