"""Ids in paths."""


class IdConverter:
    """A positive integer, in its one way of writing it."""

    # Contract: <int:id> would take 0 and 007.
    regex = r"[1-9][0-9]{0,17}"

    def to_python(self, value: str) -> int:
        """Return the id."""
        return int(value)

    def to_url(self, value: int) -> str:
        """Return the id as a path has it."""
        return str(value)
