"""Keyset pages: the cost of one does not grow with its depth."""

from typing import Any
from urllib.parse import urlencode

from quart import request
from quart.typing import ResponseReturnValue
from sqlalchemy import Select

from app.conditional import CACHE_CONTROL
from app.models import Item, User
from app.schemas import PageQuery, Resource
from app.sessions import db


async def page(
    select: Select[User] | Select[Item],
    model: type[User] | type[Item],
    schema: type[Resource],
    query: PageQuery,
) -> ResponseReturnValue:
    """Answer with one page of what is selected, and with where the next one is."""
    window = select.where(model.id > query.after).order_by(model.id).limit(query.limit + 1)
    found = (await db.session.scalars(window)).unique().all()
    shown = found[: query.limit]
    target = _next_target(query, shown[-1].id) if len(found) > len(shown) else None
    data = [schema.model_validate(row).model_dump(mode="json") for row in shown]
    headers = {"Cache-Control": CACHE_CONTROL}
    if target:
        headers["Link"] = f'<{target}>; rel="next"'
    return {"data": data, "next": target}, 200, headers


def _next_target(query: PageQuery, last_id: int) -> str:
    filters: dict[str, Any] = query.model_dump(exclude={"limit", "after"}, exclude_none=True)
    return f"{request.path}?{urlencode({**filters, 'limit': query.limit, 'after': last_id})}"
