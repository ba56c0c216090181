"""Faults of the group Concurrency."""

from __future__ import annotations

from rosetta.controls.fault import fault

CONDITIONAL, ITEMS, USERS = "app/conditional.py", "app/items.py", "app/users.py"
PAGES, PRECONDITIONS = "app/pages.py", "app/preconditions.py"
IMPORTS = "from flask import Blueprint, g\n"

FAULTS = (
    fault(
        "tag-moves-at-put-only",
        "etag",
        "The tag of an item moves at PUT only, not at PATCH.",
        (ITEMS, "    item.version += 1\n", '    item.version += request.method == "PUT"\n'),
        (ITEMS, IMPORTS, IMPORTS.replace("g\n", "g, request\n")),
    ),
    fault(
        "updated-at-goes-back",
        "etag",
        "updated_at goes back with the clock.",
        (ITEMS, "max(utc_now(), item.updated_at)", "utc_now()"),
    ),
    fault(
        "item-moves-its-owner",
        "etag",
        "A new item moves its owner's version.",
        (
            ITEMS,
            "    owner, now = lock_caller(), utc_now()\n",
            "    owner, now = lock_caller(), utc_now()\n    owner.version += 1\n",
        ),
    ),
    fault(
        "tag-of-304-is-weak",
        "etag",
        "On 304 the tag is weak.",
        (
            CONDITIONAL,
            'return "", 304, headers',
            'return "", 304, {**headers, "ETag": f"W/{current}"}',
        ),
    ),
    fault(
        "unchanged-user-keeps-tag",
        "etag",
        "A write that changes no value of a user leaves its tag.",
        (USERS, "    user.version += 1\n", "    user.version += db.session.is_modified(user)\n"),
    ),
    fault(
        "updated-at-after-created-at",
        "etag",
        "At creation updated_at of an item is a little later than created_at.",
        (ITEMS, "created_at=now, updated_at=now)", "created_at=now, updated_at=utc_now())"),
    ),
    fault(
        "tag-is-the-version",
        "etag",
        "The tag is the version alone: two users have the same one at /users/me.",
        (PRECONDITIONS, "f'\"{resource_id}-{version}\"'", "f'\"{version}\"'"),
    ),
    fault(
        "tags-of-me-without-id",
        "etag",
        "At /users/me the tag has a 0 in the place of the id.",
        (
            USERS,
            "    user = get_user_or_404(g.user_id)\n    return answer(_dump(user), user.version)\n",
            "    user = get_user_or_404(g.user_id)\n"
            "    response = current_app.make_response(answer(_dump(user), user.version))\n"
            '    response.headers["ETag"] = f\'"0-{user.version}"\'\n'
            "    return response\n",
        ),
        (USERS, IMPORTS, IMPORTS.replace("g\n", "current_app, g\n")),
    ),
    fault(
        "tags-compared-by-version",
        "if-match",
        "The tag of another item of the same version lets a write through.",
        (
            CONDITIONAL,
            'if if_match_fails(_field("If-Match"), current):',
            'sent = _field("If-Match")\n'
            "    mine = sent and re.sub(r'\"[0-9]+-', f'\"{resource.id}-', sent)\n"
            "    if if_match_fails(mine, current):",
        ),
        (CONDITIONAL, "from typing import Any\n", "import re\nfrom typing import Any\n"),
    ),
    fault(
        "lists-may-be-cached",
        "cache",
        "Pages have no Cache-Control.",
        (PAGES, '{"Cache-Control": CACHE_CONTROL}', "{}"),
    ),
    fault(
        "304-may-be-cached",
        "cache",
        "A 304 has no Cache-Control.",
        (
            CONDITIONAL,
            'return "", 304, headers',
            'return "", 304, {"ETag": current}',
        ),
    ),
    fault(
        "kept-by-shared-caches",
        "cache",
        "Cache-Control is no-cache: shared caches may keep the answer.",
        (CONDITIONAL, '"private, no-cache"', '"no-cache"'),
    ),
    fault(
        "writes-have-cache-control",
        "cache",
        "The answer to a PATCH has the Cache-Control of a read.",
        (CONDITIONAL, '{"GET", "HEAD"}', '{"GET", "HEAD", "PATCH"}'),
    ),
    fault(
        "two-winners",
        "if-match",
        "If-Match is looked at before the lock is taken: several win one race.",
        (
            ITEMS,
            "    item = _lock_item(item_id)\n    check_preconditions(item)\n    for",
            "    check_preconditions(get_item_or_404(item_id))\n"
            "    item = _lock_item(item_id)\n    for",
        ),
    ),
    fault(
        "two-winners-in-one-race-of-twenty",
        "if-match",
        "In each twentieth race for an item the second writer wins, too.",
        (
            ITEMS,
            "    item = _lock_item(item_id)\n    check_preconditions(item)\n    for",
            "    item = _lock_item(item_id)\n"
            "    before = etag(item.id, item.version - 1)\n"
            "    is_late = item.version % 20 == 0 and before in request.if_match.to_header()\n"
            "    if not is_late:\n        check_preconditions(item)\n    for",
        ),
        (ITEMS, IMPORTS, IMPORTS.replace("g\n", "g, request\n")),
    ),
    fault(
        "two-winners-on-postgresql",
        "if-match",
        "The item's row is not locked: what SQLite forbids, PostgreSQL allows.",
        (ITEMS, "with_for_update=for_update or None", "with_for_update=None"),
        database="postgresql",
        workers=2,
    ),
    fault(
        "tags-of-before-the-lock",
        "if-match",
        "On PostgreSQL the tags are joined to the locked row, as they were before it was waited for.",
        (
            ITEMS,
            "options=[selectinload(Item.tag_rows)] if for_update else [],\n",
            "options=[],\n",
        ),
        (
            ITEMS,
            "with_for_update=for_update or None",
            'with_for_update={"of": Item} if for_update else None',
        ),
        database="postgresql",
        workers=2,
    ),
    fault(
        "if-match-takes-weak-tags",
        "if-match",
        "If-Match compares weakly.",
        (PRECONDITIONS, "weak=False)", "weak=True)"),
    ),
    fault(
        "if-match-reads-one-tag",
        "if-match",
        "Of a list in If-Match only the first tag is looked at.",
        (
            CONDITIONAL,
            'if_match_fails(_field("If-Match"), current)',
            'if_match_fails((_field("If-Match") or "").split(",")[0] or _field("If-Match"), current)',
        ),
    ),
    fault(
        "star-in-a-list",
        "if-match",
        "A star among other tags matches.",
        (
            PRECONDITIONS,
            r'if field.strip(" \t") == "*":',
            r'if "*" in [element.strip(" \t") for element in field.split(",")]:',
        ),
    ),
    fault(
        "if-match-is-enough",
        "if-match",
        "Where If-Match holds, If-None-Match is not looked at.",
        (
            CONDITIONAL,
            '    if if_none_match_hits(_field("If-None-Match"), current):\n        raise',
            '    if _field("If-Match") is None and if_none_match_hits(\n'
            '        _field("If-None-Match"), current\n    ):\n        raise',
        ),
    ),
    fault(
        "deleting-users-without-condition",
        "if-match",
        "DELETE of a user takes no notice of If-Match.",
        (
            USERS,
            "    check_preconditions(user)\n    owned",
            "    owned",
        ),
    ),
    fault(
        "if-none-match-is-strong",
        "if-none-match",
        "If-None-Match compares strongly.",
        (PRECONDITIONS, "_lists(field, current, weak=True)", "_lists(field, current, weak=False)"),
    ),
    fault(
        "me-is-always-sent",
        "if-none-match",
        "/users/me takes no notice of If-None-Match.",
        (
            USERS,
            "    user = get_user_or_404(g.user_id)\n    return answer(_dump(user), user.version)\n",
            "    user = get_user_or_404(g.user_id)\n"
            '    headers = {"ETag": etag(user.id, user.version), "Cache-Control": "private, no-cache"}\n'
            "    return _dump(user), 200, headers\n",
        ),
    ),
    fault(
        "dates-count",
        "if-none-match",
        "If-Modified-Since is followed.",
        (
            CONDITIONAL,
            '        if if_none_match_hits(_field("If-None-Match"), current):\n            return',
            '        if if_none_match_hits(_field("If-None-Match"), current) or (\n'
            '            _field("If-None-Match") is None and request.if_modified_since\n'
            "        ):\n            return",
        ),
    ),
    fault(
        "if-none-match-of-writes",
        "if-none-match",
        "PUT, PATCH and DELETE take no notice of If-None-Match.",
        (
            CONDITIONAL,
            '    if if_none_match_hits(_field("If-None-Match"), current):\n'
            '        raise Problem("precondition-failed")\n',
            "",
        ),
    ),
    fault(
        "address-looked-up-first",
        "email-taken",
        "A taken address is found before the transaction: who loses a race gets 500.",
        (
            USERS,
            "    password_hash = hash_password(body.password).result()\n",
            "    if db.session.scalar(select(User.id).filter_by(email=body.email)):\n"
            '        raise Problem("email-taken")\n'
            "    password_hash = hash_password(body.password).result()\n",
        ),
        (
            USERS,
            "    db.session.add(user)\n    _flush()\n",
            "    db.session.add(user)\n    db.session.flush()\n",
        ),
    ),
    fault(
        "ones-own-address-is-taken",
        "email-taken",
        "To send one's own address again is a conflict.",
        (
            USERS,
            "    for name, value in changes.items():\n",
            '    if changes.get("email") == user.email:\n'
            '        raise Problem("email-taken")\n'
            "    for name, value in changes.items():\n",
        ),
    ),
    fault(
        "swapped-addresses-deadlock",
        "email-taken",
        "On PostgreSQL two who swap addresses get a 500.",
        (
            USERS,
            "if isinstance(error.orig, DeadlockDetected):",
            "if isinstance(error.orig, DeadlockDetected) and not error.orig:",
        ),
        database="postgresql",
        workers=2,
    ),
)
