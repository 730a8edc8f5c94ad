"""One small circuit for each gadget, with honest inputs and what plain Python expects of the outputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prover_core.circuit import Circuit
from prover_core.circuit.gadgets import babyjubjub as curve
from prover_core.circuit.gadgets import boolean, compare, division, eddsa, merkle, poseidon, ranges, select
from prover_core.reference import babyjubjub as plain
from prover_core.reference.poseidon import poseidon as hash_plain
from prover_core.types import R

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "circomlibjs.json").read_text())


@dataclass(frozen=True, eq=False)
class Case:
    name: str
    define: Callable[[Circuit], None]
    inputs: dict[str, Any]
    outputs: list[int] = field(default_factory=list)


def merkle_path(leaf: int, index: int, siblings: list[int]) -> int:
    for level, sibling in enumerate(siblings):
        leaf = hash_plain([sibling, leaf] if index >> level & 1 else [leaf, sibling])
    return leaf


def eddsa_inputs(vector: dict[str, Any]) -> dict[str, Any]:
    return {"key": vector["key"], "r8": vector["r8"], "s": vector["s"], "message": vector["message"]}


def define_bits(c: Circuit) -> None:
    a, b, d, e = (boolean.assert_bit(c, x) for x in c.private("bits", 4))
    c.output("and", boolean.and_(c, a, b))
    c.output("or", boolean.or_(c, a, b))
    c.output("xor", boolean.xor(c, a, b))
    c.output("not", boolean.not_(a))
    c.output("all", boolean.all_of(c, [a, b, d, e]))
    c.output("any", boolean.any_of(c, [b, d, e]))


def define_ranges(c: Circuit) -> None:
    x, y = c.private("x"), c.private("y")
    ranges.range_check(c, x, 16, "x")
    ranges.range_check(c, y - 5, 1, "y")
    c.output("bits", ranges.to_bits(c, x, 16))


def define_canonical(c: Circuit) -> None:
    c.output("bits", ranges.canonical_bits(c, c.private("x")))


def define_bounded(c: Circuit) -> None:
    c.output("sum", ranges.from_bits(ranges.bits_at_most(c, c.private("x"), 0b1011001)))


def define_order(c: Circuit) -> None:
    a = ranges.range_check(c, c.private("a"), 20)
    b = ranges.range_check(c, c.private("b"), 24)
    c.output("less", compare.less_than(c, a, b))
    c.output("at_most", compare.less_equal(c, b, a))
    c.output("equal", compare.is_equal(c, a, b))
    c.output("zero", compare.is_zero(c, a - 3))


def define_asserts(c: Circuit) -> None:
    a = ranges.range_check(c, c.private("a"), 20)
    b = ranges.range_check(c, c.private("b"), 20)
    compare.assert_less_than(c, a, b, "a < b")
    compare.assert_less_equal(c, a, b, "a <= b")
    c.output("inverse", compare.assert_nonzero(c, a, "a is not zero"))


def define_select(c: Circuit) -> None:
    s, t = (boolean.assert_bit(c, x) for x in c.private("bits", 2))
    a, b = c.private("a"), c.private("b")
    c.output("select", select.select(c, s, a, b))
    c.output("swap", select.swap(c, t, a, b))
    c.output("mux", select.mux(c, [s, t], [a, b, 7, 9]))
    hot = select.one_hot(c, c.private("index"), 5)
    c.output("hot", hot)


def define_division(c: Circuit) -> None:
    a = ranges.range_check(c, c.private("a"), 40)
    b = ranges.range_check(c, c.private("b"), 20)
    c.output("q", list(division.divmod_(c, a, b)))


def define_poseidon(inputs: int) -> Callable[[Circuit], None]:
    def define(c: Circuit) -> None:
        c.output("digest", poseidon.poseidon(c, c.private("x", inputs)))

    return define


def define_merkle(c: Circuit) -> None:
    bits = [boolean.assert_bit(c, x) for x in c.private("index", 3)]
    siblings = c.private("siblings", 3)
    old, new = merkle.update(c, c.private("old"), c.private("new"), bits, siblings)
    c.output("roots", [old, new])
    merkle.assert_membership(c, c.public("root"), c.private("leaf"), bits, siblings)


def define_curve(c: Circuit) -> None:
    px, py = c.private("p", 2)
    qx, qy = c.private("q", 2)
    p = curve.assert_on_curve(c, px, py)
    q = curve.assert_on_curve(c, qx, qy)
    s = boolean.assert_bit(c, c.private("s"))
    c.output("sum", list(curve.add(c, p, q)))
    c.output("fixed_sum", list(curve.add(c, p, curve.constant_point(c, plain.GENERATOR))))
    c.output("double", list(curve.double(c, p)))
    c.output("selected", list(curve.select_point(c, s, p, curve.negate(q))))


def define_variable(bits: int) -> Callable[[Circuit], None]:
    def define(c: Circuit) -> None:
        p = curve.assert_on_curve(c, *c.private("p", 2))
        c.output("product", list(curve.variable_base(c, ranges.to_bits(c, c.private("k"), bits), p)))

    return define


def define_cofactor(bits: int) -> Callable[[Circuit], None]:
    def define(c: Circuit) -> None:
        p = curve.assert_on_curve(c, *c.private("p", 2))
        c.output("product", list(curve.cofactor_variable_base(c, ranges.to_bits(c, c.private("k"), bits), p)))

    return define


def define_fixed(bits: int) -> Callable[[Circuit], None]:
    def define(c: Circuit) -> None:
        k = c.private("k")
        scalar = ranges.canonical_bits(c, k) if bits == 254 else ranges.to_bits(c, k, bits)
        c.output("product", list(curve.fixed_base(c, scalar, plain.BASE8)))

    return define


def define_eddsa(c: Circuit) -> None:
    key, r8 = c.public("key", 2), c.private("r8", 2)
    eddsa.verify(c, *key, eddsa.SignatureExpr(*r8, c.private("s")), c.public("message"))


def define_switched_eddsa(c: Circuit) -> None:
    key, r8 = c.private("key", 2), c.private("r8", 2)
    on = boolean.assert_bit(c, c.private("on"))
    eddsa.verify(c, *key, eddsa.SignatureExpr(*r8, c.private("s")), c.private("message"), on)


def _bits(x: int, n: int) -> list[int]:
    return [x >> i & 1 for i in range(n)]


_P = plain.multiply_vartime(987654321987654321, plain.GENERATOR)
_Q = plain.multiply_vartime(3, plain.BASE8)
_SIBLINGS = [11, 22, 33]
_K = 0x1D2C3B4A5968778695A4B3C2D1E0F123456789ABCDEF0FEDCBA987654321
_EDDSA = eddsa_inputs(VECTORS["eddsa"][1])

CASES = [
    Case("bits", define_bits, {"bits": [1, 0, 1, 1]}, [0, 1, 1, 0, 0, 1]),
    Case("all bits", define_bits, {"bits": [1, 1, 1, 1]}, [1, 1, 0, 0, 1, 1]),
    Case("no bits", define_bits, {"bits": [0, 0, 0, 0]}, [0, 0, 0, 1, 0, 0]),
    Case("ranges", define_ranges, {"x": 51966, "y": 6}, _bits(51966, 16)),
    Case("canonical bits", define_canonical, {"x": R - 1}, _bits(R - 1, 254)),
    Case("canonical bits of 5", define_canonical, {"x": 5}, _bits(5, 254)),
    Case("bits at most", define_bounded, {"x": 0b1011001}, [0b1011001]),
    Case("order", define_order, {"a": 3, "b": 2**24 - 1}, [1, 0, 0, 1]),
    Case("order of equals", define_order, {"a": 77, "b": 77}, [0, 1, 1, 0]),
    Case("assertions", define_asserts, {"a": 12, "b": 13}, [pow(12, -1, R)]),
    Case(
        "selection",
        define_select,
        {"bits": [0, 1], "a": 5, "b": 6, "index": 3},
        [6, 6, 5, 7, 0, 0, 0, 1, 0],
    ),
    Case("division", define_division, {"a": 10**12 - 7, "b": 9999}, list(divmod(10**12 - 7, 9999))),
    *(
        Case(f"poseidon of {n}", define_poseidon(n), {"x": list(range(1, n + 1))}, [hash_plain(list(range(1, n + 1)))])
        for n in (1, 2, 3, 5, 16)
    ),
    Case(
        "merkle",
        define_merkle,
        {
            "old": 1,
            "new": 2,
            "leaf": 3,
            "index": [1, 0, 1],
            "siblings": _SIBLINGS,
            "root": merkle_path(3, 5, _SIBLINGS),
        },
        [merkle_path(1, 5, _SIBLINGS), merkle_path(2, 5, _SIBLINGS)],
    ),
    Case(
        "curve",
        define_curve,
        {"p": list(_P), "q": list(_Q), "s": 0},
        [*plain.add(_P, _Q), *plain.add(_P, plain.GENERATOR), *plain.double(_P), *plain.negate(_Q)],
    ),
    Case("variable base", define_variable(9), {"p": list(_P), "k": 301}, [*plain.multiply_vartime(301, _P)]),
    Case("cofactor base", define_cofactor(11), {"p": list(_P), "k": 1301}, [*plain.multiply_vartime(8 * 1301, _P)]),
    Case("fixed base", define_fixed(13), {"k": 5001}, [*plain.multiply_vartime(5001, plain.BASE8)]),
    Case("fixed base of a scalar", define_fixed(254), {"k": _K}, [*plain.multiply_vartime(_K, plain.BASE8)]),
    Case("eddsa", define_eddsa, _EDDSA),
    Case("eddsa switched off", define_switched_eddsa, {"key": [1, 2], "r8": [3, 4], "s": 5, "message": 6, "on": 0}),
    Case("eddsa switched on", define_switched_eddsa, {**_EDDSA, "on": 1}),
]
