"""Who is asking: bearer tokens (RFC 6750)."""

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from app.exceptions import CHALLENGE, invalid_token, unauthorized
from app.tokens import Claims, InvalidTokenError, read_token
from users.models import User


class BearerAuthentication(BaseAuthentication):
    """The user of the token in Authorization, and its claims."""

    def authenticate(self, request: Request) -> tuple[User, Claims] | None:
        """Return user and claims; None without a token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        claims = read_claims(token)
        return get_user(claims), claims

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge that makes DRF answer 401 and not 403."""
        return CHALLENGE


def authenticate_field(authorization: str) -> Claims:
    """Return the claims of an Authorization field whose user exists; raise 401."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise unauthorized()
    claims = read_claims(token)
    get_user(claims)
    return claims


def read_claims(token: str) -> Claims:
    """Return the claims of a valid token; raise 401."""
    try:
        return read_token(token.strip(" "), settings.SECRET_KEY)
    except InvalidTokenError:
        raise invalid_token() from None


def get_user(claims: Claims) -> User:
    """Return the token's user; raise 401 when it has been deleted."""
    user = User.objects.filter(pk=claims.user_id).first()
    if user is None:
        raise invalid_token()
    return user
