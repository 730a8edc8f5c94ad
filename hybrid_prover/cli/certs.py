"""`certs`: a private authority, and the certificates of clouds, edges, workers and clients."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from hybrid_prover.security import certificates
from hybrid_prover.security.certificates import CA_DAYS, LEAF_DAYS, CertificateFacts
from hybrid_prover.security.identity import Role
from hybrid_prover.security.revocation import REVOKED
from hybrid_prover.security.tls import CA, CERTIFICATE
from prover_core.errors import InvalidInputError

from .output import Output

app = App(name="certs")
DIR = Path("certs")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def describe(facts: CertificateFacts, now: datetime.datetime) -> dict[str, object]:
    """A certificate as JSON."""
    return {
        "folder": str(facts.folder),
        "role": facts.role,
        "identity": facts.identity,
        "hosts": list(facts.hosts),
        "expires": facts.not_after.isoformat(),
        "days_left": round(facts.days_left(now), 1),
    }


def _tell(output: Output, found: list[CertificateFacts], now: datetime.datetime) -> None:
    for facts in found:
        left = facts.days_left(now)
        state = f"{left:.0f} days left" if left > 0 else "EXPIRED"
        who = facts.identity or facts.role
        output.say(f"{facts.folder}  {who}  {' '.join(facts.hosts) or '-'}  {facts.not_after:%Y-%m-%d %H:%M}Z  {state}")
    output.result({"certificates": [describe(facts, now) for facts in found]})


@app.command
def init(*, dir: Path = DIR, days: int = CA_DAYS, json: bool = False) -> int:
    """Make an authority: ca.crt, which everybody gets, and ca.key, which belongs on no server.

    Parameters
    ----------
    dir
        Folder to make it in; an authority that is there is never overwritten.
    days
        How long it is valid.
    json
        Print as JSON.
    """
    now = _now()
    _tell(Output(json), [certificates.make_authority(dir, now=now, days=_days(days))], now)
    return 0


@app.command
def issue(
    role: Role,
    name: str,
    /,
    *,
    host: Annotated[list[str] | None, Parameter(negative="")] = None,
    dir: Path = DIR,
    days: int = LEAF_DAYS,
    json: bool = False,
) -> int:
    """Make a key and a certificate in DIR/NAME, ready for --tls.

    Parameters
    ----------
    role
        What it is for: `cloud`, `edge`, `worker` or `client`.
    name
        Name of its folder and of its holder; an edge is known to the cloud by it.
    host
        Host name or address it is reached at, once for each; clouds need one, edges that clients reach over TLS too.
    dir
        Folder of the authority.
    days
        How long it is valid.
    json
        Print as JSON.
    """
    now = _now()
    _tell(Output(json), [certificates.issue(dir, role, name, host or [], now=now, days=_days(days))], now)
    return 0


@app.command
def show(*, dir: Path = DIR, within: int = 0, json: bool = False) -> int:
    """Show every certificate of an authority and when it expires. Exit code 1 if one has expired, or soon will.

    Parameters
    ----------
    dir
        Folder of the authority; or one with ca.crt and tls.crt, as daemons have it.
    within
        Count as expired what expires within this many days.
    json
        Print as JSON.
    """
    now = _now()
    files = [dir / CA, *([dir / CERTIFICATE] if (dir / CERTIFICATE).exists() else [])]
    files += [member / CERTIFICATE for member in certificates.members(dir)]
    found = [certificates.read_facts(file) for file in files]
    _tell(Output(json), found, now)
    return 1 if any(facts.days_left(now) <= within for facts in found) else 0


@app.command
def renew(
    *names: str,
    dir: Path = DIR,
    within: int | None = None,
    days: int | None = None,
    json: bool = False,
) -> int:
    """Renew certificates: new keys under the same names. Daemons that follow the folder take them without a restart.

    Parameters
    ----------
    names
        Which ones; `ca` renews the authority with its key, so that what it signed stays valid.
    dir
        Folder of the authority.
    within
        Instead of names: every certificate that expires within this many days.
    days
        How long the new ones are valid; 90 by default, 3650 for the authority.
    json
        Print as JSON.
    """
    if bool(names) == (within is not None):
        raise InvalidInputError("give either the names of certificates, or --within DAYS", field="names")
    now = _now()
    chosen = list(names)
    if within is not None:
        everyone = [("ca", dir / CA), *((m.name, m / CERTIFICATE) for m in certificates.members(dir))]
        chosen = [name for name, file in everyone if certificates.read_facts(file).days_left(now) <= within]
    found = []
    for name in sorted(chosen, key=lambda name: name != "ca"):
        if name == "ca":
            found.append(certificates.renew_authority(dir, now=now, days=_days(days or CA_DAYS)))
        else:
            found.append(certificates.renew(dir, name, now=now, days=_days(days or LEAF_DAYS)))
    _tell(Output(json), found, now)
    return 0


@app.command
def revoke(name: str, /, *, dir: Path = DIR, json: bool = False) -> int:
    """Refuse every certificate that a holder has, and remove it; `issue` may make a new one.

    The list of who was revoked, `revoked`, is written into every folder beside the authority: copy the cloud's to the
    cloud's machine. Clouds follow it; calls end at once, streams within seconds.

    Parameters
    ----------
    name
        Which one.
    dir
        Folder of the authority.
    json
        Print as JSON.
    """
    output, now = Output(json), _now()
    gone = certificates.revoke(dir, name, now=now)
    output.say(f"revoked {gone.identity}; copy {dir}/*/{REVOKED} to the clouds' machines")
    output.result({"revoked": describe(gone, now)})
    return 0


def _days(days: int) -> int:
    if not 1 <= days <= 36_500:
        raise InvalidInputError("a certificate is valid for 1 to 36,500 days", field="days")
    return days
