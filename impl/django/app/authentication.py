"""Who is asking: bearer tokens (RFC 6750)."""

from django.conf import settings
from django.contrib.auth import get_user_model
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
        return authenticate_token(token) if scheme.lower() == "bearer" else None

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge that makes DRF answer 401 and not 403."""
        return CHALLENGE


def authenticate_field(authorization: str) -> tuple[User, Claims]:
    """Return user and claims of an Authorization field; raise 401."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise unauthorized()
    return authenticate_token(token)


def authenticate_token(token: str) -> tuple[User, Claims]:
    """Return the user whom a valid token names, and what it says."""
    try:
        claims = read_token(token.strip(" "), settings.SECRET_KEY)
    except InvalidTokenError:
        raise invalid_token() from None
    user = get_user_model().objects.filter(pk=claims.user_id).first()
    if user is None:
        raise invalid_token()
    return user, claims
