"""The visible surface of the SDK, pinned: exports, errors by status, wire values, where plain text is allowed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

import hybrid_prover
from hybrid_prover import errors, sync, wire
from hybrid_prover.channel import is_local, open_channel
from hybrid_prover.model import JobSpec, Link, Placement, Segment
from hybrid_prover.retry import RetryPolicy
from hybrid_prover.v1 import assembly_pb2, common_pb2, job_pb2
from prover_core.errors import InvalidInputError, ProverError
from prover_core.groth16.keys import Proof
from prover_core.types import Digest, G1Point, G2Point, Q, R

EXPORTS = {
    "Assemble", "AssemblyHandle", "AssemblyResult", "AssemblyState", "AssemblyStatus",
    "CircuitInfo", "ClientError", "ConflictError", "Credentials", "DataLossError", "DeadlineError",
    "InvalidRequestError", "Job", "JobCancelledError", "JobFailedError", "JobHandle", "JobResult", "JobState",
    "LeafProof", "Link", "NotFoundError", "OverloadedError", "PartialUse", "PermissionDeniedError", "PhaseTiming",
    "Placement", "PreconditionError", "Priority", "Problem", "ProverClient", "RetryPolicy", "Segment", "SegmentState",
    "SegmentStatus", "ServiceStatus", "UnavailableError", "DistrustedEdge", "JobRecords", "LeafRecord",
    "__version__",
}  # fmt: skip


def test_exports_are_these_and_all_of_them_load() -> None:
    assert set(hybrid_prover.__all__) == EXPORTS
    assert set(dir(hybrid_prover)) == EXPORTS
    for name in EXPORTS - {"__version__"}:
        assert getattr(hybrid_prover, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = hybrid_prover.Nothing  # type: ignore[attr-defined]


def test_importing_the_package_loads_no_wire() -> None:
    code = "import sys, hybrid_prover; sys.exit('grpc' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_blocking_twin_has_the_same_calls() -> None:
    for mine, twin in (
        (hybrid_prover.ProverClient, sync.ProverClient),
        (hybrid_prover.JobHandle, sync.JobHandle),
        (hybrid_prover.AssemblyHandle, sync.AssemblyHandle),
    ):
        public = {n for n in vars(mine) if not n.startswith("_")} - {"call", "attempt"}
        assert public <= {n for n in vars(twin) if not n.startswith("_")}


def test_enums_are_those_of_the_wire() -> None:
    for ours, theirs, prefix in (
        (hybrid_prover.Placement, common_pb2.Placement, "PLACEMENT_"),
        (hybrid_prover.Priority, common_pb2.Priority, "PRIORITY_"),
        (hybrid_prover.JobState, job_pb2.JobState, "JOB_STATE_"),
        (hybrid_prover.AssemblyState, assembly_pb2.AssemblyState, "ASSEMBLY_STATE_"),
        (hybrid_prover.SegmentState, job_pb2.SegmentState, "SEGMENT_STATE_"),
    ):
        assert {f"{prefix}{m.name}": m.value for m in ours} == {k: v for k, v in theirs.items() if v}


def status(code: int, message: str, field: str = "", retry: float | None = None) -> status_pb2.Status:
    """A status as the services build it."""
    built = status_pb2.Status(code=code, message=message)
    info = error_details_pb2.ErrorInfo(reason="WHY", domain="hybrid-prover")
    built.details.add().Pack(info)
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
        built.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if retry is not None:
        delay = duration_pb2.Duration(seconds=int(retry), nanos=int(retry % 1 * 1e9))
        built.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return built


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (3, errors.InvalidRequestError),
        (4, errors.DeadlineError),
        (5, errors.NotFoundError),
        (6, errors.ConflictError),
        (7, errors.PermissionDeniedError),
        (8, errors.OverloadedError),
        (9, errors.PreconditionError),
        (14, errors.UnavailableError),
        (15, errors.DataLossError),
        (13, errors.ClientError),
        (99, errors.ClientError),
    ],
)
def test_every_status_has_its_error(code: int, kind: type[errors.ClientError]) -> None:
    error = errors.from_status(status(code, "it is wrong"))
    assert type(error) is kind
    assert isinstance(error, ProverError)
    assert str(error) == "it is wrong"


def test_details_name_field_segment_reason_and_patience() -> None:
    error = errors.from_status(status(3, "not below r", "segments[3].inputs.amount", 1.5))
    assert (error.field, error.segment, error.reason) == ("segments[3].inputs.amount", 3, "WHY")
    assert error.retry_after == pytest.approx(1.5)
    assert str(error) == "segments[3].inputs.amount: not below r"


def test_details_of_unknown_kind_are_ignored() -> None:
    strange = status_pb2.Status(code=3, message="no")
    strange.details.add(type_url="type.googleapis.com/some.Other", value=b"\xff\xff")
    assert errors.from_status(strange).field == ""


def test_retry_policy_backs_off_and_gives_up() -> None:
    policy = RetryPolicy(attempts=4, first_delay=1.0, factor=2.0, longest_delay=3.0)
    assert [policy.delay(n, "UNAVAILABLE", None, 1.0) for n in (1, 2, 3, 4)] == [1.0, 2.0, 3.0, None]
    assert policy.delay(1, "UNAVAILABLE", None, 0.0) == 0.5
    assert policy.delay(1, "RESOURCE_EXHAUSTED", 2.0, 0.0) == 2.0
    assert policy.delay(1, "RESOURCE_EXHAUSTED", 60.0, 0.0) is None
    assert policy.delay(1, "INVALID_ARGUMENT", None, 0.0) is None


def test_proofs_cross_the_wire_in_the_order_of_eip_197() -> None:
    proof = Proof(G1Point(1, 2), G2Point((3, 4), (5, 6)), G1Point(7, Q - 1))
    sent = wire.proof_to_wire(proof)
    assert [int.from_bytes(sent.b[i : i + 32], "big") for i in range(0, 128, 32)] == [4, 3, 6, 5]
    assert wire.proof_from_wire(sent) == proof


@pytest.mark.parametrize(("part", "raw"), [("a", b"\0" * 63), ("b", b"\0" * 64), ("c", Q.to_bytes(32, "big") * 2)])
def test_malformed_proofs_are_refused(part: str, raw: bytes) -> None:
    sent = wire.proof_to_wire(Proof(G1Point(1, 2), G2Point((3, 4), (5, 6)), G1Point(7, 8)))
    setattr(sent, part, raw)
    with pytest.raises(InvalidInputError):
        wire.proof_from_wire(sent)


@pytest.mark.parametrize("raw", [b"\1" * 31, R.to_bytes(32, "big")])
def test_malformed_public_signals_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInputError, match="below r"):
        wire.publics_from_wire(common_pb2.LeafProof(public_signals=[raw]))


def test_inputs_cross_the_wire_flattened_and_little_endian() -> None:
    spec = JobSpec(
        [Segment(Digest(bytes(32)), {"x": [[1, "0x02"], ["3", -1]]})], Placement.PRIVATE, [Link(0, 1, 2, 3)], "named"
    )
    request = wire.spec_to_wire(spec)
    values = request.segments[0].inputs[0].values
    assert [int.from_bytes(values[i : i + 32], "little") for i in range(0, len(values), 32)] == [1, 2, 3, R - 1]
    assert request.placement == common_pb2.PLACEMENT_PRIVATE
    assert (request.links[0].from_signal, request.links[0].to_segment, request.name) == (1, 2, "named")


def test_a_wrong_input_is_named_with_its_segment() -> None:
    good, bad = Segment(Digest(bytes(32)), {"x": 1}), Segment(Digest(bytes(32)), {"x": "one"})
    with pytest.raises(InvalidInputError, match="segment 1: input 'x'") as caught:
        wire.spec_to_wire(JobSpec([good, bad], Placement.CLOUD))
    assert caught.value.field == "segments[1].inputs.x"


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("localhost:1", True),
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("unix:/run/x", True),
        ("10.0.0.1:1", False),
        ("example.org:443", False),
        ("127.0.0.1.example.org:1", False),
    ],
)
def test_plain_text_stays_on_this_machine(target: str, local: bool) -> None:
    assert is_local(target) is local
    if not local:
        with pytest.raises(InvalidInputError, match="another machine"):
            open_channel(target)


def test_a_target_without_a_port_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="host:port"):
        open_channel("localhost")
