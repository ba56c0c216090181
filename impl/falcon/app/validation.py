"""Bodies and queries, checked in the contract's order."""

from io import BytesIO
from typing import Any, Literal, TypeVar

import falcon
from falcon.asgi import Request, Response
from falcon.media import JSONHandler
from falcon.typing import AsyncReadableIO
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from app.database import end_reading
from app.errors import ValidationFailed
from app.schemas import Schema, violations
from app.strict_json import parse_json

MAX_BODY_BYTES = 65_536
MERGE_PATCH = "application/merge-patch+json"

Model = TypeVar("Model", bound=BaseModel)


class StrictJSONHandler(JSONHandler):
    """Reads JSON as RFC 8259 has it, of a bounded size; writes pydantic's models too."""

    def __init__(self) -> None:
        # Contract: Falcon would take NaN, lone surrogates and numbers beyond a double.
        super().__init__(dumps=to_json, loads=parse_json)

    async def deserialize_async(
        self, stream: AsyncReadableIO, content_type: str | None, content_length: int | None
    ) -> Any:
        """Read a body, or as much of it as shows that it is too large."""
        # Contract: Falcon would read a body of any size.
        if (content_length or 0) > MAX_BODY_BYTES:
            raise falcon.HTTPContentTooLarge
        content = await stream.read(MAX_BODY_BYTES + 1)
        if len(content) > MAX_BODY_BYTES:
            raise falcon.HTTPContentTooLarge
        return self.deserialize(BytesIO(content), content_type, len(content))


async def validate_body(
    req: Request, resp: Response, resource: object, params: dict[str, Any], schema: type[Schema]
) -> None:
    """Give the responder its `body`; raise 415, 413, 400 or 422 (a hook)."""
    await end_reading(req.context.session)  # nothing is held while the client sends
    media_type = (req.content_type or "").partition(";")[0].strip(" \t").lower()
    # Contract: Falcon would refuse Application/JSON, and take */* and no type at all for JSON.
    if media_type != falcon.MEDIA_JSON and (media_type, req.method) != (MERGE_PATCH, "PATCH"):
        raise falcon.HTTPUnsupportedMediaType
    req.content_type = media_type
    params["body"] = validate(schema, await req.get_media(), "body")


def read_query(req: Request, schema: type[Model]) -> Model:
    """Return what the query says; raise 422 when it is not valid."""
    # Contract: Falcon would leave open which of several values get_param() returns.
    last = {
        name: value[-1] if isinstance(value, list) else value for name, value in req.params.items()
    }
    return validate(schema, last, "query")


def validate(schema: type[Model], value: Any, where: Literal["body", "query"]) -> Model:
    """Return the value as its schema has it; raise 422 with everything that does not fit."""
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise ValidationFailed(violations(error.errors(), where)) from None
