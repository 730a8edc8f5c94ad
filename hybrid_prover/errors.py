"""What can go wrong between a client and a service, as types; built from a gRPC status and its google.rpc details."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from google.rpc import error_details_pb2, status_pb2

from prover_core.errors import ProverError

_SEGMENT = re.compile(r"segments?\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Details:
    """The parts of google.rpc error details that this SDK understands."""

    field: str = ""
    segment: int | None = None
    retry_after: float | None = None
    reason: str = ""


class ClientError(ProverError):
    """A call failed.

    `code` is the gRPC status by name, `field` and `segment` say what of the request is wrong, `retry_after` is in
    seconds where the service asked for patience, `reason` is the service's machine-readable word for it.
    """

    def __init__(self, message: str, *, code: str = "UNKNOWN", details: Details = Details()) -> None:
        super().__init__(message, field=details.field)
        self.code = code
        self.segment = details.segment
        self.retry_after = details.retry_after
        self.reason = details.reason

    def __str__(self) -> str:
        """The message, preceded by field or segment where it does not name them itself."""
        message = super().__str__()
        if self.field and self.field not in message:
            return f"{self.field}: {message}"
        if self.segment is not None and f"segments[{self.segment}]" not in f"{self.field} {message}":
            return f"segment {self.segment}: {message}"
        return message


class InvalidRequestError(ClientError):
    """INVALID_ARGUMENT or OUT_OF_RANGE: the request is wrong and stays wrong."""


class NotFoundError(ClientError):
    """NOT_FOUND: no such job, circuit or artifact there."""


class ConflictError(ClientError):
    """ALREADY_EXISTS or ABORTED: contradicts what the service holds."""


class PreconditionError(ClientError):
    """FAILED_PRECONDITION: not in this state (for instance, the job has not ended)."""


class PermissionDeniedError(ClientError):
    """UNAUTHENTICATED or PERMISSION_DENIED."""


class OverloadedError(ClientError):
    """RESOURCE_EXHAUSTED after all retries; `retry_after` says when to come back."""


class UnavailableError(ClientError):
    """UNAVAILABLE after all retries: nobody answers at the target, or it is shutting down."""


class DeadlineError(ClientError):
    """DEADLINE_EXCEEDED: the time allowed for the call is over; it may still have had its effect."""


class DataLossError(ClientError):
    """DATA_LOSS: bytes arrived altered; nothing of them was kept."""


class JobFailedError(ClientError):
    """The job ended without proofs: a segment cannot be proved, or a link is broken. `job_id` as 64 hex digits."""

    def __init__(self, message: str, *, job_id: str, code: str, details: Details) -> None:
        super().__init__(message, code=code, details=details)
        self.job_id = job_id


class JobCancelledError(ClientError):
    """The job was cancelled by a client."""


BY_CODE: dict[str, type[ClientError]] = {
    "INVALID_ARGUMENT": InvalidRequestError,
    "OUT_OF_RANGE": InvalidRequestError,
    "NOT_FOUND": NotFoundError,
    "ALREADY_EXISTS": ConflictError,
    "ABORTED": ConflictError,
    "FAILED_PRECONDITION": PreconditionError,
    "UNAUTHENTICATED": PermissionDeniedError,
    "PERMISSION_DENIED": PermissionDeniedError,
    "RESOURCE_EXHAUSTED": OverloadedError,
    "UNAVAILABLE": UnavailableError,
    "DEADLINE_EXCEEDED": DeadlineError,
    "DATA_LOSS": DataLossError,
}
"""Error type of each gRPC status; a status not listed is a plain `ClientError`."""

CODE_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""google.rpc.Code by number."""


def code_name(code: int) -> str:
    """Name of a google.rpc.Code; numbers nobody assigned are UNKNOWN."""
    return CODE_NAMES[code] if 0 <= code < len(CODE_NAMES) else "UNKNOWN"


def read_details(status: status_pb2.Status) -> Details:
    """Field, segment, retry-after and reason from BadRequest, RetryInfo and ErrorInfo; unknown details are ignored."""
    field, segment, retry_after, reason = "", None, None, ""
    for any_ in status.details:
        bad, retry, info = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo(), error_details_pb2.ErrorInfo()
        if any_.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
        elif any_.Unpack(retry):
            retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        elif any_.Unpack(info):
            reason = info.reason
            named = info.metadata.get("segment", "")
            segment = int(named) if named.isdigit() else segment
            field = field or info.metadata.get("field", "")
    match = _SEGMENT.search(field)
    if segment is None and match:
        segment = int(match.group(1))
    return Details(field, segment, retry_after, reason)


def from_status(status: status_pb2.Status) -> ClientError:
    """The typed error for a google.rpc.Status."""
    name = code_name(status.code)
    return BY_CODE.get(name, ClientError)(status.message or name, code=name, details=read_details(status))


def from_call(code: str, message: str, trailers: Iterable[tuple[str, str | bytes]], target: str) -> ClientError:
    """The typed error for a failed gRPC call: its code, message and trailing metadata (grpc-status-details-bin)."""
    details = Details()
    for key, value in trailers:
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            details = read_details(status_pb2.Status.FromString(value))
    if code == "UNAVAILABLE":
        message = f"nobody answers at {target}: {message}" if message else f"nobody answers at {target}"
    return BY_CODE.get(code, ClientError)(message or code, code=code, details=details)
