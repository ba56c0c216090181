"""Paths: ids as the contract has them, and the methods of a path."""

import re
from collections.abc import Iterable
from typing import Any

from sanic.constants import HTTP_METHODS
from sanic.exceptions import SanicException
from sanic.router import Router as SanicRouter
from sanic_routing.exceptions import NotFound

_ID = re.compile(r"[1-9][0-9]{0,17}")


def path_id(segment: str) -> int:
    """Return the id that a path's segment is; raise ValueError when it is none."""
    # Contract: <item_id:int> would take 0, 007 and -1.
    if not _ID.fullmatch(segment):
        raise ValueError(segment)
    return int(segment)


class Router(SanicRouter):
    """Sanic's router, which knows `<item_id:id>` and takes paths literally."""

    def __init__(self) -> None:
        super().__init__()
        self.register_pattern("id", path_id, _ID)

    def add(  # type: ignore[override]
        self, uri: str, methods: Iterable[str] | None, *args: Any, **kwargs: Any
    ) -> Any:
        """Add a route; one with GET has HEAD too."""
        given = set(methods or {"GET"})  # a websocket's route names none
        # Contract: Sanic would answer HEAD with 405.
        also = {"HEAD"} if "GET" in given else set()
        return super().add(uri, given | also, *args, **kwargs)

    def resolve(self, path: str, *, orig: str | None = None, **kwargs: Any) -> Any:
        """Find the route of a path."""
        # Contract: Sanic would try /items/1/ again as /items/1, and answer 405 to a POST.
        if orig is not None:
            raise NotFound("no such path", path=orig)
        return super().resolve(path, orig=orig, **kwargs)

    def allowed_methods(self, path: str) -> str:
        """Return the methods that the path has, as in Allow."""
        # Contract: Sanic would forget them where a path has an id, and never name OPTIONS.
        methods = [str(method) for method in HTTP_METHODS if self._has(path, str(method))]
        return ", ".join([*methods, "OPTIONS"])

    def _has(self, path: str, method: str) -> bool:
        try:
            self.get(path, method, None)
        except SanicException:
            return False
        return True
