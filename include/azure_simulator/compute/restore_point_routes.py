"""Routes of restore point collections, restore points and disk restore points."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.compute.answers import api_version, deleted, listed, paged, query, world_of, written
from include.azure_simulator.compute.restore_point_writes import RestorePoints
from include.azure_simulator.compute.restore_points import CollectionBody, RestorePointBody, RestorePointCollection
from include.azure_simulator.compute.store import TagsBody, compute_id
from include.azure_simulator.resources import JsonObject, ResourceId
from include.azure_simulator.wire import CaseInsensitiveRoute, json_response, parse_body, read_object

router = APIRouter(route_class=CaseInsensitiveRoute)

_SUBSCRIPTION = "/subscriptions/{subscription}/providers/Microsoft.Compute"
_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute"
_COLLECTION = f"{_GROUP}/restorePointCollections/{{name}}"
_POINT = f"{_COLLECTION}/restorePoints/{{point}}"


@router.get(f"{_SUBSCRIPTION}/restorePointCollections")
@router.get(f"{_GROUP}/restorePointCollections")
async def list_collections(request: Request, subscription: str, group: str | None = None) -> Response:
    """The collections of a subscription or a resource group."""
    collections = _scope(request, subscription, group).collections.within(subscription, group)
    size = world_of(request).settings.compute.list_page_size
    return paged(request, collections, RestorePointCollection.render, size)


@router.get(_COLLECTION)
async def get_collection(request: Request, subscription: str, group: str, name: str) -> Response:
    """One collection, with its restore points when asked for."""
    found = _scope(request, subscription, group)
    collection = found.collections.require(_collection_id(subscription, group, name))
    return json_response(_with_points(request, found, collection))


@router.put(_COLLECTION)
async def put_collection(request: Request, subscription: str, group: str, name: str) -> Response:
    """Make a collection. This is no long-running operation."""
    body = parse_body(CollectionBody, await read_object(request))
    points = _scope(request, subscription, group)
    outcome = points.put_collection(_collection_id(subscription, group, name), body)
    return json_response(outcome.resource.render(), status=201 if outcome.created else 200)


@router.patch(_COLLECTION)
async def patch_collection(request: Request, subscription: str, group: str, name: str) -> Response:
    """Change the tags of a collection."""
    body = parse_body(TagsBody, await read_object(request))
    collections = _scope(request, subscription, group).collections
    return json_response(collections.patch_tags(_collection_id(subscription, group, name), body).render())


@router.delete(_COLLECTION)
async def delete_collection(request: Request, subscription: str, group: str, name: str) -> Response:
    """Delete a collection with its restore points."""
    points = _scope(request, subscription, group)
    return deleted(request, points.delete_collection(_collection_id(subscription, group, name)))


@router.get(_POINT)
async def get_point(request: Request, subscription: str, group: str, name: str, point: str) -> Response:
    """One restore point, with its instance view when asked for."""
    found = _scope(request, subscription, group).points.require(_point_id(subscription, group, name, point))
    return json_response(found.render(instance_view=(query(request, "$expand") or "").lower() == "instanceview"))


@router.put(_POINT)
async def put_point(request: Request, subscription: str, group: str, name: str, point: str) -> Response:
    """Take a restore point. SDKs accept 201 only."""
    body = parse_body(RestorePointBody, await read_object(request))
    points = _scope(request, subscription, group)
    rid = _point_id(subscription, group, name, point)
    outcome = points.put(rid, body, api_version=api_version(request))
    return written(request, outcome.resource.render, outcome.operation, status=201)


@router.delete(_POINT)
async def delete_point(request: Request, subscription: str, group: str, name: str, point: str) -> Response:
    """Delete a restore point."""
    points = _scope(request, subscription, group)
    return deleted(request, points.delete(_point_id(subscription, group, name, point)))


@router.get(f"{_POINT}/diskRestorePoints")
async def list_disk_points(request: Request, subscription: str, group: str, name: str, point: str) -> Response:
    """The disks in a restore point."""
    found = _scope(request, subscription, group)
    parent = found.points.require(_point_id(subscription, group, name, point))
    return listed([disk.render() for disk in found.disk_points.children(parent.rid)])


@router.get(f"{_POINT}/diskRestorePoints/{{disk}}")
async def get_disk_point(request: Request, subscription: str, group: str, name: str, point: str, disk: str) -> Response:
    """One disk in a restore point."""
    rid = _point_id(subscription, group, name, point).child("diskRestorePoints", disk)
    return json_response(_scope(request, subscription, group).disk_points.require(rid).render())


def _scope(request: Request, subscription: str, group: str | None) -> RestorePoints:
    """The restore points, when the subscription and the resource group exist."""
    world = world_of(request)
    if group is None:
        world.require_subscription(subscription)
    else:
        world.require_group(subscription, group)
    return world.compute.restore_points


def _with_points(request: Request, found: RestorePoints, collection: RestorePointCollection) -> JsonObject:
    if (query(request, "$expand") or "").lower() != "restorepoints":
        return collection.render()
    return collection.render([point.render() for point in found.points.children(collection.rid)])


def _collection_id(subscription: str, group: str, name: str) -> ResourceId:
    return compute_id(subscription, group, "restorePointCollections", name)


def _point_id(subscription: str, group: str, name: str, point: str) -> ResourceId:
    return _collection_id(subscription, group, name).child("restorePoints", point)
