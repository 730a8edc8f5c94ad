"""`assemble` and `verify-assembly` as a person meets them: files in, one proof out, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toolchain import CACHE

from hybrid_prover.assembly import parse_chain, read_leaves, wrap_keys_folder
from hybrid_prover.cli.main import FAILED, OK, run
from hybrid_prover.statement import read_statement
from prover_core.assembly import Chain, Shape, standard_shape
from prover_core.circuit import Circuit, compile_circuit
from prover_core.errors import FormatError, InvalidInputError
from prover_core.formats.snarkjs_json import write_proof, write_public, write_verification_key
from prover_core.groth16 import prove, setup
from prover_core.native import CpuBackend
from prover_core.types import FrVector

KEYS = CACHE.parent / "wrap-keys"
STEPS = [(9, 3), (81, 9), (6561, 81)]
"""(new, old): each leaf begins where the one before ends."""


def square(c: Circuit) -> None:
    """new = old² + x, with x = 0 for the leaves here."""
    new, old, x = c.public("new"), c.public("old"), c.private("x")
    c.assert_equal(old * old + x * x, new, "square")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """key.json, and three leaves, two of them in folders and one as a pair of files; named so that 10 comes last."""
    folder = tmp_path_factory.mktemp("leaves")
    backend = CpuBackend(2)
    circuit = compile_circuit(square, name="square")
    key = setup(circuit.r1cs, backend=backend)
    write_verification_key(folder / "key.json", key.verification_key)
    for name, (new, old) in zip(("leaf1/", "leaf2.", "leaf10/"), STEPS, strict=True):
        witness = circuit.evaluate({"new": new, "old": old, "x": 0})
        (folder / "in" / "leaf1").mkdir(parents=True, exist_ok=True)
        (folder / "in" / "leaf10").mkdir(parents=True, exist_ok=True)
        write_proof(folder / "in" / f"{name}proof.json", prove(key, FrVector.from_ints(witness), backend))
        write_public(folder / "in" / f"{name}public.json", [new, old])
    return folder


def assemble(folder: Path, proofs: Path, out: Path, *more: str) -> list[str]:
    """Arguments: the shape and chain whose key the assembly's own tests use."""
    given = ["assemble", "--vkey", str(folder / "key.json"), "--proofs", str(proofs), "--out", str(out)]
    return [*given, "--keys", str(KEYS), "--places", "3", "--chain", "0:1", *more]


def verify(folder: Path, out: Path, *more: str) -> list[str]:
    """Arguments of the check."""
    given = ["verify-assembly", "--vkey", str(folder / "key.json"), "--wrap-vkey", str(out / "verification_key.json")]
    return [*given, "--proof", str(out / "proof.json"), "--publics", str(out / "publics.json"), *more]


@pytest.fixture(scope="module")
def assembled(folder: Path) -> Path:
    """The three leaves as one proof, beside the leaves, where a second call must not take it for a leaf."""
    out = folder / "in" / "out"
    for _ in range(2):
        assert run(assemble(folder, folder / "in", out)) == OK
    return out


def refused(capsys: pytest.CaptureFixture[str], argv: list[str]) -> str:
    """The one line of complaint."""
    assert run(argv) == FAILED
    caught = capsys.readouterr()
    (line,) = [x for x in caught.err.splitlines() if x.startswith("hybrid-prover: ")]
    assert "Traceback" not in caught.err
    return line


def copied(source: Path, to: Path) -> Path:
    """A folder's files elsewhere."""
    for path in source.rglob("*.json"):
        if "out" not in path.relative_to(source).parts[:-1]:
            target = to / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return to


