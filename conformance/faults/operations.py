"""Faults of the group Operations."""

from __future__ import annotations

from rosetta.controls.fault import fault

HEALTH, ITEMS, OUTBOX = "app/health.py", "app/items.py", "app/outbox.py"

FAULTS = (
    fault(
        "location-absolute",
        "success",
        "Location of a new item is an absolute URL.",
        (ITEMS, 'f"/items/{item.id}"', 'f"{request.host_url}items/{item.id}"'),
        (ITEMS, "from flask import Blueprint, g\n", "from flask import Blueprint, g, request\n"),
    ),
    fault(
        "told-before-committed",
        "success",
        "A write is answered some milliseconds before it is committed.",
        (
            OUTBOX,
            '    db.session.commit()\n    current_app.extensions["feed"].notify()\n',
            '    session, feed = db.session(), current_app.extensions["feed"]\n'
            "    db.session.registry.clear()\n\n"
            "    def finish() -> None:\n"
            "        session.commit()\n        session.close()\n        feed.notify()\n\n"
            '    __import__("threading").Timer(0.03, finish).start()\n',
        ),
    ),
    fault(
        "connection-held-while-a-body-comes",
        "success",
        "While it waits for a body a request holds a connection to the database.",
        (
            "app/validation.py",
            "    end_reading()  # no transaction stays open while a client is sending\n",
            "",
        ),
    ),
    fault(
        "token-answered-with-200",
        "success",
        "A token is answered with 200 in place of 201.",
        (
            "app/auth.py",
            'token.model_dump(), 201, {"Cache',
            'token.model_dump(), 200, {"Cache',
        ),
    ),
    fault(
        "deleting-nothing-succeeds",
        "not-found",
        "DELETE of an item that is not there is 204.",
        (
            ITEMS,
            "    get_item_or_404(item_id, check_owner=True)\n    item = _lock_item(item_id)\n",
            "    if db.session.get(Item, item_id) is None:\n"
            '        return "", 204\n'
            "    get_item_or_404(item_id, check_owner=True)\n    item = _lock_item(item_id)\n",
        ),
    ),
    fault(
        "writing-no-user-is-forbidden",
        "not-found",
        "Writing a user that is not there is 403, as if it were another's.",
        (
            "app/users.py",
            "    user = db.session.get(User, user_id)\n",
            "    if check_self and user_id != g.user_id:\n"
            '        raise Problem("forbidden")\n'
            "    user = db.session.get(User, user_id)\n",
        ),
    ),
    fault(
        "healthz-asks-the-database",
        "liveness",
        "Liveness asks the database, but for the first time.",
        (
            HEALTH,
            '    """Say that the process serves requests."""\n',
            '    """Say that the process serves requests."""\n'
            '    if current_app.config.get("ALIVE"):\n'
            "        _select_one(db.engine)\n"
            '    current_app.config["ALIVE"] = True\n',
        ),
    ),
    fault(
        "healthz-when-sockets-are-full",
        "liveness",
        "Liveness is 503 while all places for sockets are taken.",
        (
            HEALTH,
            '    return {"status": "ok"}\n',
            '    if current_app.extensions["sockets"]._free == 0:\n'
            "        raise unavailable()\n"
            '    return {"status": "ok"}\n',
        ),
    ),
    fault(
        "readyz-knows-the-tables",
        "readiness",
        "A database without tables is not ready.",
        (HEALTH, 'text("SELECT 1")', 'text("SELECT 1 FROM users LIMIT 1")'),
    ),
    fault(
        "readyz-waits-four-seconds",
        "readiness",
        "Readiness waits four seconds for a database that does not answer.",
        (HEALTH, "READY_WITHIN_SECONDS = 2.5", "READY_WITHIN_SECONDS = 4.0"),
        database="postgresql",
    ),
    fault(
        "readyz-remembers",
        "readiness",
        "Once ready is always ready.",
        (
            HEALTH,
            '    return {"status": "ready"}\n',
            '    current_app.config["READY"] = True\n    return {"status": "ready"}\n',
        ),
        (
            HEALTH,
            '    """Say whether the database answers."""\n',
            '    """Say whether the database answers."""\n'
            '    if current_app.config.get("READY"):\n'
            '        return {"status": "ready"}\n',
        ),
        database="postgresql",
    ),
)
