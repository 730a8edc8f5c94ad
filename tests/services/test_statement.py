"""Statements of assemblies of assemblies: written, read and checked level by level, under keys that are expected.

The wraps here are keys whose secrets are known: they "prove" any statement, so that what refuses is the check named.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "assembly"))

from stage1_samples import BACKEND, SampleKey, sample_key

from hybrid_prover.assemblies import statement_of_result
from hybrid_prover.assembly import AssembledLeaves, statement_json, write_assembly
from hybrid_prover.assemblymodel import AssemblyContents, AssemblySegment, assembly_id
from hybrid_prover.assemblywire import assembly_result_from_wire, key_from_wire, key_to_wire
from hybrid_prover.cli.main import FAILED, OK, run
from hybrid_prover.errors import ClientError
from hybrid_prover.model import LeafProof
from hybrid_prover.statement import check_statement, read_statement, statement_of
from hybrid_prover.v1 import assembly_pb2
from prover_core.assembly import AssemblyProof, Chain, Contents, Shape
from prover_core.errors import FormatError, InvalidInputError, ProverError, VerificationError
from prover_core.formats.snarkjs_json import write_verification_key
from prover_core.groth16 import VerificationKey

LOWER, UPPER = Shape(3, 2, 4), Shape(3, 5, 4)
CHAIN, UP = Chain(out=0, into=1), Chain(out=4, into=3)


@cache
def keys() -> dict[str, SampleKey]:
    """Two leaf circuits, and wraps for leaves, for assemblies, and for chains of them."""
    publics = {"a": 2, "b": 2, "wrap": 3, "chained": 5, "top": 5, "stranger": 2}
    return {name: sample_key(n, 80 + i) for i, (name, n) in enumerate(publics.items())}


def vk(name: str) -> VerificationKey:
    return keys()[name].vk


def tree() -> AssembledLeaves:
    """Two leaves of circuit a, one of b, and one proof over the two assemblies."""
    inner = {
        0: AssembledLeaves(LOWER, None, ("a0", "a1"), ((1, 2), (3, 4)), key=vk("a").digest),
        1: AssembledLeaves(LOWER, None, ("b0",), ((5, 6),), key=vk("b").digest),
    }
    return AssembledLeaves(UPPER, None, ("of a", "of b"), ((), ()), inner, vk("wrap").digest)


def expected() -> tuple[int, ...]:
    lower = (Contents(LOWER, vk("a"), ((1, 2), (3, 4))), Contents(LOWER, vk("b"), ((5, 6),)))
    return Contents(UPPER, vk("wrap"), lower).publics()


def check(statement: AssembledLeaves, **changes: object) -> tuple[int, ...]:
    given: dict[str, object] = {"keys": [vk("a"), vk("b")]} | changes
    return check_statement(statement, keys()["wrap"].leaf(expected(), 9), vk("wrap"), BACKEND, **given)  # type: ignore[arg-type]


def test_a_tree_is_checked_down_to_its_leaves(tmp_path: Path) -> None:
    done = AssemblyProof(keys()["wrap"].leaf(expected(), 9), expected())
    write_assembly(tmp_path, done, vk("wrap"), tree())
    statement = read_statement(tmp_path / "publics.json")
    assert statement == tree()
    assert list(statement.bottom()) == ["a0", "a1", "b0"]
    assert check(statement, publics=expected()) == expected()
    for name in ("a", "b", "stranger"):
        write_verification_key(tmp_path / f"{name}.json", vk(name))
    argv = ["verify-assembly", "--wrap-vkey", str(tmp_path / "verification_key.json")]
    argv += ["--proof", str(tmp_path / "proof.json"), "--publics", str(tmp_path / "publics.json")]
    both = [*argv, "--vkey", str(tmp_path / "a.json"), "--vkey", str(tmp_path / "b.json")]
    assert run([*both, "--public", str(tmp_path / "public.json")]) == OK
    assert run([*argv, "--vkey", str(tmp_path / "a.json"), "--vkey", str(tmp_path / "stranger.json")]) == FAILED


def with_inner(i: int, **changes: object) -> AssembledLeaves:
    whole = tree()
    return replace(whole, inner={**whole.inner, i: replace(whole.inner[i], **changes)})


@pytest.mark.parametrize(
    ("statement", "given", "field"),
    [
        (lambda: tree(), {"keys": "a"}, "leaves[1].key"),
        (lambda: with_inner(1, key=vk("stranger").digest), {}, "leaves[1].key"),
        (
            lambda: with_inner(0, shape=UPPER, key=vk("wrap").digest, publics=((1, 2, 3), (4, 5, 6))),
            {},
            "leaves[0].leaves[0]",
        ),
        (lambda: replace(tree(), key=vk("a").digest), {}, ""),
        (lambda: with_inner(1, publics=((5, 7),)), {}, ""),
        (lambda: with_inner(1, chain=Chain(0, 2)), {}, "leaves[1].chain"),
        (lambda: with_inner(1, key=None), {}, "leaves[1].key"),
        (lambda: tree(), {"publics": (1, 2, 3)}, "public"),
    ],
)
def test_what_does_not_hold_is_refused_by_its_place(statement: object, given: dict[str, object], field: str) -> None:
    if given.get("keys") == "a":
        given = {"keys": [vk("a")]}
    with pytest.raises((VerificationError, InvalidInputError)) as caught:
        check(statement(), **given)  # type: ignore[operator]
    assert caught.value.field == field or not field


def test_a_chain_of_chains_wants_its_inner_wrap() -> None:
    inner = {
        i: AssembledLeaves(LOWER, CHAIN, ("x", "y"), rows, key=vk("a").digest)
        for i, rows in enumerate((((2, 1), (3, 2)), ((4, 3), (5, 4))))
    }
    statement = AssembledLeaves(UPPER, UP, ("p", "q"), ((), ()), inner, vk("chained").digest)
    lower = tuple(Contents(LOWER, vk("a"), rows, CHAIN) for rows in (((2, 1), (3, 2)), ((4, 3), (5, 4))))
    publics = Contents(UPPER, vk("chained"), lower, UP).publics()
    assert publics[3:] == (1, 5)
    proof = keys()["top"].leaf(publics, 3)
    given = {"keys": [vk("a")], "inner": [vk("chained")]}
    assert check_statement(statement, proof, vk("top"), BACKEND, **given) == publics  # type: ignore[arg-type]
    with pytest.raises(VerificationError) as caught:
        check_statement(statement, proof, vk("top"), BACKEND, keys=[vk("a")])
    assert caught.value.field == "key"
    torn = replace(statement, inner={0: inner[0], 1: replace(inner[1], publics=((4, 9), (5, 4)))})
    with pytest.raises(InvalidInputError, match="begin"):
        check_statement(torn, proof, vk("top"), BACKEND, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda d: d["leaves"][0]["assembly"].pop("shape"), "leaves[0].assembly.shape"),
        (lambda d: d["leaves"][1]["assembly"]["leaves"][0].pop("name"), "leaves[1].assembly.leaves[0]"),
        (
            lambda d: d["leaves"][1]["assembly"]["leaves"][0].update(publics=["x"]),
            "leaves[1].assembly.leaves[0].publics",
        ),
        (lambda d: d["leaves"][1].update(assembly=7), "leaves[1].assembly.shape"),
        (lambda d: d.update(key="12"), "key"),
        (lambda d: d.update(key=5), "key"),
        (lambda d: d["leaves"][0].update(assembly=nested(3)), ""),
        (lambda d: d["leaves"][0].update(assembly=nested(4)), "publics"),
    ],
)
def test_malformed_statements_are_refused_by_their_place(tmp_path: Path, change: object, field: str) -> None:
    data = json.loads(json.dumps(statement_json(tree())))
    change(data)  # type: ignore[operator]
    (tmp_path / "publics.json").write_text(json.dumps(data))
    if not field:
        assert len(list(read_statement(tmp_path / "publics.json").bottom())) == 2
        return
    with pytest.raises(FormatError) as caught:
        read_statement(tmp_path / "publics.json")
    assert caught.value.field == field


def nested(levels: int) -> dict[str, object]:
    shape = {"leaves": 3, "publics": 5, "chunk": 4}
    leaf: dict[str, object] = {"name": "x", "publics": ["1"]}
    made: dict[str, object] = {"shape": shape, "chain": None, "leaves": [leaf]}
    for _ in range(levels):
        made = {"shape": shape, "chain": None, "leaves": [{"name": "y", "assembly": made}]}
    return made


def test_results_from_the_wire_are_taken_apart_strictly() -> None:
    assert key_from_wire(key_to_wire(vk("a"))) == vk("a")
    segment = assembly_pb2.AssemblyLeaf(segment=assembly_pb2.AssemblySegment(job=1, segment=2))
    contents = assembly_pb2.AssemblyContents(
        places=3, publics=2, chunk=4, leaf_key=vk("a").digest.raw, wrap_key=vk("wrap").digest.raw, leaves=[segment]
    )
    message = assembly_pb2.AssemblyResult(
        assembly_id=bytes(32), contents=contents, keys=[key_to_wire(vk("a")), key_to_wire(vk("wrap"))]
    )
    message.proof.proof.a, message.proof.proof.b, message.proof.proof.c = bytes(64), bytes(128), bytes(64)
    found = assembly_result_from_wire(message)
    assert found.contents.leaves == (AssemblySegment(1, 2),)
    statement = statement_of(found.contents, lambda s: (s.job, s.segment), lambda s: f"{s.job}/{s.segment}")
    assert (statement.names, statement.publics, statement.key) == (("1/2",), ((1, 2),), vk("a").digest)
    given = LeafProof(vk("a").digest, found.proof, (8, 9))
    assert statement_of_result(found, {(1, 2): given}).publics == ((8, 9),)
    for leaves in ({}, {(1, 3): given}, {(1, 2): given, (1, 3): given}):
        with pytest.raises(ClientError, match="exactly"):
            statement_of_result(found, leaves)
    deep = contents
    for _ in range(9):
        leaf = assembly_pb2.AssemblyLeaf(assembly=deep)
        deep = assembly_pb2.AssemblyContents(
            places=3, publics=5, chunk=4, leaf_key=deep.wrap_key, wrap_key=deep.wrap_key, leaves=[leaf]
        )
    for field, value in (("keys", None), ("contents", deep)):
        wrong = assembly_pb2.AssemblyResult.FromString(message.SerializeToString())
        wrong.ClearField(field)  # type: ignore[arg-type]
        if value is not None:
            wrong.contents.CopyFrom(value)
        with pytest.raises(ProverError) as caught:
            assembly_result_from_wire(wrong)
        assert caught.value.field == field
    for name in ("alpha1", "beta2"):
        short = key_to_wire(vk("a"))
        setattr(short, name, b"\xff" * len(getattr(short, name)))
        with pytest.raises(InvalidInputError) as refused:
            key_from_wire(short)
        assert refused.value.field == name


def test_what_names_an_assembly() -> None:
    jobs = [b"1" * 32, b"2" * 32]
    ids = {
        assembly_id(jobs, None),
        assembly_id(jobs[::-1], None),
        assembly_id(jobs[:1], None),
        assembly_id(jobs, (0, 1)),
        assembly_id(jobs, (1, 0)),
        assembly_id(jobs, None, skip_unproved=True),
    }
    assert len(ids) == 6
    assert AssemblyContents(LOWER, None, vk("a").digest, vk("wrap").digest, ()).leaves == ()
