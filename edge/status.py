"""Errors as `google.rpc.Status` with details, and back: what clients in any language can take apart.

Every status carries ErrorInfo (reason, domain `hybrid-prover`, metadata), BadRequest where a field is to blame, and
RetryInfo where waiting helps. Texts never hold values of signals.
"""

from __future__ import annotations

import errno
import os

from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from hybrid_prover.errors import read_details
from prover_core.errors import (
    BackendError,
    FormatError,
    InvalidInputError,
    ProverError,
    StreamOrderError,
    UnsatisfiedError,
    VerificationError,
    WitnessProgramError,
)

from .model import Code, Failure

DOMAIN = "hybrid-prover"


class RpcError(ProverError):
    """An error that knows its status code; what the local API raises."""

    def __init__(self, failure: Failure, *, field: str = "") -> None:
        super().__init__(failure.message, field=field)
        self.failure = failure


def failure(
    code: Code,
    message: str,
    *,
    reason: str,
    field: str = "",
    retry_after: int | None = None,
    metadata: dict[str, str] | None = None,
) -> Failure:
    """A failure with its serialized status; `retry_after` in nanoseconds."""
    status = status_pb2.Status(code=int(code), message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata or {}))
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if retry_after is not None:
        delay = duration_pb2.Duration(seconds=retry_after // 10**9, nanos=retry_after % 10**9)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return Failure(code, message, status.SerializeToString())


def rpc_error(
    code: Code,
    message: str,
    *,
    reason: str,
    field: str = "",
    retry_after: int | None = None,
    metadata: dict[str, str] | None = None,
) -> RpcError:
    """`failure`, ready to raise."""
    made = failure(code, message, reason=reason, field=field, retry_after=retry_after, metadata=metadata)
    return RpcError(made, field=field)


def failure_of(error: Exception, *, prefix: str = "", metadata: dict[str, str] | None = None) -> Failure:
    """The failure that an exception means; `prefix` is the path its field is relative to, such as `segments[3]`.

    Errors of no known kind become INTERNAL without their text, which nobody has checked for secrets.
    """
    if isinstance(error, RpcError):
        return error.failure
    name = error.field if isinstance(error, ProverError) else ""
    path = ".".join(p for p in (prefix, name) if p)
    text = str(error)
    match error:
        case UnsatisfiedError():
            metadata = (metadata or {}) | {"row": str(error.row), "label": error.label}
            return failure(
                Code.FAILED_PRECONDITION, text, reason="UNSATISFIED_CONSTRAINT", field=path or prefix, metadata=metadata
            )
        case VerificationError():
            return failure(Code.FAILED_PRECONDITION, text, reason="PROOF_INVALID", field=path, metadata=metadata)
        case FormatError():
            return failure(Code.INVALID_ARGUMENT, text, reason="MALFORMED", field=path, metadata=metadata)
        case InvalidInputError() | StreamOrderError():
            return failure(Code.INVALID_ARGUMENT, text, reason="INVALID_INPUT", field=path, metadata=metadata)
        case WitnessProgramError():
            return failure(
                Code.FAILED_PRECONDITION, text, reason="WITNESS_PROGRAM_FAILED", field=path, metadata=metadata
            )
        case MemoryError():
            text = "the worker's memory limit is too small for this segment"
            return failure(Code.RESOURCE_EXHAUSTED, text, reason="WORKER_MEMORY", field=path, metadata=metadata)
        case OSError(errno=number):
            code = Code.RESOURCE_EXHAUSTED if number in (errno.ENOSPC, errno.EDQUOT) else Code.INTERNAL
            text = f"input or output failed: {os.strerror(number or errno.EIO)}"
            return failure(code, text, reason="IO_FAILED", metadata=metadata)
        case BackendError():
            return failure(Code.INTERNAL, text, reason="BACKEND_FAILED", metadata=metadata)
        case _:
            return failure(
                Code.INTERNAL, f"internal error ({type(error).__name__})", reason="INTERNAL", metadata=metadata
            )


def told_wait(made: Failure) -> int | None:
    """The nanoseconds of its RetryInfo, if it has one."""
    seconds = read_details(status_pb2.Status.FromString(made.status)).retry_after
    return None if seconds is None else int(seconds * 1e9)


def to_status(made: Failure) -> status_pb2.Status:
    """The status message of a failure."""
    if made.status:
        status = status_pb2.Status.FromString(made.status)
        status.message = made.message
        return status
    return status_pb2.Status(code=int(made.code), message=made.message)


def from_status(status: status_pb2.Status) -> Failure:
    """The failure that a status from the cloud means; unknown codes become UNKNOWN."""
    code = Code(status.code) if status.code in Code._value2member_map_ else Code.UNKNOWN
    return Failure(code, status.message or code.name, status.SerializeToString())
