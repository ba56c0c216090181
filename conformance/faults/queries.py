"""Faults of the group Queries."""

from __future__ import annotations

from rosetta.controls.fault import fault

PAGES, SCHEMAS, VALIDATION = "app/pages.py", "app/schemas.py", "app/validation.py"
READ = "dict(request.args.items(multi=True))"

FAULTS = (
    fault(
        "first-parameter-wins",
        "query",
        "Of a parameter given twice the first wins.",
        (VALIDATION, READ, "request.args.to_dict()"),
    ),
    fault(
        "semicolons-separate",
        "query",
        "Parameters may be separated by semicolons.",
        (
            VALIDATION,
            READ,
            'dict(__import__("urllib.parse").parse.parse_qsl(\n'
            '            request.query_string.decode().replace(";", "&"), keep_blank_values=True\n'
            "        ))",
        ),
    ),
    fault(
        "empty-is-absent",
        "query",
        "A parameter with an empty value is read as absent.",
        (VALIDATION, READ, "{n: v for n, v in request.args.items(multi=True) if v}"),
    ),
    fault(
        "plus-is-a-sign",
        "query",
        "An integer may begin with a plus sign.",
        (SCHEMAS, 'r"-?(0|', 'r"[-+]?(0|'),
    ),
    fault(
        "after-beyond-the-greatest",
        "query",
        "An after beyond the greatest is cut down to it.",
        (SCHEMAS, "return int(value[:20])", "return min(int(value[:20]), MAX_ID)"),
    ),
    fault(
        "a-row-is-skipped",
        "pages",
        "The next page begins behind a row that no page has shown.",
        (PAGES, "_next_target(query, shown[-1].id)", "_next_target(query, found[-1].id)"),
    ),
    fault(
        "a-row-is-skipped-at-a-hundred",
        "pages",
        "Only behind a page of a hundred one row is skipped.",
        (
            PAGES,
            "_next_target(query, shown[-1].id)",
            "_next_target(query, shown[-1].id + (query.limit == 100))",
        ),
    ),
    fault(
        "next-of-a-full-last-page",
        "pages",
        "A last page that is just full has a next.",
        (PAGES, "len(found) > len(shown) else", "len(found) >= query.limit else"),
    ),
    fault(
        "next-forgets-the-tag",
        "pages",
        "next leaves out the filter by tag.",
        (PAGES, 'exclude={"limit", "after"}', 'exclude={"limit", "after", "tag"}'),
    ),
    fault(
        "next-in-another-order",
        "pages",
        "next names the filters in the reverse order.",
        (PAGES, "{**filters, ", "{**dict(reversed(filters.items())), "),
    ),
    fault(
        "filters-are-alternatives",
        "pages",
        "With an owner and a status, what passes either is listed.",
        (
            "app/items.py",
            "        items = items.where(Item.status == query.status)\n",
            "        items = items.where(Item.status == query.status)\n"
            "        if query.owner_id is not None:\n"
            "            either = (Item.owner_id == query.owner_id) | (Item.status == query.status)\n"
            "            items = select(Item).where(either)\n",
        ),
    ),
)
