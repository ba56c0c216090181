"""Faults of the group Messages."""

from __future__ import annotations

from rosetta.controls.fault import fault

ERRORS, MESSAGES, SCHEMAS = "app/errors.py", "app/messages.py", "app/schemas.py"
CORS = "app/cors.py"
NOSNIFF = '    response.headers["X-Content-Type-Options"] = "nosniff"\n'
KEYS = "key=lambda violation: violation["

FAULTS = (
    fault(
        "charset-on-405",
        "media-type",
        "The problem of a wrong method has a charset.",
        (
            ERRORS,
            '{"Allow": _allow(valid_methods)}',
            '{\n        "Allow": _allow(valid_methods),\n'
            '        "Content-Type": "application/problem+json; charset=utf-8",\n    }',
        ),
    ),
    fault(
        "charset-on-lists",
        "media-type",
        "Lists are application/json with a charset.",
        (
            "app/pages.py",
            '    return {"data": data',
            '    headers["Content-Type"] = "application/json; charset=utf-8"\n'
            '    return {"data": data',
        ),
    ),
    fault(
        "426-as-plain-json",
        "media-type",
        "upgrade-required is application/json.",
        (
            ERRORS,
            '{"Upgrade": "websocket", "Connection": "Upgrade"}',
            '{\n        "Upgrade": "websocket",\n'
            '        "Connection": "Upgrade",\n'
            '        "Content-Type": "application/json",\n    }',
        ),
    ),
    fault(
        "last-modified",
        "headers-closed",
        "GET of an item has Last-Modified.",
        (
            "app/items.py",
            "    return answer(_dump(item), item.version)\n",
            "    body, status, headers = answer(_dump(item), item.version)\n"
            '    moment = item.updated_at.strftime("%a, %d %b %Y %H:%M:%S GMT")\n'
            '    return body, status, {**headers, "Last-Modified": moment}\n',
        ),
    ),
    fault(
        "cors-for-browsers",
        "headers-closed",
        "Who sends an Origin is told that any may read the answer.",
        (
            MESSAGES,
            NOSNIFF,
            NOSNIFF + '    if "Origin" in request.headers:\n'
            '        response.headers["Access-Control-Allow-Origin"] = "*"\n',
        ),
    ),
    fault(
        "no-store-on-401",
        "headers-closed",
        "401 has Cache-Control: no-store.",
        (
            ERRORS,
            '    return Problem("unauthorized", {"WWW-Authenticate": _REALM})\n',
            '    fields = {"WWW-Authenticate": _REALM, "Cache-Control": "no-store"}\n'
            '    return Problem("unauthorized", fields)\n',
        ),
    ),
    fault(
        "sniffing-on-204",
        "nosniff",
        "Answers without a body lack nosniff.",
        (MESSAGES, NOSNIFF, f"    if response.status_code not in {{204, 304}}:\n    {NOSNIFF}"),
    ),
    fault(
        "sniffing-on-5xx",
        "nosniff",
        "500 and 503 lack nosniff.",
        (MESSAGES, NOSNIFF, f"    if response.status_code < 500:\n    {NOSNIFF}"),
    ),
    fault(
        "sniffing-on-refused-handshakes",
        "nosniff",
        "Refused handshakes lack nosniff.",
        (MESSAGES, NOSNIFF, f'    if "Upgrade" not in request.headers:\n    {NOSNIFF}'),
    ),
    fault(
        "request-id-of-65",
        "request-id",
        "A client's id of 65 characters is taken.",
        (MESSAGES, "{1,64}", "{1,65}"),
    ),
    fault(
        "tab-belongs-to-the-field",
        "request-id",
        "A tab behind a field is kept as a part of it.",
        (
            "gunicorn.conf.py",
            "class Worker(ThreadWorker):\n",
            'requests = __import__("gunicorn.http.message").http.message.Request\n'
            "parse_headers = requests.parse_headers\n\n\n"
            "def keep_tabs(request, data, *args, **named):\n"
            '    data = __import__("re").sub(rb"\\t(?=\\r\\n|\\Z)", b"\\xff", data)\n'
            "    fields = parse_headers(request, data, *args, **named)\n"
            '    return [(name, value.replace("\\xff", "\\t")) for name, value in fields]\n\n\n'
            "requests.parse_headers = keep_tabs\n\n\n"
            "class Worker(ThreadWorker):\n",
        ),
    ),
    fault(
        "request-id-lowered",
        "request-id",
        "A client's id comes back in lower case.",
        (MESSAGES, "sent if _CLIENT_ID", "sent.lower() if _CLIENT_ID"),
    ),
    fault(
        "request-id-of-the-thread",
        "request-id",
        "The fresh id is fresh for each thread, not for each request.",
        (MESSAGES, "else str(uuid.uuid4())", 'else getattr(_local, "id")'),
        (
            MESSAGES,
            '_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")\n',
            '_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")\n\n\n'
            'class _Local(__import__("threading").local):\n'
            "    def __init__(self) -> None:\n"
            "        self.id = str(uuid.uuid4())\n\n\n_local = _Local()\n",
        ),
    ),
    fault(
        "title-of-409",
        "problem",
        "The title of email-taken is spelt otherwise.",
        (ERRORS, '"Email already taken"', '"E-mail already taken"'),
    ),
    fault(
        "404-names-its-path",
        "problem",
        "not-found has an instance.",
        (
            ERRORS,
            '    return Problem("not-found")\n',
            '    return Problem("not-found", instance=request.path)\n',
        ),
    ),
    fault(
        "412-with-a-string-for-status",
        "problem",
        "The status in precondition-failed is a string.",
        (
            ERRORS,
            '"status": self.code, **members}',
            '"status": "412" if self.code == 412 else self.code, **members}',
        ),
    ),
    fault(
        "errors-in-the-schemas-order",
        "validation-errors",
        "Errors are listed as the schema names its members.",
        (SCHEMAS, f'return sorted(found, {KEYS}"pointer"])', "return found"),
    ),
    fault(
        "errors-sorted-without-case",
        "validation-errors",
        "Errors are sorted by pointers in lower case.",
        (SCHEMAS, f'{KEYS}"pointer"])', f'{KEYS}"pointer"].lower())'),
    ),
    fault(
        "pointer-escaped-twice",
        "validation-errors",
        "In a pointer the slash is escaped before the tilde.",
        (
            SCHEMAS,
            'replace("~", "~0").replace("/", "~1")',
            'replace("/", "~1").replace("~", "~0")',
        ),
    ),
    fault(
        "unknown-members-count-for-nothing",
        "validation-errors",
        "A PATCH of unknown members alone is only minProperties.",
        (
            SCHEMAS,
            "        if body == {}:\n",
            "        if isinstance(body, dict) and not body.keys() & cls.model_fields.keys():\n",
        ),
    ),
    fault(
        "lengths-in-utf-16",
        "validation-errors",
        "The greatest length of an item's name counts UTF-16 units.",
        (
            SCHEMAS,
            "def _utc_text(moment",
            "def _short(name: str) -> str:\n"
            '    if len(name.encode("utf-16-le")) > 400:\n'
            '        raise PydanticCustomError("string_too_long", "too long")\n'
            "    return name\n\n\ndef _utc_text(moment",
        ),
        (
            SCHEMAS,
            "class ItemCreate(Schema):",
            "ItemName = Annotated[ItemName, AfterValidator(_short)]\n\n\nclass ItemCreate(Schema):",
        ),
    ),
    fault(
        "traceback-not-logged",
        "unhandled",
        "The traceback of an exception does not reach the log.",
        (
            ERRORS,
            "    app.register_error_handler(MethodNotAllowed",
            "    app.log_exception = lambda *_: None\n"
            "    app.register_error_handler(MethodNotAllowed",
        ),
    ),
    fault(
        "500-says-why",
        "unhandled",
        "500 names the class of the exception.",
        (
            ERRORS,
            "def _handle_internal_error(_: InternalServerError) -> Problem:\n"
            '    return Problem("internal-error")\n',
            "def _handle_internal_error(error: InternalServerError) -> Problem:\n"
            '    cause = getattr(error, "original_exception", None)\n'
            '    return Problem("internal-error", detail=type(cause).__name__)\n',
        ),
    ),
    fault(
        "cors-of-any-origin",
        "cors",
        "Every origin is told that it is allowed.",
        (CORS, 'if origin is None or not allowed_origins & {origin, "*"}:', "if origin is None:"),
    ),
    fault(
        "cors-by-prefix",
        "cors",
        "An origin that begins as an allowed one is allowed.",
        (
            CORS,
            'not allowed_origins & {origin, "*"}',
            'not any(each == "*" or origin.startswith(each) for each in allowed_origins)',
        ),
    ),
    fault(
        "cors-null-is-allowed",
        "cors",
        "The origin null is allowed.",
        (CORS, '{origin, "*"}:', '{origin, "*"} and origin != "null":'),
    ),
    fault(
        "cors-without-vary",
        "cors",
        "A preflight has no Vary.",
        (
            MESSAGES,
            'if headers and headers["Access-Control-Allow-Origin"] != "*":',
            'if not is_preflight and headers and headers["Access-Control-Allow-Origin"] != "*":',
        ),
    ),
    fault(
        "cors-hides-retry-after",
        "cors",
        "Retry-After is not exposed.",
        (CORS, "Location, Retry-After, WWW", "Location, WWW"),
    ),
    fault(
        "cors-of-all-as-the-origin",
        "cors",
        "With all origins allowed each is told its own name, without Vary.",
        (
            MESSAGES,
            "    response.headers.update(headers)\n",
            "    response.headers.update(headers)\n"
            '    if headers.get("Access-Control-Allow-Origin") == "*":\n'
            '        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]\n',
        ),
    ),
    fault(
        "cors-not-on-errors-of-the-server",
        "cors",
        "A page may not read a 500.",
        (
            MESSAGES,
            "    response.headers.update(headers)\n",
            "    if response.status_code == 500:\n        return response\n"
            "    response.headers.update(headers)\n",
        ),
    ),
    fault(
        "preflight-without-if-match",
        "cors",
        "A preflight does not allow If-Match.",
        (CORS, "Content-Type, If-Match, If-None", "Content-Type, If-None"),
    ),
    fault(
        "failed-counter-keeps-its-lock",
        "unhandled",
        "A transaction that fails at the counter of events stays open, and keeps its locks.",
        ("app/outbox.py", "last_id = db.session.execute(", "last_id = _counted("),
        (
            "app/outbox.py",
            "def commit(changes",
            "_failed = []\n\n\n"
            "def _counted(statement):\n"
            "    try:\n        return db.session.execute(statement)\n"
            "    except Exception:\n"
            "        _failed.append(db.session.registry())\n"
            "        db.session.registry.clear()\n"
            "        raise\n\n\n"
            "def commit(changes",
        ),
    ),
    fault(
        "no-tables-is-503",
        "unhandled",
        "A database without tables is taken for one that cannot be reached.",
        (
            "app/database.py",
            "    sqlite3.SQLITE_BUSY,\n",
            "    sqlite3.SQLITE_BUSY,\n    sqlite3.SQLITE_ERROR,\n",
        ),
    ),
    fault(
        "503-of-readyz-without-retry-after",
        "unavailable",
        "Readiness that waits in vain answers 503 without Retry-After.",
        (
            "app/health.py",
            "        raise unavailable() from None\n",
            '        problem = unavailable()\n        del problem.headers["Retry-After"]\n'
            "        raise problem from None\n",
        ),
        database="postgresql",
    ),
    fault(
        "503-before-401",
        "unavailable",
        "Without a database, who sends no token gets 503 in place of 401.",
        (
            "app/auth.py",
            '    scheme, _, token = authorization.partition(" ")\n',
            "    db.session.execute(db.select(1))\n"
            '    scheme, _, token = authorization.partition(" ")\n',
        ),
    ),
    fault(
        "503-for-good",
        "unavailable",
        "Once the database was away, it stays 503 until a restart.",
        (
            ERRORS,
            "        return unavailable()\n    raise error\n",
            "        _lost.append(error)\n        return unavailable()\n    raise error\n",
        ),
        (
            ERRORS,
            "_REALM = 'Bearer realm=\"api\"'\n",
            "_REALM = 'Bearer realm=\"api\"'\n_lost = []\n",
        ),
        (
            "app/auth.py",
            '    claims = read_claims(token.strip(" "))\n',
            '    claims = read_claims(token.strip(" "))\n'
            "    from app.errors import _lost, unavailable\n\n"
            "    if _lost:\n        raise unavailable()\n",
        ),
    ),
    fault(
        "no-directory-is-500",
        "unavailable",
        "A database file whose directory is not there is 500.",
        ("app/database.py", "    sqlite3.SQLITE_CANTOPEN,\n", ""),
    ),
)
