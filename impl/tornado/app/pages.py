"""Keyset pages (RFC 8288 links to the next)."""

from typing import Generic, TypeVar
from urllib.parse import urlencode

from sqlalchemy import Select

from app.messages import BaseHandler
from app.models import Item, User
from app.schemas import PageQuery, Resource

Row = TypeVar("Row", User, Item)
Shown = TypeVar("Shown", bound=Resource)


class Page(Resource, Generic[Shown]):
    """Some resources, ascending by id, and where the next ones are."""

    data: list[Shown]
    next: str | None


async def write_page(
    handler: BaseHandler, query: PageQuery, rows: Select[Row], shown_as: type[Shown]
) -> None:
    """Answer with the page of the rows that the query asks for, and link to the next."""
    model: type[Row] = rows.column_descriptions[0]["entity"]
    window = rows.where(model.id > query.after).order_by(model.id).limit(query.limit + 1)
    async with handler.sessions() as session:
        found = (await session.scalars(window)).unique().all()
    shown = found[: query.limit]
    following = None
    if len(found) > len(shown):
        following = _target(handler.request.path, query, after=shown[-1].id)
        handler.set_header("Link", f'<{following}>; rel="next"')
    data = [shown_as.model_validate(row) for row in shown]
    handler.write_read(Page[shown_as](data=data, next=following))  # type: ignore[valid-type]


def _target(path: str, query: PageQuery, after: int) -> str:
    filters = query.model_dump(exclude={"limit", "after"}, exclude_none=True)
    return f"{path}?{urlencode(filters | {'limit': query.limit, 'after': after})}"
