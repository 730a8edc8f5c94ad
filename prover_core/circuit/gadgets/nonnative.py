"""Arithmetic modulo q emulated in Fr: integers in limbs of 52 bits, multiplied lazily, reduced in one batch.

A `Residue` is the integer V = sum x_i 2^(52 i) of columns x_i with static bounds, read modulo q. Sums and multiples
by constants cost nothing and only widen the bounds; a product of n by m columns costs n + m - 1 rows: both
factors and the product are polynomials in 2^52, compared at n + m - 1 points, and no column wraps around r (bounds).
`reduce` puts in V's place a fresh value v < 2^254 and notes the identity V - v = 0 mod q; 254 rows. `close` checks
all identities at once: sum a_i b_j (V_ij - v_ij) = 0 mod q for challenges a, b of at least 125 bits that the caller
draws after everything the identities depend on has been absorbed. A false identity survives with probability at most
2 / 2^125, since the sum is a bilinear form in the challenges over the field Fq (Schwartz-Zippel).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, zip_longest

from ...errors import CircuitError
from ...types import Q, R
from ..builder import Circuit, Value
from ..expr import Bit, Expr, linear_sum
from ..template import gadget
from .limbs import BASE, LIMB_BITS, LIMBS, Bound, exact_quotient, limbs_of, remainder, weigh

VALUE_BITS = 254
SHORT = 1 << 66
"""Factors have at most five columns, all smaller than this; others are reduced first."""
WIDEST = 1 << 130
"""No column of an identity may reach this: the batch then stays below 2^251."""
_CAPACITY = 250

Column = Expr | int


def limb_widths(bits: int) -> list[int]:
    """Widths of the limbs of a value below 2^bits."""
    return [min(LIMB_BITS, bits - start) for start in range(0, bits, LIMB_BITS)]


@gadget
def bits_of(c: Circuit, x: Expr, n: int) -> list[Bit]:
    """The n bits of x < 2^n, n <= 252, least first; n rows: the highest bit is what the others leave over."""
    if not 1 <= n <= 252:
        raise CircuitError(f"a limb has 1 to 252 bits, not {n}")
    wires = c.hint.bits(x, n - 1) if n > 1 else []
    rest = x - linear_sum((wire, 1 << i) for i, wire in enumerate(wires)) if wires else x
    bits = [*wires, rest * pow(1 << (n - 1), -1, R)]
    for bit in bits:
        c.assert_product(bit, 1 - bit, 0, f"is below 2^{n}", early=False)
    return [Bit.trust(bit) for bit in bits]


class EmulatedField:
    """Fq inside one circuit: makes residues and collects the identities that `close` checks."""

    def __init__(self, c: Circuit) -> None:
        self.c = c
        self.pending: list[tuple[str, Residue]] = []
        """(label, what must be 0 mod q)."""
        self.reduced: list[Residue] = []
        """Values that `reduce` made, to be absorbed before the challenges of `close` are drawn."""
        self._closed = False

    def constant(self, value: int) -> Residue:
        """value mod q; values near 0 on either side take one column."""
        value %= Q
        if Q - value < BASE:
            value -= Q
        columns = [value] if abs(value) < BASE else limbs_of(value)
        return Residue(self, columns, [(x, x) for x in columns])

    def value(self, limbs: Sequence[Expr], bits: int = VALUE_BITS, label: str = "limb") -> Residue:
        """A value below 2^bits from its limbs, whose range is proven here; `bits` rows."""
        widths = limb_widths(bits)
        if len(widths) != len(limbs):
            raise CircuitError(f"a value of {bits} bits has {len(widths)} limbs, not {len(limbs)}")
        with self.c.scope(label):
            parts = [bits_of(self.c, limb, width) for limb, width in zip(limbs, widths, strict=True)]
        return self._proven(limbs, parts, bits)

    def _proven(self, limbs: Sequence[Expr], parts: Sequence[Sequence[Bit]], bits: int) -> Residue:
        out = Residue(self, list(limbs), [(0, (1 << width) - 1) for width in limb_widths(bits)])
        out.bits = [bit for part in parts for bit in part]
        return out

    def from_bits(self, bits: Sequence[Bit]) -> Residue:
        """sum of 2^i bit_i; no row."""
        columns = [
            linear_sum((bit, 1 << i) for i, bit in enumerate(bits[start : start + LIMB_BITS]))
            for start in range(0, len(bits), LIMB_BITS)
        ]
        out = Residue(self, columns, [(0, (1 << width) - 1) for width in limb_widths(len(bits))])
        out.bits = list(bits)
        return out

    def signed(self, columns: Sequence[Column], bounds: Sequence[Bound]) -> Residue:
        """Columns whose bounds the caller has proven; no row."""
        return Residue(self, columns, bounds)

    def require(self, value: Residue, label: str) -> None:
        """value = 0 mod q, checked by `close`."""
        self._note(value, label)

    def close(self, inner: Sequence[Residue], outer: Sequence[Residue], label: str = "reductions") -> None:
        """Checks every identity noted so far: sum over i, j of outer_i inner_j V_(i w + j) = 0 mod q, once.

        w = len(inner); len(outer) must cover all. About 12 rows an identity and 3,300 for the one reduction.
        """
        if self._closed:
            raise CircuitError("the batch of reductions is already closed")
        self._closed = True
        width = len(inner)
        if len(outer) * width < len(self.pending):
            raise CircuitError(f"{len(self.pending)} identities need more challenges than {width} x {len(outer)}")
        with self.c.scope(label):
            total = self.constant(0)
            for i, factor in enumerate(outer):
                row = self.pending[i * width : (i + 1) * width]
                if row:
                    part = self.constant(0)
                    for (_, identity), challenge in zip(row, inner, strict=False):
                        part = part + identity.times(challenge)
                    total = total + part.times(factor)
            _divisible(self.c, total)

    def _note(self, value: Residue, label: str) -> None:
        if self._closed:
            raise CircuitError("the batch of reductions is already closed")
        if value.magnitude >= WIDEST or len(value.columns) > 2 * LIMBS:
            raise CircuitError(f"{label}: an identity is too wide for the batch; reduce its terms first")
        self.pending.append((label, value))


class Residue:
    """An element of Fq as an integer in columns; `+ - *` with residues and integers."""

    __slots__ = ("_reduced", "bits", "bounds", "columns", "field")

    def __init__(self, field: EmulatedField, columns: Sequence[Column], bounds: Sequence[Bound]) -> None:
        self.field = field
        self.columns = tuple(columns)
        self.bounds = tuple(bounds)
        self.bits: list[Bit] | None = None
        """The bits, where the value was made from or proven by them."""
        self._reduced: Residue | None = None

    @property
    def magnitude(self) -> int:
        """The largest absolute value of any column."""
        return max(max(-lo, hi) for lo, hi in self.bounds)

    @property
    def is_constant(self) -> bool:
        """Whether the value is known when the circuit is built."""
        return all(isinstance(x, int) for x in self.columns)

    @property
    def is_short(self) -> bool:
        """Whether the value can be a factor as it is."""
        return len(self.columns) <= LIMBS and self.magnitude < SHORT

    def __add__(self, other: Residue | int) -> Residue:
        return self._combined(other, 1)

    __radd__ = __add__

    def __sub__(self, other: Residue | int) -> Residue:
        return self._combined(other, -1)

    def __rsub__(self, other: int) -> Residue:
        return self.field.constant(other)._combined(self, -1)

    def __neg__(self) -> Residue:
        return Residue(self.field, [-x for x in self.columns], [(-hi, -lo) for lo, hi in self.bounds])

    def __mul__(self, other: Residue | int) -> Residue:
        other = self.field.constant(other) if isinstance(other, int) else other
        if self.is_constant and not other.is_constant:
            return other * self
        if other.is_constant and len(other.columns) == 1 and other.magnitude <= 1 << 20:
            return self.times(other)
        return self.short().times(other.short())

    __rmul__ = __mul__

    def short(self) -> Residue:
        """The value as a factor: itself, or reduced."""
        return self if self.is_short else self.reduce()

    def times(self, other: Residue) -> Residue:
        """The product of the integers, columns convolved, with no reduction of the factors."""
        n = len(self.columns) + len(other.columns) - 1
        bounds = [(0, 0)] * n
        for i, (lo, hi) in enumerate(self.bounds):
            for j, (low, high) in enumerate(other.bounds):
                corners = (lo * low, lo * high, hi * low, hi * high)
                bounds[i + j] = (bounds[i + j][0] + min(corners), bounds[i + j][1] + max(corners))
        if any(max(-lo, hi) >> _CAPACITY for lo, hi in bounds):
            raise CircuitError("a product's columns could wrap around r")
        if other.is_constant or self.is_constant:
            columns: list[Column] = [0] * n
            for i, x in enumerate(self.columns):
                for j, y in enumerate(other.columns):
                    columns[i + j] = columns[i + j] + _scaled(x, y)
        else:
            c = self.field.c
            columns = list(_product(c, [_expr(c, x) for x in self.columns], [_expr(c, y) for y in other.columns]))
        return Residue(self.field, columns, bounds)

    def reduce(self, label: str = "reduction") -> Residue:
        """A value below 2^254 that is the same modulo q; 254 rows, the same one if asked again."""
        if self._reduced is None:
            field = self.field
            if self.is_constant:
                self._reduced = field.constant(weigh([x for x in self.columns if isinstance(x, int)]))
                return self._reduced
            columns = [_expr(field.c, x) for x in self.columns]
            low = 1 << max(1, max(-lo for lo, _ in self.bounds)).bit_length()
            high = 1 << max(1, max(hi for _, hi in self.bounds)).bit_length()
            with field.c.scope(label):
                limbs, bits = _remainder(field.c, columns, (-low, high))
            fresh = field._proven(limbs, bits, VALUE_BITS)
            fresh._reduced = fresh
            field._note(self - fresh, label)
            field.reduced.append(fresh)
            self._reduced = fresh
        return self._reduced

    def _combined(self, other: Residue | int, sign: int) -> Residue:
        other = self.field.constant(other) if isinstance(other, int) else other
        columns: list[Column] = []
        bounds: list[Bound] = []
        for x, y in zip_longest(self.columns, other.columns, fillvalue=0):
            columns.append(x + _scaled(y, sign))
        for (lo, hi), (low, high) in zip_longest(self.bounds, other.bounds, fillvalue=(0, 0)):
            bounds.append((lo + low, hi + high) if sign > 0 else (lo - high, hi - low))
        return Residue(self.field, columns, bounds)


def inner_product(field: EmulatedField, left: Sequence[Residue], right: Sequence[Residue]) -> Residue:
    """sum of left_i right_i, not reduced."""
    total = field.constant(0)
    for a, b in zip(left, right, strict=True):
        total = total + a * b
    return total


def _scaled(x: Column, factor: Column) -> Column:
    if isinstance(factor, int):
        return x * factor
    return factor * x if isinstance(x, int) else x * factor


def _expr(c: Circuit, x: Column) -> Expr:
    return c.constant(x) if isinstance(x, int) else x


def _points(n: int) -> list[int]:
    """n evaluation points 0, 1, -1, 2, -2 …"""
    return [(k + 1) // 2 * (1 if k & 1 else -1) for k in range(n)]


@gadget
def _product(c: Circuit, a: list[Expr], b: list[Expr]) -> list[Expr]:
    """The columns of the product; one row each: equal polynomials of degree n + m - 2 at n + m - 1 points.

    The last point is infinity: highest times highest.
    """
    n = len(a) + len(b) - 1
    cross = [[c.advice.product(x, y) for y in b] for x in a]
    out = [c.hint.linear([(cross[i][k - i], 1) for i in range(len(a)) if 0 <= k - i < len(b)]) for k in range(n)]
    for t in _points(n - 1):
        left = linear_sum((x, t**i) for i, x in enumerate(a))
        right = linear_sum((y, t**i) for i, y in enumerate(b))
        c.assert_product(left, right, linear_sum((z, t**i) for i, z in enumerate(out)), early=False)
    c.assert_product(a[-1], b[-1], out[-1], early=False)
    return out


@gadget
def _remainder(c: Circuit, columns: list[Expr], bound: Bound) -> tuple[list[Expr], list[list[Bit]]]:
    """A value below 2^254 in limbs, and their bits; that it is the remainder is for `close` to check."""
    limbs = [c.hint.copy(limb) for limb in remainder(c, columns, [bound] * len(columns), Q)]
    return limbs, [bits_of(c, limb, width) for limb, width in zip(limbs, limb_widths(VALUE_BITS), strict=True)]


def _divisible(c: Circuit, value: Residue) -> None:
    """value = k q for an integer k: modulo r and modulo 2^t with r 2^t above twice the largest difference.

    Rows: the bits of k, one linear row, and for each column a carry's range.
    """
    low, high = (weigh([bound[side] for bound in value.bounds]) for side in (0, 1))
    least = low // Q
    width = (-(-high // Q) - least).bit_length()
    columns: list[Value] = [_expr(c, x) for x in value.columns]
    widths = limb_widths(width)
    quotient = [c.hint.copy(limb) for limb in exact_quotient(c, columns, value.bounds, Q, len(widths))]
    field = value.field
    k = field.value(quotient, width, "quotient")
    shift = least * Q
    sign = -1 if shift < 0 else 1
    offset = [sign * x for x in limbs_of(abs(shift))]
    error = value - k.times(field.signed(limbs_of(Q), [(x, x) for x in limbs_of(Q)]))
    error = error - field.signed(offset, [(x, x) for x in offset])
    bound = 2 * (max(abs(low), abs(high)) + (1 << width) * Q + abs(shift))
    modulus_bits = max(0, bound.bit_length() - R.bit_length() + 2)
    native = linear_sum((_expr(c, x), 1 << (LIMB_BITS * i)) for i, x in enumerate(error.columns))
    c.assert_zero(native, "is a multiple of q modulo r")
    carry: Column = 0
    carried: Bound = (0, 0)
    done = 0
    for i in count():
        if done >= modulus_bits or i >= len(error.columns):
            break
        lo, hi = error.bounds[i][0] + carried[0], error.bounds[i][1] + carried[1]
        if max(-lo, hi) >> _CAPACITY:
            raise CircuitError("a column of the batch could wrap around r")
        carry = _scaled(error.columns[i] + carry, pow(BASE, -1, R))
        done += LIMB_BITS
        least_carry = lo >> LIMB_BITS
        bits = max(1, (-(-hi >> LIMB_BITS) - least_carry).bit_length())
        bits_of(c, _expr(c, carry) - least_carry, bits)
        carried = (least_carry, least_carry + (1 << bits) - 1)
    if done < modulus_bits:
        # All columns are used: the last carry is the whole quotient by 2^(52 n), and must vanish.
        c.assert_zero(_expr(c, carry), "no carry is left")
