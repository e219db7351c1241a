"""The app behind the page: who asks, what they may see, and the files of the page.

It only reads: there is no route but GET. The page itself holds no data, so that it may be the same for everybody.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import FileResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from golden_pools.ui import pages
from golden_pools.ui.access import Viewer

STATIC = Path(__file__).with_name("static")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""Of every answer: nothing but the page's own files runs there, and only Airflow itself may frame it. ``no-cache``
lets a browser keep files, but asks each time whether they have changed."""

app = FastAPI(title="Golden pools", docs_url=None, redoc_url=None, openapi_url=None)


@app.middleware("http")
async def _guarded(request: Request, call_next: RequestResponseEndpoint) -> Response:
    answer = await call_next(request)
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


@app.exception_handler(AnyHTTPException)
async def _refused(request: Request, error: AnyHTTPException) -> Response:
    """Send who opens the page without a login to Airflow's login, and back; answer everything else as JSON."""
    root = request.scope.get("app_root_path", "")
    if error.status_code == 401 and request.url.path.endswith(PAGE):
        there = urlencode({"next": str(request.url)})
        return RedirectResponse(f"{root}/api/v2/auth/login?{there}")
    return await http_exception_handler(request, error)


PAGE = "/page"


@app.get(PAGE, dependencies=[Depends(get_user)])
def page() -> FileResponse:
    """The page without data."""
    return FileResponse(STATIC / "page.html")


@app.get("/api/overview")
def overview(user: Viewer) -> Response:
    """All pools that the viewer may see, those that need a person first."""
    return _json(pages.overview(user))


@app.get("/api/pools/{pool}")
def pool(pool: str, user: Viewer) -> Response:
    """One pool: its newest run, earlier ones, and the line of its image."""
    return _json(pages.pool_page(user, pool))


@app.get("/api/pools/{pool}/runs/{run_id}")
def run(pool: str, run_id: str, user: Viewer) -> Response:
    """One run of a pool."""
    return _json(pages.run_page(user, pool, run_id))


def _json(found: dict[str, Any] | None) -> Response:
    """Return a page as JSON; what is not there and what the viewer may not see are the same answer."""
    if found is None:
        raise HTTPException(404, "There is no such pool or run, or you may not read its DAG.")
    text = json.dumps(found, default=_iso, separators=(",", ":"))
    return Response(text, media_type="application/json", headers={"Cache-Control": "no-store"})


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")


app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
