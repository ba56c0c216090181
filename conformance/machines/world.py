"""The server and the model side by side: every request goes to both, every answer is compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from rosetta.clients.http import PASSWORD, Api, Violation, unique_email, violation
from rosetta.clients.message import Response
from rosetta.contract.blame import rules_held, rules_parted
from rosetta.contract.model import Answer, Implausible, Json, Made, Model, Request, Resource
from rosetta.contract.routes import operation_of
from rosetta.contract.terms import MISSING, TIMESTAMP

COMPARED = (
    "Cache-Control",
    "Content-Type",
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
)
# Far beyond any id that was given, and no other client is at work.
UNKNOWN = 1_000_000


class World:
    """What is known of one server; it outlasts an example, so that accounts can be used again.

    An example that failed may have left the model in another state than the server: ``begin``
    then starts anew, with accounts of its own.
    """

    def __init__(self, api: Api, address: Callable[[str], str] = unique_email) -> None:
        self.api = api
        self.address = address  # makes e-mail addresses that no one has
        self.model = Model()
        self.script: list[str] = []
        self.held: set[str] = set()  # the rules to which answers were held
        self.clean = True

    def begin(self) -> None:
        """Start an example."""
        if not self.clean:
            self.model = Model()
        self.script.clear()
        self.clean = True

    # -- requests

    def ask(self, request: Request) -> Answer:
        """Send a request and return its answer, which is the model's; raise Violation."""
        __tracebackhide__ = True
        self.clean = False
        response = self._send(request)
        self.script.append(f"{describe(request, self.model)} → {response.status_code}")
        try:
            expected = self.model.answer(request, made_by(response))
        except Implausible as error:
            raise self._violation(response, "a plausible value", error, ["success"]) from None
        self._compare(request, response, expected)
        operation = operation_of(request.method, request.path)
        self.held |= rules_held(wanted_of(request, expected), operation)
        self.clean = True
        return expected

    def _send(self, request: Request) -> Response:
        given = {"If-Match": request.if_match, "If-None-Match": request.if_none_match}
        return self.api.request(
            request.method,
            request.path,
            token=request.token,
            json=request.body,
            headers={name: value for name, value in given.items() if value is not None},
            params=dict(request.query) or None,
        )

    def _compare(self, request: Request, response: Response, expected: Answer) -> None:
        __tracebackhide__ = True
        operation = operation_of(request.method, request.path)
        rules = rules_parted(wanted_of(request, expected), given_by(response), operation)
        if response.status_code != expected.status:
            got = f"status {response.status_code}"
            raise self._violation(response, f"status {expected.status}", got, rules)
        fields = {name: response.headers[name] for name in COMPARED if name in response.headers}
        if fields != (wanted := fields_of(expected)):
            raise self._violation(response, f"the header fields {wanted}", fields, rules)
        if request.method == "HEAD" or expected.body is None:
            if response.content:
                raise self._violation(response, "no body", response.content, ["head", "success"])
        elif (body := json_of(response)) != expected.body or not same_types(body, expected.body):
            raise self._violation(response, json.dumps(expected.body), json.dumps(body), rules)

    def _violation(
        self, response: Response, expected: str, got: object, rules: Iterable[str]
    ) -> Violation:
        found = violation(response, expected, got)
        return self.broken(str(found), rules, found.exchanges)

    def broken(
        self, what: str, rules: Iterable[str], exchanges: Iterable[tuple[str, str]] = ()
    ) -> Violation:
        """Return the error to raise when a step went wrong: the script, and what was wrong."""
        steps = [f"{number}. {step}" for number, step in enumerate(self.script, 1)]
        return Violation("\n".join([*steps, "", f"In the last step: {what}"]), exchanges, rules)

    # -- accounts

    def accounts(self, count: int) -> list[Resource]:
        """Return users that have a token, the oldest first; sign up those that are missing."""
        users = self.model.resources["user"].values()
        known = [user for user in users if self.token(user.id)]
        return [*known, *(self.sign_up() for _ in range(count - len(known)))][:count]

    def sign_up(self) -> Resource:
        """Create a user and log it in."""
        email = self.address("model")
        fields = {"email": email, "name": "Ada", "password": PASSWORD}
        user_id = self.ask(Request("POST", "/users", body=fields)).body["id"]
        self.ask(Request("POST", "/tokens", body={"email": email, "password": PASSWORD}))
        return self.model.resources["user"][user_id]

    def token(self, user_id: int) -> str | None:
        """Return a token of a user, who may be gone."""
        return next((t for t, owner in self.model.tokens.items() if owner == user_id), None)


def made_by(response: Response) -> Made:
    """Return what the server chose for this answer, where it has the form it must have."""
    body = json_of(response)
    if not isinstance(body, dict):
        return Made()
    id_, now, token = body.get("id"), body.get("updated_at"), body.get("access_token")
    life = body.get("expires_in")
    return Made(
        id=id_ if type(id_) is int else None,
        now=now if isinstance(now, str) and TIMESTAMP.fullmatch(now) else None,
        token=token if isinstance(token, str) and token else None,
        life=life if type(life) is int and life > 0 else 3600,
    )


def wanted_of(request: Request, answer: Answer) -> Json:
    """Return an answer of the model in the form in which a replay compares them."""
    body = None if request.method == "HEAD" else answer.body
    return compared(answer.status, fields_of(answer), body)


def given_by(response: Response) -> Json:
    """Return a response in the form in which a replay compares them."""
    return compared(response.status_code, response.headers, json_of(response))


def compared(status: int, fields: Mapping[str, str], body: Json) -> Json:
    """Return what is compared of an answer."""
    headers = {name.lower(): fields[name] for name in COMPARED if name in fields}
    return {"status": status, "headers": headers, **({} if body is None else {"body": body})}


def fields_of(answer: Answer) -> Mapping[str, str]:
    """Return the compared header fields of an answer."""
    problem = answer.status >= HTTPStatus.BAD_REQUEST
    media = "application/problem+json" if problem else "application/json"
    kind = {} if answer.body is None else {"Content-Type": media}
    return {**kind, **answer.headers}


def json_of(response: Response) -> Json:
    """Return the JSON of a response; None where there is none."""
    try:
        return response.json()
    except ValueError:
        return None


def same_types(got: Any, expected: Any) -> bool:  # noqa: ANN401 - JSON
    """Tell 1 from 1.0 and true in equal values."""
    if isinstance(expected, dict):
        return all(same_types(got[name], value) for name, value in expected.items())
    if isinstance(expected, list):
        return all(map(same_types, got, expected))
    return type(got) is type(expected)


def describe(request: Request, model: Model) -> str:
    """Return a request in one line."""
    query = "&".join(f"{name}={value}" for name, value in request.query.items())
    user = model.tokens.get(request.token or "")
    bearer = "" if request.token is None else f" as user {user}" if user else " as a stranger"
    conditions = "".join(
        f" {name}: {value}"
        for name, value in (
            ("If-Match", request.if_match),
            ("If-None-Match", request.if_none_match),
        )
        if value is not None
    )
    body = "" if request.body is MISSING else f" {json.dumps(request.body, ensure_ascii=False)}"
    target = f"{request.path}?{query}" if query else request.path
    return f"{request.method} {target}{bearer}{conditions}{body}"
