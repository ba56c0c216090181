"""Words of the contract that many tests use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
LIMIT = 65_536  # bytes of a request body, and of a websocket message
ID = "([1-9][0-9]{0,17})"  # in a path
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
MISSING: Final = object()  # a JSON value that is absent, where None is null

# slug: (status, title)
PROBLEMS: Mapping[str, tuple[int, str]] = {
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "unauthorized": (401, "Unauthorized"),
    "invalid-credentials": (401, "Invalid credentials"),
    "forbidden": (403, "Forbidden"),
    "content-too-large": (413, "Content too large"),
    "unsupported-media-type": (415, "Unsupported media type"),
    "malformed-json": (400, "Malformed JSON"),
    "validation": (422, "Validation failed"),
    "precondition-failed": (412, "Precondition failed"),
    "email-taken": (409, "Email already taken"),
    "internal-error": (500, "Internal error"),
    "upgrade-required": (426, "Upgrade required"),
    "unavailable": (503, "Service unavailable"),
}
