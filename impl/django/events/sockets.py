"""How many websockets there may be."""

from app.exceptions import unavailable


class Sockets:
    """The places for a worker's open websockets; one over the limit is refused."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    def take_place(self) -> None:
        """Take a place; raise 503 when there is none."""
        if not self._free:
            raise unavailable()
        self._free -= 1

    def free_place(self) -> None:
        """Give a place back."""
        self._free += 1
