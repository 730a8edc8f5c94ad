"""Jobs, links and the chain check: honest leaves pass; segments reordered, dropped, repeated or mixed do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from examples.rollup.chain import BlockClaim, Leaf, check_chain, circuits_of
from examples.rollup.decompose import OperationJob, decompose, decompose_block
from examples.rollup.encoding import claim_from_json, claim_to_json
from examples.rollup.errors import ChainError, MalformedOperationError, OverdraftError
from examples.rollup.generator import Block, Wallet, block
from examples.rollup.operations import Kind, Transfer
from prover_core.errors import FormatError
from prover_core.types import R

Chains = list[list[Leaf]]


@pytest.fixture(scope="module")
def sample() -> Block:
    return block(21, {Kind.TRANSFER: 2, Kind.TOKEN_TRANSFER: 1, Kind.SWAP: 1, Kind.MULTI_STEP: 1})


@pytest.fixture(scope="module")
def jobs(sample: Block) -> list[OperationJob]:
    return decompose_block(sample)


def leaves_of(jobs: list[OperationJob]) -> Chains:
    return [[Leaf(s.circuit_name, list(p)) for s, p in zip(job.segments, job.publics, strict=True)] for job in jobs]


def test_jobs_have_the_segments_their_kind_needs(sample: Block, jobs: list[OperationJob]) -> None:
    counts = {job.kind: len(job.segments) for job in jobs}
    assert counts == {Kind.TRANSFER: 3, Kind.TOKEN_TRANSFER: 3, Kind.SWAP: 5, Kind.MULTI_STEP: 8}
    for job, signed in zip(jobs, sample.operations, strict=True):
        assert [s.circuit_name for s in job.segments] == circuits_of(signed)
        assert len(job.links) == 2 * (len(job.segments) - 1)
        for link in job.links:
            assert job.publics[link.from_segment][link.from_signal] == job.publics[link.to_segment][link.to_signal]


def test_inputs_are_json_without_loss(jobs: list[OperationJob]) -> None:
    for segment in jobs[0].segments:
        assert json.loads(json.dumps(segment.inputs)) == segment.inputs
        for value in segment.inputs.values():
            for item in value if isinstance(value, list) else [value]:
                assert isinstance(item, str)
                assert 0 <= int(item) < R


def test_honest_leaves_prove_the_claim(sample: Block, jobs: list[OperationJob]) -> None:
    check_chain(sample.claim, leaves_of(jobs))


def swap_neighbours(chains: Chains) -> None:
    chains[0][1], chains[0][2] = chains[0][2], chains[0][1]


def drop_segment(chains: Chains) -> None:
    del chains[1][-1]


def repeat_segment(chains: Chains) -> None:
    chains[0].append(chains[0][-1])


def repeat_in_place(chains: Chains) -> None:
    chains[0][2] = replace(chains[0][1], circuit_name=chains[0][2].circuit_name)


def drop_operation(chains: Chains) -> None:
    del chains[2]


def swap_operations(chains: Chains) -> None:
    chains[0], chains[1] = chains[1], chains[0]


def mix_operations(chains: Chains) -> None:
    """The debit of another operation: same circuit, and it would verify."""
    chains[0][1] = chains[1][1]


def alter(signal: int, delta: int = 1) -> Callable[[Chains], None]:
    def change(chains: Chains) -> None:
        publics = list(chains[1][1].publics)
        publics[signal] += delta
        chains[1][1] = replace(chains[1][1], publics=publics)

    return change


def wrong_circuit(chains: Chains) -> None:
    chains[0][1] = replace(chains[0][1], circuit_name="credit")


def extra_signal(chains: Chains) -> None:
    chains[0][0] = replace(chains[0][0], publics=[*chains[0][0].publics, 0])


@pytest.mark.parametrize(
    ("tamper", "names"),
    [
        (swap_neighbours, "operation 0"),
        (drop_segment, "operation 1"),
        (repeat_segment, "segments"),
        (repeat_in_place, "operation 0.*segment 2"),
        (drop_operation, "4 operations, not 5"),
        (swap_operations, "operation 0"),
        (mix_operations, "operation 0.*segment 1"),
        (wrong_circuit, "instance of 'credit'"),
        (extra_signal, "5 public signals"),
        (alter(0), "segment 2 does not start in the state"),
        (alter(1), "segment 2 does not continue the context"),
        (alter(2), "segment 1 does not start in the state"),
        (alter(3), "segment 1 does not continue the context"),
        (alter(0, R), "state_after is not a canonical scalar"),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_tampered_chains_are_refused(
    sample: Block, jobs: list[OperationJob], tamper: Callable[[Chains], None], names: str
) -> None:
    chains = leaves_of(jobs)
    tamper(chains)
    with pytest.raises(ChainError, match=names):
        check_chain(sample.claim, chains)


def claim_without_steps(claim: BlockClaim) -> BlockClaim:
    """Another operation by the same sender in place of the first."""
    first = claim.operations[0]
    other = replace(first, operation=replace(first.operation, action=Transfer((first.operation.sender + 1) % 65536, 5)))
    return replace(claim, operations=(other, *claim.operations[1:]))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda c: replace(c, state_before=c.state_after),
        lambda c: replace(c, state_after=c.state_before),
        lambda c: replace(c, chain_id=c.chain_id + 1),
        lambda c: replace(c, operations=c.operations[::-1]),
        claim_without_steps,
    ],
    ids=["state_before", "state_after", "chain_id", "order", "operation"],
)
def test_leaves_prove_no_other_claim(
    sample: Block, jobs: list[OperationJob], tamper: Callable[[BlockClaim], BlockClaim]
) -> None:
    with pytest.raises(ChainError):
        check_chain(tamper(sample.claim), leaves_of(jobs))


def test_an_unfinished_operation_is_not_closed(sample: Block, jobs: list[OperationJob]) -> None:
    """A verifier who is shown the steps up to the debit under a program that has only those refuses the context."""
    swap = next(i for i, job in enumerate(jobs) if job.kind == Kind.SWAP)
    chains = leaves_of(jobs)
    chains[swap] = chains[swap][:2]
    with pytest.raises(ChainError, match="2 segments, not 5"):
        check_chain(sample.claim, chains)
    last = jobs[swap].publics[1]
    assert last.context_after != jobs[swap].publics[-1].context_after


def test_decompose_moves_the_state_or_leaves_it() -> None:
    wallet = Wallet(5, accounts=2)
    sender, other = wallet.state.account_indices
    root = wallet.state.root
    with pytest.raises(OverdraftError):
        decompose(wallet.state, wallet.sign(sender, Transfer(other, 2**80)))
    assert wallet.state.root == root
    job = decompose(wallet.state, wallet.sign(sender, Transfer(other, 5)))
    assert (job.publics[0].state_before, job.publics[-1].state_after) == (root, wallet.state.root)
    assert job.name == f"transfer {sender}/0"


def test_claims_survive_json(sample: Block) -> None:
    data = json.loads(json.dumps(claim_to_json(sample.claim)))
    assert claim_from_json(data) == sample.claim
    for path in ("chain_id", "operations"):
        with pytest.raises(FormatError, match=path):
            claim_from_json({k: v for k, v in data.items() if k != path})
    with pytest.raises(FormatError, match="signature"):
        claim_from_json(data | {"operations": [{k: v for k, v in data["operations"][0].items() if k != "signature"}]})
    bad = data["operations"][0] | {"action": {"type": "mint", "amount": "1"}}
    with pytest.raises(FormatError, match="mint"):
        claim_from_json(data | {"operations": [bad]})
    zero = data["operations"][0] | {"action": {"type": "transfer", "recipient": 1, "amount": "0"}}
    with pytest.raises(MalformedOperationError):
        claim_from_json(data | {"operations": [zero]})
