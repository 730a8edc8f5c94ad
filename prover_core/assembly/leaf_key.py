"""What a leaf's verification key contributes: the lines of gamma and delta, mu0, and the key lanes' points.

The wrap is told only the key's digest. Whoever accepts an assembly recomputes the digest from the verification key, as
`leaf_key` does, once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Final

from ..backend import select
from ..errors import InvalidInputError
from ..groth16.keys import VerificationKey
from ..groth16.verify import check_key
from ..native import _native
from ..reference.curve import G1
from ..reference.field import limb_rows, to_limbs
from ..reference.pairing import U, pairing
from ..reference.tower import Fq6, Fq12
from ..types import Q, R, g2_vector
from . import layout
from .engine import empty, engine, finite
from .protocol import key_digest
from .transcript import KEY_DOMAIN, Point, Transcript

LOOP: Final = 6 * U + 2
RESIDUE: Final = LOOP + Q - Q * Q + Q**3
"""lambda: a valid leaf's Miller value is a lambda-th power modulo Fq6*. r divides it, 3 does not divide q^6 + 1."""
WINDOW: Final = 5


@dataclass(frozen=True, eq=False)
class LeafKey:
    """A verification key made ready for assemblies with up to `publics` public signals a leaf."""

    vk: VerificationKey
    n_public: int
    columns: tuple[tuple[int, ...], ...]
    """KEY_COLUMNS, 96 rows each, with the cells mu in row 87."""
    points: tuple[Point, ...]
    """The key lanes' points of G1: -IC_0, -2^64 IC_0, -IC_1, ... Unused places have the generator in place of IC_j."""
    native: _native.AssemblyKey = field(repr=False)

    @cached_property
    def commitments(self) -> tuple[Point, ...]:
        """Of the columns, to the generators of part 0, without blinding: anyone can recompute them."""
        scalars = [x for column in self.columns for x in column]
        return tuple(finite(engine().generator_sums(2, scalars, [0] * len(self.columns))))

    @cached_property
    def digest(self) -> int:
        """Names the key in the statement."""
        return key_digest(self.commitments, self.points, Transcript(KEY_DOMAIN, engine().permute))

    @property
    def mu(self) -> tuple[int, ...]:
        """KEY_CELLS."""
        return tuple(self.columns[i][row] for i, row in layout.KEY_CELL_PLACE.values())


def leaf_key(vk: VerificationKey, publics: int) -> LeafKey:
    """Prepares vk; about 0.5 s the first time, then cached.

    `InvalidInputError` if it has more than `publics` public signals, or a point is invalid or infinite.
    """
    if vk.n_public > publics:
        raise InvalidInputError(
            f"the key has {vk.n_public} public signals, the shape only {publics}", field="verification_key"
        )
    return _prepare(vk.digest.raw, _Hidden(vk), publics)


@dataclass(frozen=True)
class _Hidden:
    """Carries a key into a cache that is keyed by its digest."""

    vk: VerificationKey = field(hash=False, compare=False)


@cache
def _prepare(digest: bytes, hidden: _Hidden, publics: int) -> LeafKey:
    vk = hidden.vk
    _check(vk)
    mu0 = _mu0(vk)
    mu = _flat6(mu0.c1 * mu0.c0.inverse())
    power = mu0 ** (1 << 64)
    native = _native.AssemblyKey(
        g2_vector([vk.gamma2]).limbs,
        g2_vector([vk.delta2]).limbs,
        to_limbs(mu),
        to_limbs([*_flat6(power.c0), *_flat6(power.c1)]),
        _residue_exponent(),
    )
    lines = empty(len(layout.KEY_COLUMNS) * layout.LOOP_ROWS, 4)
    native.columns(lines)
    values = limb_rows(lines)
    columns = []
    for i in range(len(layout.KEY_COLUMNS)):
        column = values[i * layout.LOOP_ROWS : (i + 1) * layout.LOOP_ROWS]
        cells = [mu[i]] if i < len(mu) else [0]
        columns.append(tuple(column + cells + [0] * (layout.WIDTH - len(column) - 1)))
    ic = [*vk.ic, *[G1.generator] * (publics - vk.n_public)]
    points = [p for q in ic for p in (G1.negate(q), G1.negate(G1.multiply(q, 1 << 64)))]
    return LeafKey(vk, vk.n_public, tuple(columns), tuple((p.x, p.y) for p in points), native)


def _check(vk: VerificationKey) -> None:
    check_key(vk, select().backend)
    if any(p.is_infinity for p in (vk.alpha1, *vk.ic)):
        raise InvalidInputError("a point of the verification key is infinite", field="verification_key")


def _mu0(vk: VerificationKey) -> Fq12:
    """Of order r, with mu0^(2^64 (q^12 - 1) / r) = e(alpha, beta)."""
    return pairing(vk.alpha1, vk.beta2) ** pow((1 << 64) * ((Q**12 - 1) // R), -1, R)


def _flat6(x: Fq6) -> list[int]:
    return [c for k in (x.c0, x.c1, x.c2) for c in (k.a, k.b)]


@cache
def _residue_exponent() -> list[int]:
    """1 / lambda modulo (q^6 + 1) / r in signed windows of width 5, least significant first: 1268 bits."""
    e = pow(RESIDUE, -1, (Q**6 + 1) // R)
    digits = []
    while e:
        digit = 0
        if e & 1:
            digit = e % (1 << WINDOW)
            digit -= (1 << WINDOW) if digit >= 1 << (WINDOW - 1) else 0
        digits.append(digit)
        e = (e - digit) >> 1
    return digits
