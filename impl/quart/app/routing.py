"""Paths: ids as the contract has them, and Quart without its routing conveniences."""

from quart import Quart
from quart.wrappers.base import BaseRequestWebsocket
from werkzeug.routing import BaseConverter, MapAdapter


class IdConverter(BaseConverter):
    """A positive integer, in its one way of writing it."""

    # Contract: <int:id> would take 0, 007 and digits of other scripts.
    regex = r"[1-9][0-9]{0,17}"

    def to_python(self, value: str) -> int:
        """Return the id."""
        return int(value)


class App(Quart):
    """Quart that finds routes by nothing but the path, the method and the kind of connection."""

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Return the adapter that finds a request's route."""
        if request is None:
            return None
        # Contract: Quart would answer a Host that is no name with a bare 500.
        return self.url_map.bind("", None, None, request.scheme, request.method, request.path)


def init_routing(app: Quart) -> None:
    """Teach the app ids, and to take paths literally."""
    app.url_map.converters["id"] = IdConverter
    # Contract: Werkzeug would redirect /users//1 to /users/1.
    app.url_map.merge_slashes = False
