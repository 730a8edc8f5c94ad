"""The flags by which every command that calls a service is told how to connect."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from cyclopts import Parameter

from hybrid_prover.credentials import Credentials

Connection: TypeAlias = Annotated[Credentials, Parameter(name="*")]
"""`--ca-file`, `--cert-file`, `--key-file`, `--token-file`, `--plaintext`."""
