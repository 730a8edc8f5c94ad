"""Where the command line begins: a plain `prove` of a finished witness is done at once, all else goes to `main`.

A small proof takes a tenth of a second, and loading the command line, numpy and the services' libraries takes three
times as long. So what `plain_prove` understands is proved by `prover_core.direct`, which loads none of these. Whatever
it does not understand, and whatever goes wrong on the way, is left to the ordinary command, which alone knows all
flags, settings and errors.
"""

from __future__ import annotations

import os
import sys
import time

from hybrid_prover.names import INSECURE, PROOF, PUBLICS, VKEY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

_VALUES: Final = {"--zkey": "zkey", "--wtns": "witness", "--witness": "witness", "--out": "out", "--threads": "threads"}
_FILES: Final = {"proof": PROOF, "public": PUBLICS, "verification_key": VKEY}


def plain_prove(argv: Sequence[str], environment: Mapping[str, str]) -> dict[str, str | int | bool] | None:
    """The arguments of a `prove` that needs only the CPU, a key and a witness; None for everything else.

    None also where a setting from the environment or a file might change its meaning, where a flag comes twice or has
    an odd value, and where CuPy is installed, so that a GPU might be the better choice.
    """
    if argv[:1] != ["prove"] or any(
        name in ("HYBRID_PROVER_CONFIG", "HYBRID_PROVER_BACKEND") or name.startswith("HYBRID_PROVER_PROVE_")
        for name in environment
    ):
        return None
    found: dict[str, str | int | bool] = {}
    rest = iter(argv[1:])
    for argument in rest:
        flag, joined, value = argument.partition("=")
        if argument == "--json":
            name: str | None = "json"
            found_value: str | int | bool = True
        else:
            name, found_value = _VALUES.get(flag), value if joined else next(rest, "")
            if not found_value or found_value.startswith("-"):
                return None
        if name is None or name in found:
            return None
        if name == "threads":
            if not (str(found_value).isascii() and str(found_value).isdecimal() and 0 < int(found_value) <= 1024):
                return None
            found_value = int(found_value)
        found[name] = found_value
    if not {"zkey", "witness"} <= found.keys() or _has_cupy():
        return None
    return found


def _has_cupy() -> bool:
    return any(finder.find_spec("cupy", None) is not None for finder in sys.meta_path if hasattr(finder, "find_spec"))


def prove(zkey: str, witness: str, out: str = ".", threads: int | None = None, json: bool = False) -> None:
    """As `local.prove`, with the same files and the same words. `ProverError` or `OSError` for what goes wrong."""
    from prover_core import direct
    from prover_core.formats import snarkjs_text as text
    from prover_core.formats.wtns import wtns_values
    from prover_core.formats.zkey_sections import ZkeySections
    from prover_core.native import _native
    from prover_core.native._device import device_name

    def note(line: str) -> None:
        print(line, file=sys.stderr)

    start = time.perf_counter()
    cores = threads or _native.default_threads()
    key = ZkeySections(zkey)
    opened = time.perf_counter()
    if not json:
        note(f"key: {opened - start:.2f} s")
    if key.insecure:
        note(INSECURE)
    values = wtns_values(witness)
    proof = direct.prove(key, values, threads=cores)
    if not json:
        note(f"witness and proof ({device_name(cores)}): {time.perf_counter() - opened:.2f} s")
    os.makedirs(out, exist_ok=True)
    files = {name: os.path.join(os.path.normpath(out), file) for name, file in _FILES.items()}
    text.write_object(files["proof"], text.proof_object(proof))
    publics = values[32 : 32 * (key.n_public + 1)]
    signals = [int.from_bytes(publics[i : i + 32], "little") for i in range(0, len(publics), 32)]
    text.write_object(files["public"], text.public_object(signals))
    alpha1, ic = direct.coordinates(key.alpha1), direct.coordinates(key.ic)
    g2 = [direct.coordinates(p) for p in (key.beta2, key.gamma2, key.delta2)]
    points = [ic[i : i + 2] for i in range(0, len(ic), 2)]
    product = direct.alphabeta(key.alpha1, key.beta2)
    text.write_object(files["verification_key"], text.key_object(alpha1, g2, points, product, key.insecure))
    seconds = time.perf_counter() - start
    if not json:
        print(f"proof verified and written to {os.path.normpath(out)} in {seconds:.2f} s")
        return
    from json import dump

    told = {
        "wires": key.n_vars,
        "seconds": seconds,
        "backend": "cpu",
        "insecure_setup": key.insecure,
    }
    dump({**files, **told}, sys.stdout, indent=2)
    sys.stdout.write("\n")


def main() -> None:
    """Console script."""
    plain = plain_prove(sys.argv[1:], os.environ)
    if plain is not None:
        from prover_core.errors import ProverError

        try:
            prove(**plain)  # type: ignore[arg-type]
            sys.stdout.flush()
            sys.stderr.flush()
        except (ProverError, OSError):
            pass  # found again, and told, by the ordinary command
        except KeyboardInterrupt:
            print("hybrid-prover: interrupted", file=sys.stderr)
            sys.exit(130)
        else:
            os._exit(0)  # files are closed; there is nothing left to finalise but memory
    from .main import main as ordinary

    ordinary()
