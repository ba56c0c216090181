"""What a client may send: mostly valid, sometimes not."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Json = Any

NAMES = st.sampled_from(["Lamp", " ", "Ünïcode ☃", "e\u0301", "\U0001f4a1" * 100, "0"])
TAGS = st.lists(st.sampled_from(["b", "a", "a-b", "a0", "z9", "0"]), unique=True, max_size=4)
PRICES = st.sampled_from([0, 1, 1999, 100_000_000, 1.0, 5e2])
STATUSES = st.sampled_from(["draft", "active", "archived"])
DESCRIPTIONS = st.sampled_from([None, "", "with\nlines", "☃"])
OPTIONAL = {"description": DESCRIPTIONS, "status": STATUSES, "tags": TAGS}

INVALID_ITEMS: st.SearchStrategy[Json] = st.sampled_from(
    [
        {},
        [],
        None,
        {"name": "", "price_cents": -1, "tags": ["a", "a"]},
        {"name": "Lamp", "price_cents": True},
        {"name": "Lamp\n", "price_cents": "1", "colour": "red", "status": None},
        {"name": "Lamp", "price_cents": 1.5, "tags": ["A", "b", "b"], "description": 0},
    ]
)
INVALID_USERS: st.SearchStrategy[Json] = st.sampled_from(
    [{}, "Ada", {"name": ""}, {"name": "Ada", "id": 1}, {"name": "A\x7f", "email": "a@b"}]
)


def rarely(
    strategy: st.SearchStrategy[Json], otherwise: st.SearchStrategy[Json]
) -> st.SearchStrategy[Json]:
    """Return a strategy that takes the first about one time in eight."""
    return st.integers(0, 7).flatmap(lambda n: strategy if n == 7 else otherwise)


ITEMS = rarely(
    INVALID_ITEMS, st.fixed_dictionaries({"name": NAMES, "price_cents": PRICES}, optional=OPTIONAL)
)
ITEM_PATCHES = rarely(
    INVALID_ITEMS,
    st.fixed_dictionaries({}, optional={"name": NAMES, "price_cents": PRICES, **OPTIONAL}).filter(
        bool
    ),
)

# The place of a resource among those the example knows, taken modulo their number.
NOBODY = 11  # and this is one that never was
INDEX = st.integers(0, NOBODY)
# Whose token a request bears.
SIGNERS = st.sampled_from(["owner"] * 5 + ["other", "other", "nobody", "forged"])
# The lists of entity-tags of a precondition: `{now}` is the current tag without its quotes.
TAG_LISTS = st.sampled_from(
    [
        '"{now}"',
        '"{past}"',
        '"{next}"',
        'W/"{now}"',
        "*",
        '"x", "{now}"',
        '"x",W/"{now}" , "y"',
        '"{past}", *',
        "{now}",
        "",
    ]
)
PRECONDITIONS = st.none() | st.none() | TAG_LISTS
ADDRESSES = st.sampled_from(["new", "new", "own", "own in capitals", "taken", "taken in capitals"])
