"""The resources on the wire, and JSON Schema's verdict on what does not fit them."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

MAX_ID = 999_999_999_999_999_999
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)


def _whole_number(value: Any) -> Any:
    # Strict pydantic refuses 1.0, which JSON Schema counts as an integer.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _query_integer(value: Any) -> Any:
    # int() would take "+1", "1_0" and " 1 ".
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value[:20])  # more digits than any bound has: still beyond it
    return value


def _unique(tags: list[str]) -> list[str]:
    if len(set(tags)) < len(tags):
        raise PydanticCustomError("unique_items", "Items must be unique")
    return tags


def _utc_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


Email = Annotated[
    str,
    StringConstraints(
        max_length=254,
        pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$",
    ),
    AfterValidator(str.lower),
]
UserName = Annotated[
    str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Password = Annotated[str, StringConstraints(min_length=8, max_length=128, pattern=r"^[^\x00]*$")]
ItemName = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Description = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]
PriceCents = Annotated[int, Field(ge=0, le=100_000_000), BeforeValidator(_whole_number)]
Status = Literal["draft", "active", "archived"]
Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,29}$")]
Tags = Annotated[list[Tag], Field(max_length=10), AfterValidator(_unique)]
Timestamp = Annotated[datetime, PlainSerializer(_utc_text)]


class Schema(BaseModel):
    """A JSON object: JSON Schema's types without coercion, closed to unknown members."""

    model_config = ConfigDict(strict=True, extra="forbid")

    def changes(self) -> dict[str, Any]:
        """Return the members that were sent, without the defaults of the others."""
        return self.model_dump(exclude_unset=True)


class Patch(Schema):
    """A merge patch (RFC 7396) of at least one member.

    The defaults only mark a member as optional: `changes` leaves them out.
    """

    @model_validator(mode="before")
    @classmethod
    def _not_empty(cls, body: Any) -> Any:
        if body == {}:
            raise PydanticCustomError("min_properties", "At least one member is needed")
        return body


class Resource(Schema):
    """A JSON object read off a row of the database."""

    model_config = ConfigDict(from_attributes=True)


class UserCreate(Schema):
    """A sign-up."""

    email: Email
    name: UserName
    password: Password


class UserReplace(Schema):
    """A user's whole state; the password stays when it is left out."""

    email: Email
    name: UserName
    password: Password = ""


class UserPatch(Patch):
    """Some of a user's members."""

    email: Email = ""
    name: UserName = ""
    password: Password = ""


class User(Resource):
    """A user, as every signed-up user may see it."""

    id: int
    email: str
    name: str
    created_at: Timestamp
    updated_at: Timestamp


class TokenCreate(Schema):
    """A log-in."""

    email: Email
    password: Password


class Token(Schema):
    """An access token (RFC 6750)."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 (the scheme's name)
    expires_in: int
    user_id: int


class ItemCreate(Schema):
    """A new item; also an item's whole state in a PUT, which resets what it leaves out."""

    name: ItemName
    description: Description | None = None
    price_cents: PriceCents
    status: Status = "draft"
    tags: Tags = []


class ItemPatch(Patch):
    """Some of an item's members; `description: null` clears it."""

    name: ItemName = ""
    description: Description | None = None
    price_cents: PriceCents = 0
    status: Status = "draft"
    tags: Tags = []


class Item(Resource):
    """An item."""

    id: int
    owner_id: int
    name: str
    description: str | None
    price_cents: int
    status: Status
    tags: list[str]
    created_at: Timestamp
    updated_at: Timestamp


class PageQuery(BaseModel):
    """The window of a list: `limit` resources with ids above `after`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(_query_integer)] = 20
    after: Annotated[int, Field(ge=0, le=MAX_ID), BeforeValidator(_query_integer)] = 0


class ItemQuery(PageQuery):
    """The window of a list of items, and its filters."""

    owner_id: Annotated[int, Field(ge=1, le=MAX_ID), BeforeValidator(_query_integer)] | None = None
    status: Status | None = None
    tag: Tag | None = None


class FeedQuery(BaseModel):
    """Where the change feed starts: behind event `after`, or behind the newest."""

    model_config = ConfigDict(strict=True, extra="ignore")

    after: Annotated[int, Field(ge=0, le=MAX_ID), BeforeValidator(_query_integer)] | None = None


_KEYWORDS = {
    "missing": "required",
    "extra_forbidden": "additionalProperties",
    "min_properties": "minProperties",
    "unique_items": "uniqueItems",
    "too_long": "maxItems",
    "string_too_short": "minLength",
    "string_too_long": "maxLength",
    "string_pattern_mismatch": "pattern",
    "greater_than_equal": "minimum",
    "less_than_equal": "maximum",
}


def violations(
    errors: Iterable[ErrorDetails], where: Literal["body", "query"]
) -> list[dict[str, str]]:
    """Turn pydantic's errors into the contract's: where, JSON Pointer, JSON Schema keyword."""
    found = [
        {"in": where, "pointer": _pointer(error["loc"]), "code": _keyword(error)}
        for error in errors
    ]
    return sorted(found, key=lambda violation: violation["pointer"])


def _pointer(location: tuple[int | str, ...]) -> str:
    """Return the JSON Pointer (RFC 6901) of a pydantic location."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _keyword(error: ErrorDetails | Mapping[str, Any]) -> str:
    if error["type"] == "literal_error":  # pydantic's enum, which JSON Schema asks after the type
        return "enum" if isinstance(error["input"], str) else "type"
    return _KEYWORDS.get(error["type"], "type")
