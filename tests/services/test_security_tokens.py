"""Tokens and the table of rights: what opens, what does not, and what the file says about it."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import time
from pathlib import Path

import pytest
from test_sdk_cli import said

from hybrid_prover import v1
from hybrid_prover.cli.main import FAILED
from hybrid_prover.credentials import TokenSource
from hybrid_prover.security.guard import Denied, Guard
from hybrid_prover.security.principal import LOCAL, Principal, Right
from hybrid_prover.security.rights import RIGHTS, wanted
from hybrid_prover.security.tokens import TokenBook, TokenFile, TokenRefused, make_token, read_token, split_token
from prover_core.errors import FormatError, InvalidInputError

NOW = 1_000_000


def book(folder: Path, *clients: tuple[str, Right], expires: int = 0) -> tuple[TokenBook, list[str]]:
    file, tokens = TokenFile(folder / "tokens.json"), []
    with file.changed() as records:
        for name, right in clients:
            token, record = make_token(name, [right], now=NOW, expires=expires)
            records[record.id] = record
            tokens.append(token)
    return TokenBook(file), tokens


def reason(tokens: TokenBook, token: str, now: float = NOW) -> str:
    with pytest.raises(TokenRefused) as caught:
        tokens.check(token, now)
    assert token[-20:] not in str(caught.value)
    return caught.value.reason


def test_a_token_opens_until_it_expires_and_is_kept_as_a_hash_only(tmp_path: Path) -> None:
    tokens, (alice, bob) = book(tmp_path, ("alice", Right.READ), ("bob", Right.SUBMIT), expires=NOW + 10)
    assert tokens.check(alice, NOW + 9.9).principal == Principal("alice", frozenset({Right.READ}))
    assert tokens.check(bob, NOW).name == "bob"
    assert reason(tokens, alice, NOW + 10) == "TOKEN_EXPIRED"
    content = (tmp_path / "tokens.json").read_text()
    for token in (alice, bob):
        ident, secret = split_token(token)
        assert len(secret) == 32
        assert ident in content
        assert token.rsplit("_", 1)[-1] not in content
        assert secret.hex() not in content
    assert (tmp_path / "tokens.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "token",
    ["", "x", "hp_", "hp_0123456789abcdef_", "hp_0123456789ABCDEF_" + "A" * 43, "hp_0123456789abcdef_" + "A" * 42],
)
def test_what_is_no_token_is_said_to_be_none(tmp_path: Path, token: str) -> None:
    tokens, _ = book(tmp_path)
    with pytest.raises(TokenRefused) as caught:
        tokens.check(token, NOW)
    assert caught.value.reason == "TOKEN_MALFORMED"


def test_a_wrong_secret_under_a_known_id_opens_nothing(tmp_path: Path) -> None:
    tokens, (alice, bob) = book(tmp_path, ("alice", Right.READ), ("bob", Right.READ))
    mixed = "_".join([*alice.split("_")[:2], *bob.split("_", 2)[2:]])
    assert reason(tokens, mixed) == "TOKEN_UNKNOWN"


def test_a_change_of_the_file_counts_at_the_next_call_and_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    tokens, (alice,) = book(tmp_path, ("alice", Right.READ))
    file = TokenFile(tmp_path / "tokens.json")
    with file.changed() as records:
        bob, record = make_token("bob", [Right.READ], now=NOW)
        records[record.id] = record
        del records[split_token(alice)[0]]
    assert tokens.check(bob, NOW).name == "bob"
    assert reason(tokens, alice) == "TOKEN_UNKNOWN"
    file.path.write_text("{")
    assert tokens.check(bob, NOW).name == "bob"
    assert "not a token file" in tokens.trouble
    file.path.unlink()
    assert reason(tokens, bob) == "TOKEN_UNKNOWN"
    with pytest.raises(InvalidInputError, match="does not exist"):
        TokenBook(file)


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("[]", 0o600, "version 1"),
        ('{"version": 2, "tokens": []}', 0o600, "version 1"),
        ('{"version": 1, "tokens": [{}]}', 0o600, "malformed"),
        ('{"version": 1, "tokens": [{"id": "x", "rights": ["edge"]}]}', 0o600, "malformed"),
        ('{"version": 1, "tokens": []}', 0o620, "others than its owner"),
    ],
)
def test_a_file_that_cannot_be_believed_is_refused(tmp_path: Path, content: str, mode: int, message: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(FormatError, match=message):
        TokenBook(TokenFile(path))


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "\u00e4", "-x", "a\n"])
def test_a_client_has_a_name_that_labels_can_have(name: str) -> None:
    with pytest.raises(InvalidInputError, match="1 to 64"):
        make_token(name, [Right.READ], now=NOW)


def test_a_client_reads_its_token_file_again_when_that_changes(tmp_path: Path) -> None:
    first, second = (make_token("a", [Right.READ], now=NOW)[0] for _ in range(2))
    file = tmp_path / "token"
    file.write_text(f"  {first}\n")
    source = TokenSource(file)
    assert source.read() == first
    (tmp_path / "new").write_text(second)
    os.replace(tmp_path / "new", file)
    assert source.read() == second
    file.write_text("not a token")
    with pytest.raises(InvalidInputError, match="malformed") as caught:
        read_token(file)
    assert caught.value.field == "token_file"


def test_every_method_of_every_service_has_its_right_and_unknown_ones_want_an_operator() -> None:
    modules = [importlib.import_module(f"hybrid_prover.v1.{m.name}") for m in pkgutil.iter_modules(v1.__path__)]
    services = [s for m in modules if hasattr(m, "DESCRIPTOR") for s in m.DESCRIPTOR.services_by_name.values()]
    assert len(services) >= 5
    for service in services:
        for method in service.methods:
            assert f"/{service.full_name}/{method.name}" in RIGHTS
    assert wanted("/hybrid_prover.v1.JobService/DeleteEverything") is Right.OPERATE


def test_rights_are_apart_and_an_operator_has_those_of_tokens_only() -> None:
    reader, operator = Principal("r", frozenset({Right.READ})), Principal("o", frozenset({Right.OPERATE}))
    assert [reader.may(r) for r in (Right.READ, Right.SUBMIT, Right.OPERATE, Right.EDGE)] == [True, False, False, False]
    assert [operator.may(r) for r in Right] == [True, True, True, False, False]
    assert reader.owns({"r", "x"})
    assert not reader.owns({"x"})
    assert not Principal(edge="e").owns({""})
    assert operator.owns(set())


def test_the_guard_reads_one_bearer_and_nothing_else(tmp_path: Path) -> None:
    tokens, (alice,) = book(tmp_path, ("alice", Right.READ))
    guard = Guard(tokens, clock=lambda: NOW)
    method = "/hybrid_prover.v1.JobQueryService/ListJobs"
    assert guard.authorize(method, [("authorization", f"bearer {alice}")], {}).client == "alice"
    for given in (
        [("authorization", f"Basic {alice}")],
        [("authorization", alice)],
        [("authorization", f"Bearer {alice}")] * 2,
        [("authorization", f"Bearer {alice}".encode())],
    ):
        with pytest.raises(Denied) as caught:
            guard.authorize(method, given, {})
        assert caught.value.reason == "TOKEN_MALFORMED"
        assert caught.value.status.code == 16
    assert Guard(None, open=True).authorize(method, None, {}) == LOCAL
    with pytest.raises(Denied):
        Guard(tokens, open=True).authorize(method, None, {})


def test_tokens_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = str(tmp_path / "tokens.json"), tmp_path / "alice.token"
    made = json.loads(said(capsys, "tokens", "create", "alice", "--file", file, "--json"))
    assert (made["client"], made["rights"]) == ("alice", ["read", "submit"])
    tokens = TokenBook(TokenFile(Path(file)))
    assert tokens.check(made["token"], time.time()).name == "alice"
    said(capsys, "tokens", "create", "ops", "--right", "operate", "--days", "0", "--file", file, "--out", str(out))
    assert out.stat().st_mode & 0o777 == 0o600
    assert tokens.check(read_token(out), time.time() + 1e9).rights == (Right.OPERATE,)
    again = ("tokens", "create", "x", "--file", file, "--out", str(out))
    assert "not overwritten" in said(capsys, *again, code=FAILED)

    listed = said(capsys, "tokens", "list", "--file", file)
    assert "alice" in listed
    assert "for ever" in listed
    assert made["token"].rsplit("_", 1)[-1] not in listed
    rotated = json.loads(said(capsys, "tokens", "rotate", "alice", "--overlap-hours", "1", "--file", file, "--json"))
    assert rotated["rights"] == ["read", "submit"]
    for token, opens in ((made["token"], 3000.0), (rotated["token"], 4000.0)):
        assert tokens.check(token, time.time() + opens).name == "alice"
    assert reason(tokens, made["token"], time.time() + 4000) == "TOKEN_EXPIRED"
    assert "2 tokens" in said(capsys, "tokens", "rotate", "alice", "--file", file, code=FAILED)
    said(capsys, "tokens", "revoke", "alice", "--file", file)
    assert reason(tokens, rotated["token"], time.time()) == "TOKEN_UNKNOWN"
    assert "no token" in said(capsys, "tokens", "revoke", "alice", "--file", file, code=FAILED)
