"""Names of result files, and what users are told in more than one place."""

from __future__ import annotations

PROOF, PUBLICS, VKEY = "proof.json", "public.json", "verification_key.json"
INSECURE = "the key is from a single-party development setup: its maker can forge proofs; not for production"
