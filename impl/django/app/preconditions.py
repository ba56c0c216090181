"""Entity tags and the conditional fields If-Match and If-None-Match (RFC 9110 section 13.1)."""

import re

_ELEMENT = re.compile(
    r'[ \t]*(?:(?P<weak>W/)?(?P<opaque>"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|\Z)|[^,]*)(?:,|\Z)'
)


def etag(resource_id: int, version: int) -> str:
    """Return the strong entity tag of a resource's version.

    The id is part of it: two users must not have the same tag at `/users/me`.
    """
    return f'"{resource_id}-{version}"'


def if_match_fails(field: str | None, current: str) -> bool:
    """Tell whether If-Match is there and lacks the current tag, in strong comparison."""
    return field is not None and not _lists(field, current, weak=False)


def if_none_match_hits(field: str | None, current: str) -> bool:
    """Tell whether If-None-Match lists the current tag, in weak comparison."""
    return field is not None and _lists(field, current, weak=True)


def _lists(field: str, current: str, *, weak: bool) -> bool:
    if field.strip(" \t") == "*":
        return True
    return any(
        element["opaque"] == current and (weak or not element["weak"])
        for element in _ELEMENT.finditer(field)
    )
