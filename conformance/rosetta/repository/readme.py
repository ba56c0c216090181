"""The commands that a README gives its reader."""

from __future__ import annotations

import re


class CopyError(Exception):
    """The folder does not stand alone."""


def commands_under(heading: str, readme: str, blocks: int = 1) -> list[str]:
    """Return the first fenced blocks under the heading ``## heading``; raise CopyError."""
    start = rf"^## {re.escape(heading)}\b.*?(?=^## |\Z)"
    section = re.search(start, readme, re.MULTILINE | re.DOTALL)
    fenced = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
    found = [block for block in fenced.findall(section[0] if section else "") if block.strip()]
    if len(found) < blocks:
        needed = "no fenced block" if blocks == 1 else f"not {blocks} fenced blocks"
        raise CopyError(f"README.md has {needed} of commands under the heading '## {heading}'")
    return found[:blocks]
