"""A private authority and the certificates it signs: ECDSA P-256, made and kept as PEM files for their owner only.

DIR/ca.crt ca.key              the authority; the key belongs on no server
DIR/NAME/ca.crt tls.crt tls.key   what one cloud, edge or client gets (see `tls`)
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from prover_core.errors import FormatError, InvalidInputError

from .identity import Role, identity, read_identity
from .revocation import REVOKED, read_revoked, write_revoked
from .tls import CA, CERTIFICATE, KEY
from .tokens import replace_file

CA_KEY: Final = "ca.key"
CA_DAYS: Final = 3650
LEAF_DAYS: Final = 90
BACKDATE: Final = datetime.timedelta(minutes=5)
"""Certificates are valid from a little before they are made: clocks differ."""

_USES: Final = {
    Role.CLOUD: [ExtendedKeyUsageOID.SERVER_AUTH],
    Role.EDGE: [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
    Role.WORKER: [ExtendedKeyUsageOID.CLIENT_AUTH],
    Role.CLIENT: [ExtendedKeyUsageOID.CLIENT_AUTH],
}
_HOST: Final = re.compile(r"(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})(?:\.[A-Za-z0-9][A-Za-z0-9-]{0,62})*")


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What people want to know of a certificate."""

    folder: Path
    role: str
    """`ca`, `cloud`, `edge`, `client`, or empty for a stranger's."""
    identity: str
    """The SPIFFE id; empty for authorities."""
    hosts: tuple[str, ...]
    not_after: datetime.datetime
    serial: int

    def days_left(self, now: datetime.datetime) -> float:
        """Until it expires; negative afterwards."""
        return (self.not_after - now).total_seconds() / 86_400


