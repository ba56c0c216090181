"""Access tokens: JWT (RFC 7519) signed with HS256, valid at every implementation."""

import math
import re
import time
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.types import Options

_COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")  # RFC 7515 section 7.1
_USER_ID = re.compile(r"[1-9][0-9]{0,17}")
_FAR_FUTURE = 253_402_300_799.0  # the end of the year 9999, in seconds since the epoch
# PyJWT would cut the times to whole seconds and take numbers in strings: _check_claims does not.
_SIGNATURE_ONLY: Options = {
    "verify_aud": False,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_sub": False,
}


class InvalidTokenError(Exception):
    """The token is malformed, forged, expired or not yet valid."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Whom a token names, and until when (seconds since the epoch)."""

    user_id: int
    expires_at: float


def issue_token(user_id: int, secret_key: str, ttl_seconds: int) -> str:
    """Sign a token for the user, valid from now for `ttl_seconds`."""
    now = int(time.time())
    claims = {"sub": str(user_id), "iat": now, "exp": now + ttl_seconds}
    return jwt.encode(claims, secret_key, algorithm="HS256")


def read_token(token: str, secret_key: str) -> Claims:
    """Verify a token; raise InvalidTokenError unless every claim holds at this moment."""
    if not _COMPACT_JWS.fullmatch(token):
        raise InvalidTokenError("not a compact JWS")
    try:
        decoded = jwt.decode_complete(
            token, secret_key, algorithms=["HS256"], options=_SIGNATURE_ONLY
        )
    except jwt.InvalidTokenError as error:
        raise InvalidTokenError(str(error)) from error
    if "crit" in decoded["header"]:
        raise InvalidTokenError("an extension that is not understood")
    return _check_claims(decoded["payload"], time.time())


def _check_claims(claims: dict[str, Any], now: float) -> Claims:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _USER_ID.fullmatch(subject):
        raise InvalidTokenError("sub is no user id")
    if "aud" in claims:
        raise InvalidTokenError("meant for an audience")
    issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
    not_before = _time(claims, "nbf") if "nbf" in claims else issued_at
    if issued_at > now or not_before > now or expires_at <= now:
        raise InvalidTokenError("not valid now")
    return Claims(int(subject), float(min(expires_at, _FAR_FUTURE)))


def _time(claims: dict[str, Any], name: str) -> int | float:
    value = claims.get(name)
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return value
    raise InvalidTokenError(f"{name} is no number")
