"""Faults of the group Authentication and ownership."""

from __future__ import annotations

from rosetta.controls.fault import fault

AUTH, ITEMS, PASSWORDS, TOKENS = "app/auth.py", "app/items.py", "app/passwords.py", "app/tokens.py"
HASH, VERIFY = (
    "_pool.submit(_hasher.hash, password)",
    "_pool.submit(_verify, password_hash, password)",
)

FAULTS = (
    fault(
        "words-behind-the-token",
        "bearer",
        "Words behind the token are passed over.",
        (AUTH, 'read_claims(token.strip(" "))', 'read_claims(token.strip(" ").partition(" ")[0])'),
    ),
    fault(
        "scheme-in-two-cases",
        "bearer",
        "The scheme is known as Bearer and as bearer only.",
        (AUTH, 'scheme.lower() != "bearer"', 'scheme not in {"Bearer", "bearer"}'),
    ),
    fault(
        "other-scheme-is-an-invalid-token",
        "bearer",
        "Another scheme is called an invalid token.",
        (
            AUTH,
            "        raise unauthorized()\n",
            "        raise invalid_token() if authorization else unauthorized()\n",
        ),
    ),
    fault(
        "token-in-the-query",
        "bearer",
        "A token in the query is taken.",
        (
            AUTH,
            'authenticate(request.headers.get("Authorization", "")).user_id',
            'authenticate(\n            request.headers.get("Authorization", "")\n'
            '            or f"Bearer {request.args[\'access_token\']}" * ("access_token" in request.args)\n'
            "        ).user_id",
        ),
        (AUTH, "request.args['access_token']", "request.args.get('access_token', '')"),
    ),
    fault(
        "login-looks-at-authorization",
        "bearer",
        "Logging in with a broken token in Authorization is 401.",
        (
            AUTH,
            '    """Log in."""\n',
            '    """Log in."""\n'
            '    if request.headers.get("Authorization"):\n'
            '        authenticate(request.headers["Authorization"])\n',
        ),
    ),
    fault(
        "leeway-of-a-second",
        "token",
        "A token is valid for a second after its exp.",
        (TOKENS, "expires_at <= now:", "expires_at <= now - 1:"),
    ),
    fault(
        "hs512-too",
        "token",
        "HS512 is taken, too.",
        (TOKENS, 'algorithms=["HS256"]', 'algorithms=["HS256", "HS512"]'),
    ),
    fault(
        "true-is-a-time",
        "token",
        "A time that is true counts as 1.",
        (TOKENS, "type(value) is int or", "isinstance(value, int) or"),
    ),
    fault(
        "nbf-is-not-looked-at",
        "token",
        "A token may be used before its nbf.",
        (TOKENS, "issued_at > now or not_before > now or", "issued_at > now or"),
    ),
    fault(
        "subject-with-zeros",
        "token",
        "A subject may begin with zeros.",
        (TOKENS, "[1-9][0-9]{0,17}", "0*[1-9][0-9]{0,17}"),
    ),
    fault(
        "token-may-be-stored",
        "token",
        "The answer with a token lacks Cache-Control: no-store.",
        (AUTH, ', 201, {"Cache-Control": "no-store"}', ", 201"),
    ),
    fault(
        "unknown-address-is-quick",
        "login",
        "For an unknown address no hash is computed.",
        (
            PASSWORDS,
            "    try:\n        matches",
            "    if password_hash is None:\n        return False\n    try:\n        matches",
        ),
    ),
    fault(
        "wrong-password-is-told-apart",
        "login",
        "A wrong password has another challenge than an unknown address.",
        (
            AUTH,
            "        raise invalid_credentials()\n",
            "        raise invalid_credentials() if password_hash else unauthorized()\n",
        ),
    ),
    fault(
        "login-minds-case",
        "login",
        "To log in the address must be in lower case.",
        (
            "app/schemas.py",
            '    """A log-in."""\n\n    email: Email\n',
            '    """A log-in."""\n\n    email: Annotated[str, Email.__metadata__[0]]\n',
        ),
    ),
    fault(
        "password-is-normalised",
        "passwords",
        "Passwords are normalised to NFC: two spellings log in.",
        (PASSWORDS, HASH, HASH.replace("password)", "_nfc(password))")),
        (PASSWORDS, VERIFY, VERIFY.replace(", password)", ", _nfc(password))")),
        (
            PASSWORDS,
            "@cache\n",
            "def _nfc(password: str) -> str:\n"
            '    return __import__("unicodedata").normalize("NFC", password)\n\n\n@cache\n',
        ),
    ),
    fault(
        "password-of-72-bytes",
        "passwords",
        "Only the first 72 bytes of a password count, as with bcrypt.",
        (PASSWORDS, HASH, HASH.replace("password)", "password.encode()[:72])")),
        (PASSWORDS, VERIFY, VERIFY.replace(", password)", ", password.encode()[:72])")),
    ),
    fault(
        "cheap-hash",
        "passwords",
        "The hash is made in one pass.",
        (PASSWORDS, "time_cost=2", "time_cost=1"),
    ),
    fault(
        "one-salt-for-all",
        "passwords",
        "All passwords are hashed with one salt.",
        (PASSWORDS, HASH, '_pool.submit(_hasher.hash, password, salt=b"sixteen of bytes")'),
    ),
    fault(
        "hashing-holds-up-all",
        "passwords",
        "While one password is hashed every other request waits.",
        (
            PASSWORDS,
            HASH,
            "_pool.submit(_alone, _hasher.hash, password)",
        ),
        (PASSWORDS, VERIFY, "_pool.submit(_alone, _verify, password_hash, password)"),
        (
            PASSWORDS,
            "@cache\n",
            'busy = __import__("threading").Lock()\n\n\n'
            "def _alone(function, *arguments):\n"
            "    with busy:\n        return function(*arguments)\n\n\n@cache\n",
        ),
        (
            "app/messages.py",
            '    sent = request.headers.get("X-Request-ID", "")\n',
            "    from app.passwords import busy\n\n    with busy:\n        pass\n"
            '    sent = request.headers.get("X-Request-ID", "")\n',
        ),
    ),
    fault(
        "anothers-item-is-hidden",
        "ownership",
        "Writing another's item is 404.",
        (ITEMS, '        raise Problem("forbidden")\n', "        raise not_found()\n"),
    ),
    fault(
        "anyone-may-delete",
        "ownership",
        "Anyone may delete an item.",
        (
            ITEMS,
            "    get_item_or_404(item_id, check_owner=True)\n    item = _lock_item(item_id)\n",
            "    get_item_or_404(item_id)\n    item = _lock_item(item_id)\n",
        ),
    ),
    fault(
        "drafts-are-private",
        "ownership",
        "Another's item is 403 to read while it is a draft.",
        (
            ITEMS,
            "    item = get_item_or_404(item_id)\n",
            "    item = get_item_or_404(item_id)\n"
            '    if item.status == "draft" and item.owner_id != g.user_id:\n'
            '        raise Problem("forbidden")\n',
        ),
    ),
)
