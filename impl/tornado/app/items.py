"""Items, which every user may read and only the owner may write."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from app import schemas
from app.auth import AuthenticatedHandler, lock_caller
from app.conditional import ResourceHandler
from app.errors import Problem
from app.models import Item, ItemTag, utc_now
from app.outbox import begin
from app.pages import write_page
from app.preconditions import etag
from app.validation import MERGE_PATCH, read_body, read_query


class ItemsHandler(AuthenticatedHandler):
    """/items."""

    async def post(self) -> None:
        """create_item: make an item of one's own."""
        item_in = read_body(self, schemas.ItemCreate)
        owner_id, now = self.current_user.id, utc_now()
        async with begin(self.services) as writing:
            await lock_caller(writing.session, owner_id)
            item = Item(owner_id=owner_id, created_at=now, updated_at=now, **item_in.model_dump())
            writing.session.add(item)
            await writing.session.flush()
            created = schemas.Item.model_validate(item)
            writing.record("item.created", item.id, created)
        self.set_status(201)
        self.set_header("Location", f"/items/{item.id}")
        self.set_header("ETag", etag(item.id, item.version))
        self.write_resource(created)

    async def get(self) -> None:
        """list_items: list items, a page at a time."""
        query = read_query(self, schemas.ItemQuery)
        rows = select(Item)
        if query.owner_id is not None:
            rows = rows.where(Item.owner_id == query.owner_id)
        if query.status is not None:
            rows = rows.where(Item.status == query.status)
        if query.tag is not None:
            rows = rows.join(Item.tag_rows).where(ItemTag.tag == query.tag)
        await write_page(self, query, rows, schemas.Item)


class ItemHandler(ResourceHandler):
    """/items/{item_id}."""

    async def authorize(self, session: AsyncSession) -> None:
        """Load the item of the path; raise 403 when it is to be changed by another."""
        await super().authorize(session)
        item = await get_item_or_404(session, int(self.path_kwargs["item_id"]))
        self.resource = item
        if self.request.method in {"PUT", "PATCH", "DELETE"}:
            self.check_owner(item.owner_id)

    async def get(self, item_id: str) -> None:
        """get_item: read an item."""
        self.write_read(schemas.Item.model_validate(self.resource))

    async def put(self, item_id: str) -> None:
        """replace_item: replace an item; what is left out returns to its default."""
        item_in = read_body(self, schemas.ItemCreate)
        await self.change(item_in.model_dump())

    async def patch(self, item_id: str) -> None:
        """update_item: change some of an item."""
        item_in = read_body(self, schemas.ItemPatch, MERGE_PATCH)
        await self.change(item_in.changes())

    async def delete(self, item_id: str) -> None:
        """delete_item: delete an item."""
        async with begin(self.services) as writing:
            item = await self.lock_item(writing.session)
            self.check_preconditions(item)
            await writing.session.delete(item)
            writing.record("item.deleted", item.id)
        self.set_status(204)

    async def change(self, changes: dict[str, Any]) -> None:
        """Make the changes, and answer with the new version of the item."""
        async with begin(self.services) as writing:
            item = await self.lock_item(writing.session)
            self.check_preconditions(item)
            for name, value in changes.items():
                setattr(item, name, value)
            item.version += 1
            item.updated_at = max(utc_now(), item.updated_at)
            await writing.session.flush()
            changed = schemas.Item.model_validate(item)
            writing.record("item.updated", item.id, changed)
        self.resource = item
        self.set_etag_header()
        self.write_resource(changed)

    async def lock_item(self, session: AsyncSession) -> Item:
        """Keep the item to oneself until the transaction ends; raise 404 when it is gone."""
        await lock_caller(session, self.current_user.id)
        return await get_item_or_404(session, self.resource.id, to_change=True)


async def get_item_or_404(session: AsyncSession, item_id: int, *, to_change: bool = False) -> Item:
    """Return the item; keep it to oneself until the transaction ends if it is `to_change`."""
    item = await session.get(
        Item,
        item_id,
        # A join would show the tags as they were before the lock was waited for.
        options=[selectinload(Item.tag_rows)] if to_change else [],
        with_for_update=to_change or None,
        populate_existing=to_change,
    )
    if item is None:
        raise Problem("not-found")
    return item
