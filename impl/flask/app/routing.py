"""Paths: ids as the contract has them, and Flask without its routing conveniences."""

from flask import Flask, Request
from werkzeug.routing import BaseConverter, MapAdapter


class IdConverter(BaseConverter):
    """A positive integer, in its one way of writing it."""

    # Contract: <int:id> would take 0, 007 and digits of other scripts.
    regex = r"[1-9][0-9]{0,17}"

    def to_python(self, value: str) -> int:
        """Return the id."""
        return int(value)


class App(Flask):
    """Flask that leaves the Upgrade field to the views."""

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return the adapter that finds a request's route."""
        adapter = super().create_url_adapter(request)
        if adapter is not None:
            # Contract: Werkzeug would answer an Upgrade to websocket elsewhere with 400.
            adapter.websocket = False
        return adapter


def init_routing(app: Flask) -> None:
    """Teach the app ids, and to take paths literally."""
    app.url_map.converters["id"] = IdConverter
    # Contract: Werkzeug would redirect //items to /items.
    app.url_map.merge_slashes = False
