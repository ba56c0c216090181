"""Faults of the group Bodies."""

from __future__ import annotations

from rosetta.controls.fault import fault

SCHEMAS, STRICT_JSON, VALIDATION = "app/schemas.py", "app/strict_json.py", "app/validation.py"

FAULTS = (
    fault(
        "merge-patch-at-put",
        "content-type",
        "PUT and POST take application/merge-patch+json, too.",
        (
            VALIDATION,
            'JSON = frozenset({"application/json"})',
            'JSON = frozenset({"application/json", "application/merge-patch+json"})',
        ),
    ),
    fault(
        "json-by-suffix",
        "content-type",
        "Any type that ends in +json is taken.",
        (
            VALIDATION,
            "    if request.mimetype not in media_types:\n",
            '    if request.mimetype not in media_types and not request.mimetype.endswith("+json"):\n',
        ),
    ),
    fault(
        "charset-is-followed",
        "content-type",
        "A body whose charset is iso-8859-1 is read as such.",
        (
            VALIDATION,
            "parse_json(content))",
            "parse_json(\n"
            '            content.decode("latin-1").encode()\n'
            '            if request.mimetype_params.get("charset") == "iso-8859-1"\n'
            "            else content\n        ))",
        ),
    ),
    fault(
        "body-of-delete-is-looked-at",
        "content-type",
        "A DELETE with a body that is no JSON is 415.",
        (
            "app/items.py",
            '    """Delete an item."""\n',
            '    """Delete an item."""\n'
            "    if request.content_length and not request.is_json:\n"
            '        raise Problem("unsupported-media-type")\n',
        ),
        (
            "app/items.py",
            "from flask import Blueprint, g\n",
            "from flask import Blueprint, g, request\n",
        ),
    ),
    fault(
        "accept-is-followed",
        "negotiation",
        "Who does not accept JSON is refused.",
        (
            "app/messages.py",
            '    sent = request.headers.get("X-Request-ID", "")\n',
            "    accepted = request.accept_mimetypes\n"
            '    sent = request.headers.get("X-Request-ID", "")\n',
        ),
        (
            "app/messages.py",
            "else str(uuid.uuid4())\n",
            "else str(uuid.uuid4())\n"
            "    if accepted and not accepted.accept_json:\n"
            '        raise __import__("app.errors").errors.Problem("unsupported-media-type")\n',
        ),
    ),
    fault(
        "method-overridden",
        "negotiation",
        "X-HTTP-Method-Override makes a POST another method.",
        (
            "app/__init__.py",
            "    return app\n",
            "    inner = app.wsgi_app\n\n"
            "    def overridden(environ, start):\n"
            '        asked = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", "").upper()\n'
            '        if asked and environ["REQUEST_METHOD"] == "POST":\n'
            '            environ["REQUEST_METHOD"] = asked\n'
            "        return inner(environ, start)\n\n"
            "    app.wsgi_app = overridden\n"
            "    return app\n",
        ),
    ),
    fault(
        "bom-is-skipped",
        "json",
        "A byte order mark is passed over.",
        (STRICT_JSON, 'text.decode("utf-8")', 'text.decode("utf-8-sig")'),
    ),
    fault(
        "unpaired-surrogate-in-capitals",
        "json",
        r"An unpaired surrogate is found in lower case only: \uD800 passes.",
        (STRICT_JSON, "(?P<unpaired>u[dD][89a-fA-F]", "(?P<unpaired>ud[89a-f]"),
    ),
    fault(
        "infinite-exponent",
        "json",
        "1e400 is refused only if it has a point.",
        (
            STRICT_JSON,
            "    if math.isinf(number):\n",
            '    if math.isinf(number) and "." in literal:\n',
        ),
    ),
    fault(
        "integer-of-4300-digits",
        "json",
        "An integer of 4,300 digits is refused.",
        (STRICT_JSON, "_MAX_INTEGER_DIGITS = 4300", "_MAX_INTEGER_DIGITS = 4299"),
    ),
    fault(
        "raw-control-characters",
        "json",
        "A raw tab or line feed is let into a string.",
        (STRICT_JSON, "        decoded = ", "        strict = False\n        decoded = "),
        (
            STRICT_JSON,
            "parse_int=_bounded_integer\n",
            "parse_int=_bounded_integer,\n            strict=strict,\n",
        ),
    ),
    fault(
        "first-member-wins",
        "json",
        "Of members of one name the first wins.",
        (
            STRICT_JSON,
            "parse_int=_bounded_integer\n",
            "parse_int=_bounded_integer,\n"
            "            object_pairs_hook=lambda pairs: dict(reversed(pairs)),\n",
        ),
    ),
    fault(
        "true-is-one",
        "strict-types",
        "true is a price of 1.",
        (
            SCHEMAS,
            "    return int(value) if isinstance(value, float) and value.is_integer() else value\n",
            "    if value is True:\n        return 1\n"
            "    return int(value) if isinstance(value, float) and value.is_integer() else value\n",
        ),
    ),
    fault(
        "name-is-trimmed",
        "strict-types",
        "White space around an item's name is cut off.",
        (
            SCHEMAS,
            "str, StringConstraints(min_length=1, max_length=200,",
            "str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200,",
        ),
    ),
    fault(
        "description-is-normalised",
        "strict-types",
        "A description is stored in Unicode's form NFC.",
        (
            SCHEMAS,
            "Description = Annotated[str, ",
            "Description = Annotated[\n    str,\n"
            '    AfterValidator(lambda t: __import__("unicodedata").normalize("NFC", t)),\n    ',
        ),
    ),
    fault(
        "string-is-a-list-of-one",
        "strict-types",
        "A single string is taken for a list of tags.",
        (
            SCHEMAS,
            "AfterValidator(_unique)]",
            "AfterValidator(_unique),\n"
            "    BeforeValidator(lambda tags: [tags] if isinstance(tags, str) else tags)]",
        ),
    ),
    fault(
        "chunks-are-cut",
        "size",
        "A chunked body is cut off at the limit.",
        (
            VALIDATION,
            "    if len(content) > MAX_BODY_BYTES:\n"
            '        raise Problem("content-too-large")\n    return content\n',
            "    return content[:MAX_BODY_BYTES]\n",
        ),
    ),
    fault(
        "limit-is-exclusive",
        "size",
        "An announced body of 65,536 bytes is refused.",
        (
            VALIDATION,
            "(request.content_length or 0) > MAX_BODY_BYTES",
            "(request.content_length or 0) >= MAX_BODY_BYTES",
        ),
    ),
    fault(
        "chunked-in-lower-case-alone",
        "size",
        "Transfer-Encoding: Chunked is refused, chunked is not.",
        (
            VALIDATION,
            "    if (request.content_length or 0) > MAX_BODY_BYTES:\n",
            '    if request.headers.get("Transfer-Encoding", "chunked") != "chunked":\n'
            '        raise Problem("malformed-json")\n'
            "    if (request.content_length or 0) > MAX_BODY_BYTES:\n",
        ),
    ),
    fault(
        "size-in-characters",
        "size",
        "The size counts characters.",
        (
            VALIDATION,
            "(request.content_length or 0) > MAX_BODY_BYTES",
            "(request.content_length or 0) > 4 * MAX_BODY_BYTES",
        ),
        (VALIDATION, "stream.read(MAX_BODY_BYTES + 1)", "stream.read(4 * MAX_BODY_BYTES + 1)"),
        (VALIDATION, "len(content) > MAX", 'len(content.decode("utf-8", "replace")) > MAX'),
    ),
)
