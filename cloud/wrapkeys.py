"""The cloud's wrap keys: which there are, and those in use in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import structlog

from prover_core.assembly import WrapKey, WrapKeys
from prover_core.assembly.tree import Wrap
from prover_core.backend import Backend
from prover_core.errors import FormatError

from .assembly import Shelf, describe
from .errors import FAILED_PRECONDITION, refuse

log = structlog.get_logger(__name__)

LOADED = 2
"""Keys kept mapped: what one tree needs."""


class WrapStock:
    """A folder of wrap keys (see `prover_core.assembly.WrapKeys`). Safe to use from several threads."""

    def __init__(self, folder: Path, backend: Backend, *, makes: bool, places: int) -> None:
        self._keys = WrapKeys(folder)
        self._backend = backend
        self._makes = makes
        self._places = places
        self._lock = threading.Lock()
        self._loaded: OrderedDict[Wrap, WrapKey] = OrderedDict()

    def shelf(self) -> Shelf:
        """What there is now; reads the folder's index. Nothing, and a line in the log, where that is damaged."""
        try:
            kept = self._keys.kept()
        except (FormatError, OSError) as e:
            log.error("wrap_keys_unreadable", error=str(e))
            kept = []
        return Shelf(frozenset(Wrap(shape, chain) for shape, chain in kept), self._makes, self._places)

    def key(self, wrap: Wrap) -> WrapKey:
        """The key; read (seconds) or, where that is allowed, made (half a minute or more) if it is not in memory.

        `WireError` (FAILED_PRECONDITION) names the shape of a key that is missing.
        """
        with self._lock:
            found = self._loaded.get(wrap)
            if found is None:
                if not self._keys.has(wrap.shape, wrap.chain):
                    if not self._makes:
                        raise refuse(
                            FAILED_PRECONDITION,
                            f"this cloud has no wrap key for {describe(wrap)}",
                            reason="WRAP_KEY_MISSING",
                            field="assembly",
                            shape=describe(wrap),
                        )
                    log.warning("wrap_key_made", shape=describe(wrap), setup="development, insecure")
                found = self._keys.get(wrap.shape, self._backend, wrap.chain)
                if found.verification_key.insecure:
                    log.warning("wrap_key_insecure", shape=describe(wrap))
                self._loaded[wrap] = found
                while len(self._loaded) > LOADED:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(wrap)
            return found
