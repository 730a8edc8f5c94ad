"""`python -m cloud`: the same as `hybrid-prover cloud`, with the same options."""

from __future__ import annotations

import sys

from hybrid_prover.cli.main import run

if __name__ == "__main__":
    sys.exit(run(["cloud", *sys.argv[1:]]))
