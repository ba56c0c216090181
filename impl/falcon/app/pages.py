"""Keyset pages (RFC 8288 links to the next)."""

from urllib.parse import urlencode

from falcon.asgi import Request, Response
from sqlalchemy import Select

from app.conditional import CACHE_CONTROL
from app.models import Item, User
from app.schemas import PageQuery, Resource


async def answer_page(
    req: Request,
    resp: Response,
    query: PageQuery,
    rows: Select[User] | Select[Item],
    schema: type[Resource],
) -> None:
    """Answer with the page of the rows that the query asks for, and link to the next."""
    model: type[User | Item] = rows.column_descriptions[0]["entity"]
    window = rows.where(model.id > query.after).order_by(model.id).limit(query.limit + 1)
    found = (await req.context.session.scalars(window)).unique().all()
    shown = found[: query.limit]
    resp.cache_control = CACHE_CONTROL
    following = None
    if len(found) > len(shown):
        following = _target(req, query, after=shown[-1].id)
        # Contract: resp.append_link() would write rel=next, without quotation marks.
        resp.set_header("Link", f'<{following}>; rel="next"')
    resp.media = {"data": [schema.model_validate(row) for row in shown], "next": following}


def _target(req: Request, query: PageQuery, after: int) -> str:
    filters = query.model_dump(exclude={"limit", "after"}, exclude_none=True)
    return f"{req.path}?{urlencode(filters | {'limit': query.limit, 'after': after})}"
