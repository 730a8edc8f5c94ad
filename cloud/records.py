"""Records of what the cloud has made and verified: facts are taken on the event loop, signed in the store's thread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hybrid_prover import __version__
from hybrid_prover.provenance import (
    AssemblyFacts,
    BatchFacts,
    BlindingSeeds,
    LeafFacts,
    NodeKey,
    assembly_statement,
    batch_statement,
    commitment,
    leaf_statement,
)
from hybrid_prover.v1 import assembly_pb2, circuit_pb2, common_pb2
from prover_core.backend import Backend

from .batcher import Outcome
from .executor import Timings
from .model import Job, Segment
from .store import Write, batch_record_write, leaf_record_write

_PLACEMENTS: Mapping[int, str] = {
    common_pb2.PLACEMENT_CLOUD: "cloud",
    common_pb2.PLACEMENT_SPLIT: "split",
    common_pb2.PLACEMENT_PRIVATE: "private",
}


class Recorder:
    """Signs with this node's key; knows the seeds of its proofs. Both lie in the data folder, for their owner only."""

    def __init__(self, folder: Path, backend: Backend, circuits: Mapping[bytes, circuit_pb2.Circuit]) -> None:
        self.seeds = BlindingSeeds.open(folder)
        self.key = NodeKey.open(folder)
        self._circuits = circuits
        self._device = f"{backend.name}: {backend.device}"
        self._software = f"hybrid-prover {__version__}"

    def facts(self, job: Job, segment: Segment) -> LeafFacts:
        """What is to be recorded of a verified segment."""
        assert segment.leaf is not None
        proof, maker = segment.leaf.proof, segment.maker
        circuit = self._circuits.get(segment.circuit.digest, circuit_pb2.Circuit())
        private = job.placement == common_pb2.PLACEMENT_PRIVATE
        return LeafFacts(
            job_id=job.job_id,
            segment=segment.index,
            placement=_PLACEMENTS[job.placement],
            zkey=segment.circuit.digest,
            r1cs=circuit.parts.r1cs_digest,
            program=circuit.parts.program_digest,
            proof=proof.a + proof.b + proof.c,
            publics=tuple(segment.leaf.public_signals),
            maker=maker.name if maker is not None else "",
            device=maker.device if maker is not None else "",
            software=maker.software if maker is not None else "",
            seed_commitment=b"" if private else commitment(self.seeds.seed(job.job_id, segment.index)),
            batch_id=segment.batch_id,
            timings=tuple((t.phase, t.start_unix_nanos, t.duration_nanos) for t in segment.timings),
        )

    def leaf(self, facts: LeafFacts) -> Write:
        """The signed record of a leaf proof; about 0.2 ms."""
        return leaf_record_write(facts.job_id, facts.segment, self.key.sign(leaf_statement(facts)))

    def batch(self, outcome: Outcome) -> Write:
        """The signed record of a batch."""
        record = outcome.record
        bad = set(outcome.bad)
        facts = BatchFacts(
            batch_id=record.batch_id,
            verification_key=record.verification_key,
            members=tuple((*key, proof) for key, proof in zip(record.members, outcome.proofs, strict=True)),
            failed=tuple(i for i, key in enumerate(record.members) if key in bad),
            cause=record.cause,
            entropy=outcome.entropy,
            device=self._device,
            software=self._software,
            closed_unix_nanos=record.closed_nanos,
        )
        return batch_record_write(record.batch_id, self.key.sign(batch_statement(facts)))

    def assembly(self, result: assembly_pb2.AssemblyResult, timings: Timings) -> bytes:
        """The signed record of an assembly that is done, from any thread."""
        leaf, contents = result.proof, result.contents
        facts = AssemblyFacts(
            assembly_id=result.assembly_id,
            proof=leaf.proof.a + leaf.proof.b + leaf.proof.c,
            publics=tuple(leaf.public_signals),
            contents=contents.SerializeToString(deterministic=True),
            wrap_key=contents.wrap_key,
            device=self._device,
            software=self._software,
            timings=tuple((t.phase, t.start_unix_nanos, t.duration_nanos) for t in timings),
        )
        return self.key.sign(assembly_statement(facts))
