"""Recursion: N Groth16 proofs under one key in, one Groth16 proof out, through the BN254/Grumpkin half-pairing cycle.

Stage 1 proves the leaves' verification equations natively over Fq; `protocol` defines it. Stage 2, the wrap, is an R1CS
over Fr that verifies stage 1, proved with Groth16. See docs/assembly.md.
"""

from __future__ import annotations
