"""Records the constraints as straight-line programs for the native sumcheck.

The constraints run on recorded expressions: every +, - and * becomes a node, equal nodes become one, and literal zeros
and ones vanish. Nodes that depend on the group's cells alone are gathered into a prelude, which the sumcheck runs once
for all rows of a group; with the row's selectors folded in as literals, each kind of row has a program of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from ..types import Q
from . import layout
from .constraints import SLOT, SLOTS, Environment, Weights, combined
from .ring import Element

ADD: Final = 0
SUB: Final = 1
MUL: Final = 2

Key = tuple[int, int, int]


class Node:
    """A recorded value; `level` 0: constants only, 1: also cells and group selectors, 2: also the row's values."""

    __slots__ = ("index", "level", "recorder")

    def __init__(self, recorder: Recorder, index: int, level: int) -> None:
        self.recorder = recorder
        self.index = index
        self.level = level

    def __add__(self, other: Element) -> Element:
        return self if _is(other, 0) else self.recorder.node(ADD, self, other)

    __radd__ = __add__

    def __sub__(self, other: Element) -> Element:
        return self if _is(other, 0) else self.recorder.node(SUB, self, other)

    def __rsub__(self, other: Element) -> Element:
        return self.recorder.node(SUB, other, self)

    def __neg__(self) -> Element:
        return self.recorder.node(SUB, 0, self)

    def __mul__(self, other: Element) -> Element:
        if isinstance(other, int):
            if other == 0:
                return 0
            if other == 1:
                return self
            if other == 2:
                return self + self
            if other == 3:
                return self + self + self
        return self.recorder.node(MUL, self, other)

    __rmul__ = __mul__


def _is(x: Element, value: int) -> bool:
    return isinstance(x, int) and x == value


class Recorder:
    """One graph for all programs."""

    def __init__(self) -> None:
        self.operations: list[Key | None] = []
        """By node: (operation, a, b), or None for inputs and constants."""
        self.nodes: list[Node] = []
        self.constants: dict[int, Node] = {}
        self._known: dict[Key, Node] = {}

    def input(self, level: int) -> Node:
        """A node without operation."""
        node = Node(self, len(self.nodes), level)
        self.nodes.append(node)
        self.operations.append(None)
        return node

    def constant(self, value: int) -> Node:
        """A literal, mod q."""
        value %= Q
        if value not in self.constants:
            self.constants[value] = self.input(0)
        return self.constants[value]

    def node(self, operation: int, a: Element, b: Element) -> Node:
        """The node of an operation, the same for equal operands."""
        left = self.constant(a) if isinstance(a, int) else a
        right = self.constant(b) if isinstance(b, int) else b
        if operation != SUB and left.index > right.index:
            left, right = right, left
        key = (operation, left.index, right.index)
        if key not in self._known:
            node = Node(self, len(self.nodes), max(left.level, right.level))
            self.nodes.append(node)
            self.operations.append(key)
            self._known[key] = node
        return self._known[key]

    def needed(self, root: Node) -> list[int]:
        """Nodes with operations that root depends on, in order."""
        seen: set[int] = set()
        stack = [root.index]
        while stack:
            i = stack.pop()
            operation = self.operations[i]
            if i in seen or operation is None:
                continue
            seen.add(i)
            stack += operation[1:]
        return sorted(seen)


@dataclass(frozen=True, slots=True)
class Programs:
    """What the native sumcheck takes."""

    code: tuple[npt.NDArray[np.uint32], ...]
    """Prelude, kinds of rows, general prelude, general program: rows (operation, target, a, b)."""
    registers: int
    constants: tuple[int, ...]
    """Values of the constant registers behind the weights: literals."""
    kind_of: tuple[int, ...]
    """By row of the loop."""
    results: tuple[int, ...]
    """Registers of the kinds' results, then of the general one."""

    def multiplications(self) -> list[int]:
        """Of each program."""
        return [int((c[:, 0] == MUL).sum()) for c in self.code]


WEIGHT_INPUTS: Final = SLOTS + SLOT + 1 + 2 + 1 + len(layout.KEY_CELLS)
"""beta, gamma, digit, sums, step, mu: the first constant registers."""


