"""What a path and a method mean: ids, HEAD, OPTIONS, and the truth in Allow."""

import re
from typing import Any

import falcon
from falcon.asgi import Request, Response
from falcon.routing import BaseConverter, CompiledRouter

_ID = re.compile(r"[1-9][0-9]{0,17}")


class IdConverter(BaseConverter):
    """A path id: `{user_id:id}`."""

    # Contract: Falcon's int would take 0, 007, +1, 1_0 and digits of other scripts.
    def convert(self, value: str) -> int | None:
        """Return the id of a path, or None: then it is no route."""
        return int(value) if _ID.fullmatch(value) else None


class Router(CompiledRouter):
    """Falcon's router, which gives every resource HEAD and OPTIONS as well."""

    def map_http_methods(self, resource: object, **kwargs: Any) -> dict[str, Any]:
        """Return the resource's responders by method."""
        methods: dict[str, Any] = dict(super().map_http_methods(resource, **kwargs))
        if "GET" in methods:
            # Contract: Falcon would answer 405 to HEAD where there is GET.
            methods["HEAD"] = methods["GET"]
        allow = ", ".join(sorted({*methods, "OPTIONS"} - {"WEBSOCKET"}))

        async def on_options(req: Request, resp: Response, **_: Any) -> None:
            resp.status = falcon.HTTP_204
            resp.set_header("Allow", allow)

        # Contract: Falcon would answer OPTIONS with 200, and leave it out of every Allow.
        methods["OPTIONS"] = on_options
        return methods
