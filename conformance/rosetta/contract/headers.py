"""The header fields that the contract leaves open."""

from __future__ import annotations

OWN_TO_HTTP = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}
)
# Good defaults of frameworks, which are not compared.
FREE = frozenset(
    {"allow", "cross-origin-opener-policy", "referrer-policy", "vary", "x-frame-options"}
)
BODYLESS = frozenset({204, 304})
