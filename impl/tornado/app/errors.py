"""Problems (RFC 9457), and which problem an exception is."""

from collections.abc import Mapping
from http import HTTPStatus

from tornado.web import HTTPError

from app.database import is_unreachable

_STATUS = {
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
_CHALLENGE = 'Bearer realm="api"'


class Problem(HTTPError):  # noqa: N818 (a refusal, not an error)
    """A refusal that a handler raises; `slug` names its type."""

    def __init__(
        self,
        slug: str,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        status, title = _STATUS[slug]
        super().__init__(status)
        self.headers = headers or {}
        self.body: dict[str, object] = {
            "type": f"/problems/{slug}",
            "title": title,
            "status": status,
        }
        if errors is not None:
            self.body["errors"] = errors


class OtherProblem(Problem):
    """An error that the contract does not know (RFC 9457 section 4.2.1)."""

    def __init__(self, error: HTTPError) -> None:
        HTTPError.__init__(self, error.status_code)
        try:
            title = HTTPStatus(error.status_code).phrase
        except ValueError:
            title = "Unknown"
        self.headers = {}
        self.body = {"type": "about:blank", "title": title, "status": error.status_code}


def unauthorized() -> Problem:
    """Return the refusal of a request without a token."""
    return Problem("unauthorized", {"WWW-Authenticate": _CHALLENGE})


def invalid_token() -> Problem:
    """Return the refusal of a token that is not valid, or whose user is gone."""
    return Problem("unauthorized", {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'})


def invalid_credentials() -> Problem:
    """Return the refusal of a log-in, which does not say what was wrong."""
    return Problem("invalid-credentials", {"WWW-Authenticate": _CHALLENGE})


def upgrade_required() -> Problem:
    """Return the refusal of a plain request to a websocket's path."""
    return Problem("upgrade-required", {"Upgrade": "websocket", "Connection": "Upgrade"})


def unavailable() -> Problem:
    """Return the refusal that a retry may overcome."""
    return Problem("unavailable", {"Retry-After": "1"})


def method_not_allowed(allowed: str) -> Problem:
    """Return the refusal of a method that the path does not have."""
    return Problem("method-not-allowed", {"Allow": allowed})


def problem_of(error: BaseException | None) -> Problem:
    """Return the problem that a client is told of when a handler has raised the error."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPError) and error.status_code == 404:
        return Problem("not-found")
    if isinstance(error, HTTPError):
        return OtherProblem(error)
    if isinstance(error, Exception) and is_unreachable(error):
        return unavailable()
    return Problem("internal-error")
