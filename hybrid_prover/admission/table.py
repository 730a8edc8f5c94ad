"""The table of quotas: a TOML file, followed. What it leaves out has the value of `quotas.Quota`.

    [default]
    jobs = 64
    [client.alice]
    jobs = 500
    weight = 4.0

`default` is every client that is not named. `local`, everybody where there are no tokens, has no limit but those that
the file names.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from hybrid_prover.security.principal import LOCAL, is_client_name
from prover_core.errors import FormatError, InvalidInputError, ProverError

from .quotas import HUGE, UNLIMITED, Quota


class QuotaTable:
    """The limits of all clients; looks at the file again whenever that has changed."""

    def __init__(self, path: Path | None = None) -> None:
        """`InvalidInputError` or `FormatError` (field `quotas`) if the file cannot serve."""
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._named: Mapping[str, Quota] = {LOCAL.client: UNLIMITED}
        self._default = Quota()
        self.trouble = ""
        """Why the file's last change was not taken; the limits before it go on. Empty if all is well."""
        if path is not None:
            self._stamp = self._look()
            if self._stamp is None:
                raise InvalidInputError(f"the table of quotas {path} does not exist", field="quotas")
            self._read(path)

    def of(self, client: str) -> Quota:
        """The limits of a client; of edges and workers, whose identities are no clients' names, none. One `stat`."""
        if self._path is not None and (stamp := self._look()) != self._stamp:
            self._stamp, self.trouble = stamp, ""
            try:
                self._read(self._path)
            except (OSError, ProverError) as e:
                self.trouble = str(e)
        if client and not is_client_name(client):
            return UNLIMITED
        return self._named.get(client, self._default)

    def weight(self, client: str) -> float:
        """A client's weight as of the last look at the file."""
        return self._named.get(client, self._default).weight

    def _read(self, path: Path) -> None:
        self._default, self._named = read_table(path.read_text(), str(path))

    def _look(self) -> tuple[int, int, int] | None:
        assert self._path is not None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def read_table(text: str, name: str = "quotas") -> tuple[Quota, dict[str, Quota]]:
    """(everybody's limits, those of named clients). `FormatError` names the table and the key that is wrong."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise FormatError(f"{name}: {e}", field="quotas") from None
    if unknown := sorted(content.keys() - {"default", "client"}):
        raise FormatError(f"{name}: [{unknown[0]}] is neither [default] nor [client.NAME]", field="quotas")
    default = _quota(Quota(), content.get("default", {}), f"{name}: [default]")
    clients = content.get("client", {})
    if not isinstance(clients, dict):
        raise FormatError(f"{name}: client is not a table of clients", field="quotas")
    named = {LOCAL.client: UNLIMITED}
    for client, values in clients.items():
        if not is_client_name(client):
            raise FormatError(f"{name}: {client!r} is not the name of a client", field="quotas")
        named[client] = _quota(named.get(client, default), values, f"{name}: [client.{client}]")
    return default, named


def _quota(base: Quota, values: Any, where: str) -> Quota:
    if not isinstance(values, dict):
        raise FormatError(f"{where} is not a table", field="quotas")
    known = {f.name for f in fields(Quota)}
    for key, value in values.items():
        if key not in known:
            raise FormatError(f"{where}: {key} is not one of {', '.join(sorted(known))}", field="quotas")
        least = 0.001 if key == "weight" else 1
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or (key == "weight" and isinstance(value, float))) or not least <= value <= HUGE:
            raise FormatError(f"{where}: {key} = {value!r} is not a number of at least {least}", field="quotas")
    return replace(base, **values)
