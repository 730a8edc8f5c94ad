"""When the certificates in use expire, for an alert that comes early enough."""

from __future__ import annotations

from pathlib import Path

from hybrid_prover.security.tls import CA, CERTIFICATE


class Expiries:
    """Reads a folder's certificates again when they change; what cannot be read has no expiry."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._seen: dict[Path, tuple[int, float]] = {}

    def __call__(self) -> dict[tuple[str, ...], float]:
        """Unix time by (`own` or `authority`,); of several in a file the first to expire. A stat each, mostly."""
        if self._folder is None:
            return {}
        found = {("own",): self._expiry(self._folder / CERTIFICATE), ("authority",): self._expiry(self._folder / CA)}
        return {which: when for which, when in found.items() if when is not None}

    def _expiry(self, file: Path) -> float | None:
        from cryptography import x509

        try:
            stamp = file.stat().st_mtime_ns
            seen = self._seen.get(file)
            if seen is None or seen[0] != stamp:
                parsed = x509.load_pem_x509_certificates(file.read_bytes())
                seen = self._seen[file] = (stamp, min(c.not_valid_after_utc.timestamp() for c in parsed))
        except (OSError, ValueError):
            return None
        return seen[1]
