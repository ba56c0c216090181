"""Items, which every user may read and only the owner may write."""

from typing import Any

import falcon
from falcon.asgi import Request, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from app import schemas
from app.auth import Authenticator, authenticate, lock_caller
from app.conditional import answer, check_preconditions
from app.errors import Forbidden
from app.feed import Feed
from app.models import Item, ItemTag, utc_now
from app.outbox import WritingTransaction
from app.pages import answer_page
from app.preconditions import etag
from app.validation import read_query, validate_body


async def get_item_or_404(session: AsyncSession, item_id: int) -> Item:
    """Return an item; raise 404 when there is none."""
    item = await session.get(Item, item_id)
    if item is None:
        raise falcon.HTTPNotFound
    return item


async def require_owner(
    req: Request, resp: Response, resource: object, params: dict[str, Any]
) -> None:
    """Raise 404 unless the item of the path is there, 403 unless it is the caller's (a hook)."""
    item = await get_item_or_404(req.context.session, params["item_id"])
    if item.owner_id != req.context.user.id:
        raise Forbidden


@falcon.before(authenticate)
class Items:
    """`/items` and `/items/{item_id}`."""

    def __init__(self, auth: Authenticator, feed: Feed) -> None:
        self.auth = auth
        self._feed = feed

    @falcon.before(validate_body, schemas.ItemCreate)
    async def on_post(self, req: Request, resp: Response, body: schemas.ItemCreate) -> None:
        """create_item: make an item of one's own."""
        owner_id, now = req.context.user.id, utc_now()
        writing = WritingTransaction(req.context.session, self._feed)
        async with writing as session:
            await lock_caller(session, owner_id)
            item = Item(owner_id=owner_id, created_at=now, updated_at=now, **body.model_dump())
            session.add(item)
            await session.flush()
            created = schemas.Item.model_validate(item)
            writing.record("item.created", item.id, created)
        resp.status = falcon.HTTP_201
        resp.location = f"/items/{item.id}"
        resp.etag = etag(item.id, item.version)
        resp.media = created

    async def on_get(self, req: Request, resp: Response) -> None:
        """list_items: list items, a page at a time."""
        query = read_query(req, schemas.ItemQuery)
        rows = select(Item)
        if query.owner_id is not None:
            rows = rows.where(Item.owner_id == query.owner_id)
        if query.status is not None:
            rows = rows.where(Item.status == query.status)
        if query.tag is not None:
            rows = rows.join(Item.tag_rows).where(ItemTag.tag == query.tag)
        await answer_page(req, resp, query, rows, schemas.Item)

    async def on_get_item(self, req: Request, resp: Response, item_id: int) -> None:
        """get_item: read an item."""
        item = await get_item_or_404(req.context.session, item_id)
        answer(req, resp, item, schemas.Item.model_validate(item))

    @falcon.before(require_owner)
    @falcon.before(validate_body, schemas.ItemCreate)
    async def on_put_item(
        self, req: Request, resp: Response, item_id: int, body: schemas.ItemCreate
    ) -> None:
        """replace_item: replace an item; what is left out returns to its default."""
        await self._change(req, resp, item_id, body.model_dump())

    @falcon.before(require_owner)
    @falcon.before(validate_body, schemas.ItemPatch)
    async def on_patch_item(
        self, req: Request, resp: Response, item_id: int, body: schemas.ItemPatch
    ) -> None:
        """update_item: change some of an item."""
        await self._change(req, resp, item_id, body.changes())

    @falcon.before(require_owner)
    async def on_delete_item(self, req: Request, resp: Response, item_id: int) -> None:
        """delete_item: delete an item."""
        owner_id = req.context.user.id
        writing = WritingTransaction(req.context.session, self._feed)
        async with writing as session:
            item = await lock_item(session, item_id, owner_id)
            check_preconditions(req, item)
            await session.delete(item)
            writing.record("item.deleted", item_id)
        resp.status = falcon.HTTP_204

    async def _change(
        self, req: Request, resp: Response, item_id: int, changes: dict[str, Any]
    ) -> None:
        """Make the changes, in a new version of the item."""
        owner_id = req.context.user.id
        writing = WritingTransaction(req.context.session, self._feed)
        async with writing as session:
            item = await lock_item(session, item_id, owner_id)
            check_preconditions(req, item)
            for name, value in changes.items():
                setattr(item, name, value)
            item.version += 1
            item.updated_at = max(utc_now(), item.updated_at)
            await session.flush()
            changed = schemas.Item.model_validate(item)
            writing.record("item.updated", item_id, changed)
        resp.etag = etag(item.id, item.version)
        resp.media = changed


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
        raise falcon.HTTPNotFound
    return item
