"""Items: open to every signed-in user, written by their owners."""

from typing import Any

from quart import Blueprint, g
from quart.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app import schemas
from app.auth import lock_caller, token_required
from app.conditional import answer, check_preconditions
from app.database import begin_writing
from app.errors import Problem, not_found
from app.models import Item, ItemTag, utc_now
from app.outbox import Change, commit
from app.pages import page
from app.preconditions import etag
from app.sessions import db
from app.validation import MERGE_PATCH, read_body, read_query

bp = Blueprint("items", __name__, url_prefix="/items")


@bp.post("")
@token_required
async def create_item() -> ResponseReturnValue:
    """Create an item of the caller's."""
    body = await read_body(schemas.ItemCreate)
    await begin_writing(db.session)
    owner, now = await lock_caller(), utc_now()
    item = Item(owner_id=owner.id, **body.model_dump(), created_at=now, updated_at=now)
    db.session.add(item)
    await db.session.flush()
    data = _dump(item)
    headers = {"Location": f"/items/{item.id}", "ETag": etag(item.id, item.version)}
    await commit([Change("item.created", item.id, data)])
    return data, 201, headers


@bp.get("")
@token_required
async def list_items() -> ResponseReturnValue:
    """List the items that pass the filters."""
    query = read_query(schemas.ItemQuery)
    items = select(Item)
    if query.owner_id is not None:
        items = items.where(Item.owner_id == query.owner_id)
    if query.status is not None:
        items = items.where(Item.status == query.status)
    if query.tag is not None:
        items = items.join(Item.tag_rows).where(ItemTag.tag == query.tag)
    return await page(items, Item, schemas.Item, query)


@bp.get("/<id:item_id>")
@token_required
async def get_item(item_id: int) -> ResponseReturnValue:
    """Return an item."""
    item = await get_item_or_404(item_id)
    return answer(_dump(item), item.version)


@bp.put("/<id:item_id>")
@token_required
async def replace_item(item_id: int) -> ResponseReturnValue:
    """Replace an item's state; what is left out returns to its default."""
    await get_item_or_404(item_id, check_owner=True)
    body = await read_body(schemas.ItemCreate)
    return await _change_item(item_id, body.model_dump())


@bp.patch("/<id:item_id>")
@token_required
async def update_item(item_id: int) -> ResponseReturnValue:
    """Change some of an item's members."""
    await get_item_or_404(item_id, check_owner=True)
    body = await read_body(schemas.ItemPatch, MERGE_PATCH)
    return await _change_item(item_id, body.changes())


@bp.delete("/<id:item_id>")
@token_required
async def delete_item(item_id: int) -> ResponseReturnValue:
    """Delete an item."""
    await get_item_or_404(item_id, check_owner=True)
    item = await _lock_item(item_id)
    check_preconditions(item)
    await db.session.delete(item)
    await commit([Change("item.deleted", item_id)])
    return "", 204


async def get_item_or_404(
    item_id: int, *, check_owner: bool = False, for_update: bool = False
) -> Item:
    """Return an item; with `check_owner` only to its owner, before they write."""
    item = await db.session.get(
        Item,
        item_id,
        # A join would show the tags as they were before the lock was waited for.
        options=[selectinload(Item.tag_rows)] if for_update else [],
        with_for_update=for_update or None,
        populate_existing=for_update,
    )
    if item is None:
        raise not_found()
    if check_owner and item.owner_id != g.user_id:
        raise Problem("forbidden")
    return item


async def _lock_item(item_id: int) -> Item:
    await begin_writing(db.session)
    await lock_caller()
    return await get_item_or_404(item_id, for_update=True)


async def _change_item(item_id: int, changes: dict[str, Any]) -> ResponseReturnValue:
    item = await _lock_item(item_id)
    check_preconditions(item)
    for name, value in changes.items():
        setattr(item, name, value)
    item.version += 1
    item.updated_at = max(utc_now(), item.updated_at)
    await db.session.flush()
    data, version = _dump(item), item.version
    await commit([Change("item.updated", item_id, data)])
    return answer(data, version)


def _dump(item: Item) -> dict[str, Any]:
    return schemas.Item.model_validate(item).model_dump(mode="json")
