"""Enough of PromQL to know which series and labels an expression names, and whether it is put together rightly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<range>\[[^\]]*\])|(?P<word>[a-zA-Z_:$][a-zA-Z0-9_:$]*)"""
    r"""|(?P<number>\d+(?:\.\d+)?(?:e\d+)?)|(?P<op>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){},]))"""
)
FUNCTIONS = {
    "rate", "increase", "deriv", "histogram_quantile", "sum", "max", "min", "avg", "count", "time", "vector", "abs",
}  # fmt: skip
GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
KEYWORDS = GROUPINGS | {"and", "or", "unless", "bool"}


@dataclass
class Selector:
    """One series: its name, the labels it is filtered by, its range (empty if none), the functions around it."""

    name: str
    labels: list[str] = field(default_factory=list)
    range: str = ""
    inside: list[str] = field(default_factory=list)


@dataclass
class Expression:
    """What an expression names."""

    selectors: list[Selector]
    grouping: set[str]
    """Labels in `by`, `on` and their like."""


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise SyntaxError(f"not PromQL at {text[at : at + 20]!r}")
        at = match.end()
        kind = match.lastgroup
        assert kind is not None
        yield kind, match.group(kind)


def parse(text: str) -> Expression:
    """`SyntaxError` for unbalanced brackets, unknown functions and stray characters."""
    tokens = [*_tokens(text), ("end", "")]
    selectors: list[Selector] = []
    grouping: set[str] = set()
    opened: list[tuple[str, str]] = []
    function, in_group, in_labels = "", False, False
    for (kind, value), (_, after) in pairwise(tokens):
        if in_labels:
            if kind == "word":
                selectors[-1].labels.append(value)
            elif value == "}":
                in_labels = False
        elif in_group:
            if kind == "word":
                grouping.add(value)
            elif value == ")":
                in_group = False
        elif kind == "word" and value in KEYWORDS:
            in_group = value in GROUPINGS and after == "("
        elif value == "(":
            opened.append(("(", function))
            function = ""
        elif value == ")":
            if not opened:
                raise SyntaxError(f"a bracket too many in {text!r}")
            opened.pop()
        elif value == "{":
            in_labels = True
        elif kind == "range":
            selectors[-1].range = value
        elif kind == "word" and (after == "(" or value in FUNCTIONS):
            if value not in FUNCTIONS:
                raise SyntaxError(f"no function {value!r} in {text!r}")
            function = value  # of the next bracket, also if a grouping stands before it: `sum by (…) (…)`
        elif kind == "word":
            selectors.append(Selector(value, inside=[f for _, f in opened if f]))
    if opened or in_labels or in_group:
        raise SyntaxError(f"a bracket is not closed in {text!r}")
    if not selectors:
        raise SyntaxError(f"{text!r} names no series")
    return Expression(selectors, grouping)
