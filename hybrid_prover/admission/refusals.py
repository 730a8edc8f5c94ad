"""A limit that was reached, as a `google.rpc.Status` that clients in any language can take apart."""

from __future__ import annotations

from typing import Final

from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from .quotas import Exceeded

DOMAIN: Final = "hybrid-prover"
RESOURCE_EXHAUSTED: Final = 8


def refusal(over: Exceeded, reason: str = "") -> status_pb2.Status:
    """RESOURCE_EXHAUSTED with ErrorInfo (which limit, how much), QuotaFailure (whose) and, if known, RetryInfo."""
    status = status_pb2.Status(code=RESOURCE_EXHAUSTED, message=over.message)
    metadata = {"limit": over.limit, "used": str(over.used), "most": str(over.most)}
    if over.client:
        metadata["client"] = over.client
    if over.wanted:
        metadata["wanted"] = str(over.wanted)
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason=reason or over.reason, domain=DOMAIN, metadata=metadata)
    )
    subject = f"client:{over.client}" if over.client else "service"
    violation = error_details_pb2.QuotaFailure.Violation(subject=subject, description=over.message)
    status.details.add().Pack(error_details_pb2.QuotaFailure(violations=[violation]))
    if over.retry_after:
        delay = duration_pb2.Duration(seconds=over.retry_after // 10**9, nanos=over.retry_after % 10**9)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status