@cache
def record() -> Programs:
    """The programs of `constraints.combined`; the same for every shape. About 0.1 s, once."""
    r = Recorder()
    current = {name: r.input(2) for name in layout.COLUMNS}
    following = {name: r.input(2) for name in layout.COLUMNS}
    cells = {name: r.input(1) for name in (*layout.CELLS, *layout.POINT)}
    group = {name: r.input(1) for name in layout.GROUP_SELECTORS}
    key_columns = {name: r.input(2) for name in layout.KEY_COLUMNS}
    weight = r.input(2)
    selectors = {name: r.input(2) for name in layout.ROW_SELECTORS}
    fixed = [r.input(0) for _ in range(WEIGHT_INPUTS)]
    inputs = len(r.nodes)
    beta, gamma, rest = fixed[:SLOTS], fixed[SLOTS : SLOTS + SLOT], fixed[SLOTS + SLOT :]
    w = Weights(beta, gamma, rest[0], rest[1:3], rest[3])
    key = key_columns | dict(zip(layout.KEY_CELLS, rest[4:], strict=True))

    def run(row: dict[str, Element]) -> Node:
        result = combined(Environment(current, following, cells, key, row, group), w)
        assert isinstance(result, Node)
        return result

    kinds: dict[tuple[int, ...], int] = {}
    kind_of, roots = [], []
    for s in range(layout.LOOP_ROWS):
        row = {n: v[s] if s < len(v) else 0 for n, v in layout.ROW_SELECTORS.items()}
        signature = tuple(row.values())
        if signature not in kinds:
            kinds[signature] = len(kinds)
            roots.append(run({**row, "weight": weight if row["lane"] else 0}))
        kind_of.append(kinds[signature])
    general = run({**selectors, "weight": weight})
    registers = _Registers(r, inputs)
    prelude = registers.prelude(roots)
    code = [registers.program(root) for root in roots]
    second = _Registers(r, inputs)
    second_prelude = second.prelude([general])
    last = second.program(general)
    return Programs(
        (prelude, *(c for c, _ in code), second_prelude, last[0]),
        max(registers.used, second.used),
        tuple(r.constants),
        tuple(kind_of),
        (*(t for _, t in code), last[1]),
    )


class _Registers:
    """Assigns registers: inputs keep their order, then literals, then what the prelude leaves, then temporaries."""

    def __init__(self, recorder: Recorder, inputs: int) -> None:
        self.recorder = recorder
        self.place = {i: i for i in range(inputs)}
        for k, node in enumerate(recorder.constants.values()):
            self.place[node.index] = inputs + k
        self.base = self.used = inputs + len(recorder.constants)

    def prelude(self, roots: Sequence[Node]) -> npt.NDArray[np.uint32]:
        """Computes every node below level 2 that some root needs; those that level 2 reads keep their registers."""
        r = self.recorder
        all_needed = sorted({i for root in roots for i in r.needed(root)})
        inner = [i for i in all_needed if r.nodes[i].level < 2]
        outer = [i for i in all_needed if r.nodes[i].level == 2]
        operands = {j for i in outer for j in (r.operations[i] or (0, 0, 0))[1:]}
        code = self._assign(inner, operands | {root.index for root in roots})
        self.base = self.used
        return code

    def program(self, root: Node) -> tuple[npt.NDArray[np.uint32], int]:
        """The code of one root's level 2 and the register of its result. Temporaries are not kept."""
        saved = dict(self.place)
        nodes = [i for i in self.recorder.needed(root) if self.recorder.nodes[i].level == 2]
        code = self._assign(nodes, {root.index})
        result = self.place[root.index]
        self.place = saved
        return code, result

    def _assign(self, nodes: Sequence[int], keep: set[int]) -> npt.NDArray[np.uint32]:
        r = self.recorder
        last_use: dict[int, int] = {}
        for at, i in enumerate(nodes):
            for j in (r.operations[i] or (0, 0, 0))[1:]:
                last_use[j] = at
        here = set(nodes)
        free: list[int] = []
        top = self.base
        code = []
        for at, i in enumerate(nodes):
            operation = r.operations[i]
            assert operation is not None
            _, a, b = operation
            pa, pb = self.place[a], self.place[b]
            for j in {a, b}:
                if j in here and j not in keep and last_use[j] == at:
                    free.append(self.place[j])
            if free:
                target = free.pop()
            else:
                target, top = top, top + 1
            self.place[i] = target
            code.append((operation[0], target, pa, pb))
        self.used = max(self.used, top)
        return np.array(code, dtype=np.uint32).reshape(-1, 4)
