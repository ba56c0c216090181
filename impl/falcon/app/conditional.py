"""Conditional requests (RFC 9110 section 13): reads that save a body, writes that lose nothing."""

import falcon
from falcon.asgi import Request, Response
from pydantic import BaseModel

from app.errors import PreconditionFailed
from app.models import Item, User
from app.preconditions import etag, if_match_fails, if_none_match_hits

# Contract: req.if_match would take an unquoted tag for the tag, and an empty field for none.

CACHE_CONTROL = ["private", "no-cache"]  # of what is read with a token (RFC 9111 section 5.2.2)


def answer(req: Request, resp: Response, row: User | Item, shown: BaseModel) -> None:
    """Answer a GET with the resource, or with 304 when the client has it already."""
    current = etag(row.id, row.version)
    resp.etag = current
    resp.cache_control = CACHE_CONTROL
    if if_none_match_hits(req.get_header("If-None-Match"), current):
        resp.status = falcon.HTTP_304
    else:
        resp.media = shown


def check_preconditions(req: Request, row: User | Item) -> None:
    """Raise 412 unless the resource of a write is in the state that the client expects."""
    current = etag(row.id, row.version)
    if if_match_fails(req.get_header("If-Match"), current):
        raise PreconditionFailed
    if if_none_match_hits(req.get_header("If-None-Match"), current):
        raise PreconditionFailed
