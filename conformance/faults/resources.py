"""Faults of the group Resources."""

from __future__ import annotations

from rosetta.controls.fault import fault

ITEMS, MODELS, SCHEMAS, USERS = "app/items.py", "app/models.py", "app/schemas.py", "app/users.py"
PUT_ITEM = "_change_item(item_id, read_body(schemas.ItemCreate).model_dump())"
PATCH_ITEM = """\
    get_item_or_404(item_id, check_owner=True)
    return _change_item(item_id, read_body(schemas.ItemPatch, MERGE_PATCH).changes())
"""

FAULTS = (
    fault(
        "email-of-254-refused",
        "user-schema",
        "The bound of an address is exclusive: 254 characters are refused.",
        (SCHEMAS, "        max_length=254,", "        max_length=253,"),
    ),
    fault(
        "email-case-kept-at-patch",
        "user-schema",
        "PATCH stores an address in the case in which it was sent.",
        (
            SCHEMAS,
            '    email: Email = ""',
            '    email: Annotated[str, Email.__metadata__[0]] = ""',
        ),
    ),
    fault(
        "user-name-takes-del",
        "user-schema",
        "U+007F is let into a user's name.",
        (
            SCHEMAS,
            r'max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$"',
            r'max_length=100, pattern=r"^[^\x00-\x1f]*$"',
        ),
    ),
    fault(
        "user-patch-takes-unknown",
        "user-schema",
        "PATCH of a user ignores a member that the schema does not name.",
        (
            SCHEMAS,
            '    """Some of a user\'s members."""\n',
            '    """Some of a user\'s members."""\n\n    model_config = ConfigDict(extra="ignore")\n',
        ),
    ),
    fault(
        "tags-sorted-as-collations-do",
        "item-schema",
        "Tags are sorted as a language would: hyphens do not count.",
        (
            MODELS,
            "return sorted(row.tag for row in self.tag_rows)",
            'return sorted((r.tag for r in self.tag_rows), key=lambda t: (t.replace("-", ""), t))',
        ),
    ),
    fault(
        "greatest-price-refused",
        "item-schema",
        "The greatest price is refused.",
        (SCHEMAS, "Field(ge=0, le=100_000_000)", "Field(ge=0, lt=100_000_000, le=100_000_000)"),
    ),
    fault(
        "empty-description-is-null",
        "item-schema",
        "An empty description comes back as null.",
        (
            SCHEMAS,
            "    description: str | None\n",
            "    description: Annotated[str | None, PlainSerializer(lambda text: text or None)]\n",
        ),
    ),
    fault(
        "tag-of-thirty-refused",
        "item-schema",
        "A tag of 30 characters is refused.",
        (SCHEMAS, "[a-z0-9-]{0,29}", "[a-z0-9-]{0,28}"),
    ),
    fault(
        "put-of-user-ignores-password",
        "user-replace",
        "PUT leaves the password as it was, though one was sent.",
        (
            USERS,
            "read_body(schemas.UserReplace).changes()",
            'read_body(schemas.UserReplace).model_dump(include={"email", "name"})',
        ),
    ),
    fault(
        "put-of-user-without-name",
        "user-replace",
        "PUT of a user lets the name be left out, and keeps it.",
        (
            SCHEMAS,
            '    name: UserName\n    password: Password = ""',
            '    name: UserName = ""\n    password: Password = ""',
        ),
    ),
    fault(
        "put-of-password-keeps-the-old",
        "user-replace",
        "After a PUT the old password still logs in, beside the new one.",
        (
            USERS,
            '        changes["password_hash"] = hash_password(changes.pop("password")).result()\n',
            "        old = db.session.scalar(select(User.password_hash).filter_by(id=g.user_id))\n"
            "        OLD_HASHES[g.user_id] = old\n"
            '        changes["password_hash"] = hash_password(changes.pop("password")).result()\n',
        ),
        (USERS, "\n\n@bp.post", "\nOLD_HASHES: dict[int, str | None] = {}\n\n\n@bp.post"),
        (
            "app/auth.py",
            "    if not verify_password(password_hash, body.password).result():\n",
            "    from app.users import OLD_HASHES\n\n"
            "    hashes = (password_hash, OLD_HASHES.get(user_id))\n"
            "    if not any(verify_password(each, body.password).result() for each in hashes):\n",
        ),
    ),
    fault(
        "user-patch-null-keeps",
        "user-patch",
        "A null name in a PATCH of a user is read as absent.",
        (
            SCHEMAS,
            '    name: UserName = ""\n    password',
            '    name: UserName | None = ""\n    password',
        ),
        (
            USERS,
            "    for name, value in changes.items():\n",
            "    for name, value in changes.items():\n        if value is None:\n            continue\n",
        ),
    ),
    fault(
        "user-patch-of-nothing",
        "user-patch",
        "An empty PATCH of a user is accepted.",
        (SCHEMAS, "class UserPatch(Patch):", "class UserPatch(Schema):"),
    ),
    fault(
        "user-patch-of-password-alone",
        "user-patch",
        "Where a password is sent, the other members are left as they were.",
        (
            USERS,
            'changes["password_hash"] = hash_password(changes.pop("password")).result()',
            'changes = {"password_hash": hash_password(changes["password"]).result()}',
        ),
    ),
    fault(
        "put-keeps-tags",
        "item-replace",
        "PUT of an item keeps the tags when the body leaves them out.",
        (
            ITEMS,
            PUT_ITEM,
            "_change_item(\n        item_id,\n"
            "        {\n            name: value\n"
            "            for body in [read_body(schemas.ItemCreate)]\n"
            "            for name, value in body.model_dump().items()\n"
            '            if name != "tags" or name in body.model_fields_set\n'
            "        },\n    )",
        ),
    ),
    fault(
        "put-keeps-archived",
        "item-replace",
        "PUT of an archived item without a status leaves it archived.",
        (
            ITEMS,
            "    for name, value in changes.items():\n        setattr(item, name, value)\n",
            '    kept = "status" if item.status == "archived" else ""\n'
            "    for name, value in changes.items():\n"
            '        if name != kept or value != "draft":\n'
            "            setattr(item, name, value)\n",
        ),
    ),
    fault(
        "put-makes-anew",
        "item-replace",
        "PUT of an item moves created_at, as if it were a new one.",
        (ITEMS, PUT_ITEM, PUT_ITEM[:-1] + ' | {"created_at": utc_now()})'),
    ),
    fault(
        "patch-merges-tags",
        "item-patch",
        "PATCH adds the tags to those that are there.",
        (
            ITEMS,
            PATCH_ITEM,
            "    tags = get_item_or_404(item_id, check_owner=True).tags\n"
            "    changes = read_body(schemas.ItemPatch, MERGE_PATCH).changes()\n"
            '    if changes.get("tags"):\n'
            '        changes["tags"] = [*tags, *changes["tags"]]\n'
            "    return _change_item(item_id, changes)\n",
        ),
    ),
    fault(
        "patch-null-keeps-description",
        "item-patch",
        "A null description in a PATCH is read as absent.",
        (
            ITEMS,
            "read_body(schemas.ItemPatch, MERGE_PATCH).changes()",
            "read_body(schemas.ItemPatch, MERGE_PATCH).model_dump(\n"
            "        exclude_unset=True, exclude_none=True\n    )",
        ),
    ),
    fault(
        "patch-null-empties-tags",
        "item-patch",
        "A null in place of tags removes them instead of being refused.",
        (
            SCHEMAS,
            '    price_cents: PriceCents = 0\n    status: Status = "draft"\n    tags: Tags = []',
            '    price_cents: PriceCents = 0\n    status: Status = "draft"\n'
            "    tags: Annotated[Tags, BeforeValidator(lambda t: [] if t is None else t)] = []",
        ),
    ),
    fault(
        "event-holds-hash",
        "write-only-password",
        "The event of a changed user holds the hash of the password.",
        (
            USERS,
            'Change("user.updated", user.id, data)',
            'Change("user.updated", user.id, {**data, "password_hash": user.password_hash})',
        ),
    ),
    fault(
        "bodies-logged-at-debug",
        "write-only-password",
        "At LOG_LEVEL=DEBUG the log holds the bodies of requests.",
        (
            "app/validation.py",
            "    content = _read_content()\n",
            "    content = _read_content()\n"
            '    __import__("logging").getLogger(__name__).debug("body %s", content)\n',
        ),
    ),
    fault(
        "whole-second-without-zeros",
        "timestamps",
        "A time of a whole second has no fraction.",
        (
            SCHEMAS,
            'return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")',
            'return moment.isoformat().replace("+00:00", "Z")',
        ),
    ),
    fault(
        "local-time",
        "timestamps",
        "Times are those of the server's time zone, called UTC.",
        (MODELS, "return datetime.now(UTC)", "return datetime.now().replace(tzinfo=UTC)"),
    ),
    fault(
        "event-time-with-offset",
        "timestamps",
        "occurred_at ends in +00:00 in place of Z.",
        (
            "app/feed_messages.py",
            '"occurred_at": occurred_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")',
            '"occurred_at": occurred_at.isoformat(timespec="microseconds")',
        ),
    ),
    fault(
        "lists-cut-created-at",
        "timestamps",
        "In a list, created_at is cut to milliseconds.",
        (
            "app/pages.py",
            '    headers = {"Cache-Control"',
            "    for each in data:\n"
            '        each["created_at"] = each["created_at"][:-4] + "000Z"\n'
            '    headers = {"Cache-Control"',
        ),
    ),
    fault(
        "user-id-reused",
        "id-sequence",
        "The id of the newest user is given again after its deletion.",
        (
            "migrations/versions/0001_initial.py",
            'sa.UniqueConstraint("email"),\n        sqlite_autoincrement=True',
            'sa.UniqueConstraint("email"),\n        sqlite_autoincrement=False',
        ),
    ),
    fault(
        "item-id-reused",
        "id-sequence",
        "The id of the newest item is given again after its deletion.",
        (
            "migrations/versions/0001_initial.py",
            'sqlite_autoincrement=True,\n    )\n    op.create_index("ix_items_owner_id_id"',
            'sqlite_autoincrement=False,\n    )\n    op.create_index("ix_items_owner_id_id"',
        ),
    ),
    fault(
        "items-fill-gaps",
        "id-sequence",
        "A new item takes the lowest id that is free.",
        (
            ITEMS,
            "    item = Item(owner_id=owner.id, ",
            "    taken = set(db.session.scalars(select(Item.id)))\n"
            "    free = next(n for n in range(1, len(taken) + 2) if n not in taken)\n"
            "    item = Item(id=free, owner_id=owner.id, ",
        ),
    ),
    fault(
        "token-of-the-deleted-lingers",
        "user-deletion",
        "Who was seen within ten seconds is not looked up: a deleted user's token still reads.",
        (
            "app/auth.py",
            "    if db.session.get(User, claims.user_id) is None:\n        raise invalid_token()\n",
            "    now = time.monotonic()\n"
            "    if now - _seen.get(claims.user_id, -10) < 10:\n"
            "        return claims\n"
            "    if db.session.get(User, claims.user_id) is None:\n        raise invalid_token()\n"
            "    _seen[claims.user_id] = now\n",
        ),
        (
            "app/auth.py",
            'bp = Blueprint("tokens", __name__)\n',
            'bp = Blueprint("tokens", __name__)\n_seen: dict[int, float] = {}\n',
        ),
        (
            "app/auth.py",
            "from functools import wraps\n",
            "from functools import wraps\nimport time\n",
        ),
    ),
    fault(
        "tags-of-the-deleted-stay",
        "user-deletion",
        "SQLite enforces no foreign keys: the tags of a deleted user's items stay.",
        ("app/database.py", '    "PRAGMA foreign_keys = ON",\n', ""),
    ),
    fault(
        "user-deleted-in-two-transactions",
        "user-deletion",
        "The items of a deleted user go in a transaction of their own, before the user.",
        (
            USERS,
            "    db.session.delete(user)\n    deletions =",
            "    deletions =",
        ),
        (
            USERS,
            '    commit([*deletions, Change("user.deleted", user_id)])\n',
            "    if deletions:\n        commit(deletions)\n        begin_writing()\n"
            "        user = lock_caller(for_update=True)\n"
            "    db.session.delete(user)\n"
            '    commit([Change("user.deleted", user_id)])\n',
        ),
    ),
    fault(
        "address-of-the-deleted-stays-taken",
        "user-deletion",
        "The address of a deleted user cannot be signed up again.",
        (
            USERS,
            "    commit([*deletions",
            "    _gone.add(email)\n    commit([*deletions",
        ),
        (
            USERS,
            "    db.session.delete(user)\n",
            "    email = user.email\n    db.session.delete(user)\n",
        ),
        (
            USERS,
            "    password_hash = hash_password(body.password).result()\n",
            "    if body.email in _gone:\n"
            '        raise Problem("email-taken")\n'
            "    password_hash = hash_password(body.password).result()\n",
        ),
        (USERS, "\n\n@bp.post", "\n_gone: set[str] = set()\n\n\n@bp.post"),
    ),
)
