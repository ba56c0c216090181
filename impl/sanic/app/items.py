"""Items, which every user may read and only the owner may write."""

from typing import Any

from sanic import Blueprint, HTTPResponse, empty, json
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app import schemas
from app.auth import lock_caller, token_required
from app.conditional import answer, check_preconditions
from app.context import Request
from app.database import begin_writing
from app.errors import Problem
from app.models import Item, ItemTag, utc_now
from app.outbox import Change, commit
from app.pages import page
from app.preconditions import etag
from app.validation import MERGE_PATCH, read_body, read_query

bp = Blueprint("items", url_prefix="/items")


@bp.post("")
@token_required
async def create_item(request: Request) -> HTTPResponse:
    """Make an item of one's own."""
    item_in, session = read_body(request, schemas.ItemCreate), request.ctx.session
    await begin_writing(session)
    owner, now = await lock_caller(request), utc_now()
    item = Item(owner_id=owner.id, created_at=now, updated_at=now, **item_in.model_dump())
    session.add(item)
    await session.flush()
    created = dump(item)
    await commit(request, Change("item.created", item.id, created))
    headers = {"Location": f"/items/{item.id}", "ETag": etag(item.id, item.version)}
    return json(created, 201, headers)


@bp.get("")
@token_required
async def list_items(request: Request) -> HTTPResponse:
    """List items, a page at a time."""
    query, rows = read_query(request, schemas.ItemQuery), select(Item)
    if query.owner_id is not None:
        rows = rows.where(Item.owner_id == query.owner_id)
    if query.status is not None:
        rows = rows.where(Item.status == query.status)
    if query.tag is not None:
        rows = rows.join(Item.tag_rows).where(ItemTag.tag == query.tag)
    return await page(request, rows, schemas.Item, query)


@bp.get("/<item_id:id>")
@token_required
async def get_item(request: Request, item_id: int) -> HTTPResponse:
    """Read an item."""
    item = await get_item_or_404(request, item_id)
    return answer(request, dump(item), item.version)


@bp.put("/<item_id:id>")
@token_required
async def replace_item(request: Request, item_id: int) -> HTTPResponse:
    """Replace an item; what is left out returns to its default."""
    await get_item_or_404(request, item_id, check_owner=True)
    item_in = read_body(request, schemas.ItemCreate)
    return await change_item(request, item_id, item_in.model_dump())


@bp.patch("/<item_id:id>")
@token_required
async def update_item(request: Request, item_id: int) -> HTTPResponse:
    """Change some of an item."""
    await get_item_or_404(request, item_id, check_owner=True)
    item_in = read_body(request, schemas.ItemPatch, MERGE_PATCH)
    return await change_item(request, item_id, item_in.changes())


@bp.delete("/<item_id:id>")
@token_required
async def delete_item(request: Request, item_id: int) -> HTTPResponse:
    """Delete an item."""
    await get_item_or_404(request, item_id, check_owner=True)
    item = await lock_item(request, item_id)
    check_preconditions(request, item)
    await request.ctx.session.delete(item)
    await commit(request, Change("item.deleted", item_id))
    return empty()


async def get_item_or_404(request: Request, item_id: int, *, check_owner: bool = False) -> Item:
    """Return an item; with `check_owner` only to its owner, before they write."""
    item = await request.ctx.session.get(Item, item_id)
    if item is None:
        raise Problem("not-found")
    if check_owner and item.owner_id != request.ctx.user_id:
        raise Problem("forbidden")
    return item


async def lock_item(request: Request, item_id: int) -> Item:
    """Begin to write, and keep the caller's item; raise 401 or 404 for what is gone meanwhile."""
    session = request.ctx.session
    await begin_writing(session)
    await lock_caller(request)
    item = await session.get(
        Item,
        item_id,
        # A join would show the tags as they were before the lock was waited for.
        options=[selectinload(Item.tag_rows)],
        with_for_update=True,
        populate_existing=True,
    )
    if item is None:
        raise Problem("not-found")
    return item


async def change_item(request: Request, item_id: int, changes: dict[str, Any]) -> HTTPResponse:
    """Make the changes, in a new version of the item."""
    item = await lock_item(request, item_id)
    check_preconditions(request, item)
    for name, value in changes.items():
        setattr(item, name, value)
    item.version += 1
    item.updated_at = max(utc_now(), item.updated_at)
    await request.ctx.session.flush()
    changed = dump(item)
    await commit(request, Change("item.updated", item.id, changed))
    return answer(request, changed, item.version)


def dump(item: Item) -> dict[str, Any]:
    """Return an item as it is on the wire."""
    return schemas.Item.model_validate(item).model_dump(mode="json")
