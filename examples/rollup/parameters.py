"""The sizes of the rollup. Circuits and executor read the same constants, so that they cannot drift apart."""

from __future__ import annotations

import hashlib

from prover_core.types import R

ACCOUNT_DEPTH = 32
"""2^32 accounts, as rollups in production have."""
TOKEN_DEPTH = 8
"""256 tokens; every account holds a tree of balances by token."""
POOL_DEPTH = 24
"""16,777,216 pools; with this depth a swap stays below 2^14 constraints."""
AMOUNT_BITS = 96
"""Amounts, balances and reserves are below 2^96; a product of two and a fee stays below 2^206, far from r."""
NONCE_BITS = 64
FEE_SCALE = 10_000
"""Pool fees are in basis points: 30 is 0.3 %."""
FEE_BITS = 14
"""2^14 > FEE_SCALE."""
MAX_INSTRUCTIONS = 15
"""An operation has at most this many instructions, and so one segment more."""

NATIVE = 0
"""The native token; every other token is ERC-20-like."""

DOMAIN = int.from_bytes(hashlib.sha256(b"hybrid-prover/examples/rollup/operation/v1").digest(), "big") % R
"""First input of every operation digest, so that a signature means nothing elsewhere."""
