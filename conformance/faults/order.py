"""Faults of the group Order of checks."""

from __future__ import annotations

from rosetta.controls.fault import fault

ITEMS, USERS = "app/items.py", "app/users.py"

FAULTS = (
    fault(
        "body-before-owner",
        "precedence",
        "PUT of an item reads the body before it looks for item and owner.",
        (
            ITEMS,
            "    get_item_or_404(item_id, check_owner=True)\n"
            "    return _change_item(item_id, read_body(schemas.ItemCreate).model_dump())\n",
            "    changes = read_body(schemas.ItemCreate).model_dump()\n"
            "    get_item_or_404(item_id, check_owner=True)\n"
            "    return _change_item(item_id, changes)\n",
        ),
    ),
    fault(
        "precondition-before-body",
        "precedence",
        "PATCH of a user looks at If-Match before the body.",
        (
            USERS,
            "    get_user_or_404(user_id, check_self=True)\n"
            "    return _change_user(read_body(schemas.UserPatch",
            "    check_preconditions(get_user_or_404(user_id, check_self=True))\n"
            "    return _change_user(read_body(schemas.UserPatch",
        ),
    ),
    fault(
        "address-before-precondition",
        "precedence",
        "A taken address is told before a failing If-Match.",
        (
            USERS,
            "    check_preconditions(user)\n    for name",
            "    for name",
        ),
        (
            USERS,
            "    _flush()\n    data, version = _dump(user), user.version\n",
            "    _flush()\n    data, version = _dump(user), user.version\n"
            "    user.version -= 1\n    check_preconditions(user)\n    user.version += 1\n",
        ),
    ),
    fault(
        "vanished-caller-is-404",
        "precedence",
        "A caller who is deleted while the request runs gets 404.",
        (
            "app/auth.py",
            "    if user is None:\n        raise invalid_token()\n    return user\n",
            "    if user is None:\n"
            '        raise __import__("app.errors").errors.not_found()\n'
            "    return user\n",
        ),
    ),
    fault(
        "cap-before-token",
        "precedence",
        "A full house is told before a missing token.",
        (
            "app/events.py",
            "    claims = _authenticate_handshake()\n",
            '    if current_app.extensions["sockets"]._free == 0:\n'
            '        raise __import__("app.errors").errors.unavailable()\n'
            "    claims = _authenticate_handshake()\n",
        ),
    ),
    fault(
        "refused-write-is-an-event",
        "precedence",
        "A write that If-Match refuses leaves an event.",
        (
            ITEMS,
            "    check_preconditions(item)\n    for name",
            "    try:\n        check_preconditions(item)\n"
            "    except Problem:\n"
            '        commit([Change("item.updated", item_id, _dump(item))])\n'
            "        raise\n    for name",
        ),
    ),
)
