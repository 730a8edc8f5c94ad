"""The table of stage 1: its columns, rows, per-group cells and selectors. Pure data, the same for every shape.

A *group* is 128 rows of the table (96 of them committed): one leaf proof, or one lane that multiplies a fixed point of
the leaf's verification key. Rows 0..86 are the steps of the Miller loop, rows 0..63 also the steps of a multiplication
in G1 (from row 63 down to row 0), rows 87..88 hold the group's own cells, rows 89..90 its point X, row 95 blinds.
"""

from __future__ import annotations

from typing import Final

STEPS: Final = "D+DD+DDDD-DD-DDDD-DD+DD-DDD-DDDDDD+DDD-DD+DDD-DDDDD-DD+DDDD-DD-DDD+DDDD-DDD-DD+DD+DDD12"
"""The Miller loop of 6x + 2 in signed digits, one character a row: D doubles, + and - add +-B, 1 adds psi(B), 2 adds
-psi^2(B). 64 doublings, 21 signed additions, 2 Frobenius additions."""
LOOP_ROWS: Final = 87
LANE_ROWS: Final = 64
CELL_ROW: Final = 87
"""First of the two rows in which every column holds one of the group's cells."""
CELL_ROWS: Final = 2
POINT_ROW: Final = 89
"""X's x-coordinate; its y-coordinate is in the next row. Only the point vector may be other than 0 here."""
USED_ROWS: Final = 91
WIDTH: Final = 96
"""Committed rows, and generators, of a group."""
BLIND_ROW: Final = 95
ROWS: Final = 128
ROW_BITS: Final = 7


def _numbered(name: str, n: int) -> tuple[str, ...]:
    return tuple(f"{name}{i}" for i in range(n))


MILLER_COLUMNS: Final = (*_numbered("f", 6), *_numbered("tx", 2), *_numbered("slope", 2), *_numbered("icept", 2))
"""f: the Miller value in Fq12* / Fq6* as 1 + f w, f in Fq6. tx: x of T; slope and icept: the line y = slope x - icept
through T. All three are scaled by the chart of -A, (px, py) = (-x / y, 1 / y): tx = px^2 x_T, slope = px m,
icept = py n, so that the line at -A is 1 + slope w + icept w^3."""
LANE_COLUMNS: Final = ("l1", "l2", "ly", "digit")
"""acc' = (acc + Q) + acc with Q the digit's multiple of the lane's point: the two slopes, y of acc', the digit."""
COLUMNS: Final = (*MILLER_COLUMNS, *LANE_COLUMNS)

MILLER_CELLS: Final = (
    *_numbered("end", 6),  # the Miller value after row 86, which is f's next value there
    *_numbered("c", 6),  # the residue witness 1 + c w
    *("bx0", "bx1", "by0", "by1"),  # (px^2 x_B, px^3 y_B)
    *("px", "py", "ipy", "kap"),  # the chart of -A, 1 / py, px^3 / py = 3 py^2 - 1
    *("cx", "cy"),  # the chart of C, (0, 0) for infinity
    *("xx", "xy"),  # the chart of X
)
LANE_CELLS: Final = (
    *("lm", "lyd", "lt"),  # of the lane's point P: slope of P and the third multiple, y of (1 - lambda) P, tangent
    *("sg", "sx", "sy", "isd"),  # running sum: slope of its addition, the sum before, 1 / (x of the product - sx)
)
CELLS: Final = (*MILLER_CELLS, *LANE_CELLS)
POINT: Final = ("X", "Y")
"""The group's point: sum_j x_j IC_j of a leaf (x_0 = 1), or a multiple of a point of the key."""
CELL_PLACE: Final = {name: (i % len(COLUMNS), CELL_ROW + i // len(COLUMNS)) for i, name in enumerate(CELLS)}
"""name -> (column, row)."""

KEY_COLUMNS: Final = ("gs0", "gs1", "gi0", "gi1", "ds0", "ds1", "di0", "di1")
"""Slopes and intercepts of the lines of gamma and delta, unscaled, rows 0..86: one group's worth, shared by all."""
KEY_CELLS: Final = _numbered("mu", 6)
"""mu0 = 1 + mu w, with mu0^(2^64 (q^12 - 1) / r) = e(alpha, beta); row 87 of the first six key columns."""
KEY_CELL_PLACE: Final = {name: (i, CELL_ROW) for i, name in enumerate(KEY_CELLS)}

VECTORS: Final = len(COLUMNS) + 1 + len(KEY_COLUMNS)
"""What is opened: the columns, then the point vector, then the key's columns."""
CELL_FUNCTIONALS: Final = USED_ROWS - CELL_ROW
"""Rows 87..90 are opened by themselves."""

ROW_SELECTORS: Final = {
    "double": tuple(int(c == "D") for c in STEPS),
    "plus": tuple(int(c == "+") for c in STEPS),
    "minus": tuple(int(c == "-") for c in STEPS),
    "frob1": tuple(int(c == "1") for c in STEPS),
    "frob2": tuple(int(c == "2") for c in STEPS),
    "carry": (1,) * (LOOP_ROWS - 1),  # the next row continues this one
    "first": (1,),  # row 0, where the group's cells are checked
    "lane": (1,) * LANE_ROWS,
    "inner": (1,) * (LANE_ROWS - 1),
    "top": (0,) * (LANE_ROWS - 1) + (1,),  # row 63, where the multiplication begins
}
"""1 where set, 0 in all rows beyond the tuple. carry = double + plus + minus + frob1 and inner = lane - top."""
GROUP_SELECTORS: Final = ("real", "leaf", "key", "kx", "ky")
"""real = leaf + key; kx, ky: the known point of a key lane. All 0 in a padding group."""

assert len(STEPS) == LOOP_ROWS
assert len(CELLS) <= CELL_ROWS * len(COLUMNS)
