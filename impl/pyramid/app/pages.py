"""Keyset pages: the cost of one does not grow with its depth."""

from typing import Any

from pyramid.request import Request
from sqlalchemy import Select

from app.conditional import CACHE_CONTROL
from app.models import Item, User
from app.schemas import PageQuery, Resource


def page(
    request: Request,
    select: Select[User] | Select[Item],
    model: type[User] | type[Item],
    schema: type[Resource],
    query: PageQuery,
) -> dict[str, Any]:
    """Answer with one page of what is selected, and with where the next one is."""
    window = select.where(model.id > query.after).order_by(model.id).limit(query.limit + 1)
    found = request.dbsession.scalars(window).unique().all()
    shown = found[: query.limit]
    request.response.headers["Cache-Control"] = CACHE_CONTROL
    target = _next_target(request, query, shown[-1].id) if len(found) > len(shown) else None
    if target is not None:
        request.response.headers["Link"] = f'<{target}>; rel="next"'
    return {"data": [schema.model_validate(row) for row in shown], "next": target}


def _next_target(request: Request, query: PageQuery, last_id: int) -> str:
    filters: dict[str, Any] = query.model_dump(exclude={"limit", "after"}, exclude_none=True)
    window = {"limit": query.limit, "after": last_id}
    return str(request.current_route_path(_query={**filters, **window}))
