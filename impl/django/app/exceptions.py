"""Problems (RFC 9457): every error of the service, and how a serializer's errors are listed."""

from collections.abc import Iterator, Mapping, Sequence
from http.client import responses
from typing import Any

from django.http import JsonResponse
from rest_framework.exceptions import APIException, ErrorDetail
from rest_framework.settings import api_settings

PROBLEMS = {
    "malformed-json": (400, "Malformed JSON"),
    "unauthorized": (401, "Unauthorized"),
    "invalid-credentials": (401, "Invalid credentials"),
    "forbidden": (403, "Forbidden"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "email-taken": (409, "Email already taken"),
    "precondition-failed": (412, "Precondition failed"),
    "content-too-large": (413, "Content too large"),
    "unsupported-media-type": (415, "Unsupported media type"),
    "validation": (422, "Validation failed"),
    "upgrade-required": (426, "Upgrade required"),
    "internal-error": (500, "Internal error"),
    "unavailable": (503, "Service unavailable"),
}
CHALLENGE = 'Bearer realm="api"'
PROBLEM_JSON = "application/problem+json"
# DRF's codes as JSON Schema's keywords, in the order in which they are asked. A code that is not
# here, such as `does_not_exist` and `unique` of the service's own fields, stays as it is.
_KEYWORDS = {
    "required": "required",
    "unknown": "additionalProperties",
    "null": "type",
    "invalid": "type",
    "not_a_list": "type",
    "not_a_dict": "type",
    "incorrect_type": "type",
    "invalid_choice": "enum",
    "min_properties": "minProperties",
    "empty": "minItems",
    "max_items": "maxItems",
    "unique_items": "uniqueItems",
    "blank": "minLength",
    "min_length": "minLength",
    "max_length": "maxLength",
    "pattern": "pattern",
    "null_characters_not_allowed": "pattern",
    "min_value": "minimum",
    "max_value": "maximum",
}
_CODES = list(_KEYWORDS)


class Problem(APIException):
    """An error that the contract knows; `slug` names its type."""

    def __init__(self, slug: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        self.status_code, title = PROBLEMS[slug]
        super().__init__(title, slug)
        self.headers = headers or {}
        self.members = {
            "type": f"/problems/{slug}",
            "title": title,
            "status": self.status_code,
            **members,
        }

    def response(self) -> JsonResponse:
        """Return the problem as Django answers it, outside of DRF's views."""
        return JsonResponse(
            self.members,
            status=self.status_code,
            headers=self.headers,
            content_type=PROBLEM_JSON,
        )


def about_blank(status: int) -> dict[str, Any]:
    """Return the problem of an error that the contract does not know (RFC 9457 section 4.2.1)."""
    title = responses.get(status, "Unknown Status Code")
    return {"type": "about:blank", "title": title, "status": status}


def unauthorized() -> Problem:
    """Say that a token is needed."""
    return Problem("unauthorized", {"WWW-Authenticate": CHALLENGE})


def invalid_token() -> Problem:
    """Say that the token is not, or no longer, valid."""
    return Problem("unauthorized", {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'})


def invalid_credentials() -> Problem:
    """Say that e-mail address and password do not belong together."""
    return Problem("invalid-credentials", {"WWW-Authenticate": CHALLENGE})


def invalid(detail: Any, where: str) -> Problem:
    """List what does not fit the schema: `detail` is a serializer's errors."""
    found = ({"in": where, **violation} for violation in _violations(detail))
    return Problem("validation", errors=sorted(found, key=lambda each: each["pointer"]))


def upgrade_required() -> Problem:
    """Say that the path is a websocket's."""
    return Problem("upgrade-required", {"Upgrade": "websocket", "Connection": "Upgrade"})


def unavailable() -> Problem:
    """Say that the service cannot answer just now."""
    return Problem("unavailable", {"Retry-After": "1"})


def _violations(detail: Any, pointer: str = "") -> Iterator[dict[str, str]]:
    """Return where and why each part of a serializer's errors fails."""
    if isinstance(detail, Mapping):
        for name, errors in detail.items():
            yield from _violations(errors, _pointer(pointer, name, errors))
        return
    errors = [detail] if isinstance(detail, ErrorDetail) else detail
    if own := [error for error in errors if isinstance(error, ErrorDetail)]:
        yield {"pointer": pointer, "code": _keyword(own)}
    for index, error in enumerate(errors):
        if not isinstance(error, ErrorDetail):  # of a member of a list
            yield from _violations(error, f"{pointer}/{index}")


def _pointer(parent: str, name: object, errors: Any) -> str:
    """Append a member or index to a JSON Pointer (RFC 6901)."""
    is_unknown = isinstance(errors, list) and getattr(errors[0], "code", "") == "unknown"
    if name == api_settings.NON_FIELD_ERRORS_KEY and not is_unknown:
        return parent
    return f"{parent}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _keyword(errors: Sequence[ErrorDetail]) -> str:
    """Return the first that fails."""
    codes = [error.code for error in errors]
    known = [code for code in _CODES if code in codes]
    return _KEYWORDS[known[0]] if known else codes[0]
