"""Bodies and queries, checked in the contract's order."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from quart import Quart, request

from app.database import end_reading
from app.errors import Problem, invalid
from app.messages import this_request
from app.schemas import Schema, violations
from app.sessions import db
from app.strict_json import MalformedJSONError, parse_json

MAX_BODY_BYTES = 65_536
JSON = frozenset({"application/json"})
MERGE_PATCH = JSON | {"application/merge-patch+json"}

Body = TypeVar("Body", bound=Schema)
Query = TypeVar("Query", bound=BaseModel)


def init_validation(app: Quart) -> None:
    """Limit the size of bodies."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES


async def read_body(schema: type[Body], media_types: frozenset[str] = JSON) -> Body:
    """Read the request's body; raise the problem of the first check that fails."""
    await end_reading(db.session)  # no transaction stays open while a client is sending
    content = await request.get_data()
    if request.mimetype not in media_types:
        raise Problem("unsupported-media-type")
    try:
        # Contract: request.get_json() would take NaN and lone surrogates, and fail at bad UTF-8.
        return schema.model_validate(parse_json(content))
    except MalformedJSONError:
        raise Problem("malformed-json") from None
    except ValidationError as error:
        raise invalid(violations(error.errors(), "body")) from None


def read_query(schema: type[Query]) -> Query:
    """Read the query; of a parameter given twice the last wins."""
    try:
        # Contract: request.args[name] would be the first of a repeated parameter.
        return schema.model_validate(dict(this_request().args.items(multi=True)))
    except ValidationError as error:
        raise invalid(violations(error.errors(), "query")) from None
