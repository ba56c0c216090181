"""Users: sign-up, and what one may do with one's own account."""

from typing import Any

from psycopg.errors import DeadlockDetected
from pyramid.authorization import Allow, Authenticated
from pyramid.decorator import reify
from pyramid.httpexceptions import HTTPNoContent, HTTPNotFound
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from app import schemas
from app.conditional import answer, check_preconditions
from app.database import begin_writing
from app.errors import Problem
from app.models import Item, User, utc_now
from app.outbox import Change, record
from app.pages import page
from app.passwords import hash_password
from app.preconditions import etag
from app.security import lock_caller
from app.validation import MERGE_PATCH, read_body, read_query


class UserContext:
    """The user of a path: open to whoever is signed in, written by themselves."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __acl__(self) -> list[tuple[str, str, str]]:
        """Return who may do what; raise 404 when there is no such user."""
        return [(Allow, Authenticated, "read"), (Allow, f"u:{self.user.id}", "write")]

    @reify
    def user(self) -> User:
        """Return the user as the request's reading transaction sees it."""
        user: User | None = self._request.dbsession.get(
            User, int(self._request.matchdict["user_id"])
        )
        if user is None:
            raise HTTPNotFound()
        return user


@view_config(route_name="users", request_method="POST", renderer="json")
def create_user(request: Request) -> schemas.User:
    """Sign up."""
    body = read_body(request, schemas.UserCreate)
    password_hash = hash_password(body.password).result()
    session, now = begin_writing(request), utc_now()
    user = User(
        email=body.email,
        name=body.name,
        password_hash=password_hash,
        created_at=now,
        updated_at=now,
    )
    session.add(user)
    _flush(session)
    created = schemas.User.model_validate(user)
    record(request, Change("user.created", user.id, created))
    request.response.status_code = 201
    request.response.headers["Location"] = request.route_path("user", user_id=user.id)
    request.response.headers["ETag"] = etag(user.id, user.version)
    return created


@view_config(route_name="users", request_method="GET", permission="read", renderer="json")
def list_users(request: Request) -> dict[str, Any]:
    """List the users."""
    query = read_query(request, schemas.PageQuery)
    return page(request, select(User), User, schemas.User, query)


@view_config(route_name="current_user", request_method="GET", permission="read", renderer="json")
def get_current_user(request: Request) -> Any:
    """Return the caller."""
    user = request.dbsession.get_one(User, request.authenticated_userid)
    return answer(request, user, schemas.User.model_validate(user))


@view_config(route_name="user", request_method="GET", permission="read", renderer="json")
def get_user(context: UserContext, request: Request) -> Any:
    """Return a user."""
    return answer(request, context.user, schemas.User.model_validate(context.user))


@view_config(route_name="user", request_method="PUT", permission="write", renderer="json")
def replace_user(request: Request) -> Any:
    """Replace a user's state; the password stays when it is left out."""
    return _change_user(request, read_body(request, schemas.UserReplace).changes())


@view_config(route_name="user", request_method="PATCH", permission="write", renderer="json")
def update_user(request: Request) -> Any:
    """Change some of a user's members."""
    return _change_user(request, read_body(request, schemas.UserPatch, MERGE_PATCH).changes())


@view_config(route_name="user", request_method="DELETE", permission="write")
def delete_user(request: Request) -> Response:
    """Delete a user with all their items."""
    session = begin_writing(request)
    user = lock_caller(request, for_update=True)
    check_preconditions(request, user)
    owned = select(Item.id).where(Item.owner_id == user.id).order_by(Item.id).with_for_update()
    item_ids = session.scalars(owned).all()
    session.execute(delete(Item).where(Item.owner_id == user.id))
    session.delete(user)
    deletions = [Change("item.deleted", item_id) for item_id in item_ids]
    record(request, *deletions, Change("user.deleted", user.id))
    return HTTPNoContent()


def _change_user(request: Request, changes: dict[str, Any]) -> Any:
    if "password" in changes:
        changes["password_hash"] = hash_password(changes.pop("password")).result()
    session = begin_writing(request)
    user = lock_caller(request, for_update=True)
    check_preconditions(request, user)
    for name, value in changes.items():
        setattr(user, name, value)
    user.version += 1
    user.updated_at = max(utc_now(), user.updated_at)
    _flush(session)
    changed = schemas.User.model_validate(user)
    record(request, Change("user.updated", user.id, changed))
    return answer(request, user, changed)


def _flush(session: Session) -> None:
    """Write the user's row, which fails when the e-mail address is another's."""
    try:
        session.flush()
    except IntegrityError:
        raise Problem("email-taken") from None
    except OperationalError as error:
        if isinstance(error.orig, DeadlockDetected):  # two users after each other's address
            raise Problem("email-taken") from None
        raise
