"""The constraints of stage 1, written once for prover, verifier and wrap.

Leaf equation: e(-A, B) e(alpha, beta) e(X, gamma) e(C, delta) = 1. Modulo Fq6*, which the final exponentiation kills, a
Miller value is 1 + f w; with l the product of the three lines, c the residue witness (eprint 2024/640) and mu0 standing
for e(alpha, beta) the rows say

    row 0: f = mu0 / c;   D: f' = f^2 l;   +: f' = f l / c;   -: f' = f l c;   1: f' = f l / c^q;   2: f' = f l c^(q^2)

and the end, f = c^(q^3). T runs beside; T = -psi^3(B) at the last row is the subgroup check of B. A group's lane
multiplies its point by its digit word, and a running sum over all groups must return to where it began.

`combined` is the polynomial of the sumcheck: of degree 5 in the group's variables and 6 in the row's, the kernel not
counted. Degrees are fixed in the verifier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from ..types import Q
from .fields import CUBE_ROOT_Q, EIGHTH, THIRD, frobenius
from .ring import (
    ONE6,
    Element,
    Pair,
    Triple,
    add,
    add2,
    add6,
    conj2,
    dot,
    flat,
    mul,
    mul2,
    mul6,
    scale2,
    scale6,
    sub,
    sub2,
    sub6,
    times_torus,
    times_v,
)

GROUP_DEGREE: Final = 5
ROW_DEGREE: Final = 6
SLOT: Final = 12
"""Constraint j has the weight beta[j // SLOT] gamma[j % SLOT]; 0..5 are the coordinates of the Miller step."""
SLOTS: Final = 5
SUM_START: Final = (1, 2)
"""Where the running sum begins and ends: G1's generator."""

Values = Mapping[str, Element]
Reduce = Callable[[Element], Element]


@dataclass(frozen=True, slots=True)
class Environment:
    """What the constraints read, by the names of `layout`."""

    current: Values
    """COLUMNS in this row."""
    next: Values
    """COLUMNS in the next row; 0 after the last."""
    cells: Values
    """CELLS and POINT of the group."""
    key: Values
    """KEY_COLUMNS in this row and KEY_CELLS."""
    row: Values
    """ROW_SELECTORS, and `weight`: 4^s kappa^-s in rows s < 64, else 0."""
    group: Values
    """GROUP_SELECTORS."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Challenges that join all constraints into one polynomial."""

    beta: Sequence[Element]
    """SLOTS of them."""
    gamma: Sequence[Element]
    """SLOT of them."""
    digit: Element
    """Of the digit words."""
    sums: Sequence[Element]
    """Of both coordinates of the running sum."""
    step: Element
    """kappa^128, the kernel's step from group to group."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """value = 0 in the rows of the selector (None: the selectors are inside the value)."""

    label: str
    selector: str | None
    value: Element


def identity(x: Element) -> Element:
    """No reduction: for rings whose elements do not grow."""
    return x


def pair(values: Values, name: str) -> Pair:
    """(name0, name1)"""
    return (values[f"{name}0"], values[f"{name}1"])


def triple(values: Values, name: str) -> Triple:
    """name0 .. name5 as an element of Fq6."""
    return (
        (values[f"{name}0"], values[f"{name}1"]),
        (values[f"{name}2"], values[f"{name}3"]),
        (values[f"{name}4"], values[f"{name}5"]),
    )


@cache
def _psi(k: int) -> tuple[Pair, Pair]:
    """psi^k(x, y) = (conj^k(x) g[2], conj^k(y) g[3]) with g = frobenius(k)."""
    g = frobenius(k)
    return g[2], g[3]


def psi(x: Pair, y: Pair, k: int) -> tuple[Pair, Pair]:
    """The k-th power of untwist-Frobenius-twist."""
    if k & 1:
        x, y = conj2(x), conj2(y)
    gx, gy = _psi(k)
    return mul2(x, gx), mul2(y, gy)


@cache
def twist_b() -> tuple[int, int]:
    """3 / (9 + u)"""
    d = pow(82, -1, Q)
    return 27 * d % Q, -3 * d % Q


def frobenius_torus(a: Triple, k: int) -> Triple:
    """The torus coordinate of (1 + a w)^(q^k)."""
    g = frobenius(k)
    parts = [mul2(conj2(x) if k & 1 else x, g[2 * i + 1]) for i, x in enumerate(a)]
    return (parts[0], parts[1], parts[2])


def miller_step(e: Environment, gamma: Sequence[Element], reduce: Reduce = identity) -> Element:
    """sum_i gamma_i R_i of the six coordinates R of the step, with its selectors.

    With a + b w the product of f and the three lines, and G the torus coordinate of what the step multiplies by too,
    R = (f' a - b) + G (v f' b - a). G is linear in selectors, so the sum is evaluated from its dual side: with t the
    functional x -> gamma(f' x) and u the functional x -> gamma((v f' b - a) x), it is t(a) - gamma(b) + u(G). `reduce`
    is called where a ring with growing elements would.
    """

    def red6(a: Triple) -> Triple:
        p = [(reduce(x), reduce(y)) for x, y in a]
        return (p[0], p[1], p[2])

    def dual(functional: Sequence[Element], a: Triple) -> list[Element]:
        """The functional x -> functional(a x) on the basis 1, u, v, u v, v^2, u v^2."""
        out = []
        for _ in range(3):
            out.append(dot(functional, flat(a)))
            out.append(dot(functional, flat([(sub(0, y), x) for x, y in a])))
            a = times_v(a)
        return out

    f, following, c, s = triple(e.current, "f"), triple(e.next, "f"), triple(e.cells, "c"), e.row
    g = list(gamma[:6])
    zero: Pair = (0, 0)
    at_x = red6((scale2(pair(e.key, "gs"), e.cells["xx"]), scale2(pair(e.key, "gi"), e.cells["xy"]), zero))
    at_c = red6((scale2(pair(e.key, "ds"), e.cells["cx"]), scale2(pair(e.key, "di"), e.cells["cy"]), zero))
    at_a: Triple = (pair(e.current, "slope"), pair(e.current, "icept"), zero)
    p = (add6(ONE6, times_v(red6(mul6(at_x, at_c)))), add6(at_x, at_c))
    p = times_torus(p, at_a)
    a, b = times_torus((red6(p[0]), red6(p[1])), f)
    a, b = red6(a), red6(b)
    t = [reduce(x) for x in dual(g, following)]
    u = [reduce(sub(x, y)) for x, y in zip(dual(t, times_v(b)), dual(g, a), strict=True)]
    active = s["double"] + s["plus"] + s["minus"] + s["frob1"] + s["frob2"]
    total = active * reduce(sub(dot(t, flat(a)), dot(g, flat(b))))
    total = total + s["double"] * reduce(dot(flat(f), u))
    total = total - (s["plus"] - s["minus"]) * reduce(dot(flat(c), u))
    # (1 + c w)^(q^2): the coordinates of c times 1 + z, -1, -z, with z = frobenius(2)[2] a cube root of unity.
    z = frobenius(2)[2][0]
    u0, u1, u2 = (dot(c[i], u[2 * i : 2 * i + 2]) for i in range(3))
    total = total + s["frob2"] * reduce(add(sub(u0, u1), mul(reduce(sub(u0, u2)), z)))
    # (1 + c w)^q: u(conj(x + y u) (h0 + h1 u)) = (x u0 - y u1) h0 + (y u0 + x u1) h1
    image: Element = 0
    for i, (x, y) in enumerate(c):
        (h0, h1), v0, v1 = frobenius(1)[2 * i + 1], u[2 * i], u[2 * i + 1]
        image = add(image, add(mul(reduce(x * v0 - y * v1), h0), mul(reduce(y * v0 + x * v1), h1)))
    return total - s["frob1"] * reduce(image)


def ends(e: Environment) -> list[Constraint]:
    """f = mu0 / c in row 0: f + c - mu - v mu f c; and f = c^(q^3) at the end."""
    f, c, mu = triple(e.current, "f"), triple(e.cells, "c"), triple(e.key, "mu")
    start = sub6(add6(f, c), add6(scale6(mu, e.group["leaf"]), times_v(mul6(mu, mul6(f, c)))))
    end = sub6(triple(e.cells, "end"), frobenius_torus(c, 3))
    return [Constraint("start", "first", x) for x in flat(start)] + [Constraint("end", "first", x) for x in flat(end)]


def chain(e: Environment) -> list[Constraint]:
    """T's steps, the subgroup check in the last row, and in row 0 the curve equations of A, B and C.

    Scaled by A's chart, the twist is y^2 = x^3 + b (px^3)^2. py ipy = 1 keeps A from being infinity, where it would
    degenerate. No step is exceptional for any B on the twist (docs/assembly-security.md).
    """
    cur, nxt, own, s = e.current, e.next, e.cells, e.row
    x, slope, icept = pair(cur, "tx"), pair(cur, "slope"), pair(cur, "icept")
    x_next, slope_next, icept_next = pair(nxt, "tx"), pair(nxt, "slope"), pair(nxt, "icept")
    bx, by = pair(own, "bx"), pair(own, "by")
    kap, px, py, leaf = own["kap"], own["px"], own["py"], e.group["leaf"]
    m = scale2(icept, kap)  # the intercept on the scaled twist: px^3 = py kap
    y = sub2(mul2(slope, x), m)
    out = [Constraint("tangent", "double", v) for v in flat([sub2(scale2(mul2(y, slope), 2), scale2(mul2(x, x), 3))])]
    (x1, y1), (x2, y2), (x3, y3) = psi(bx, by, 1), psi(bx, by, 2), psi(bx, by, 3)
    adding = s["plus"] + s["minus"]
    any_add = adding + s["frob1"] + s["frob2"]
    xq = add2(add2(scale2(bx, adding), scale2(x1, s["frob1"])), scale2(x2, s["frob2"]))
    yq = sub2(add2(scale2(by, s["plus"] - s["minus"]), scale2(y1, s["frob1"])), scale2(y2, s["frob2"]))
    chord = sub2(sub2(mul2(slope, xq), scale2(m, any_add)), yq)
    out += [Constraint("chord", None, v) for v in flat([chord])]
    any_step = any_add + s["double"]
    reached = sub2(sub2(scale2(mul2(slope, slope), any_step), scale2(x, any_step + s["double"])), xq)
    step = sub2(sub2(reached, scale2(x_next, s["carry"])), scale2(x3, s["frob2"]))
    out += [Constraint("next x", None, v) for v in flat([step])]
    level = scale2(sub2(mul2(add2(slope_next, slope), x_next), scale2(add2(icept_next, icept), kap)), s["carry"])
    last = scale2(sub2(sub2(mul2(slope, x3), m), y3), s["frob2"])
    out += [Constraint("next y", None, v) for v in flat([add2(level, last)])]
    first = [("T = B", v) for v in flat([sub2(x, bx), sub2(y, by)])]
    cx, cy, kp = own["cx"], own["cy"], kap * py
    first += [
        ("chart of A", kap - 3 * (py * py) + leaf),
        ("A on curve", px * px * px - kp),
        ("A not infinity", py * own["ipy"] - leaf),
        ("C on curve", cx * cx * cx - 3 * (cy * cy * cy) + cy),
    ]
    twist = sub2(sub2(mul2(by, by), mul2(bx, mul2(bx, bx))), scale2(twist_b(), kp * kp))
    first += [("B on twist", v) for v in flat([twist])]
    return out + [Constraint(label, "first", v) for label, v in first]


def multiple_x(digit: Element, e: Environment) -> Element:
    """x of the digit's multiple Q = (s0 + s1 lambda) P, digit = 2 s0 + s1.

    (1 - lambda) P at 1 and (1 + lambda) P = -lambda^2 P at 3, their opposites at -1 and -3.
    """
    own = e.cells
    mm = own["lm"] * own["lm"]
    return (CUBE_ROOT_Q * CUBE_ROOT_Q % Q) * own["X"] + (9 * mm - digit * digit * mm) * EIGHTH


def multiple_y(digit: Element, e: Environment) -> Element:
    """y of Q, an odd cubic in the digit: lyd at 1 and -Y at 3."""
    own = e.cells
    cubic = (-THIRD % Q * own["Y"] - own["lyd"]) * EIGHTH
    return digit * (own["lyd"] - cubic + cubic * (digit * digit))


def product_x(e: Environment) -> Element:
    """x of the lane's accumulator after this row."""
    cur = e.current
    return cur["l2"] * cur["l2"] - cur["l1"] * cur["l1"] + multiple_x(cur["digit"], e)


