"""Keyset pages: the cost of one does not grow with its depth."""

from typing import TypeVar
from urllib.parse import urlencode

from sanic import HTTPResponse, json
from sqlalchemy import Select

from app.conditional import CACHE_CONTROL
from app.context import Request
from app.models import Item, User
from app.schemas import PageQuery, Resource

Row = TypeVar("Row", User, Item)


async def page(
    request: Request, rows: Select[Row], schema: type[Resource], query: PageQuery
) -> HTTPResponse:
    """Answer with one page of the rows, and with where the next one is."""
    model: type[Row] = rows.column_descriptions[0]["entity"]
    window = rows.where(model.id > query.after).order_by(model.id).limit(query.limit + 1)
    found = (await request.ctx.session.scalars(window)).unique().all()
    shown = found[: query.limit]
    target = _target(request, query, shown[-1].id) if len(found) > len(shown) else None
    data = [schema.model_validate(row).model_dump(mode="json") for row in shown]
    headers = {"Cache-Control": CACHE_CONTROL}
    if target:
        headers["Link"] = f'<{target}>; rel="next"'
    return json({"data": data, "next": target}, headers=headers)


def _target(request: Request, query: PageQuery, after: int) -> str:
    filters = query.model_dump(exclude={"limit", "after"}, exclude_none=True)
    return f"{request.path}?{urlencode(filters | {'limit': query.limit, 'after': after})}"
