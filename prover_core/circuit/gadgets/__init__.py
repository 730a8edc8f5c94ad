"""Gadgets: parts of circuits, one file each, with their cost and what they refuse."""

from . import babyjubjub, boolean, compare, division, eddsa, merkle, montgomery, poseidon, ranges, select

__all__ = [
    "babyjubjub",
    "boolean",
    "compare",
    "division",
    "eddsa",
    "merkle",
    "montgomery",
    "poseidon",
    "ranges",
    "select",
]