def sum_after(e: Environment) -> Pair:
    """The running sum after this group (in row 0)."""
    own = e.cells
    x = own["sg"] * own["sg"] - own["sx"] - product_x(e)
    return x, own["sg"] * (own["sx"] - x) - own["sy"]


def lane(e: Environment) -> list[Constraint]:
    """Multiplication of the group's point, the running sum, and what the point must be.

    Row 63 begins with 2 P; each row takes acc to 2 acc + Q as (acc + Q) + acc. `sums apart` makes the addition to the
    running sum unsatisfiable where its denominator is 0.
    """
    cur, nxt, own, s, g = e.current, e.next, e.cells, e.row, e.group
    x, y, d = own["X"], own["Y"], cur["digit"]
    xq, yq, xq_next = multiple_x(d, e), multiple_y(d, e), multiple_x(nxt["digit"], e)
    x2 = own["lt"] * own["lt"] - 2 * x
    y2 = own["lt"] * (x - x2) - y
    # Row 63 must not read row 64, which nothing else of the lane constrains.
    xa = s["inner"] * (nxt["l2"] * nxt["l2"] - nxt["l1"] * nxt["l1"] + xq_next) + s["top"] * x2
    ya = s["inner"] * nxt["ly"] + s["top"] * y2
    l1, l2, xp = cur["l1"], cur["l2"], product_x(e)
    dd, real, leaf = d * d, g["real"], g["leaf"]
    out = [
        Constraint("first chord", "lane", l1 * (xq - xa) - (yq - ya)),
        Constraint("second chord", "lane", (l1 + l2) * (l1 * l1 - 2 * xa - xq) + 2 * ya),
        Constraint("lane y", "lane", cur["ly"] - l2 * (xa - xp) + ya),
        Constraint("digit", "lane", dd * dd - 10 * dd + 9 * real),
    ]
    mm = own["lm"] * own["lm"]
    first = [
        ("sum slope", own["sg"] * (xp - own["sx"]) - (cur["ly"] - own["sy"])),
        ("sums apart", own["isd"] * (xp - own["sx"]) - real),
        ("X on curve", y * y - x * x * x - 3 * real),
        ("lane m", (1 - CUBE_ROOT_Q) % Q * (own["lm"] * x) - 2 * y),
        ("lane yd", own["lyd"] - own["lm"] * (x - mm - CUBE_ROOT_Q * CUBE_ROOT_Q % Q * x) + y),
        ("lane tangent", 2 * (own["lt"] * y) - 3 * (x * x)),
        ("chart of X", own["xy"] * y - leaf),
        ("chart of X", own["xx"] * y + leaf * x),
        ("sum in padding", (real - 1) * own["sx"]),
        ("sum in padding", (real - 1) * own["sy"]),
        ("key point", g["key"] * x - g["kx"]),
        ("key point", g["key"] * y - g["ky"]),
    ]
    return out + [Constraint(label, "first", v) for label, v in first]


