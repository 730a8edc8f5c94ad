"""`.ptau`: powers of tau, the first phase of a ceremony; read only. Source: iden3/snarkjs, `src/powersoftau_*.js`.

Sections: 1 header; 2 [τ^i]_1; 3 [τ^i]_2; 4 [α τ^i]_1; 5 [β τ^i]_1; 6 [β]_2; 7 contributions; and once prepared for
phase 2, 12 to 15: the same four in the Lagrange bases of every domain 2^0, 2^1, … one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..errors import FormatError, InvalidInputError
from ..types import G1Vector, G2Point, G2Vector, Q, g2_points
from .binfile import BinFile, Reader, Source

MAGIC: Final = b"ptau"
MAX_POWER: Final = 28


@dataclass(frozen=True, slots=True, eq=False)
class PowersOfTau:
    """One opened file; every vector is borrowed from the map."""

    power: int
    """The largest domain is 2^power."""
    ceremony_power: int
    """The power of the ceremony that this file may be a part of."""
    tau_g1: G1Vector
    """[τ^i]_1, i < 2^(power+1) - 1."""
    tau_g2: G2Vector
    """[τ^i]_2, i < 2^power, as are the next two."""
    alpha_tau_g1: G1Vector
    beta_tau_g1: G1Vector
    beta_g2: G2Point
    _lagrange: tuple[G1Vector, G2Vector, G1Vector, G1Vector] | None

    @property
    def prepared(self) -> bool:
        """Whether the Lagrange bases are there (`snarkjs powersoftau prepare phase2`)."""
        return self._lagrange is not None

    def lagrange_tau_g1(self, power: int) -> G1Vector:
        """[Λ_i(τ)]_1 over the domain of size 2^power, power up to `self.power` + 1 (for the odd coset of H)."""
        return self._checked(power, self.power + 1)[0][_domain(power)]

    def lagrange_tau_g2(self, power: int) -> G2Vector:
        """[Λ_i(τ)]_2 over the domain of size 2^power."""
        return self._checked(power, self.power)[1][_domain(power)]

    def lagrange_alpha_tau_g1(self, power: int) -> G1Vector:
        """[α Λ_i(τ)]_1 over the domain of size 2^power."""
        return self._checked(power, self.power)[2][_domain(power)]

    def lagrange_beta_tau_g1(self, power: int) -> G1Vector:
        """[β Λ_i(τ)]_1 over the domain of size 2^power."""
        return self._checked(power, self.power)[3][_domain(power)]

    def _checked(self, power: int, limit: int) -> tuple[G1Vector, G2Vector, G1Vector, G1Vector]:
        if self._lagrange is None:
            raise InvalidInputError("the .ptau file is not prepared for phase 2", field="ptau")
        if not 0 <= power <= limit:
            raise InvalidInputError(f"the .ptau file has no domain of size 2^{power}", field="power")
        return self._lagrange


def _domain(power: int) -> slice:
    """Where the basis of size 2^power lies among 1 + 2 + 4 + … points."""
    return slice((1 << power) - 1, (2 << power) - 1)


def read_ptau(source: Source) -> PowersOfTau:
    """Opens a powers-of-tau file; O(1), nothing is read but the heads.

    `FormatError` (field = the section) for anything malformed or of another curve. The contributions are not verified
    (`snarkjs powersoftau verify` does that), nor the points to be on the curve.
    """
    file = BinFile(source, MAGIC, versions=(1,))
    head = Reader(file.section(1), "section 1")
    head.modulus(Q, "q")
    power, ceremony_power = head.u32(), head.u32()
    head.end()
    if not 1 <= power <= MAX_POWER or ceremony_power < power:
        raise FormatError(f"2^{power} is not a size of powers of tau", field="section 1")
    n = 1 << power
    lagrange = None
    if 12 in file:
        lagrange = (
            G1Vector(file.limbs(12, (2, 4), 4 * n - 1)),
            G2Vector(file.limbs(13, (2, 2, 4), 2 * n - 1)),
            G1Vector(file.limbs(14, (2, 4), 2 * n - 1)),
            G1Vector(file.limbs(15, (2, 4), 2 * n - 1)),
        )
    return PowersOfTau(
        power=power,
        ceremony_power=ceremony_power,
        tau_g1=G1Vector(file.limbs(2, (2, 4), 2 * n - 1)),
        tau_g2=G2Vector(file.limbs(3, (2, 2, 4), n)),
        alpha_tau_g1=G1Vector(file.limbs(4, (2, 4), n)),
        beta_tau_g1=G1Vector(file.limbs(5, (2, 4), n)),
        beta_g2=g2_points(G2Vector(file.limbs(6, (2, 2, 4), 1)))[0],
        _lagrange=lagrange,
    )
