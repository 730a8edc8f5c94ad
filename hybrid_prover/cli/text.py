"""Text of others on a terminal."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """The text with every character escaped that is not to be seen, but for those to `keep`.

    Names and messages come from others: what a terminal takes for a command, or for a new line, must not get there.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
