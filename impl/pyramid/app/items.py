"""Items: open to every signed-in user, written by their owners."""

from typing import Any

from pyramid.authorization import Allow, Authenticated
from pyramid.decorator import reify
from pyramid.httpexceptions import HTTPNoContent, HTTPNotFound
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app import schemas
from app.conditional import answer, check_preconditions
from app.database import begin_writing
from app.models import Item, ItemTag, utc_now
from app.outbox import Change, record
from app.pages import page
from app.preconditions import etag
from app.security import lock_caller
from app.validation import MERGE_PATCH, read_body, read_query


class ItemContext:
    """The item of a path: open to whoever is signed in, written by its owner."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __acl__(self) -> list[tuple[str, str, str]]:
        """Return who may do what; raise 404 when there is no such item."""
        return [(Allow, Authenticated, "read"), (Allow, f"u:{self.item.owner_id}", "write")]

    @reify
    def item(self) -> Item:
        """Return the item as the request's reading transaction sees it."""
        return get_item_or_404(self._request)


@view_config(route_name="items", request_method="POST", permission="create", renderer="json")
def create_item(request: Request) -> schemas.Item:
    """Create an item of the caller's."""
    body = read_body(request, schemas.ItemCreate)
    session, now = begin_writing(request), utc_now()
    owner = lock_caller(request)
    item = Item(owner_id=owner.id, **body.model_dump(), created_at=now, updated_at=now)
    session.add(item)
    session.flush()
    created = schemas.Item.model_validate(item)
    record(request, Change("item.created", item.id, created))
    request.response.status_code = 201
    request.response.headers["Location"] = request.route_path("item", item_id=item.id)
    request.response.headers["ETag"] = etag(item.id, item.version)
    return created


@view_config(route_name="items", request_method="GET", permission="read", renderer="json")
def list_items(request: Request) -> dict[str, Any]:
    """List the items that pass the filters."""
    query = read_query(request, schemas.ItemQuery)
    items = select(Item)
    if query.owner_id is not None:
        items = items.where(Item.owner_id == query.owner_id)
    if query.status is not None:
        items = items.where(Item.status == query.status)
    if query.tag is not None:
        items = items.join(Item.tag_rows).where(ItemTag.tag == query.tag)
    return page(request, items, Item, schemas.Item, query)


@view_config(route_name="item", request_method="GET", permission="read", renderer="json")
def get_item(context: ItemContext, request: Request) -> Any:
    """Return an item."""
    return answer(request, context.item, schemas.Item.model_validate(context.item))


@view_config(route_name="item", request_method="PUT", permission="write", renderer="json")
def replace_item(request: Request) -> Any:
    """Replace an item's state; what is left out returns to its default."""
    return _change_item(request, read_body(request, schemas.ItemCreate).model_dump())


@view_config(route_name="item", request_method="PATCH", permission="write", renderer="json")
def update_item(request: Request) -> Any:
    """Change some of an item's members."""
    return _change_item(request, read_body(request, schemas.ItemPatch, MERGE_PATCH).changes())


@view_config(route_name="item", request_method="DELETE", permission="write")
def delete_item(request: Request) -> Response:
    """Delete an item."""
    item = _lock_item(request)
    check_preconditions(request, item)
    request.dbsession.delete(item)
    record(request, Change("item.deleted", item.id))
    return HTTPNoContent()


def get_item_or_404(request: Request, *, for_update: bool = False) -> Item:
    """Return the item of the path."""
    item: Item | None = request.dbsession.get(
        Item,
        int(request.matchdict["item_id"]),
        # A join would show the tags as they were before the lock was waited for.
        options=[selectinload(Item.tag_rows)] if for_update else [],
        with_for_update=for_update or None,
        populate_existing=for_update,
    )
    if item is None:
        raise HTTPNotFound()
    return item


def _lock_item(request: Request) -> Item:
    begin_writing(request)
    lock_caller(request)
    return get_item_or_404(request, for_update=True)


def _change_item(request: Request, changes: dict[str, Any]) -> Any:
    item = _lock_item(request)
    check_preconditions(request, item)
    for name, value in changes.items():
        setattr(item, name, value)
    item.version += 1
    item.updated_at = max(utc_now(), item.updated_at)
    request.dbsession.flush()
    changed = schemas.Item.model_validate(item)
    record(request, Change("item.updated", item.id, changed))
    return answer(request, item, changed)
