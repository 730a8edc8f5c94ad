"""Certificates as `hybrid-prover certs` makes them: what is in them, who may read them, when they end."""

from __future__ import annotations

import asyncio
import datetime
import json
from pathlib import Path

import grpc.aio
import pytest
from cloud_edge import Edge
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Use
from security_support import Code, Pki, now, refusal, secure_cloud
from test_sdk_cli import said

from cloud.service import CloudServer
from hybrid_prover.cli.main import FAILED, USAGE
from hybrid_prover.security import certificates
from hybrid_prover.security.guard import Denied, Guard
from hybrid_prover.security.identity import Role, peer_identity
from hybrid_prover.security.principal import Right
from hybrid_prover.security.revocation import REVOKED, Revocations, read_revoked
from hybrid_prover.security.tls import CA, CERTIFICATE, KEY, Identity
from hybrid_prover.v1 import uplink_pb2
from prover_core.errors import FormatError, InvalidInputError

UPLINK = "/hybrid_prover.v1.UplinkService/Uplink"


def load(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


@pytest.mark.parametrize(
    ("role", "uses"),
    [
        (Role.CLOUD, {Use.SERVER_AUTH}),
        (Role.EDGE, {Use.CLIENT_AUTH, Use.SERVER_AUTH}),
        (Role.WORKER, {Use.CLIENT_AUTH}),
        (Role.CLIENT, {Use.CLIENT_AUTH}),
    ],
)
def test_a_certificate_says_who_holds_it_and_what_for(tmp_path: Path, role: Role, uses: set[object]) -> None:
    certificates.make_authority(tmp_path, now=now())
    facts = certificates.issue(tmp_path, role, "n-1", ["h.example.org", "10.0.0.1", "::1"], now=now(), days=3)
    assert (facts.role, facts.identity) == (role, f"spiffe://hybrid-prover/{role}/n-1")
    assert facts.hosts == ("h.example.org", "10.0.0.1", "::1")
    assert 2.9 < facts.days_left(now()) <= 3
    made, ca = load(tmp_path / "n-1" / CERTIFICATE), load(tmp_path / CA)
    made.verify_directly_issued_by(ca)
    assert set(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == uses
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    key = made.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {p.stat().st_mode & 0o777 for p in files} == {0o600}
    assert (tmp_path / "n-1").stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "n-1" / certificates.CA_KEY).exists()
    assert "PRIVATE" not in repr(Identity.read(tmp_path / "n-1"))


def test_nothing_is_overwritten_and_wrong_names_are_refused(tmp_path: Path) -> None:
    certificates.make_authority(tmp_path, now=now(), days=10)
    certificates.issue(tmp_path, Role.EDGE, "e", now=now(), days=5)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for call, field in (
        (lambda: certificates.make_authority(tmp_path, now=now()), "dir"),
        (lambda: certificates.issue(tmp_path, Role.EDGE, "e", now=now(), days=5), "name"),
        (lambda: certificates.issue(tmp_path, Role.EDGE, "ca", now=now(), days=5), "name"),
        (lambda: certificates.issue(tmp_path, Role.EDGE, "../e", now=now(), days=5), "name"),
        (lambda: certificates.issue(tmp_path, Role.EDGE, "f", ["a b"], now=now(), days=5), "host"),
        (lambda: certificates.issue(tmp_path, Role.CLOUD, "c", now=now(), days=5), "host"),
        (lambda: certificates.issue(tmp_path, Role.EDGE, "f", now=now(), days=50), "days"),
        (lambda: certificates.issue(tmp_path / "nowhere", Role.EDGE, "f", now=now()), "dir"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            call()
        assert caught.value.field == field
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_key_of_another_certificate_is_refused_before_it_serves(tmp_path: Path) -> None:
    certificates.make_authority(tmp_path, now=now())
    for name in ("a", "b"):
        certificates.issue(tmp_path, Role.EDGE, name, now=now())
    (tmp_path / "a" / KEY).write_bytes((tmp_path / "b" / KEY).read_bytes())
    with pytest.raises(InvalidInputError, match="are wrong"):
        Identity.read(tmp_path / "a")
    (tmp_path / "a" / KEY).unlink()
    with pytest.raises(InvalidInputError, match=r"tls\.key.*certs issue") as caught:
        Identity.read(tmp_path / "a")
    assert caught.value.field == "tls"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([b"spiffe://hybrid-prover/edge/e"], (Role.EDGE, "spiffe://hybrid-prover/edge/e")),
        ([b"h.example.org", b"spiffe://other.org/worker/w"], (Role.WORKER, "spiffe://other.org/worker/w")),
        ([], None),
        ([b"edge", b"h.example.org"], None),
        ([b"spiffe://hybrid-prover/edge/e", b"spiffe://hybrid-prover/edge/f"], None),
        ([b"spiffe://hybrid-prover/edge/e", b"spiffe://hybrid-prover/client/e"], None),
        ([b"spiffe://hybrid-prover/edge/"], None),
        ([b"spiffe://hybrid-prover/edge/e/f"], None),
        ([b"spiffe://hybrid-prover/owner/e"], None),
        ([b"\xff\xfe"], None),
    ],
)
def test_one_spiffe_id_of_ours_names_somebody_and_nothing_else_does(
    names: list[bytes], found: tuple[Role, str] | None
) -> None:
    assert peer_identity({"x509_subject_alternative_name": names, "x509_common_name": [b"edge-1"]}) == found


def test_a_role_opens_what_it_is_for() -> None:
    guard = Guard(None)
    artifact, work = "/hybrid_prover.v1.CircuitService/GetArtifact", "/hybrid_prover.v1.WorkerService/Work"
    for role, opened in (
        ("edge", {UPLINK, artifact}),
        ("worker", {work, artifact}),
        ("client", set()),
        ("cloud", set()),
    ):
        peer = {"x509_subject_alternative_name": [f"spiffe://hybrid-prover/{role}/n".encode()]}
        for method in (UPLINK, artifact, work):
            if method in opened:
                assert guard.authorize(method, None, peer).client == ""
            else:
                with pytest.raises(Denied):
                    guard.authorize(method, None, peer)


def test_expired_and_revoked_certificates_open_nothing_however_long_the_connection_lasts(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    folder = pki.issue(Role.EDGE, "e", days=1)
    pem, identity = (folder / CERTIFICATE).read_bytes(), b"spiffe://hybrid-prover/edge/e"
    peer = {"x509_subject_alternative_name": [identity], "x509_pem_cert": [pem]}
    clock = now().timestamp()
    guard = Guard(None, revocations=Revocations(pki.issue(Role.CLOUD, "cloud")), clock=lambda: clock)
    assert guard.authorize(UPLINK, None, peer).edge == identity.decode()
    certificates.revoke(pki.folder, "e", now=now() + datetime.timedelta(seconds=1))
    with pytest.raises(Denied) as caught:
        guard.authorize(UPLINK, None, peer)
    assert (caught.value.reason, caught.value.code) == ("CERTIFICATE_REVOKED", Code.UNAUTHENTICATED)

    # The same holder with a certificate of a later time is let in again; a malformed list changes nothing.
    again = certificates.issue(pki.folder, Role.EDGE, "e", now=now() + datetime.timedelta(seconds=2), days=1).folder
    new = peer | {"x509_pem_cert": [(again / CERTIFICATE).read_bytes()]}
    assert guard.authorize(UPLINK, None, new).edge
    (pki.folder / "cloud" / REVOKED).write_text("everybody\n")
    assert guard.authorize(UPLINK, None, new).edge
    with pytest.raises(Denied):
        guard.authorize(UPLINK, None, peer)
    with pytest.raises(FormatError, match="line 1"):
        read_revoked(pki.folder / "cloud" / REVOKED)
    clock += 2 * 86_400
    with pytest.raises(Denied) as caught:
        guard.authorize(UPLINK, None, new)
    assert caught.value.reason == "CERTIFICATE_EXPIRED"


async def test_a_revoked_edge_is_cut_off_and_another_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pki = Pki(tmp_path)
    for name in ("one", "two"):
        pki.issue(Role.EDGE, name)
    started = CloudServer.start

    async def with_short_rechecks(server: CloudServer) -> None:
        monkeypatch.setattr(Guard.__init__, "__kwdefaults__", {**Guard.__init__.__kwdefaults__, "recheck": 0.05})
        await started(server)

    monkeypatch.setattr(CloudServer, "start", with_short_rechecks)
    async with (
        secure_cloud(pki, tmp_path / "data") as cloud,
        pki.as_peer(pki.folder / "one", cloud.target) as ones,
        pki.as_peer(pki.folder / "two", cloud.target) as twos,
    ):
        one, two = Edge(ones), Edge(twos)
        await one.hello()
        await two.hello()
        certificates.revoke(pki.folder, "one", now=now() + datetime.timedelta(seconds=1))
        assert await one.over() is Code.UNAUTHENTICATED
        again = Edge(ones)
        await again.send(hello=uplink_pb2.Hello(session_id=again.session, edge_name="x", protocol_version=1))
        assert await refusal(_read(again.call)) == (Code.UNAUTHENTICATED, "CERTIFICATE_REVOKED", "edge")
        await asyncio.sleep(0.2)
        await two.send(abort_job=uplink_pb2.AbortJob(job_id=bytes(32)))
        await two.until_kind("refused")
        two.call.cancel()
    assert not cloud.aggregator._links


async def _read(call: grpc.aio.StreamStreamCall) -> object:
    answer = await call.read()
    if answer is grpc.aio.EOF:
        raise grpc.aio.AioRpcError(
            await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
        )
    return answer


def test_certs_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = ("--dir", str(tmp_path / "pki"))
    assert "certs init" in said(capsys, "certs", "issue", "edge", "e", *here, code=FAILED)
    said(capsys, "certs", "init", *here)
    said(capsys, "certs", "issue", "cloud", "c", "--host", "localhost", "--host", "127.0.0.1", *here)
    said(capsys, "certs", "issue", "edge", "e", "--days", "5", *here)
    assert "exists" in said(capsys, "certs", "init", *here, code=FAILED)
    assert "renew e" in said(capsys, "certs", "issue", "edge", "e", *here, code=FAILED)
    said(capsys, "certs", "issue", "owner", "o", *here, code=USAGE)

    shown = json.loads(said(capsys, "certs", "show", "--json", *here))["certificates"]
    assert [(c["role"], c["hosts"]) for c in shown] == [("ca", []), ("cloud", ["localhost", "127.0.0.1"]), ("edge", [])]
    old = {name: certificates.read_facts(tmp_path / "pki" / name / CERTIFICATE).serial for name in ("c", "e")}
    renewed = json.loads(said(capsys, "certs", "renew", "--within", "10", "--json", *here))["certificates"]
    assert [c["identity"] for c in renewed] == ["spiffe://hybrid-prover/edge/e"]
    said(capsys, "certs", "renew", "ca", "c", *here)
    for name in ("c", "e"):
        facts = certificates.read_facts(tmp_path / "pki" / name / CERTIFICATE)
        assert facts.serial != old[name]
        load(tmp_path / "pki" / name / CERTIFICATE).verify_directly_issued_by(load(tmp_path / "pki" / name / CA))
    assert "names of certificates" in said(capsys, "certs", "renew", *here, code=FAILED)

    assert "spiffe://hybrid-prover/edge/e" in said(capsys, "certs", "revoke", "e", *here)
    assert list(read_revoked(tmp_path / "pki" / "c" / REVOKED)) == ["spiffe://hybrid-prover/edge/e"]
    assert not (tmp_path / "pki" / "e" / KEY).exists()
    said(capsys, "certs", "issue", "edge", "e", *here)
    assert (tmp_path / "pki" / "e" / REVOKED).exists()
    assert (
        Right.EDGE
        in Guard(None)
        .authorize(UPLINK, None, {"x509_subject_alternative_name": [b"spiffe://hybrid-prover/edge/e"]})
        .rights
    )
