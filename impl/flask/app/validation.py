"""Bodies and queries, checked in the contract's order."""

from typing import TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from app.database import end_reading
from app.errors import Problem, invalid
from app.schemas import Schema, violations
from app.strict_json import MalformedJSONError, parse_json

MAX_BODY_BYTES = 65_536
JSON = frozenset({"application/json"})
MERGE_PATCH = JSON | {"application/merge-patch+json"}

Body = TypeVar("Body", bound=Schema)
Query = TypeVar("Query", bound=BaseModel)


def read_body(schema: type[Body], media_types: frozenset[str] = JSON) -> Body:
    """Read the request's body; raise the problem of the first check that fails."""
    end_reading()  # no transaction stays open while a client is sending
    content = _read_content()
    if request.mimetype not in media_types:
        raise Problem("unsupported-media-type")
    try:
        # Contract: request.get_json() would take NaN, UTF-16, a BOM and lone surrogates.
        return schema.model_validate(parse_json(content))
    except MalformedJSONError:
        raise Problem("malformed-json") from None
    except ValidationError as error:
        raise invalid(violations(error.errors(), "body")) from None


def read_query(schema: type[Query]) -> Query:
    """Read the query; of a parameter given twice the last wins."""
    try:
        # Contract: request.args[name] would be the first of a repeated parameter.
        return schema.model_validate(dict(request.args.items(multi=True)))
    except ValidationError as error:
        raise invalid(violations(error.errors(), "query")) from None


def _read_content() -> bytes:
    # Contract: with MAX_CONTENT_LENGTH, Werkzeug would cut a chunked body off at the limit.
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise Problem("content-too-large")
    try:
        content = request.stream.read(MAX_BODY_BYTES + 1)
    except Exception:  # the server's own: the client has gone, or its chunks are malformed
        raise Problem("malformed-json") from None
    if len(content) > MAX_BODY_BYTES:
        raise Problem("content-too-large")
    return content
