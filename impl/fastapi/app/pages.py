"""Keyset pages (RFC 8288 links to the next)."""

from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Request, Response
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from app.conditional import CACHE_CONTROL
from app.models import Item, User
from app.schemas import PageQuery, Resource

Row = TypeVar("Row", User, Item)
Shown = TypeVar("Shown", bound=Resource)


class Page(Resource, Generic[Shown]):
    """Some resources, ascending by id, and where the next ones are."""

    data: list[Shown]
    next: str | None


async def read_page(
    session: AsyncSession,
    query: PageQuery,
    rows: Select[Row],
    request: Request,
    response: Response,
) -> dict[str, Any]:
    """Return the page of the rows that the query asks for, and link to the next."""
    model: type[Row] = rows.column_descriptions[0]["entity"]
    window = rows.where(model.id > query.after).order_by(model.id).limit(query.limit + 1)
    found = (await session.scalars(window)).unique().all()
    shown = found[: query.limit]
    response.headers["Cache-Control"] = CACHE_CONTROL
    following = None
    if len(found) > len(shown):
        following = _target(request, query, after=shown[-1].id)
        response.headers["Link"] = f'<{following}>; rel="next"'
    return {"data": shown, "next": following}


def _target(request: Request, query: PageQuery, after: int) -> str:
    filters = query.model_dump(exclude={"limit", "after"}, exclude_none=True)
    return f"{request.url.path}?{urlencode(filters | {'limit': query.limit, 'after': after})}"
