"""From sign-up to deletion with the client that openapi-python-client generates: journey.py URL.

It runs in an environment of its own, with the generated package `rosetta_client` on its path.
"""

from __future__ import annotations

import sys
from http import HTTPStatus

from rosetta_client import AuthenticatedClient, Client
from rosetta_client.api.health import readiness
from rosetta_client.api.items import create_item, delete_item, get_item, list_items, update_item
from rosetta_client.api.tokens import create_token
from rosetta_client.api.users import create_user, delete_user, get_current_user
from rosetta_client.models import (
    Item,
    ItemPage,
    ItemPatch,
    ItemWrite,
    PreconditionFailedProblem,
    Problem,
    Status,
    Token,
    TokenCreate,
    User,
    UserCreate,
    ValidationProblem,
)

PASSWORD = "correct horse battery"  # noqa: S105 - of an account that lives as long as this


def journey(url: str) -> None:
    """Use every kind of operation and hold the answers to their types; raise AssertionError."""
    public = Client(base_url=url, raise_on_unexpected_status=True)
    body = UserCreate(email="ada@example.com", name="Ada", password=PASSWORD)
    user = create_user.sync(client=public, body=body)
    assert isinstance(user, User)
    login = TokenCreate(email="ada@example.com", password=PASSWORD)
    token = create_token.sync(client=public, body=login)
    assert isinstance(token, Token)
    client = AuthenticatedClient(base_url=url, token=token.access_token)
    use_items(client, user)
    deleted = delete_user.sync_detailed(user.id, client=client)
    assert deleted.status_code is HTTPStatus.NO_CONTENT
    gone = get_current_user.sync_detailed(client=client)
    assert gone.status_code is HTTPStatus.UNAUTHORIZED


def use_items(client: AuthenticatedClient, user: User) -> None:
    """Create, list, read, change and delete an item."""
    created = create_item.sync_detailed(client=client, body=ItemWrite(name="Lamp", price_cents=5))
    item, tag = created.parsed, created.headers["ETag"]
    assert isinstance(item, Item)
    assert (item.description, item.status, item.tags) == (None, Status.DRAFT, [])
    page = list_items.sync(client=client, owner_id=user.id)
    assert isinstance(page, ItemPage)
    assert page.data == [item]
    assert page.next_ is None
    kept = get_item.sync_detailed(item.id, client=client, if_none_match=tag)
    assert kept.status_code is HTTPStatus.NOT_MODIFIED
    patch = ItemPatch(tags=["b", "a"])
    changed = update_item.sync(item.id, client=client, body=patch, if_match=tag)
    assert isinstance(changed, Item)
    assert changed.tags == ["a", "b"]
    stale = update_item.sync(item.id, client=client, body=patch, if_match=tag)
    assert isinstance(stale, PreconditionFailedProblem)
    refused = create_item.sync(client=client, body=ItemWrite(name="", price_cents=5))
    assert isinstance(refused, ValidationProblem)
    assert refused.errors[0].pointer == "/name"
    deleted = delete_item.sync_detailed(item.id, client=client)
    assert deleted.status_code is HTTPStatus.NO_CONTENT


def meet_a_gateway(url: str, status: HTTPStatus) -> None:
    """Hold what a gateway answers in the service's place to a general problem."""
    client = Client(base_url=url, raise_on_unexpected_status=True)
    answer = readiness.sync_detailed(client=client)
    assert answer.status_code is status
    assert isinstance(answer.parsed, Problem)
    assert answer.parsed.detail == "the upstream is away"


if __name__ == "__main__":
    if len(sys.argv) > 2:
        meet_a_gateway(sys.argv[1], HTTPStatus(int(sys.argv[2])))
    else:
        journey(sys.argv[1])
    print("done")
