"""What a server with a fault must still do: if it is broken altogether, its fault proves nothing.

Not of the suite: ``rosetta.controls.campaign`` runs it before the tests of a fault's rule.
"""

from __future__ import annotations

import pytest

from rosetta.clients.http import PASSWORD, Api, sign_token, unique_email
from rosetta.contract import spec

pytestmark = pytest.mark.rule(*spec.load().rules.rules)  # whatever --rule selects


def test_the_server_is_not_broken_altogether(api: Api, secret_key: str) -> None:
    """Most ordinary requests are answered, one of them well; how exactly is the suite's matter."""
    user = {"email": unique_email(), "name": "Ada", "password": PASSWORD}
    item = {"name": "Lamp", "price_cents": 1999}
    created = api.post("/users", json=user)
    digits = created.headers.get("Location", "").rpartition("/")[2]
    token = sign_token(int(digits) if digits.isdecimal() else 1, secret_key)
    answers = [
        created,
        api.post("/tokens", json={"email": user["email"], "password": PASSWORD}),
        api.get("/users/me", token=token),
        api.get("/users", token=token),
        api.post("/items", token=token, json=item),
        api.get("/items", token=token),
        api.get("/healthz"),
        api.get("/nowhere"),
    ]
    statuses = [answer.status_code for answer in answers]
    failed = [status for status in statuses if status >= 500]
    assert len(failed) <= len(statuses) / 2, statuses
    assert any(status < 300 for status in statuses), statuses