def test_leaves_become_one_proof(folder: Path, assembled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statement = read_statement(assembled / "publics.json")
    assert statement.names == ("leaf1", "leaf2", "leaf10")
    assert statement.publics == tuple(STEPS)
    assert (statement.shape, statement.chain) == (Shape(3, 2, 4), Chain(out=0, into=1))
    publics = json.loads((assembled / "public.json").read_text())
    assert publics[1] == "3"
    assert publics[3:] == ["3", "6561"]
    assert run(verify(folder, assembled, "--public", str(assembled / "public.json"), "--json")) == OK
    told = json.loads(capsys.readouterr().out)
    assert (told["verified"], told["leaves"], told["publics"]) == (True, list(statement.names), publics)
    parts = (("vkey", "verification_key"), ("proof", "proof"), ("public", "public"))
    assert run(["verify", *(x for flag, name in parts for x in (f"--{flag}", str(assembled / f"{name}.json")))]) == OK


@pytest.mark.node
def test_snarkjs_verifies_it(assembled: Path) -> None:
    from toolchain import toolchain

    names = ("verification_key", "public", "proof")
    assert "OK!" in toolchain().snarkjs("groth16", "verify", *(assembled / f"{name}.json" for name in names))


def test_what_it_says_and_that_the_key_is_insecure(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(assemble(folder, folder / "in" / "leaf1", tmp_path, "--json")) == OK
    caught = capsys.readouterr()
    told = json.loads(caught.out)
    assert "not for production" in caught.err
    assert told["insecure_setup"] is True
    assert told["leaves"] == ["."]
    assert (told["places"], told["proof_bytes"], told["left_out"]) == (3, 256, {})
    assert told["constraints"] > 300_000
    assert 0 < told["seconds"] <= told["seconds_with_keys"]


def test_bad_leaves_are_named_and_left_out_if_asked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proofs = copied(folder / "in", tmp_path / "proofs")
    (proofs / "leaf2.public.json").write_text('["82", "9"]')
    (proofs / "leaf10" / "proof.json").write_text('{"pi_a": 1}')
    out = tmp_path / "out"
    line = refused(capsys, assemble(folder, proofs, out))
    assert "2 of 3 leaves do not verify: leaf10, leaf2 (" in line
    assert not out.exists()
    assert run(assemble(folder, proofs, out, "--skip-bad", "--json")) == OK
    caught = capsys.readouterr()
    told = json.loads(caught.out)
    assert told["leaves"] == ["leaf1"]
    assert set(told["left_out"]) == {"leaf2", "leaf10"}
    assert "leaf2: the proof does not verify; left out" in caught.err
    assert run(verify(folder, out)) == OK
    (proofs / "leaf1" / "public.json").write_text('["10", "3"]')
    assert "no leaf verifies" in refused(capsys, assemble(folder, proofs, tmp_path / "none", "--skip-bad"))


def test_other_statements_are_refused(
    folder: Path, assembled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(assembled, tmp_path)
    good = json.loads((out / "publics.json").read_text())

    def said(value: object, *at: str | int) -> str:
        data: Any = json.loads(json.dumps(good))
        place = data
        for step in at[:-1]:
            place = place[step]
        place[at[-1]] = value
        (out / "publics.json").write_text(json.dumps(data))
        return refused(capsys, verify(folder, out))

    assert "does not verify" in said("4", "leaves", 0, "publics", 1)
    assert "does not verify" in said(good["leaves"][:2], "leaves")
    assert "leaf 1 does not begin" in said("8", "leaves", 1, "publics", 1)
    assert "leaves[1]" in said("08", "leaves", 1, "publics", 1)
    assert "leaves[1]" in said(9, "leaves", 1, "publics", 1)
    assert "publics" in said(["81"], "leaves", 1, "publics")
    assert "does not verify" in said(3, "shape", "publics")
    assert "shape" in said({"leaves": 3, "publics": True, "chunk": 4}, "shape")
    assert "public signals" in said(None, "chain")
    assert "public signals only" in said(2, "chain", "out")
    assert "at least one leaf" in said([], "leaves")
    (out / "publics.json").write_text(json.dumps(good))
    (out / "public.json").write_text('["1", "2", "3", "4", "5"]')
    argv = verify(folder, out, "--public", str(out / "public.json"))
    assert "do not follow" in refused(capsys, argv)
    assert run(verify(folder, out)) == OK
    argv[argv.index("--vkey") + 1] = str(out / "verification_key.json")
    assert run(argv) == FAILED


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--chain", "0-1"], "OUT:IN"),
        (["--chain", "0:2"], "2 public signals only"),
        (["--places", "2"], "3 leaves do not fit in 2 places"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    more: list[str], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = assemble(folder, copied(folder / "in", tmp_path / "proofs"), tmp_path / "out")
    at = argv.index(more[0])
    argv[at : at + 2] = more
    assert message in refused(capsys, argv)


def test_a_chain_goes_by_the_order_of_names(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proofs = copied(folder / "in", tmp_path / "proofs")
    (proofs / "leaf1").rename(proofs / "leaf3")
    assert "leaf 1 does not begin where leaf 0 ends" in refused(capsys, assemble(folder, proofs, tmp_path / "out"))


def test_a_folder_without_leaves_or_half_of_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "holds no proof.json" in refused(capsys, assemble(folder, tmp_path, tmp_path / "out"))
    assert "is not a folder" in refused(capsys, assemble(folder, tmp_path / "no", tmp_path / "out"))
    proofs = copied(folder / "in", tmp_path / "proofs")
    (proofs / "leaf2.public.json").unlink()
    assert "no leaf2.public.json beside it" in refused(capsys, assemble(folder, proofs, tmp_path / "out"))


def test_few_shapes_serve_all() -> None:
    assert standard_shape(1, 0) == standard_shape(8, 4) == Shape(8, 4, 4)
    assert standard_shape(9, 5) == Shape(16, 8, 4)
    assert standard_shape(64, 2) == Shape(64, 4, 8)
    assert standard_shape(3, 2, 3) == Shape(3, 2, 4)
    with pytest.raises(InvalidInputError, match="do not fit"):
        standard_shape(4, 2, 3)


def test_keys_are_kept_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert wrap_keys_folder() == tmp_path / "hybrid-prover" / "wrap-keys"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert wrap_keys_folder() == tmp_path / ".cache" / "hybrid-prover" / "wrap-keys"


def test_small_readers_refuse_what_they_do_not_know(tmp_path: Path) -> None:
    assert parse_chain("0:1") == Chain(out=0, into=1)
    for text in ("", "1", "a:b", "1:-1", "1:2:3"):
        with pytest.raises(InvalidInputError):
            parse_chain(text)
    for text in ("{", "[]", "{}", '{"shape": 1}'):
        (tmp_path / "publics.json").write_text(text)
        with pytest.raises(FormatError):
            read_statement(tmp_path / "publics.json")
    (tmp_path / "a.proof.json").write_text("{}")
    (tmp_path / "a.public.json").write_text("[]")
    leaves, bad = read_leaves(tmp_path)
    assert (leaves, [leaf.name for leaf in bad]) == ([], ["a"])
