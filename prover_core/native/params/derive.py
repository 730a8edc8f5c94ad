"""Derives every constant of BN254 that the native code uses and writes `params.hpp` beside this file.

    python derive.py            writes params.hpp
    python derive.py --check    exits 1 if params.hpp differs from what this script derives

Only the curve parameter x, the smallest non-residues and the two generators are given; the rest follows, and what is
given is checked (EIP-196, EIP-197, https://eprint.iacr.org/2010/354 for the family).
"""

from __future__ import annotations

import sys
from pathlib import Path

X = 4965661367192848881
"""The BN parameter: q and r below are polynomials in it."""
Q = 36 * X**4 + 36 * X**3 + 24 * X**2 + 6 * X + 1
R = 36 * X**4 + 36 * X**3 + 18 * X**2 + 6 * X + 1
XI = (9, 1)
"""Non-residue 9 + u of Fq2: the twist is y^2 = x^3 + 3 / XI, and Fq6 = Fq2[v] / (v^3 - XI)."""
FR_GENERATOR = 5
"""Smallest generator of Fr*; snarkjs derives its roots of unity from it."""
G1 = (1, 2)
G2 = (
    (
        10857046999023057135944570762232829481370756359578518086990519993285655852781,
        11559732032986387107991004021392285783925812861821192530917403151452391805634,
    ),
    (
        8495653923123431417604973247489272438418190587263600148770280649306958101930,
        4082367875863433681332203403145435568316851327593401208105741076214120093531,
    ),
)
"""EIP-197's generator of the twist, real part first."""

Fq2 = tuple[int, int]


def fq2_mul(a: Fq2, b: Fq2) -> Fq2:
    """(a0 + a1 u)(b0 + b1 u) with u^2 = -1."""
    return (a[0] * b[0] - a[1] * b[1]) % Q, (a[0] * b[1] + a[1] * b[0]) % Q


def fq2_inverse(a: Fq2) -> Fq2:
    """(a0 - a1 u) / (a0^2 + a1^2)."""
    d = pow(a[0] * a[0] + a[1] * a[1], -1, Q)
    return a[0] * d % Q, -a[1] * d % Q


def fq2_pow(a: Fq2, e: int) -> Fq2:
    """a^e by squaring."""
    out: Fq2 = (1, 0)
    while e:
        if e & 1:
            out = fq2_mul(out, a)
        a = fq2_mul(a, a)
        e >>= 1
    return out


def limbs(value: int, n: int = 4) -> str:
    """A C++ initialiser of n 64-bit limbs, least significant first."""
    return "{" + ", ".join(f"0x{(value >> (64 * i)) & (2**64 - 1):016x}" for i in range(n)) + "}"


def mont(value: int, modulus: int) -> str:
    """The limbs of value * 2^256 mod modulus."""
    return limbs(value * 2**256 % modulus)


def mont2(value: Fq2) -> str:
    """Both coordinates of an element of Fq2, Montgomery."""
    return "{" + mont(value[0], Q) + ", " + mont(value[1], Q) + "}"


def field(name: str, modulus: int, comment: str) -> list[str]:
    """The struct a C++ `Fp` takes its modulus from."""
    return [
        f"/// {comment}",
        f"struct {name} {{",
        f"  static constexpr uint64_t modulus[4] = {limbs(modulus)};",
        "  /// -modulus^-1 mod 2^64",
        f"  static constexpr uint64_t n0 = 0x{-pow(modulus, -1, 2**64) % 2**64:016x};",
        "  /// modulus^-1 mod 2^62",
        f"  static constexpr uint64_t inverse62 = 0x{pow(modulus, -1, 2**62):016x};",
        "  /// 2^256, 2^512 and 2^768 mod modulus",
        f"  static constexpr uint64_t r1[4] = {limbs(2**256 % modulus)};",
        f"  static constexpr uint64_t r2[4] = {limbs(2**512 % modulus)};",
        f"  static constexpr uint64_t r3[4] = {limbs(2**768 % modulus)};",
        "  /// (modulus - 1) / 2",
        f"  static constexpr uint64_t half[4] = {limbs((modulus - 1) // 2)};",
        "};",
        "",
    ]


