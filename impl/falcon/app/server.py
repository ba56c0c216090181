"""uvicorn's side of a connection."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Protocol(HttpToolsProtocol):
    """One client's connection, until it becomes a websocket."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one field of a request."""
        # Contract: httptools would leave a tab at the end of the value.
        super().on_header(name, value.strip(b" \t"))
