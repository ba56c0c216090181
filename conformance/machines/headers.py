"""Whether a response has the header fields that it must have, and no others."""

from __future__ import annotations

from machines.operations import allow_of, allowed
from rosetta.clients.http import violation
from rosetta.clients.message import Response
from rosetta.contract import spec
from rosetta.contract.headers import BODYLESS, FREE, OWN_TO_HTTP


def expect_closed(
    response: Response, documented: spec.Response, template: str | None = None
) -> None:
    """Raise Violation unless the response has the documented header fields, each once."""
    __tracebackhide__ = True
    names = [name for name, _ in response.headers.multi_items()]
    described = {name.lower() for name in documented.headers}
    required = {name.lower() for name in documented.required}
    if response.status_code not in BODYLESS:
        required.add("content-type")
    if missing := required - set(names):
        raise violation(response, f"the fields {sorted(missing)}", f"only {sorted(names)}")
    if extra := set(names) - described - required - OWN_TO_HTTP - FREE:
        raise violation(response, "no other field", sorted(extra))
    if twice := {name for name in names if names.count(name) > 1} - FREE:
        raise violation(response, "each field once", f"several {sorted(twice)}")
    if template and "allow" in names and allow_of(response) != allowed(template):
        raise violation(response, f"Allow: {sorted(allowed(template))}", response.headers["Allow"])
