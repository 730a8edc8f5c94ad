"""`tokens`: who may call an edge or a cloud, and what for."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from hybrid_prover.security.principal import Right
from hybrid_prover.security.tokens import (
    TokenFile,
    TokenRecord,
    checked_client_name,
    expiring,
    find,
    make_token,
    replace_file,
)
from prover_core.errors import InvalidInputError

from .output import Output

app = App(name="tokens")
FILE = Path("tokens.json")
DAY = 86_400
Rights = Annotated[list[Literal["submit", "read", "operate"]] | None, Parameter(negative="")]


def describe(record: TokenRecord, now: float) -> dict[str, object]:
    """A token as JSON; its hash stays where it is."""
    return {
        "id": record.id,
        "client": record.name,
        "rights": [str(r) for r in record.rights],
        "created": _time(record.created),
        "expires": _time(record.expires) if record.expires else None,
        "expired": record.expired(now),
    }


def _time(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()


@app.command
def create(
    name: str,
    /,
    *,
    right: Rights = None,
    days: int = 90,
    file: Path = FILE,
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Make a token for a client and print it, this once; the file keeps its hash.

    Parameters
    ----------
    name
        The client: jobs belong to it, quotas and fair share count it. Several tokens may have one client.
    right
        `submit` jobs and cancel its own, `read` its own jobs and the circuits, `operate` everything. Once for each;
        `submit` and `read` by default.
    days
        How long it is valid; 0 is for ever.
    file
        The service's token file (its setting --tokens); made if missing.
    out
        Write the token to this file, for its owner only, instead of printing it.
    json
        Print as JSON.
    """
    if not 0 <= days <= 36_500:
        raise InvalidInputError("a token is valid for 1 to 36,500 days, or for ever (0)", field="days")
    _refuse_existing(out)
    now = int(time.time())
    chosen = [Right(r) for r in right or ("submit", "read")]
    with TokenFile(file).changed() as records:
        token, record = make_token(name, chosen, now=now, expires=now + days * DAY if days else 0)
        records[record.id] = record
    _hand_over(Output(json), token, record, out, now)
    return 0


@app.command(name="list")
def list_(*, file: Path = FILE, json: bool = False) -> int:
    """List the tokens: ids, clients, rights and ends. The tokens themselves are nowhere kept.

    Parameters
    ----------
    file
        The service's token file.
    json
        Print as JSON.
    """
    output, now = Output(json), time.time()
    records = sorted(TokenFile(file).read().values(), key=lambda r: (r.name, r.created))
    for record in records:
        ends = "expired" if record.expired(now) else f"until {_time(record.expires)}" if record.expires else "for ever"
        output.say(f"{record.id}  {record.name}  {','.join(record.rights)}  {ends}")
    output.result({"tokens": [describe(record, now) for record in records]})
    return 0


@app.command
def revoke(which: str, /, *, file: Path = FILE, json: bool = False) -> int:
    """Revoke a token by its id, or all tokens of a client; services refuse them from their next call on.

    Parameters
    ----------
    which
        Id of the token, or name of the client.
    file
        The service's token file.
    json
        Print as JSON.
    """
    output, now = Output(json), time.time()
    with TokenFile(file).changed() as records:
        gone = find(records, which)
        for record in gone:
            del records[record.id]
            output.say(f"revoked {record.id} of {record.name}")
    output.result({"revoked": [describe(record, now) for record in gone]})
    return 0


@app.command
def rotate(
    which: str,
    /,
    *,
    overlap_hours: float = 24.0,
    days: int = 90,
    file: Path = FILE,
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Make a successor of a token with the same client and rights; the old one ends after the overlap.

    Parameters
    ----------
    which
        Id of the token, or name of a client that has one.
    overlap_hours
        How long both are valid.
    days
        How long the new one is valid; 0 is for ever.
    file
        The service's token file.
    out
        Write the token to this file, whose old token it replaces, instead of printing it.
    json
        Print as JSON.
    """
    if not 0 <= overlap_hours <= 24 * 365 or not 0 <= days <= 36_500:
        raise InvalidInputError("the overlap is up to a year, and the validity up to 36,500 days", field="days")
    now = int(time.time())
    with TokenFile(file).changed() as records:
        found = find(records, which)
        if len(found) > 1:
            ids = ", ".join(r.id for r in found)
            raise InvalidInputError(f"{which} has {len(found)} tokens: name one of {ids}", field="which")
        old = found[0]
        records[old.id] = expiring(old, now + int(overlap_hours * 3600))
        token, record = make_token(
            checked_client_name(old.name), old.rights, now=now, expires=now + days * DAY if days else 0
        )
        records[record.id] = record
    _hand_over(Output(json), token, record, out, now)
    return 0


def _refuse_existing(out: Path | None) -> None:
    if out is not None and out.exists():
        raise InvalidInputError(f"{out} exists, and is not overwritten", field="out")


def _hand_over(output: Output, token: str, record: TokenRecord, out: Path | None, now: float) -> None:
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, token.encode() + b"\n")
        output.say(f"token {record.id} of {record.name} ({', '.join(record.rights)}) written to {out}")
        output.result(describe(record, now) | {"file": str(out)})
        return
    output.note(f"token {record.id} of {record.name} ({', '.join(record.rights)}); it is not shown again:")
    output.say(token)
    output.result(describe(record, now) | {"token": token})