def section_fields() -> list[str]:
    """Fr and Fq, and Fr's roots of unity."""
    two_adicity = ((R - 1) & -(R - 1)).bit_length() - 1
    roots = [pow(FR_GENERATOR, (R - 1) >> k, R) for k in range(two_adicity + 1)]
    assert roots[0] == 1
    assert roots[1] == R - 1
    return [
        *field("FrParams", R, "The scalar field: order of G1 and G2."),
        *field("FqParams", Q, "The base field."),
        "/// r - 1 = 2^two_adicity * odd",
        f"inline constexpr unsigned two_adicity = {two_adicity};",
        "/// Generator of Fr*, Montgomery.",
        f"inline constexpr uint64_t fr_generator[4] = {mont(FR_GENERATOR, R)};  // {FR_GENERATOR}",
        "/// [k]: 5^((r-1) / 2^k), a primitive 2^k-th root of unity, Montgomery.",
        f"inline constexpr uint64_t fr_roots[{two_adicity + 1}][4] = {{",
        *[f"    {mont(root, R)}," for root in roots],
        "};",
        "",
    ]


def section_curves() -> list[str]:
    """Coefficients and generators of the curve and its twist."""
    b2 = fq2_mul((3, 0), fq2_inverse(XI))
    assert (G1[1] ** 2 - G1[0] ** 3 - 3) % Q == 0
    x3 = fq2_mul(fq2_mul(G2[0], G2[0]), G2[0])
    y2 = fq2_mul(G2[1], G2[1])
    assert y2 == ((x3[0] + b2[0]) % Q, (x3[1] + b2[1]) % Q)
    return [
        "/// y^2 = x^3 + b on G1, b = 3, Montgomery.",
        f"inline constexpr uint64_t g1_b[4] = {mont(3, Q)};",
        "/// The generator (1, 2) of G1, Montgomery.",
        f"inline constexpr uint64_t g1_generator[2][4] = {{{mont(G1[0], Q)}, {mont(G1[1], Q)}}};",
        "/// y^2 = x^3 + b on the twist, b = 3 / (9 + u), Montgomery.",
        f"inline constexpr uint64_t g2_b[2][4] = {mont2(b2)};",
        "/// EIP-197's generator of G2, Montgomery.",
        f"inline constexpr uint64_t g2_generator[2][2][4] = {{{mont2(G2[0])}, {mont2(G2[1])}}};",
        "",
    ]


G1Point = tuple[int, int]


def g1_add(a: G1Point, b: G1Point) -> G1Point:
    """a + b on y^2 = x^3 + 3 for a other than -b."""
    rise, run = (3 * a[0] ** 2, 2 * a[1]) if a == b else (b[1] - a[1], b[0] - a[0])
    slope = rise * pow(run, -1, Q)
    x = (slope * slope - a[0] - b[0]) % Q
    return x, (slope * (a[0] - x) - a[1]) % Q


def g1_multiply(a: G1Point, k: int) -> G1Point:
    """k a for 0 < k < r, by doubling."""
    out = a
    for bit in bin(k)[3:]:
        out = g1_add(out, out)
        out = g1_add(out, a) if bit == "1" else out
    return out


