"""What a page of another origin may do: the CORS fields of responses, and a browser's preflight."""

from __future__ import annotations

from collections.abc import Collection

from rosetta.clients.evidence import violation
from rosetta.clients.http import expect, expect_header
from rosetta.clients.message import Response

FIELDS = "access-control-"
EXPOSED = {"etag", "link", "location", "retry-after", "www-authenticate", "x-request-id"}
ASKABLE = {"authorization", "content-type", "if-match", "if-none-match", "x-request-id"}


def preflight(origin: str, method: str = "PUT") -> dict[str, str]:
    """Return the fields of a browser's preflight."""
    asked = {"Access-Control-Request-Headers": "authorization,content-type"}
    return {"Origin": origin, "Access-Control-Request-Method": method, **asked}


def members(response: Response, name: str) -> set[str]:
    """Return the members of a list-typed field, in lower case."""
    listed = response.headers.get(name, "").split(",")
    return {member.strip().lower() for member in listed} - {""}


def expect_fields(response: Response, names: Collection[str]) -> None:
    """Hold the CORS fields of a response to these, each once; raise Violation."""
    __tracebackhide__ = True
    got = sorted(name.lower() for name, _ in response.fields if name.lower().startswith(FIELDS))
    wanted = sorted(f"{FIELDS}{name}" for name in names)
    if got != wanted:
        raise violation(response, f"the CORS fields {wanted}", got)


def expect_readable(response: Response, origin: str) -> None:
    """Hold a response to those that a page of the origin (or of any, `*`) may read."""
    __tracebackhide__ = True
    expect_fields(response, {"allow-origin", "expose-headers"})
    _expect_allowed(response, origin)
    _expect_members(response, "Access-Control-Expose-Headers", EXPOSED)


def expect_preflight(response: Response, methods: Collection[str], origin: str) -> None:
    """Hold the answer to a preflight to what lets the request be made; raise Violation."""
    __tracebackhide__ = True
    expect(response, 204)
    expect_fields(response, {"allow-origin", "allow-methods", "allow-headers", "max-age"})
    _expect_allowed(response, origin)
    expect_header(response, "Access-Control-Max-Age", "600")
    named = {method.lower() for method in methods}
    _expect_members(response, "Access-Control-Allow-Methods", named)
    _expect_members(response, "Access-Control-Allow-Headers", ASKABLE)


def _expect_allowed(response: Response, origin: str) -> None:
    __tracebackhide__ = True
    expect_header(response, "Access-Control-Allow-Origin", origin)
    if origin != "*" and "origin" not in members(response, "Vary"):
        raise violation(response, "Vary: Origin", response.headers.get("Vary"))


def _expect_members(response: Response, name: str, wanted: set[str]) -> None:
    __tracebackhide__ = True
    if members(response, name) != wanted:
        raise violation(response, f"{name} with {sorted(wanted)}", response.headers[name])
