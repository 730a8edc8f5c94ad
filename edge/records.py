"""Records of the leaf proofs that are made here, those of private jobs: what blinds them, and who signs for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hybrid_prover import __version__
from hybrid_prover.provenance import BlindingSeeds, LeafFacts, NodeKey, commitment, leaf_statement
from hybrid_prover.v1 import common_pb2

from .model import Timing
from .spool import CircuitRecord


class Recorder:
    """Signs with this edge's key; knows the seeds of its proofs. Both lie in the state folder, for their owner only."""

    def __init__(self, folder: Path, name: str) -> None:
        """`FormatError` if one of the two files is damaged."""
        self.seeds = BlindingSeeds.open(folder)
        self.key = NodeKey.open(folder)
        self._name = name
        self._software = f"hybrid-prover {__version__}"

    def facts(
        self,
        job_id: bytes,
        segment: int,
        circuit: CircuitRecord,
        leaf: common_pb2.LeafProof,
        device: str,
        timings: Iterable[Timing],
    ) -> LeafFacts:
        """What is to be recorded of a proof that a worker has made with this segment's seed."""
        return LeafFacts(
            job_id=job_id,
            segment=segment,
            placement="private",
            zkey=circuit.digest,
            r1cs=circuit.r1cs,
            program=circuit.program,
            proof=leaf.proof.a + leaf.proof.b + leaf.proof.c,
            publics=tuple(leaf.public_signals),
            maker=self._name,
            device=device,
            software=self._software,
            seed_commitment=commitment(self.seeds.seed(job_id, segment)),
            batch_id=b"",
            timings=tuple((t.phase, t.start, t.duration) for t in timings),
        )

    def sign(self, facts: LeafFacts) -> bytes:
        """The envelope of a leaf's record, from any thread; about 0.2 ms."""
        return self.key.sign(leaf_statement(facts))
