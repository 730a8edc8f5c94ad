"""`python -m hybrid_prover`: the command line where its script is not on the path."""

from __future__ import annotations

from hybrid_prover.cli.start import main

if __name__ == "__main__":
    main()
