"""Fuzzes one target under libFuzzer, guided by the coverage of our Python code: `one.py TARGET RUNS CORPUS [-flags]`.

libFuzzer ends the process at the first find, which it writes beside the corpus: an unexpected exception, a crash of
native code, an input that takes over 10 s, or more than 1 GiB of data beyond what the process starts with.
"""

from __future__ import annotations

import gc
import logging
import resource
import sys
from pathlib import Path
from types import FunctionType

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent))

import targets
from mutate import MUTATORS
from seeds import make_seeds

WATCHED = ("prover_core.formats", "prover_core.witness", "prover_core.groth16", "cloud", "edge")
"""Packages whose branches guide the fuzzer."""
SECONDS = 10
DATA_BYTES = 1 << 30
LONGEST = 8192


def watch() -> int:
    """Instruments every function of the watched packages; gives how many. Works whatever loader brought them here."""
    ours = [f for f in gc.get_objects() if isinstance(f, FunctionType)]
    ours = [f for f in ours if (f.__module__ or "").startswith(WATCHED)]
    for function in ours:
        atheris.instrument_func(function)
    return len(ours)


def main() -> None:
    name, runs, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for k, seed in enumerate(make_seeds()[name]):
        (corpus / f"seed-{k}").write_bytes(seed)
    logging.disable()
    assert watch() > 100, "nothing to guide the fuzzer"
    with open("/proc/self/statm") as statm:
        data = int(statm.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (data + DATA_BYTES, data + DATA_BYTES))
    flags = [
        f"-runs={runs}",
        f"-timeout={SECONDS}",
        f"-max_len={LONGEST}",
        "-rss_limit_mb=3000",
        "-print_final_stats=1",
    ]
    flags += [f"-artifact_prefix={folder}/", "-verbosity=0", "-len_control=0", *sys.argv[4:]]

    def once(data: bytes) -> None:
        targets.consume(name, data)

    def mutator(data: bytes, size: int, seed: int) -> bytes:
        return MUTATORS[name](bytes(data), size, seed, atheris.Mutate)

    extra = {"custom_mutator": mutator} if name in MUTATORS else {}
    atheris.Setup([sys.argv[0], *flags, str(corpus)], once, **extra)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
