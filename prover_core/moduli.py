"""The two primes of BN254 (EIP-196)."""

from __future__ import annotations

R = 0x30644E72E131A029B85045B68181585D2833E84879B9709143E1F593F0000001
"""Order of the groups, modulus of Fr."""
Q = 0x30644E72E131A029B85045B68181585D97816A916871CA8D3C208C16D87CFD47
"""Modulus of the base field Fq."""
