"""Who asks, and for what: generated requests that could succeed are made so that they do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from schemathesis import AuthContext, AuthProvider, BaseSchema, Case, HookContext, Response
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase
from schemathesis.hooks import GLOBAL_HOOK_DISPATCHER

from rosetta.clients.http import PASSWORD, Api

SUCCESS = 2  # hundred
PARAMETERS = {"user_id", "item_id"}

HOLDING = {"If-Match": "*", "If-None-Match": '"0"'}


@dataclass
class Login:
    """What it takes to be a user."""

    email: str
    password: str
    token: str | None = None


class Identities:
    """The accounts and items of one run, made on demand.

    A request for a resource bears its owner's token; every other, that of a reader who is never
    the target of a write.
    """

    def __init__(self, api: Api, salt: str | None = None) -> None:
        self.api = api
        self.salt = uuid4().hex[:6] if salt is None else salt
        self.count = 0
        self.logins: dict[int, Login] = {}
        self.owners: dict[int, int] = {}
        # What a request may name: it is, or was, there.
        self.made: dict[str, set[int]] = {name: set() for name in PARAMETERS}
        self.reader = self._sign_up()
        self.seller = self._sign_up()
        self.user, self.item = 0, 0  # the present targets of writes

    @contextlib.contextmanager
    def signing(self, schema: BaseSchema) -> Iterator[None]:
        """Apply to every request of the schema until the end."""
        schema.auth(refresh_interval=None)(self._provider())
        schema.hooks.register_hook_with_name(self.after_call, "after_call")
        # The last moment: links have filled in the path, and a check's own probes do not pass here.
        before = GLOBAL_HOOK_DISPATCHER.register_hook_with_name(self.before_call, "before_call")
        try:
            yield
        finally:
            GLOBAL_HOOK_DISPATCHER.unregister(before)

    def _provider(self) -> type[AuthProvider[str]]:
        token = self.token(self.reader)

        class Reader:
            """Sign what needs a token, unless the case is about a bad one."""

            def get(self, case: Case[Any], _: AuthContext) -> str | None:
                return token if case.operation.definition.raw.get("security") else None

            def set(self, case: Case[Any], data: str, _: AuthContext) -> None:
                case.headers["Authorization"] = f"Bearer {data}"

        return Reader

    def before_call(self, _: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
        """Let a request that could succeed do so: target, token, addresses, preconditions."""
        self._aim(case)
        if case.headers.get("Authorization") == f"Bearer {self.token(self.reader)}":
            case.headers["Authorization"] = f"Bearer {self.token(self._signer(case))}"
        self._fill_in(case)
        self._hold(case)

    def after_call(self, _: HookContext, case: Case[Any], response: Response) -> None:
        """Remember what the request made, changed or deleted."""
        if response.status_code // 100 != SUCCESS or case.method.lower() != case.operation.method:
            return
        body, shown = members(case.body), members(answered(response))
        match case.operation.definition.raw["operationId"]:
            case "create_user" if {"id", "email"} <= set(shown):
                self._note_user(shown["id"], Login(shown["email"], body.get("password", "")))
            case "replace_user" | "update_user" if target(case) in self.logins:
                login = self.logins[target(case)]
                login.email = shown.get("email", login.email)
                login.password = body.get("password", login.password)
            case "create_item" if {"id", "owner_id"} <= set(shown):
                self._note_item(shown["id"], shown["owner_id"])
            case "delete_user":
                self.logins.pop(target(case), None)
            case "delete_item":
                self.owners.pop(target(case), None)

    # -- targets

    def _aim(self, case: Case[Any]) -> None:
        """Point a valid path at a resource that exists, but where a link has led stay there."""
        for name in PARAMETERS & set(case.path_parameters):
            if not is_negative(case, ParameterLocation.PATH) and not self._is_led(case, name):
                found = self._an_item() if name == "item_id" else self._a_user()
                case.path_parameters = {**case.path_parameters, name: found}

    def _is_led(self, case: Case[Any], name: str) -> bool:
        """Tell whether a link may have given the id: it is, or was, there."""
        linked = case.meta is not None and case.meta.phase.name is TestPhase.STATEFUL
        spared = name == "user_id" and target(case) in (self.reader, self.seller)
        reads = case.operation.method == "get"
        return linked and target(case) in self.made[name] and (reads or not spared)

    def _signer(self, case: Case[Any]) -> int:
        """Return the user whose token the request bears."""
        if "item_id" in case.path_parameters:
            return self.owners.get(target(case), self.reader)
        if "user_id" in case.path_parameters and target(case) in self.logins:
            return target(case)
        return self.seller if case.operation.method == "post" else self.reader

    def _a_user(self) -> int:
        if self.user not in self.logins:
            self.user = self._sign_up()
        return self.user

    def _an_item(self) -> int:
        if self.item not in self.owners:
            self.item = self.api.create_item(self.token(self.seller)).id
            self._note_item(self.item, self.seller)
        return self.item

    # -- headers and bodies

    def _hold(self, case: Case[Any]) -> None:
        """Make every other precondition hold: as generated it hardly ever does."""
        self.count += 1
        for name, value in HOLDING.items():
            if name in case.headers and self.count % 2:
                case.headers[name] = value

    def _fill_in(self, case: Case[Any]) -> None:
        """Give a body of its own address to who signs up or changes it; let who logs in exist."""
        body, operation = members(case.body), case.operation.definition.raw["operationId"]
        if is_negative(case, ParameterLocation.BODY) or "email" not in body:
            return
        if operation == "create_token":
            reader = self.logins[self.reader]
            if not self._is_login(body):
                case.body = {"email": reader.email, "password": reader.password}
        else:
            case.body = {**body, "email": unique(body["email"], self._mark())}

    def _is_login(self, body: dict[str, Any]) -> bool:
        given = (body["email"].lower(), body.get("password"))
        return given in [(login.email, login.password) for login in self.logins.values()]

    def _mark(self) -> str:
        self.count += 1
        return f"{self.count:05}{self.salt}"

    # -- accounts

    def _sign_up(self) -> int:
        account = self.api.sign_up(email=f"u{self._mark()}@rosetta.test")
        self._note_user(account.id, Login(account.email, PASSWORD, account.token))
        return account.id

    def token(self, user_id: int) -> str:
        """Return a token of a user of this run."""
        login = self.logins[user_id]
        login.token = login.token or self.api.log_in(login.email, login.password)
        return login.token

    def _note_user(self, user_id: int, login: Login) -> None:
        self.logins[user_id] = login
        self.made["user_id"].add(user_id)

    def _note_item(self, item_id: int, owner_id: int) -> None:
        self.owners[item_id] = owner_id
        self.made["item_id"].add(item_id)


def members(value: object) -> dict[str, Any]:
    """Return the members of a JSON object; none of anything else."""
    return value if isinstance(value, dict) else {}


def answered(response: Response) -> object:
    """Return the JSON of a response; None where it has none, which is for the checks to say."""
    try:
        return response.json()
    except ValueError:
        return None


def is_negative(case: Case[Any], location: ParameterLocation) -> bool:
    """Tell whether a part of the case was generated to be refused."""
    return case.meta is not None and case.meta.is_negative_at(location)


def target(case: Case[Any]) -> int:
    """Return the id in a path; 0 if it is none."""
    ids = [str(case.path_parameters[name]) for name in PARAMETERS & set(case.path_parameters)]
    return int(ids[0]) if ids and ids[0].isdecimal() and ids[0].isascii() else 0


def unique(email: str, mark: str) -> str:
    """Return an address of the same length, or a little longer, that bears the mark.

    The mark takes the place of the first characters that are neither `@` nor `.`, so an address
    of the greatest length keeps it.
    """
    places = [index for index, character in enumerate(email) if character not in "@."]
    if len(places) < len(mark):
        return mark + email
    characters = list(email)
    for place, character in zip(places, mark, strict=False):
        characters[place] = character
    return "".join(characters)
