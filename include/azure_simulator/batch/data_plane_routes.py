"""Routes of the Batch data plane: pools, nodes, node counts, supported images; jobs stand in their own modules."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.batch import job_routes, pool_writes, schedule_routes
from include.azure_simulator.batch.errors import BatchServiceError, invalid_body, missing_property, not_found
from include.azure_simulator.batch.files import find_file, node_files
from include.azure_simulator.batch.http import (
    DataPlaneRoute,
    account_of,
    account_url,
    body_of,
    check_conditions,
    data_plane_json,
    data_plane_list,
    etag_headers,
    now_of,
    selected,
    signed_with_shared_key,
    version_of,
    written,
)
from include.azure_simulator.batch.node_writes import disable_scheduling, enable_scheduling, reboot
from include.azure_simulator.batch.nodes import Node
from include.azure_simulator.batch.older_versions import NEWEST_API
from include.azure_simulator.batch.planes import pool_properties_to_arm
from include.azure_simulator.batch.pools import Pool
from include.azure_simulator.batch.views import auto_scale_run, data_plane_node, data_plane_pool, node_counts
from include.azure_simulator.resources import JsonObject, timestamp

_plane = APIRouter(route_class=DataPlaneRoute)


@_plane.get("/pools")
async def list_pools(request: Request) -> Response:
    """The pools of the account."""
    now, base = now_of(request), account_url(request)
    pools = [data_plane_pool(pool, now, base, version_of(request)) for pool in account_of(request).pools.values()]
    return data_plane_list(request, pools, "pools", order_by="id")


@_plane.post("/pools")
async def create_pool(request: Request) -> Response:
    """Make a pool; its first resize begins."""
    account = account_of(request)
    body = await body_of(request)
    name = body.pop("id", None)
    if not isinstance(name, str):
        raise missing_property("id")
    pool = pool_writes.create_pool(
        account,
        name,
        pool_properties_to_arm(body, str(account.id)),
        now_of(request),
        version=version_of(request),
        shared_key=signed_with_shared_key(request),
    )
    return _written(request, pool, 201)


@_plane.get("/pools/{pool_id}")
async def get_pool(request: Request) -> Response:
    """A pool."""
    pool = _pool(request)
    check_conditions(request, pool.etag)
    body = selected(request, data_plane_pool(pool, now_of(request), account_url(request), version_of(request)))
    return data_plane_json(request, body, "pools/@Element", etag_headers(pool.etag, pool.modified))


@_plane.head("/pools/{pool_id}")
async def pool_exists(request: Request) -> Response:
    """Whether there is a pool."""
    pool = account_of(request).pools.get(request.path_params["pool_id"].lower())
    if pool is None:
        return Response(status_code=404)
    return Response(status_code=200, headers=etag_headers(pool.etag, pool.modified))


@_plane.patch("/pools/{pool_id}")
async def patch_pool(request: Request) -> Response:
    """Change what the body names; the size is changed by a resize only."""
    account, pool = account_of(request), _pool(request)
    check_conditions(request, pool.etag)
    body = await body_of(request)
    change = pool_properties_to_arm(body, str(account.id))
    if "scaleSettings" in change:
        raise invalid_body("The scale of a pool is changed by resize, enableautoscale and disableautoscale.")
    pool_writes.patch_pool(
        account,
        pool,
        change,
        now_of(request),
        version=version_of(request),
        shared_key=signed_with_shared_key(request),
    )
    return _written(request, pool, 200)


@_plane.post("/pools/{pool_id}/updateproperties")
async def replace_pool_properties(request: Request) -> Response:
    """Replace start task, packages and metadata; what is left out is taken away."""
    account, pool = account_of(request), _pool(request)
    body = await body_of(request)
    version = version_of(request)
    for name in ("applicationPackageReferences", "metadata"):
        if name not in body:
            raise missing_property(name)
    allowed = {"startTask", "applicationPackageReferences", "metadata"}
    if version < NEWEST_API:
        allowed |= {"certificateReferences", "targetNodeCommunicationMode"}
    if unknown := set(body) - allowed:
        raise invalid_body(f"The property '{min(unknown)}' does not exist.")
    change = pool_properties_to_arm(body, str(account.id))
    change.setdefault("startTask", {})
    pool_writes.patch_pool(account, pool, change, now_of(request), version=version)
    return _written(request, pool, 204)


@_plane.delete("/pools/{pool_id}")
async def delete_pool(request: Request) -> Response:
    """Begin to delete a pool."""
    pool = _pool(request)
    check_conditions(request, pool.etag)
    pool_writes.delete_pool(account_of(request), pool, now_of(request))
    return Response(status_code=202)


@_plane.post("/pools/{pool_id}/resize")
async def resize_pool(request: Request) -> Response:
    """Begin a resize."""
    pool = _pool(request)
    check_conditions(request, pool.etag)
    pool_writes.resize_pool(account_of(request), pool, await body_of(request), now_of(request))
    return _written(request, pool, 202)


@_plane.post("/pools/{pool_id}/stopresize")
async def stop_resize(request: Request) -> Response:
    """Stop a resize."""
    pool = _pool(request)
    check_conditions(request, pool.etag)
    pool_writes.stop_resize(account_of(request), pool, now_of(request))
    return _written(request, pool, 202)


@_plane.post("/pools/{pool_id}/removenodes")
async def remove_nodes(request: Request) -> Response:
    """Take named nodes out."""
    pool = _pool(request)
    check_conditions(request, pool.etag)
    pool_writes.remove_nodes(account_of(request), pool, await body_of(request), now_of(request))
    return _written(request, pool, 202)


@_plane.post("/pools/{pool_id}/enableautoscale")
async def enable_auto_scale(request: Request) -> Response:
    """Let a formula set the size."""
    pool = _pool(request)
    check_conditions(request, pool.etag)
    pool_writes.enable_auto_scale(account_of(request), pool, await body_of(request), now_of(request))
    return _written(request, pool, 200)


@_plane.post("/pools/{pool_id}/disableautoscale")
async def disable_auto_scale(request: Request) -> Response:
    """Keep the size."""
    pool = _pool(request)
    pool_writes.disable_auto_scale(account_of(request), pool, now_of(request))
    return _written(request, pool, 200)


@_plane.post("/pools/{pool_id}/evaluateautoscale")
async def evaluate_auto_scale(request: Request) -> Response:
    """What a formula would ask for; autoscale has to be on."""
    account, pool = account_of(request), _pool(request)
    if pool.spec.scale_settings.auto_scale is None:
        raise BatchServiceError(409, "AutoScalingNotEnabled", "Autoscale is not enabled for the specified pool.")
    formula = (await body_of(request)).get("autoScaleFormula")
    if not isinstance(formula, str):
        raise missing_property("autoScaleFormula")
    run = auto_scale_run(account.evaluate_formula(pool, formula, now_of(request)))
    return data_plane_json(request, run, "Microsoft.Azure.Batch.Protocol.Entities.AutoScaleRun")


@_plane.get("/pools/{pool_id}/nodes")
async def list_nodes(request: Request) -> Response:
    """The nodes of a pool."""
    pool = _pool(request)
    return data_plane_list(request, [_node_body(request, pool, node) for node in pool.nodes], "nodes")


@_plane.get("/pools/{pool_id}/nodes/{node_id}")
async def get_node(request: Request) -> Response:
    """A node."""
    pool, node = _pool_and_node(request)
    return data_plane_json(request, selected(request, _node_body(request, pool, node)), "nodes/@Element")


@_plane.post("/pools/{pool_id}/nodes/{node_id}/reboot")
async def reboot_node(request: Request) -> Response:
    """Reboot a node."""
    pool, node = _pool_and_node(request)
    reboot(pool, node, await body_of(request), now_of(request), account_of(request).settings)
    return _node_written(request, pool, node, 202)


@_plane.post("/pools/{pool_id}/nodes/{node_id}/disablescheduling")
async def disable_node_scheduling(request: Request) -> Response:
    """Give a node no more tasks."""
    pool, node = _pool_and_node(request)
    disable_scheduling(node, await body_of(request), now_of(request))
    return _node_written(request, pool, node, 200)


@_plane.post("/pools/{pool_id}/nodes/{node_id}/enablescheduling")
async def enable_node_scheduling(request: Request) -> Response:
    """Give a node tasks again."""
    pool, node = _pool_and_node(request)
    enable_scheduling(node, now_of(request))
    return _node_written(request, pool, node, 200)


@_plane.get("/pools/{pool_id}/nodes/{node_id}/remoteloginsettings")
async def remote_login_settings(request: Request) -> Response:
    """Where a user could sign in to a node."""
    _, node = _pool_and_node(request)
    address = f"20.{node.index // 65536 % 256}.{node.index // 256 % 256}.{node.index % 256}"
    body: JsonObject = {"remoteLoginIPAddress": address, "remoteLoginPort": 50000}
    return data_plane_json(request, body, "Microsoft.Azure.Batch.Protocol.Entities.ComputeNodeRemoteLoginSettings")


@_plane.get("/pools/{pool_id}/nodes/{node_id}/files")
async def list_node_files(request: Request) -> Response:
    """The files of the start task."""
    pool, node = _pool_and_node(request)
    url = f"{account_url(request)}/pools/{pool.name}/nodes/{node.id}/files"
    return data_plane_list(
        request, [file.listed(url, version_of(request)) for file in node_files(node, now_of(request))], "files"
    )


@_plane.api_route("/pools/{pool_id}/nodes/{node_id}/files/{path:path}", methods=["GET", "HEAD"])
async def node_file(request: Request, path: str) -> Response:
    """One file of a node."""
    _, node = _pool_and_node(request)
    return find_file(node_files(node, now_of(request)), path).answer(request)


@_plane.get("/nodecounts")
async def list_node_counts(request: Request) -> Response:
    """The numbers of nodes by state, for every pool."""
    now = now_of(request)
    counts = [node_counts(pool, now, version_of(request)) for pool in account_of(request).pools.values()]
    return data_plane_list(request, counts, "poolnodecounts")


@_plane.get("/supportedimages")
async def list_supported_images(request: Request) -> Response:
    """The marketplace images that Batch supports, with their node agents."""
    images: list[JsonObject] = []
    for image in account_of(request).supported_images:
        entry: JsonObject = {
            "nodeAgentSKUId": image.node_agent_sku_id,
            "imageReference": {
                "publisher": image.publisher,
                "offer": image.offer,
                "sku": image.sku,
                "version": "latest",
            },
            "osType": image.os_type,
            "capabilities": list(image.capabilities),
            "verificationType": image.verification_type,
        }
        if image.batch_support_end_of_life is not None:
            entry["batchSupportEndOfLife"] = timestamp(image.batch_support_end_of_life)
        images.append(entry)
    return data_plane_list(request, images, "supportedimages")


def _pool(request: Request) -> Pool:
    return account_of(request).pool(request.path_params["pool_id"])


def _pool_and_node(request: Request) -> tuple[Pool, Node]:
    pool = _pool(request)
    if (node := pool.find_node(request.path_params["node_id"])) is None:
        raise not_found("Node")
    return pool, node


def _node_body(request: Request, pool: Pool, node: Node) -> JsonObject:
    return data_plane_node(node, pool, now_of(request), account_url(request), version_of(request))


def _written(request: Request, pool: Pool, status: int) -> Response:
    return written(request, status, f"pools/{pool.name}", pool.etag, pool.modified)


def _node_written(request: Request, pool: Pool, node: Node, status: int) -> Response:
    return written(request, status, f"pools/{pool.name}/nodes/{node.id}", pool.etag, pool.modified)


def _both_roots() -> APIRouter:
    """The first account answers at the root, every account below ``/accounts``."""
    both = APIRouter()
    for part in (_plane, job_routes.plane, schedule_routes.plane):
        both.include_router(part)
        both.include_router(part, prefix="/accounts/{account_name}")
    return both


router = _both_roots()
