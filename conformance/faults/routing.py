"""Faults of the group Routing."""

from __future__ import annotations

from rosetta.controls.fault import fault

ERRORS, ITEMS, MESSAGES = "app/errors.py", "app/items.py", "app/messages.py"
HTTP_ERROR = "def _handle_no_route(_: NotFound) -> Problem:\n"
WRONG_METHOD = "    methods = error.valid_methods or ()\n"
ID_SENT = '    response.headers["X-Request-ID"] = g.request_id\n'

FAULTS = (
    fault(
        "paths-without-case",
        "routes",
        "Paths are compared without case.",
        (
            "app/__init__.py",
            "    return app\n",
            "    inner = app.wsgi_app\n"
            "    app.wsgi_app = lambda environ, start: inner(  # type: ignore[method-assign]\n"
            '        {**environ, "PATH_INFO": environ["PATH_INFO"].lower()}, start\n    )\n'
            "    return app\n",
        ),
    ),
    fault(
        "items-below-users",
        "routes",
        "GET /users/{user_id}/items is there, too.",
        (
            "app/users.py",
            '@bp.put("/<id:user_id>")\n',
            '@bp.get("/<id:user_id>/items")\n@token_required\n'
            "def list_items_of_user(user_id: int) -> ResponseReturnValue:\n"
            "    query = read_query(schemas.PageQuery)\n"
            "    owned = select(Item).where(Item.owner_id == user_id)\n"
            "    return page(owned, Item, schemas.Item, query)\n\n\n"
            '@bp.put("/<id:user_id>")\n',
        ),
    ),
    fault(
        "no-route-without-token",
        "routes",
        "Without a token an unknown path is 401.",
        (
            ERRORS,
            HTTP_ERROR,
            f'{HTTP_ERROR}    if "Authorization" not in request.headers:\n'
            "        return unauthorized()\n",
        ),
    ),
    fault(
        "id-of-nineteen-digits",
        "ids",
        "An id may have nineteen digits.",
        ("app/routing.py", "[0-9]{0,17}", "[0-9]{0,18}"),
    ),
    fault(
        "id-in-other-digits",
        "ids",
        "Behind the first digit of an id those of any script are read.",
        ("app/routing.py", "[0-9]{0,17}", r"\d{0,17}"),
    ),
    fault(
        "me-can-be-deleted",
        "ids",
        "DELETE /users/me deletes the caller.",
        (
            "app/users.py",
            '@bp.delete("/<id:user_id>")\n',
            '@bp.delete("/me")\n@token_required\n'
            "def delete_current_user() -> ResponseReturnValue:\n"
            "    return delete_user(g.user_id)\n\n\n"
            '@bp.delete("/<id:user_id>")\n',
        ),
    ),
    fault(
        "slash-twin",
        "slash",
        "GET /items/ lists the items, too.",
        (ITEMS, '@bp.get("")\n', '@bp.get("/")\n@bp.get("")\n'),
    ),
    fault(
        "slash-redirects",
        "slash",
        "GET of an item with a slash behind it is redirected.",
        (
            ERRORS,
            HTTP_ERROR,
            f'{HTTP_ERROR}    if request.path.startswith("/items/"):\n'
            '        if request.path.endswith("/") and request.method == "GET":\n'
            '            return Response(status=308, headers={"Location": request.path[:-1]})\n',
        ),
    ),
    fault(
        "slash-twin-of-the-echo",
        "slash",
        "/ws/echo/ is the echo, too.",
        ("app/events.py", '@bp.get("/echo")\n', '@bp.get("/echo/")\n@bp.get("/echo")\n'),
    ),
    fault(
        "trace-echoes",
        "method",
        "TRACE sends the request's header fields back.",
        (
            ERRORS,
            WRONG_METHOD,
            f'{WRONG_METHOD}    if request.method == "TRACE":\n'
            '        return Response(str(request.headers), mimetype="message/http")\n',
        ),
    ),
    fault(
        "query-is-no-method",
        "method",
        "QUERY is 404 in place of 405.",
        (
            ERRORS,
            WRONG_METHOD,
            f'{WRONG_METHOD}    if request.method == "QUERY":\n        return not_found()\n',
        ),
    ),
    fault(
        "405-needs-a-token",
        "method",
        "A method that an item's path lacks is 401 without a token.",
        (
            ERRORS,
            WRONG_METHOD,
            f'{WRONG_METHOD}    if request.method == "POST" and "Authorization" not in request.headers:\n'
            "        return unauthorized()\n",
        ),
    ),
    fault(
        "allow-without-head",
        "allow",
        "Allow leaves out HEAD.",
        (ERRORS, '{*methods, "OPTIONS"}', '{*methods, "OPTIONS"} - {"HEAD"}'),
    ),
    fault(
        "allow-of-405-without-options",
        "allow",
        "On 405 Allow leaves out OPTIONS.",
        (ERRORS, '{"Allow": _allow(valid_methods)}', '{"Allow": ", ".join(sorted(valid_methods))}'),
    ),
    fault(
        "head-without-link",
        "head",
        "HEAD of a page has no Link.",
        (
            "app/pages.py",
            "    if target:\n",
            '    if target and request.method == "GET":\n',
        ),
    ),
    fault(
        "head-never-304",
        "head",
        "HEAD takes no notice of If-None-Match.",
        ("app/conditional.py", 'request.method in {"GET", "HEAD"}', 'request.method == "GET"'),
    ),
    fault(
        "head-without-challenge",
        "head",
        "On HEAD a 401 has no WWW-Authenticate.",
        (
            MESSAGES,
            ID_SENT,
            f'{ID_SENT}    if request.method == "HEAD":\n'
            '        response.headers.pop("WWW-Authenticate", None)\n',
        ),
    ),
    fault(
        "head-of-no-length",
        "head",
        "HEAD says Content-Length: 0.",
        (
            MESSAGES,
            ID_SENT,
            f'{ID_SENT}    if request.method == "HEAD":\n'
            '        response.set_data(b"")\n'
            '        response.headers["Content-Length"] = "0"\n',
        ),
    ),
    fault(
        "options-looks-for-the-item",
        "options",
        "OPTIONS of an item that is not there is 404.",
        (
            ERRORS,
            '    if request.method == "OPTIONS":\n',
            "    from app.items import Item, db\n\n"
            '    start, _, digits = request.path.rpartition("/")\n'
            '    if start == "/items" and db.session.get(Item, int(digits)) is None:\n'
            '        return not_found() if request.method == "OPTIONS" else method_not_allowed(methods)\n'
            '    if request.method == "OPTIONS":\n',
        ),
    ),
    fault(
        "preflight-is-200",
        "options",
        "A preflight is answered with 200.",
        (
            ERRORS,
            "Response(status=204, ",
            'Response(status=204 - 4 * ("Access-Control-Request-Method" in request.headers), ',
        ),
    ),
)
