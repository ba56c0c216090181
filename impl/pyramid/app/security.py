"""Who is asking, and what they may do: log-in, bearer tokens (RFC 6750), and access control."""

from typing import Any, ClassVar

from pyramid.authorization import ACLHelper, Allow, Authenticated, Everyone
from pyramid.config import Configurator
from pyramid.interfaces import ISecurityPolicy
from pyramid.request import Request, RequestLocalCache
from pyramid.security import Denied
from pyramid.view import view_config
from sqlalchemy import select
from zope.interface import implementer

from app import schemas
from app.config import Settings
from app.database import end_reading
from app.errors import CHALLENGE, INVALID_TOKEN, invalid_credentials, invalid_token
from app.models import User
from app.passwords import verify_password
from app.tokens import Claims, InvalidTokenError, issue_token, read_token
from app.validation import read_body
from app.websockets import asks_upgrade


def includeme(config: Configurator) -> None:
    """Have the permissions of views checked."""
    settings: Settings = config.get_settings()["service"]
    config.set_root_factory(Root)
    config.set_security_policy(SecurityPolicy(settings.secret_key.get_secret_value()))


class Root:
    """The context of paths that name no resource: open to whoever is signed in."""

    __acl__: ClassVar = [(Allow, Authenticated, ("read", "create"))]

    def __init__(self, request: Request) -> None:
        pass


@implementer(ISecurityPolicy)
class SecurityPolicy:
    """Bearer tokens say who is asking; the context's ACL says what they may do."""

    def __init__(self, secret_key: str) -> None:
        self._secret_key = secret_key
        self._identities = RequestLocalCache(self._load_identity)
        self._acl = ACLHelper()

    def identity(self, request: Request) -> Claims | None:
        """Return the claims of the request's token, if it is valid and its user exists."""
        identity: Claims | None = self._identities.get_or_create(request)
        return identity

    def authenticated_userid(self, request: Request) -> int | None:
        """Return the caller's id."""
        identity = self.identity(request)
        return None if identity is None else identity.user_id

    def permits(self, request: Request, context: Any, permission: str) -> Any:
        """Tell whether the caller has the permission; the context may raise 404 meanwhile."""
        userid = self.authenticated_userid(request)
        if userid is None:
            # Contract: Pyramid would ask the ACL, and so load the resource, for nobody too.
            return Denied("no valid token")
        return self._acl.permits(context, [Everyone, Authenticated, f"u:{userid}"], permission)

    def remember(self, _request: Request, _userid: int, **_kw: Any) -> list[tuple[str, str]]:
        """Return no headers: the client keeps its token itself."""
        return []

    def forget(self, request: Request, **_kw: Any) -> list[tuple[str, str]]:
        """Return the challenge that asks for another token."""
        return [("WWW-Authenticate", CHALLENGE if _sent_token(request) is None else INVALID_TOKEN)]

    def _load_identity(self, request: Request) -> Claims | None:
        try:
            claims = read_token(_sent_token(request) or "", self._secret_key)
        except InvalidTokenError:
            return None
        return claims if request.dbsession.get(User, claims.user_id) else None


def _sent_token(request: Request) -> str | None:
    """Return the token that was sent, if any; from browsers it comes as a subprotocol."""
    # Contract: request.authorization would be None for "Bearer" alone.
    authorization = request.headers.get("Authorization", "")
    if not authorization and asks_upgrade(request):
        offered = request.headers.get("Sec-WebSocket-Protocol", "").replace(" ", "").split(",")
        return "".join(offered[1:2]) if offered[0] == "bearer" else None
    scheme, _, token = authorization.partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


@view_config(route_name="tokens", request_method="POST", renderer="json")
def create_token(request: Request) -> schemas.Token:
    """Log in."""
    body = read_body(request, schemas.TokenCreate)
    user = request.dbsession.scalar(select(User).where(User.email == body.email))
    end_reading(request)  # hashing takes long: hold no connection meanwhile
    password_hash = None if user is None else user.password_hash
    if not verify_password(password_hash, body.password).result() or user is None:
        raise invalid_credentials()
    settings: Settings = request.registry.settings["service"]
    secret_key, ttl = settings.secret_key.get_secret_value(), settings.token_ttl_seconds
    request.response.status_code = 201
    request.response.headers["Cache-Control"] = "no-store"
    token = issue_token(user.id, secret_key, ttl)
    return schemas.Token(access_token=token, expires_in=ttl, user_id=user.id)


def lock_caller(request: Request, *, for_update: bool = False) -> User:
    """Select the caller again in a writing transaction, and hold them until it ends.

    Without `for_update` the row may be read and written, but not deleted.
    """
    user: User | None = request.dbsession.get(
        User,
        request.authenticated_userid,
        with_for_update=True if for_update else {"read": True, "key_share": True},
        populate_existing=True,
    )
    if user is None:
        raise invalid_token()
    return user
