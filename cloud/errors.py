"""Errors as `google.rpc.Status` with details: what gRPC clients of every language can take apart.

Pure protobuf: nothing here knows gRPC. The codes are those of google.rpc.Code, which equal gRPC's.
"""

from __future__ import annotations

from typing import Final

from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from prover_core.errors import (
    BackendError,
    DamagedError,
    FormatError,
    InvalidInputError,
    ProverError,
    StreamOrderError,
    UnavailableError,
    UnsatisfiedError,
    VerificationError,
)

INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
ALREADY_EXISTS: Final = 6
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
FAILED_PRECONDITION: Final = 9
ABORTED: Final = 10
OUT_OF_RANGE: Final = 11
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
DATA_LOSS: Final = 15

DOMAIN = "hybrid-prover"


class WireError(ProverError):
    """An error that already knows its status; raised by services, turned into a refusal at the border."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


def make_status(
    code: int,
    message: str,
    *,
    reason: str,
    field: str = "",
    retry_after_ms: int | None = None,
    **metadata: str,
) -> status_pb2.Status:
    """A status with ErrorInfo always, BadRequest if a field is named, RetryInfo if waiting helps."""
    status = status_pb2.Status(code=code, message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if retry_after_ms is not None:
        delay = duration_pb2.Duration(seconds=retry_after_ms // 1000, nanos=retry_after_ms % 1000 * 1_000_000)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def refuse(
    code: int, message: str, *, reason: str, field: str = "", retry_after_ms: int | None = None, **metadata: str
) -> WireError:
    """`make_status`, ready to raise."""
    return WireError(make_status(code, message, reason=reason, field=field, retry_after_ms=retry_after_ms, **metadata))


def status_of(error: Exception, *, prefix: str = "") -> status_pb2.Status:
    """The status of any error; `prefix` is the path of the message it was about, such as `segments[3]`.

    Errors of no known kind become INTERNAL without their text, which might hold values.
    """
    if isinstance(error, WireError):
        return error.status
    field = prefix
    if isinstance(error, ProverError) and error.field:
        field = f"{prefix}.{error.field}" if prefix else error.field
    where = f"{prefix}: " if prefix else ""
    if isinstance(error, UnavailableError):
        # Its text is the operator's: it names machines.
        text = f"{where}what the cloud keeps its data in is away for now"
        return make_status(UNAVAILABLE, text, reason="STORAGE_AWAY", field=field, retry_after_ms=1000)
    if isinstance(error, DamagedError):
        return make_status(DATA_LOSS, f"{where}{error}", reason="STORAGE_DAMAGED", field=field)
    if isinstance(error, UnsatisfiedError):
        return make_status(
            FAILED_PRECONDITION,
            f"{where}{error}",
            reason="UNSATISFIED_CONSTRAINT",
            field=field,
            row=str(error.row),
            label=error.label,
        )
    if isinstance(error, VerificationError):
        return make_status(FAILED_PRECONDITION, f"{where}{error}", reason="PROOF_INVALID", field=field)
    if isinstance(error, StreamOrderError):
        return make_status(INVALID_ARGUMENT, f"{where}{error}", reason="INCOMPLETE_WITNESS", field=field)
    if isinstance(error, FormatError):
        return make_status(INVALID_ARGUMENT, f"{where}{error}", reason="MALFORMED", field=field)
    if isinstance(error, InvalidInputError):
        return make_status(INVALID_ARGUMENT, f"{where}{error}", reason="INVALID_INPUT", field=field)
    if isinstance(error, BackendError):
        return make_status(INTERNAL, f"{where}{error}", reason="BACKEND_FAILED")
    return make_status(INTERNAL, f"{where}internal error ({type(error).__name__})", reason="INTERNAL")


def reason_of(status: status_pb2.Status) -> str:
    """The reason of its ErrorInfo, or the empty string."""
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def violated_field(status: status_pb2.Status) -> str:
    """The first field a status complains about, or the empty string."""
    for detail in status.details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad) and bad.field_violations:
            return str(bad.field_violations[0].field)
    return ""