def others(e: Environment) -> list[Constraint]:
    """All constraints but the Miller step, in the order of their weights (the first has index 6)."""
    return ends(e) + chain(e) + lane(e)


def combined(e: Environment, weights: Weights, reduce: Reduce = identity) -> Element:
    """The polynomial whose kernel-weighted sum over the table the sumcheck proves:

    sum_j beta[j / SLOT] gamma[j mod SLOT] constraint_j + digit weight(s) d + first (sums . (S_in - step S_out)).
    """
    gamma, s = weights.gamma, e.row
    total = weights.beta[0] * reduce(miller_step(e, gamma, reduce))
    by_selector: dict[str | None, dict[int, Element]] = {}
    for j, constraint in enumerate(others(e), start=6):
        slots = by_selector.setdefault(constraint.selector, {})
        term = mul(gamma[j % SLOT], reduce(constraint.value))
        slots[j // SLOT] = add(slots.get(j // SLOT, 0), term)
    for selector, slots in by_selector.items():
        part: Element = 0
        for slot, value in slots.items():
            part = add(part, mul(weights.beta[slot], reduce(value)))
        if selector == "first":
            after_x, after_y = sum_after(e)
            part = add(part, mul(weights.sums[0], reduce(sub(e.cells["sx"], weights.step * reduce(after_x)))))
            part = add(part, mul(weights.sums[1], reduce(sub(e.cells["sy"], weights.step * reduce(after_y)))))
        total = total + (part if selector is None else s[selector] * reduce(part))
    return total + s["weight"] * reduce(e.current["digit"] * weights.digit)
