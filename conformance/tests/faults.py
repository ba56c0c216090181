"""Faults of a server, each a change of one method of ``reference.Service``; they compose."""

from __future__ import annotations

from dataclasses import replace
from email.message import Message

from rosetta.contract.model import (
    Answer,
    Fields,
    Json,
    Kind,
    Made,
    Refusal,
    Request,
    Resource,
    Subscription,
)
from tests.reference import Service


class CrashesOnUnicode(Service):
    """Answers 500 for a name that is not ASCII."""

    def _valid_body(self, request: Request, schema: str) -> Fields:
        fields = super()._valid_body(request, schema)
        if not str(fields.get("name", "")).isascii():
            raise Refusal("internal-error")
        return fields


class AcceptsAnyPrice(Service):
    """Does not look at the greatest price."""

    def _valid_body(self, request: Request, schema: str) -> Fields:
        body = request.body
        if isinstance(body, dict) and type(body.get("price_cents")) is int:
            checked = {**body, "price_cents": min(body["price_cents"], 100_000_000)}
            fields = super()._valid_body(
                Request(request.method, request.path, body=checked), schema
            )
            return {**fields, "price_cents": body["price_cents"]}
        return super()._valid_body(request, schema)


class ShowsPassword(Service):
    """Has the password in the answer to a sign-up."""

    def create_user(self, request: Request, made: Made) -> Answer:
        answer = super().create_user(request, made)
        return Answer(201, {**answer.body, "password": request.body["password"]}, answer.headers)


class IgnoresAuthentication(Service):
    """Lists items for everybody."""

    def list_items(self, request: Request, made: Made) -> Answer:
        return self._page(request, self.resources["item"].values())


class NoNosniff(Service):
    """Leaves out X-Content-Type-Options."""

    def fields(self, answer: Answer, head: Message) -> dict[str, str]:
        fields = super().fields(answer, head)
        del fields["X-Content-Type-Options"]
        return fields


class KeepsDeleted(Service):
    """Answers a DELETE of an item and keeps it."""

    def _delete(self, resource: Resource) -> None:
        if resource.kind == "user":
            super()._delete(resource)


class RefusesEveryPut(Service):
    """Has no PUT that succeeds."""

    def replace_item(self, request: Request, made: Made, item_id: int) -> Answer:
        super().replace_item(request, made, item_id)
        return Refusal("validation", errors=[]).answer


class IgnoresOwnership(Service):
    """Lets everybody write everything."""

    def _own(self, request: Request, kind: Kind, id_: int) -> Resource:
        return self._found(request, kind, id_)


class KeepsTagAtPatch(Service):
    """Moves the version at PUT only."""

    def update_item(self, request: Request, made: Made, item_id: int) -> Answer:
        answer = super().update_item(request, made, item_id)
        if answer.status == 200:
            item = self.resources["item"][item_id]
            item.version -= 1
            return item.answer(200)
        return answer


class MatchesWeakly(Service):
    """Compares If-Match weakly."""

    def answer(self, request: Request, made: Made) -> Answer:
        strong = request.if_match and request.if_match.replace("W/", "")
        return super().answer(replace(request, if_match=strong), made)


class PutKeepsDescription(Service):
    """Keeps at PUT what the body leaves out."""

    def replace_item(self, request: Request, made: Made, item_id: int) -> Answer:
        kept = self.resources["item"].get(item_id)
        if kept and isinstance(request.body, dict) and "description" not in request.body:
            body = {**request.body, "description": kept.shown["description"]}
            request = replace(request, body=body)
        return super().replace_item(request, made, item_id)


class SkipsARow(Service):
    """Starts each page but the first one row too late."""

    def _page(self, request: Request, resources: Json) -> Answer:
        answer = super()._page(request, resources)
        if answer.status == 200 and request.query.get("after", "0") != "0":
            return Answer(200, {**answer.body, "data": answer.body["data"][1:]}, answer.headers)
        return answer


class ForgetsNothing(Service):
    """Takes the token of a deleted user."""

    def _caller(self, request: Request) -> Resource:
        user_id = self.tokens.get(request.token or "")
        if user_id and user_id not in self.resources["user"]:
            return Resource("user", {"id": user_id})
        return super()._caller(request)


class ComparesAddressesByCase(Service):
    """Takes an address again in another case."""

    def _check_email(self, fields: Fields, owner: Resource | None) -> None:
        return


class LosesAnEvent(Service):
    """Writes no event for the deletion of an item."""

    def _note(self, resource: Resource, what: str) -> None:
        if (resource.kind, what) != ("item", "deleted"):
            super()._note(resource, what)


class SendsTheNewest(Service):
    """Replays the resource as it is now, not as the write answered it."""

    def to_send(self, subscription: Subscription) -> list[tuple[int, Json]]:
        messages = super().to_send(subscription)
        if hasattr(subscription, "replayed"):  # later, what is newest is a matter of time
            return messages
        subscription.__dict__["replayed"] = True
        for _, message in messages:
            kind: Kind = "user" if message["event"].startswith("user") else "item"
            now = self.resources[kind].get(message["resource_id"])
            if now and message["data"] is not None:
                message["data"] = dict(now.shown)
        return messages


class RepeatsAfterResume(Service):
    """Starts a feed at the event that the client has seen."""

    def to_send(self, subscription: Subscription) -> list[tuple[int, Json]]:
        if not hasattr(subscription, "resumed"):
            subscription.__dict__["resumed"] = True
            subscription.after = max(0, subscription.after - 1)
        return super().to_send(subscription)


class IgnoresTopics(Service):
    """Sends every topic whatever was subscribed."""

    def to_send(self, subscription: Subscription) -> list[tuple[int, Json]]:
        return super().to_send(Subscription(subscription.after))


class DeletesUserFirst(Service):
    """Tells of a deleted user before its items."""

    def delete_user(self, request: Request, made: Made, user_id: int) -> Answer:
        before = len(self.events)
        answer = super().delete_user(request, made, user_id)
        self.events[before:] = self.events[before:][::-1]
        return answer