def make_authority(folder: Path, *, now: datetime.datetime, days: int = CA_DAYS) -> CertificateFacts:
    """Makes an authority; `InvalidInputError` if the folder has one, which is never overwritten."""
    for name in (CA, CA_KEY):
        if (folder / name).exists():
            raise InvalidInputError(
                f"{folder / name} exists: another authority would lock out everybody whom this one signed",
                field="dir",
            )
    _private(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    return _sign_authority(folder, key, now, days)


def renew_authority(folder: Path, *, now: datetime.datetime, days: int = CA_DAYS) -> CertificateFacts:
    """A new certificate for the authority's key: what it signed stays valid. Copies go to the folders it signed for."""
    facts = _sign_authority(folder, _load_key(folder / CA_KEY), now, days)
    for member in members(folder):
        replace_file(member / CA, (folder / CA).read_bytes())
    return facts


def issue(
    folder: Path, role: Role, name: str, hosts: Sequence[str] = (), *, now: datetime.datetime, days: int = LEAF_DAYS
) -> CertificateFacts:
    """A key and certificate in `folder/NAME`; `InvalidInputError` if there is one, or if a server has no host."""
    if read_identity(identity(role, name)) is None or name == "ca":
        raise InvalidInputError(
            f"a name has 1 to 64 letters, digits, dots, dashes and underscores, and is not `ca`: {name!r}", field="name"
        )
    if role is Role.CLOUD and not hosts:
        raise InvalidInputError("a cloud's certificate names the hosts it is reached at: --host", field="host")
    target = folder / name
    if (target / CERTIFICATE).exists() or (target / KEY).exists():
        raise InvalidInputError(
            f"{target} has a certificate already: `certs renew {name}` makes a newer one", field="name"
        )
    return _sign(folder, target, role, name, tuple(hosts), now, days)


def renew(folder: Path, name: str, *, now: datetime.datetime, days: int = LEAF_DAYS) -> CertificateFacts:
    """A new key and certificate with the names of the old one; the files are replaced one by one, each as a whole.

    Servers read the folder again by themselves, and wait while key and certificate do not belong together.
    """
    target = folder / name
    old = read_facts(target / CERTIFICATE)
    found = read_identity(old.identity)
    if found is None:
        raise InvalidInputError(f"{target / CERTIFICATE} was not made by `certs issue`", field="name")
    return _sign(folder, target, *found, old.hosts, now, days)


def revoke(folder: Path, name: str, *, now: datetime.datetime) -> CertificateFacts:
    """Who follows the list believes no certificate that the holder has got until now; its files are removed.

    The list goes to the folders of all others. `InvalidInputError` if there is no certificate of ours.
    """
    facts = read_facts(folder / name / CERTIFICATE)
    if not facts.identity:
        raise InvalidInputError(f"{folder / name} has no certificate made by `certs issue`", field="name")
    revoked = read_revoked(folder / REVOKED) | {facts.identity: now.replace(microsecond=0)}
    for file in (CERTIFICATE, KEY):
        (folder / name / file).unlink(missing_ok=True)
    for place in (folder, *members(folder)):
        replace_file(place / REVOKED, write_revoked(revoked))
    return facts


def members(folder: Path) -> list[Path]:
    """The folders of all certificates beside an authority, by name."""
    return sorted(p.parent for p in folder.glob(f"*/{CERTIFICATE}"))


def read_facts(file: Path) -> CertificateFacts:
    """The first certificate in a PEM file; `FormatError` if there is none."""
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError as e:
        raise FormatError(f"{file} is not a certificate in PEM: {e}", field="certificate") from None
    role, names, hosts = "", [], []
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        role = "ca" if _is_authority(certificate) else ""
    else:
        names = [n for n in san.get_values_for_type(x509.UniformResourceIdentifier) if read_identity(n)]
        hosts = [*san.get_values_for_type(x509.DNSName), *map(str, san.get_values_for_type(x509.IPAddress))]
    one = names[0] if len(names) == 1 else ""
    if found := read_identity(one):
        role = found[0].value
    return CertificateFacts(
        file.parent, role, one, tuple(hosts), certificate.not_valid_after_utc, certificate.serial_number
    )


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _sign_authority(
    folder: Path, key: ec.EllipticCurvePrivateKey, now: datetime.datetime, days: int
) -> CertificateFacts:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hybrid-prover authority")])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder(subject, subject, key, now, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    replace_file(folder / CA_KEY, _pem(key))
    replace_file(folder / CA, certificate.public_bytes(serialization.Encoding.PEM))
    return read_facts(folder / CA)


def _sign(
    folder: Path, target: Path, role: Role, name: str, hosts: tuple[str, ...], now: datetime.datetime, days: int
) -> CertificateFacts:
    ca_key, ca = _load_key(folder / CA_KEY), x509.load_pem_x509_certificate((folder / CA).read_bytes())
    if now + datetime.timedelta(days=days) > ca.not_valid_after_utc:
        raise InvalidInputError(
            f"the authority itself expires on {ca.not_valid_after_utc:%Y-%m-%d}: `certs renew ca` first", field="days"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    holder = identity(role, name)
    names = [x509.UniformResourceIdentifier(holder), *map(_host, hosts)]
    revoked = read_revoked(folder / REVOKED)
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder(subject, ca.subject, key, now, days, after=revoked.get(holder))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USES[role]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _private(target)
    if revoked:
        replace_file(target / REVOKED, write_revoked(revoked))
    replace_file(target / CA, (folder / CA).read_bytes())
    replace_file(target / KEY, _pem(key))
    replace_file(target / CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))
    return read_facts(target / CERTIFICATE)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    days: int,
    after: datetime.datetime | None = None,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - BACKDATE, after) if after else now - BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise InvalidInputError(f"{host!r} is neither a host name nor an address", field="host") from None
        return x509.DNSName(host)


def _load_key(file: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except FileNotFoundError:
        raise InvalidInputError(f"{file} is missing: `certs init` makes an authority", field="dir") from None
    except ValueError as e:
        raise FormatError(f"{file} is not a private key in PEM: {e}", field="dir") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise FormatError(f"{file} is not an elliptic-curve key", field="dir")
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _private(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
