"""Paths with ids, and routes whose bodies are read as the contract has them."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute, APIRouter
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from app.validation import BodyRequest


class IdConvertor(Convertor[int]):
    """A path id: `{user_id:id}`."""

    # Contract: Starlette's int would take 0, 007 and digits of other scripts; its "$" a newline.
    regex = r"[1-9][0-9]{0,17}(?!\n)"

    def convert(self, value: str) -> int:
        """Return the id of a path."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return the id as it stands in a path."""
        return str(value)


register_url_convertor("id", IdConvertor())


class Route(APIRoute):
    """A route that reads its body as BodyRequest does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, given a BodyRequest."""
        handle = super().get_route_handler()

        async def handle_body_request(request: Request) -> Response:
            return await handle(BodyRequest(request.scope, request.receive))

        return handle_body_request


class Router(APIRouter):
    """A router of such routes: use it instead of APIRouter."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=Route, **options)


def merge_patch(schema: str) -> dict[str, Any]:
    """Return what /docs has to say of a PATCH besides: its other media type."""
    reference = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {"requestBody": {"content": {"application/merge-patch+json": reference}}}