def section_endomorphism() -> list[str]:
    """The endomorphism (x, y) -> (beta x, y) of G1 and its eigenvalue: cube roots of unity (GLV, Crypto 2001)."""
    beta = fq2_pow(XI, (Q * Q - 1) // 3)[0]
    roots = (pow(FR_GENERATOR, (R - 1) // 3, R), pow(FR_GENERATOR, 2 * (R - 1) // 3, R))
    (eigenvalue,) = (k for k in roots if g1_multiply(G1, k) == (beta * G1[0] % Q, G1[1]))
    assert (eigenvalue**2 + eigenvalue + 1) % R == 0
    return [
        "/// (x, y) -> (beta x, y) multiplies by lambda on G1, lambda^2 + lambda + 1 = 0; Montgomery in Fq and Fr.",
        f"inline constexpr uint64_t g1_beta[4] = {mont(beta, Q)};",
        f"inline constexpr uint64_t g1_lambda[4] = {mont(eigenvalue, R)};",
        "",
    ]


def signed_digits(value: int, width: int) -> list[int]:
    """Non-adjacent form of a width, most significant digit first: digits 0 or odd, below 2^(width - 1) in magnitude.

    A leading 1, 0, -1 is written 1, 1: one doubling less.
    """
    digits = []
    while value:
        digit = 0
        if value & 1:
            digit = value % 2**width
            digit -= 2**width if digit >= 2 ** (width - 1) else 0
        digits.append(digit)
        value = (value - digit) >> 1
    digits.reverse()
    return [1, 1, *digits[3:]] if digits[:3] == [1, 0, -1] else digits


def section_pairing() -> list[str]:
    """Frobenius constants of the tower, and the addition chains of the pairing."""
    gamma = [[fq2_pow(XI, k * (Q**i - 1) // 6) for k in range(6)] for i in (1, 2, 3)]
    assert all(g[1] == 0 for g in gamma[1]), "powers of x^(q^2) lie in Fq"
    # The loop's last two lines and the subgroup check rest on this: psi acts on the r-torsion as q.
    assert (6 * X + 2 + Q - Q**2 + Q**3) % R == 0
    ate, x_digits = signed_digits(6 * X + 2, 2), signed_digits(X, 4)
    assert x_digits[0] == 1
    return [
        "/// [k]: xi^(k (q-1)/6): (c w^k)^q = conj(c) * frobenius1[k] w^k, Montgomery.",
        "inline constexpr uint64_t frobenius1[6][2][4] = {",
        *[f"    {mont2(g)}," for g in gamma[0]],
        "};",
        "/// [k]: xi^(k (q^2-1)/6), in Fq, Montgomery.",
        "inline constexpr uint64_t frobenius2[6][4] = {",
        *[f"    {mont(g[0], Q)}," for g in gamma[1]],
        "};",
        "/// [k]: xi^(k (q^3-1)/6), Montgomery.",
        "inline constexpr uint64_t frobenius3[6][2][4] = {",
        *[f"    {mont2(g)}," for g in gamma[2]],
        "};",
        f"/// The BN parameter x = {X} in signed digits, most significant first.",
        f"inline constexpr int8_t bn_x_digits[{len(x_digits)}] = {{{', '.join(map(str, x_digits))}}};",
        f"/// Non-adjacent form of 6x + 2, which the ate loop reads (weight {sum(map(abs, ate))}).",
        f"inline constexpr int8_t ate_naf[{len(ate)}] = {{{', '.join(map(str, ate))}}};",
        "",
    ]


SECTIONS = [section_fields, section_curves, section_endomorphism, section_pairing]
"""Each returns lines of C++ for the body of namespace hp::params."""


def header() -> str:
    """The whole of params.hpp."""
    body = [line for section in SECTIONS for line in section()]
    return "\n".join(
        [
            "// Written by derive.py; `make check` fails where the two differ. Do not edit.",
            "#pragma once",
            "#include <cstdint>",
            "",
            "namespace hp::params {",
            "",
            *body,
            "}  // namespace hp::params",
            "",
        ]
    )


def main(arguments: list[str]) -> int:
    """Writes or, with --check, compares."""
    path = Path(__file__).with_name("params.hpp")
    text = header()
    if arguments == ["--check"]:
        if path.exists() and path.read_text() == text:
            return 0
        print(f"{path.name} differs from what derive.py derives; run derive.py", file=sys.stderr)
        return 1
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
