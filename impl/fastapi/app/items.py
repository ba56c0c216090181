"""Items, which every user may read and only the owner may write."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from app import schemas
from app.auth import CurrentUser, lock_caller
from app.conditional import NOT_MODIFIED, ReadConditions, WriteConditions
from app.dependencies import SessionDep
from app.errors import Problem
from app.models import Item, ItemTag, utc_now
from app.outbox import Writing
from app.pages import Page, read_page
from app.preconditions import etag
from app.routing import Router, merge_patch

router = Router(prefix="/items", tags=["items"])


async def get_item_or_404(
    item_id: Annotated[int, Path(ge=1, le=schemas.MAX_ID)],
    _caller: CurrentUser,
    session: SessionDep,
) -> Item:
    """Return the item of the path."""
    item = await session.get(Item, item_id)
    if item is None:
        raise Problem("not-found")
    return item


AnyItem = Annotated[Item, Depends(get_item_or_404)]


async def get_own_item(item: AnyItem, caller: CurrentUser) -> Item:
    """Return the item of the path; raise 403 unless it is the caller's."""
    if item.owner_id != caller.id:
        raise Problem("forbidden")
    return item


OwnItem = Annotated[Item, Depends(get_own_item)]


@router.post("", status_code=201, response_model=schemas.Item)
async def create_item(
    caller: CurrentUser,
    item_in: schemas.ItemCreate,
    writing: Writing,
    response: Response,
) -> schemas.Item:
    """Make an item of one's own."""
    owner_id, now = caller.id, utc_now()
    async with writing as session:
        await lock_caller(session, owner_id)
        item = Item(owner_id=owner_id, created_at=now, updated_at=now, **item_in.model_dump())
        session.add(item)
        await session.flush()
        created = schemas.Item.model_validate(item)
        writing.record("item.created", item.id, created)
    response.headers["Location"] = f"/items/{item.id}"
    response.headers["ETag"] = etag(item.id, item.version)
    return created


@router.get("", response_model=Page[schemas.Item])
async def list_items(
    _caller: CurrentUser,
    query: Annotated[schemas.ItemQuery, Query()],
    session: SessionDep,
    request: Request,
    response: Response,
) -> Any:
    """List items, a page at a time."""
    rows = select(Item)
    if query.owner_id is not None:
        rows = rows.where(Item.owner_id == query.owner_id)
    if query.status is not None:
        rows = rows.where(Item.status == query.status)
    if query.tag is not None:
        rows = rows.join(Item.tag_rows).where(ItemTag.tag == query.tag)
    return await read_page(session, query, rows, request, response)


@router.get("/{item_id:id}", response_model=schemas.Item, responses=NOT_MODIFIED)
async def get_item(item: AnyItem, conditions: ReadConditions) -> Any:
    """Read an item."""
    return conditions.answer(item)


@router.put("/{item_id:id}", response_model=schemas.Item)
async def replace_item(
    item: OwnItem, item_in: schemas.ItemCreate, writing: Writing, conditions: WriteConditions
) -> schemas.Item:
    """Replace an item; what is left out returns to its default."""
    return await change_item(item, item_in.model_dump(), writing, conditions)


@router.patch(
    "/{item_id:id}",
    response_model=schemas.Item,
    openapi_extra=merge_patch("ItemPatch"),
)
async def update_item(
    item: OwnItem, item_in: schemas.ItemPatch, writing: Writing, conditions: WriteConditions
) -> schemas.Item:
    """Change some of an item."""
    return await change_item(item, item_in.changes(), writing, conditions)


# Contract: FastAPI would call the empty body application/json.
@router.delete("/{item_id:id}", status_code=204, response_class=Response)
async def delete_item(item: OwnItem, writing: Writing, conditions: WriteConditions) -> None:
    """Delete an item."""
    item_id, owner_id = item.id, item.owner_id
    async with writing as session:
        item = await lock_item(session, item_id, owner_id)
        conditions.check(item)
        await session.delete(item)
        writing.record("item.deleted", item_id)


async def change_item(
    item: Item, changes: dict[str, Any], writing: Writing, conditions: WriteConditions
) -> schemas.Item:
    """Make the changes, in a new version of the item."""
    item_id, owner_id = item.id, item.owner_id
    async with writing as session:
        item = await lock_item(session, item_id, owner_id)
        conditions.check(item)
        for name, value in changes.items():
            setattr(item, name, value)
        item.version += 1
        item.updated_at = max(utc_now(), item.updated_at)
        await session.flush()
        changed = schemas.Item.model_validate(item)
        writing.record("item.updated", item_id, changed)
    conditions.tag(item)
    return changed


async def lock_item(session: AsyncSession, item_id: int, owner_id: int) -> Item:
    """Keep the item to oneself until the transaction ends; raise 404 when it is gone meanwhile."""
    await lock_caller(session, owner_id)
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
