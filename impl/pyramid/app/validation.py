"""Bodies and queries, checked in the contract's order."""

from typing import TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from pyramid.request import Request

from app.database import end_reading
from app.errors import Problem, invalid
from app.schemas import Schema, violations
from app.strict_json import MalformedJSONError, parse_json

MAX_BODY_BYTES = 65_536
JSON = frozenset({"application/json"})
MERGE_PATCH = JSON | {"application/merge-patch+json"}

Body = TypeVar("Body", bound=Schema)
Query = TypeVar("Query", bound=BaseModel)


def read_body(request: Request, schema: type[Body], media_types: frozenset[str] = JSON) -> Body:
    """Read the request's body; raise the problem of the first check that fails."""
    end_reading(request)  # no transaction stays open while a client is sending
    content = _read_content(request)
    if request.content_type.strip(" \t").lower() not in media_types:
        raise Problem("unsupported-media-type")
    try:
        # Contract: request.json_body would take NaN, a BOM, lone surrogates and any charset.
        return schema.model_validate(parse_json(content))
    except MalformedJSONError:
        raise Problem("malformed-json") from None
    except ValidationError as error:
        raise invalid(violations(error.errors(), "body")) from None


def read_query(request: Request, schema: type[Query]) -> Query:
    """Read the query; of a parameter given twice the last wins."""
    try:
        # Contract: request.GET would also take ; for &, and fail on what is no UTF-8.
        return schema.model_validate(dict(parse_qsl(request.query_string, keep_blank_values=True)))
    except ValidationError as error:
        raise invalid(violations(error.errors(), "query")) from None


def _read_content(request: Request) -> bytes:
    # Contract: Pyramid would read a body of any size.
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise Problem("content-too-large")
    try:
        content: bytes = request.body_file.read(MAX_BODY_BYTES + 1)
    except Exception:  # the server's own: the client has gone, or its chunks are malformed
        raise Problem("malformed-json") from None
    if len(content) > MAX_BODY_BYTES:
        raise Problem("content-too-large")
    return content
