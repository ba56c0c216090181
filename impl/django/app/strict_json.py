"""Strict JSON (RFC 8259): what Python's parser lets through is refused here."""

import json
import math
import re
from typing import Any, NoReturn

_MAX_INTEGER_DIGITS = 4300
# Every escape of a text in turn: a proper surrogate pair, an unpaired half, or any other.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<unpaired>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


class MalformedJSONError(ValueError):
    """The text is not JSON as RFC 8259 has it."""


def parse_json(text: bytes | str) -> Any:
    """Parse UTF-8 JSON; a repeated member's last value wins.

    Raises MalformedJSONError for anything RFC 8259 does not allow, and for what cannot be
    handed on faithfully: unpaired surrogates, numbers beyond a double, integers of over
    4,300 digits, nesting beyond the interpreter's limit.
    """
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(
            decoded, parse_constant=_refuse, parse_float=_finite, parse_int=_bounded_integer
        )
    except (ValueError, RecursionError) as error:
        raise MalformedJSONError("the text is not strict JSON") from error
    if any(escape["unpaired"] for escape in _ESCAPE.finditer(decoded)):
        raise MalformedJSONError("an unpaired surrogate")
    return value


def _refuse(constant: str) -> NoReturn:
    raise MalformedJSONError(f"{constant} is not JSON")


def _finite(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise MalformedJSONError("a number beyond a double")
    return number


def _bounded_integer(literal: str) -> int:
    if len(literal.removeprefix("-")) > _MAX_INTEGER_DIGITS:
        raise MalformedJSONError("an integer of too many digits")
    return int(literal)
