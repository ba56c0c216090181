"""CORS: the fields that let pages of other origins read a response (Fetch Standard)."""

_ALLOW_HEADERS = "Authorization, Content-Type, If-Match, If-None-Match, X-Request-ID"
_EXPOSE_HEADERS = "ETag, Link, Location, Retry-After, WWW-Authenticate, X-Request-ID"
_MAX_AGE_SECONDS = 600


def cors_headers(
    allowed_origins: frozenset[str], origin: str | None, preflight_allow: str | None = None
) -> dict[str, str]:
    """Return the CORS fields of a response, without Vary; none if the origin is not allowed.

    `allowed_origins` is the setting, `origin` the request's Origin. `preflight_allow` is the
    response's Allow if the request is a preflight of an existing path, otherwise None.
    """
    if origin is None or not allowed_origins & {origin, "*"}:
        return {}
    headers = {"Access-Control-Allow-Origin": "*" if "*" in allowed_origins else origin}
    if preflight_allow is None:
        return headers | {"Access-Control-Expose-Headers": _EXPOSE_HEADERS}
    return headers | {
        "Access-Control-Allow-Methods": preflight_allow,
        "Access-Control-Allow-Headers": _ALLOW_HEADERS,
        "Access-Control-Max-Age": str(_MAX_AGE_SECONDS),
    }
