"""The demo's own authority, certificates and token: what `hybrid-prover certs` and `tokens` make, made on the spot."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

from hybrid_prover.credentials import Credentials
from hybrid_prover.security import certificates
from hybrid_prover.security.identity import Role
from hybrid_prover.security.principal import Right
from hybrid_prover.security.tls import CA
from hybrid_prover.security.tokens import TokenFile, make_token, replace_file

HOSTS = ("127.0.0.1", "localhost")
DAYS = 2
CLIENT = "demo"


class Trust:
    """A folder with all of it; costs some milliseconds a certificate. The folder goes with the demo."""

    def __init__(self, folder: Path) -> None:
        """Makes the authority and one client's token, or takes up those that are there."""
        self._folder = folder
        self.tokens = folder / "tokens.json"
        """For the daemons."""
        self.credentials = Credentials(ca_file=folder / CA, token_file=folder / "token")
        """For the demo as their client."""
        if self.tokens.exists():
            return
        certificates.make_authority(folder, now=_now(), days=DAYS + 1)
        with TokenFile(self.tokens).changed() as records:
            # Reads every job and replaces circuits' parts: the demo operates what it starts.
            token, record = make_token(CLIENT, [Right.OPERATE], now=int(time.time()))
            records[record.id] = record
        replace_file(folder / "token", token.encode())

    def certificate(self, role: Role, name: str) -> Path:
        """The folder for a daemon's --tls."""
        return certificates.issue(self._folder, role, name, HOSTS, now=_now(), days=DAYS).folder


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
