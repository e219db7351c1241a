"""Routes of galleries, image definitions and image versions."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.compute.answers import api_version, deleted, paged, query, world_of, written
from include.azure_simulator.compute.definitions import DefinitionBody, GalleryBody
from include.azure_simulator.compute.galleries import Gallery, ImageDefinition, ImageVersion
from include.azure_simulator.compute.store import TagsBody, compute_id
from include.azure_simulator.compute.versions import VersionBody
from include.azure_simulator.resources import ResourceId
from include.azure_simulator.wire import CaseInsensitiveRoute, json_response, parse_body, read_object

router = APIRouter(route_class=CaseInsensitiveRoute)

_SUBSCRIPTION = "/subscriptions/{subscription}/providers/Microsoft.Compute"
_GALLERIES = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries"
_GALLERY = f"{_GALLERIES}/{{gallery}}"
_DEFINITIONS = f"{_GALLERY}/images"
_DEFINITION = f"{_DEFINITIONS}/{{definition}}"
_VERSIONS = f"{_DEFINITION}/versions"
_VERSION = f"{_VERSIONS}/{{version}}"


def _gallery_id(request: Request) -> ResourceId:
    path = request.path_params
    return compute_id(path["subscription"], path["group"], "galleries", path["gallery"])


def _definition_id(request: Request) -> ResourceId:
    return _gallery_id(request).child("images", request.path_params["definition"])


def _version_id(request: Request) -> ResourceId:
    return _definition_id(request).child("versions", request.path_params["version"])


def _with_replication(request: Request) -> bool:
    return (query(request, "$expand") or "").lower() == "replicationstatus"


@router.get(f"{_SUBSCRIPTION}/galleries")
@router.get(_GALLERIES)
async def list_galleries(request: Request, subscription: str, group: str | None = None) -> Response:
    """The galleries of a subscription or a resource group."""
    world = world_of(request)
    if group is None:
        world.require_subscription(subscription)
    else:
        world.require_group(subscription, group)
    galleries = world.compute.galleries.within(subscription, group)
    return paged(request, galleries, Gallery.render, world.settings.compute.gallery_page_size)


@router.get(_GALLERY)
async def get_gallery(request: Request, subscription: str, group: str) -> Response:
    """One gallery."""
    world = world_of(request)
    world.require_group(subscription, group)
    return json_response(world.compute.galleries.require(_gallery_id(request)).render())


@router.put(_GALLERY)
async def put_gallery(request: Request) -> Response:
    """Create or update a gallery."""
    body = parse_body(GalleryBody, await read_object(request))
    outcome = world_of(request).compute.galleries.put(_gallery_id(request), body)
    return written(request, outcome.resource.render, outcome.operation, status=201 if outcome.created else 200)


@router.patch(_GALLERY)
async def patch_gallery(request: Request) -> Response:
    """Change the tags of a gallery."""
    body = parse_body(TagsBody, await read_object(request))
    return json_response(world_of(request).compute.galleries.patch_tags(_gallery_id(request), body).render())


@router.delete(_GALLERY)
async def delete_gallery(request: Request) -> Response:
    """Delete a gallery."""
    return deleted(request, world_of(request).compute.galleries.delete(_gallery_id(request)))


@router.get(_DEFINITIONS)
async def list_definitions(request: Request, subscription: str, group: str) -> Response:
    """The definitions of a gallery."""
    world = world_of(request)
    world.require_group(subscription, group)
    gallery = world.compute.galleries.require(_gallery_id(request))
    definitions = world.compute.definitions.children(gallery.rid)
    return paged(request, definitions, ImageDefinition.render, world.settings.compute.gallery_page_size)


@router.get(_DEFINITION)
async def get_definition(request: Request, subscription: str, group: str) -> Response:
    """One definition."""
    world = world_of(request)
    world.require_group(subscription, group)
    return json_response(world.compute.definitions.require(_definition_id(request)).render())


@router.put(_DEFINITION)
async def put_definition(request: Request) -> Response:
    """Create or update a definition; its defaults depend on the api-version."""
    body = parse_body(DefinitionBody, await read_object(request))
    definitions = world_of(request).compute.definitions
    outcome = definitions.put(_definition_id(request), body, api_version=api_version(request))
    return written(request, outcome.resource.render, outcome.operation, status=201 if outcome.created else 200)


@router.patch(_DEFINITION)
async def patch_definition(request: Request) -> Response:
    """Change the tags of a definition."""
    body = parse_body(TagsBody, await read_object(request))
    return json_response(world_of(request).compute.definitions.patch_tags(_definition_id(request), body).render())


@router.delete(_DEFINITION)
async def delete_definition(request: Request) -> Response:
    """Delete a definition."""
    return deleted(request, world_of(request).compute.definitions.delete(_definition_id(request)))


@router.get(_VERSIONS)
async def list_versions(request: Request, subscription: str, group: str) -> Response:
    """The versions of a definition."""
    world = world_of(request)
    world.require_group(subscription, group)
    definition = world.compute.definitions.require(_definition_id(request))
    versions = world.compute.versions.children(definition.rid)
    return paged(request, versions, ImageVersion.render, world.settings.compute.gallery_page_size)


@router.get(_VERSION)
async def get_version(request: Request, subscription: str, group: str) -> Response:
    """One version, with its replication status when asked for."""
    world = world_of(request)
    world.require_group(subscription, group)
    version = world.compute.versions.require(_version_id(request))
    shown = world.settings.compute.region_states_while_creating
    return json_response(version.render(with_replication_status=_with_replication(request), regions_shown=shown))


@router.put(_VERSION)
async def put_version(request: Request) -> Response:
    """Create or update a version."""
    body = parse_body(VersionBody, await read_object(request))
    versions = world_of(request).compute.versions
    outcome = versions.put(_version_id(request), body, api_version=api_version(request))
    status = 201 if outcome.created else 200
    return written(request, outcome.resource.render, outcome.operation, status=status)


@router.patch(_VERSION)
async def patch_version(request: Request) -> Response:
    """Change tags, publishing profile or safety profile of a version."""
    body = parse_body(TagsBody, await read_object(request))
    versions = world_of(request).compute.versions
    outcome = versions.patch(_version_id(request), body, api_version=api_version(request))
    return written(request, outcome.resource.render, outcome.operation, status=200)


@router.delete(_VERSION)
async def delete_version(request: Request) -> Response:
    """Delete a version."""
    return deleted(request, world_of(request).compute.versions.delete(_version_id(request)))
