"""Which operation a request asks for, and which methods a path has."""

from __future__ import annotations

import re

from rosetta.contract.model import ROUTES
from rosetta.contract.terms import ID

PROBES = {"/healthz": "liveness", "/readyz": "readiness"}
SOCKETS = {"/ws/echo": "echo", "/ws/events": "watch_events"}


def operation_of(method: str, path: str) -> str:
    """Return the operationId of a request, or its method and path, or `no route`."""
    method = "GET" if method == "HEAD" else method
    if path in SOCKETS or path in PROBES:
        named = (SOCKETS | PROBES)[path]
        return named if method == "GET" else f"{method} {path}"
    for pattern, operations in ROUTES.items():
        if re.fullmatch(pattern, path, re.ASCII):
            general = pattern.replace(ID, "{id}")
            return operations.get(method, f"{method} {general}")
    return "no route"
