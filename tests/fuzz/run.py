"""Fuzzes every parser of outside bytes, prints a table: `run.py [--runs N] [--target NAME]… [--jobs N] [--keep DIR]`.

Exit code 1 if anything was found; each find is kept under `finds/TARGET/`, where the regression tests replay it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent))

from targets import TARGETS

HERE = Path(__file__).resolve().parent
FINDS = HERE / "finds"
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_PEAK = re.compile(r"stat::peak_rss_mb:\s*(\d+)")


def fuzz(name: str, runs: int, work: Path) -> tuple[bool, str]:
    """(nothing was found, one line of the table)."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    finds = FINDS / name
    corpus = folder / "corpus"
    if finds.is_dir():
        shutil.copytree(finds, corpus, dirs_exist_ok=True)
    begun = time.monotonic()
    environment = os.environ | {"PYTHONHASHSEED": "0", "HYBRID_PROVER_LOG_LEVEL": "error"}
    done = subprocess.run(
        [sys.executable, str(HERE / "one.py"), name, str(runs), str(folder)],
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
        check=False,
    )
    took = time.monotonic() - begun
    executed, peak = _EXECUTED.search(done.stderr), _PEAK.search(done.stderr)
    found = [p for p in folder.iterdir() if p.is_file()]
    for path in found:
        finds.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, finds / path.name)
    good = done.returncode == 0 and not found and executed is not None
    count = int(executed[1]) if executed else 0
    line = (
        f"{name:8} {count:>10,} inputs {took:8.1f} s {int(peak[1]) if peak else 0:>6} MB  {'ok' if good else 'FOUND'}"
    )
    if not good:
        line += "\n" + "\n".join(done.stderr.splitlines()[-40:])
    return good, line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="mutated inputs for each parser")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one (may be repeated)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets fuzzed at the same time")
    parser.add_argument("--keep", type=Path, help="keep the corpora here and go on from them the next time")
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary, ThreadPoolExecutor(arguments.jobs) as pool:
        work = arguments.keep or Path(temporary)
        results = []
        for good, line in pool.map(lambda name: fuzz(name, arguments.runs, work), arguments.target or list(TARGETS)):
            print(line, flush=True)
            results.append(good)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
