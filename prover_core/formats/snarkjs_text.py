"""What snarkjs writes to its JSON files, from plain integers. Loads no library: see `prover_core.direct`."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

INSECURE_FIELD: Final = "insecure"
"""Ours, in keys from a single-party setup; snarkjs ignores fields that it does not know."""
PROTOCOL: Final = {"protocol": "groth16", "curve": "bn128"}


def g1_object(x: int, y: int) -> list[str]:
    """Projective, z = 1; infinity is (0 : 1 : 0)."""
    return ["0", "1", "0"] if x == y == 0 else [str(x), str(y), "1"]


def g2_object(x0: int, x1: int, y0: int, y1: int) -> list[list[str]]:
    """As in G1, over Fq2."""
    if x0 == x1 == y0 == y1 == 0:
        return [["0", "0"], ["1", "0"], ["0", "0"]]
    return [[str(x0), str(x1)], [str(y0), str(y1)], ["1", "0"]]


def proof_object(encoded: bytes) -> dict[str, object]:
    """proof.json from the 256 bytes of `groth16.Proof.to_bytes`."""
    ax, ay, bx1, bx0, by1, by0, cx, cy = [int.from_bytes(encoded[i : i + 32], "big") for i in range(0, 256, 32)]
    return {"pi_a": g1_object(ax, ay), "pi_b": g2_object(bx0, bx1, by0, by1), "pi_c": g1_object(cx, cy), **PROTOCOL}


def public_object(publics: Sequence[int]) -> list[str]:
    """public.json."""
    return [str(x) for x in publics]


def key_object(
    alpha1: Sequence[int],
    g2: Sequence[Sequence[int]],
    ic: Sequence[Sequence[int]],
    alphabeta: Sequence[int],
    insecure: bool,
) -> dict[str, object]:
    """verification_key.json from [α]_1, [β γ δ]_2, IC and the twelve coordinates of e(α, β)^k."""
    pairs = [[str(alphabeta[i]), str(alphabeta[i + 1])] for i in range(0, 12, 2)]
    beta2, gamma2, delta2 = g2
    return {
        **PROTOCOL,
        "nPublic": len(ic) - 1,
        "vk_alpha_1": g1_object(*alpha1),
        "vk_beta_2": g2_object(*beta2),
        "vk_gamma_2": g2_object(*gamma2),
        "vk_delta_2": g2_object(*delta2),
        "vk_alphabeta_12": [pairs[:3], pairs[3:]],
        "IC": [g1_object(*p) for p in ic],
        **({INSECURE_FIELD: True} if insecure else {}),
    }


def write_object(path: str | os.PathLike[str], data: object) -> None:
    """Writes objects, lists, plain ASCII strings, integers and booleans as `json.dump(data, indent=1)` does."""
    with open(path, "w", encoding="utf-8") as f:
        f.write(_text(data, "\n") + "\n")


def _text(data: object, line: str) -> str:
    inner = line + " "
    if isinstance(data, dict):
        body = ("," + inner).join([f'"{name}": {_text(value, inner)}' for name, value in data.items()])
        return f"{{{inner}{body}{line}}}" if data else "{}"
    if isinstance(data, list):
        return f"[{inner}{(',' + inner).join([_text(x, inner) for x in data])}{line}]" if data else "[]"
    if isinstance(data, bool):
        return "true" if data else "false"
    return str(data) if isinstance(data, int) else f'"{data}"'
