"""Bodies and queries, checked in the contract's order."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from app.context import Request
from app.errors import Problem
from app.schemas import Schema, violations
from app.strict_json import MalformedJSONError, parse_json

MAX_BODY_BYTES = 65_536
JSON = frozenset({"application/json"})
MERGE_PATCH = JSON | {"application/merge-patch+json"}

Body = TypeVar("Body", bound=Schema)
Query = TypeVar("Query", bound=BaseModel)


def read_body(request: Request, schema: type[Body], media_types: frozenset[str] = JSON) -> Body:
    """Return the body; raise the problem of the first check that fails."""
    media_type = request.headers.getone("Content-Type", "").partition(";")[0].strip(" \t").lower()
    if media_type not in media_types:
        raise Problem("unsupported-media-type")
    try:
        # Contract: request.json would take NaN, UTF-16 and lone surrogates.
        return schema.model_validate(parse_json(request.body))
    except MalformedJSONError as error:
        raise Problem("malformed-json") from error
    except ValidationError as error:
        raise Problem("validation", errors=violations(error.errors(), "body")) from error


def read_query(request: Request, schema: type[Query]) -> Query:
    """Return the query; of a parameter given twice the last wins."""
    # Contract: request.args would leave out what is empty, and get() be the first of several.
    given = request.get_args(keep_blank_values=True)
    try:
        return schema.model_validate({name: values[-1] for name, values in given.items()})
    except ValidationError as error:
        raise Problem("validation", errors=violations(error.errors(), "query")) from error
