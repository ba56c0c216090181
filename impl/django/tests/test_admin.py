"""The admin: what a superuser does there in a browser."""

import os
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from events.models import Event
from tests.conftest import Account
from users.models import User

LOG_IN = {"username": "Root@Example.org", "password": "battery staple"}


@pytest.fixture
def browser(db: None) -> Client:
    """A browser in which a superuser has logged in."""
    with mock.patch.dict(os.environ, DJANGO_SUPERUSER_PASSWORD=LOG_IN["password"]):
        call_command("createsuperuser", "--no-input", email="root@example.org", name="Root")
    browser = Client()
    response = browser.post("/admin/login/?next=/admin/", LOG_IN)
    assert (response.status_code, response["Location"]) == (302, "/admin/")
    assert browser.get("/admin/").status_code == 200
    return browser


def submit(browser: Client, path: str, fields: dict[str, Any]) -> None:
    """Submit a form of the admin that is right."""
    response = browser.post(path, fields)
    assert response.status_code == 302, response.content.decode()


def events() -> list[tuple[str, int]]:
    return list(Event.objects.order_by("id").values_list("event", "resource_id"))


def test_users_have_no_access_to_the_admin(client: APIClient, ada: Account) -> None:
    browser = Client()
    credentials = {"username": ada.credentials["email"], "password": ada.credentials["password"]}
    assert browser.post("/admin/login/", credentials).status_code == 200
    assert browser.get("/admin/").status_code == 302


def test_an_edit_of_an_item_is_a_version_and_an_event(
    browser: Client, client: APIClient, ada: Account
) -> None:
    item = ada.create_item(tags=["a"])
    path = f"/admin/items/item/{item['id']}"
    assert browser.get(f"{path}/change/").status_code == 200
    fields = {"name": " Lamp ", "price_cents": 5, "status": "active", "tags": "c b"}
    submit(browser, f"{path}/change/", fields)
    response = client.get(f"/items/{item['id']}", headers=ada.headers)
    assert response["ETag"] == f'"{item["id"]}-2"'
    edited = response.json()
    assert (edited["name"], edited["tags"], edited["description"]) == (" Lamp ", ["b", "c"], None)
    assert Event.objects.latest("id").data == edited
    submit(browser, f"{path}/delete/", {"post": "yes"})
    assert client.get(f"/items/{item['id']}", headers=ada.headers).status_code == 404
    assert [name for name, _ in events()][-3:] == ["item.created", "item.updated", "item.deleted"]


def test_an_edit_of_a_user_is_a_version_and_an_event(
    browser: Client, client: APIClient, ada: Account
) -> None:
    path = f"/admin/users/user{ada.path.removeprefix('/users')}"
    assert browser.get(f"{path}/change/").status_code == 200
    submit(browser, f"{path}/change/", {"email": "Countess@Example.org", "name": "Countess"})
    password = {"password1": "analytical", "password2": "analytical"}
    submit(browser, f"{path}/password/", {**password, "usable_password": "true"})
    response = client.get("/users/me", headers=ada.headers)
    assert (response["ETag"], response.json()["name"]) == (f'"{ada.user["id"]}-3"', "Countess")
    log_in = {"email": "countess@example.org", "password": "analytical"}
    assert client.post("/tokens", log_in).status_code == 201
    assert events()[-2:] == [("user.updated", ada.user["id"])] * 2


def test_deleting_users_in_the_list_tells_of_their_items_first(
    browser: Client, client: APIClient, ada: Account, bob: Account
) -> None:
    item = ada.create_item(tags=["a"])
    ids = [ada.user["id"], bob.user["id"]]
    fields = {"action": "delete_selected", "_selected_action": ids, "post": "yes"}
    submit(browser, "/admin/users/user/", fields)
    assert events()[-3:] == [
        ("item.deleted", item["id"]),
        *(("user.deleted", user_id) for user_id in ids),
    ]
    assert client.get("/users/me", headers=ada.headers).status_code == 401


def test_deleting_items_in_the_list_is_an_event_each(browser: Client, ada: Account) -> None:
    ids = [ada.create_item()["id"] for _ in range(2)]
    fields = {"action": "delete_selected", "_selected_action": ids, "post": "yes"}
    submit(browser, "/admin/items/item/", fields)
    assert events()[-2:] == [("item.deleted", item_id) for item_id in ids]


def test_a_new_user_may_be_made_staff(browser: Client, client: APIClient) -> None:
    password = {"password1": "analytical", "password2": "analytical"}
    submit(
        browser, "/admin/users/user/add/", {"email": "Ada@Example.org", "name": "Ada", **password}
    )
    ada = User.objects.get(email="ada@example.org")
    assert (ada.version, ada.is_staff, ada.is_superuser) == (1, False, False)
    assert events()[-1] == ("user.created", ada.pk)
    fields = {"email": ada.email, "name": ada.name, "is_staff": "on", "is_superuser": "on"}
    submit(browser, f"/admin/users/user/{ada.pk}/change/", fields)
    assert User.objects.filter(is_staff=True, is_superuser=True, email=ada.email).exists()
    log_in = {"email": "ada@example.org", "password": "analytical"}
    assert client.post("/tokens", log_in).status_code == 201


@pytest.mark.parametrize("description", [None, "", " a\nb ", "a\r\nb"])
def test_an_edit_leaves_a_text_as_it_was(
    browser: Client, client: APIClient, ada: Account, description: str | None
) -> None:
    item = ada.create_item(description=description)
    path = f"/admin/items/item/{item['id']}/change/"
    submitted = "\r\n".join((description or "").splitlines())
    fields = {"name": "Lamp", "description": submitted, "price_cents": 5, "status": "draft"}
    submit(browser, path, fields)
    edited = client.get(f"/items/{item['id']}", headers=ada.headers).json()
    assert (edited["price_cents"], edited["description"]) == (5, description)


def test_a_new_text_keeps_its_white_space(browser: Client, client: APIClient, ada: Account) -> None:
    item = ada.create_item(description="Bright")
    path = f"/admin/items/item/{item['id']}/change/"
    assert b"</textarea>" in browser.get(path).content
    fields = {"name": " Lamp ", "price_cents": 5, "status": "draft"}
    text = "x" * 1999
    submit(browser, path, {**fields, "description": f"\r\n{text}"})
    edited = client.get(f"/items/{item['id']}", headers=ada.headers).json()
    assert (edited["name"], edited["description"]) == (" Lamp ", f"\n{text}")
    submit(browser, f"/admin/users/user/{ada.user['id']}/change/", {**ada.user, "name": " Ada "})
    assert client.get(ada.path, headers=ada.headers).json()["name"] == " Ada "


def test_the_api_leaves_the_admins_cookie_alone(client: APIClient) -> None:
    client.cookies["sessionid"] = "x"
    assert client.get("/admin/").cookies.keys() == {"sessionid"}
    client.cookies["sessionid"] = "x"
    answers = [client.get(path) for path in ("/healthz", "/users", "/admin", "/nowhere")]
    assert [answer.status_code for answer in answers] == [200, 401, 404, 404]
    assert not any(answer.cookies for answer in answers)


def test_the_admin_holds_to_the_contracts_constraints(browser: Client, ada: Account) -> None:
    item = ada.create_item()
    fields = {"name": "", "price_cents": -1, "status": "sold", "tags": "A"}
    response = browser.post(f"/admin/items/item/{item['id']}/change/", fields)
    assert response.status_code == 200
    assert response.context["adminform"].form.errors.keys() == fields.keys()
    assert events()[-1] == ("item.created", item["id"])
