"""Bodies and queries, checked in the contract's order."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from app.errors import Problem
from app.messages import BaseHandler
from app.schemas import Schema, violations
from app.server import MAX_BODY_BYTES
from app.strict_json import MalformedJSONError, parse_json

JSON = frozenset({"application/json"})
MERGE_PATCH = JSON | {"application/merge-patch+json"}

Body = TypeVar("Body", bound=Schema)
Query = TypeVar("Query", bound=BaseModel)


def read_body(handler: BaseHandler, schema: type[Body], media_types: frozenset[str] = JSON) -> Body:
    """Return the request's body; raise the problem of the first check that fails."""
    content = handler.request.body
    if len(content) > MAX_BODY_BYTES:
        raise Problem("content-too-large")
    if handler.content_type.partition(";")[0].strip(" \t").lower() not in media_types:
        raise Problem("unsupported-media-type")
    try:
        return schema.model_validate(parse_json(content))
    except MalformedJSONError:
        raise Problem("malformed-json") from None
    except ValidationError as error:
        raise Problem("validation", errors=violations(error.errors(), "body")) from None


def read_query(handler: BaseHandler, schema: type[Query]) -> Query:
    """Return the request's query; of a parameter given twice the last counts."""
    # Contract: get_query_argument() would strip white space and control characters.
    given = {
        name: values[-1].decode("utf-8", "replace")
        for name, values in handler.request.query_arguments.items()
    }
    try:
        return schema.model_validate(given)
    except ValidationError as error:
        raise Problem("validation", errors=violations(error.errors(), "query")) from None
