"""What users import and run: the client SDK, the command line and the generated wire stubs.

The exports below load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .assemblies import AssemblyHandle
    from .assemblymodel import Assemble, AssemblyResult, AssemblyState, AssemblyStatus
    from .client import JobHandle, ProverClient
    from .credentials import Credentials
    from .errors import (
        ClientError,
        ConflictError,
        DataLossError,
        DeadlineError,
        InvalidRequestError,
        JobCancelledError,
        JobFailedError,
        NotFoundError,
        OverloadedError,
        PermissionDeniedError,
        PreconditionError,
        UnavailableError,
    )
    from .model import (
        CircuitInfo,
        DistrustedEdge,
        Job,
        JobRecords,
        JobResult,
        JobState,
        LeafProof,
        LeafRecord,
        Link,
        PartialUse,
        PhaseTiming,
        Placement,
        Priority,
        Problem,
        Segment,
        SegmentState,
        SegmentStatus,
    )
    from .retry import RetryPolicy
    from .servicestatus import ServiceStatus

__version__ = "0.1.0"

_HOME = {
    "assemblies": ("AssemblyHandle",),
    "assemblymodel": ("Assemble", "AssemblyResult", "AssemblyState", "AssemblyStatus"),
    "client": ("JobHandle", "ProverClient"),
    "credentials": ("Credentials",),
    "errors": (
        "ClientError",
        "ConflictError",
        "DataLossError",
        "DeadlineError",
        "InvalidRequestError",
        "JobCancelledError",
        "JobFailedError",
        "NotFoundError",
        "OverloadedError",
        "PermissionDeniedError",
        "PreconditionError",
        "UnavailableError",
    ),
    "model": (
        "CircuitInfo",
        "DistrustedEdge",
        "Job",
        "JobRecords",
        "JobResult",
        "JobState",
        "LeafProof",
        "LeafRecord",
        "Link",
        "PartialUse",
        "PhaseTiming",
        "Placement",
        "Priority",
        "Problem",
        "Segment",
        "SegmentState",
        "SegmentStatus",
    ),
    "retry": ("RetryPolicy",),
    "servicestatus": ("ServiceStatus",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Assemble",
    "AssemblyHandle",
    "AssemblyResult",
    "AssemblyState",
    "AssemblyStatus",
    "CircuitInfo",
    "ClientError",
    "ConflictError",
    "Credentials",
    "DataLossError",
    "DeadlineError",
    "DistrustedEdge",
    "InvalidRequestError",
    "Job",
    "JobCancelledError",
    "JobFailedError",
    "JobHandle",
    "JobRecords",
    "JobResult",
    "JobState",
    "LeafProof",
    "LeafRecord",
    "Link",
    "NotFoundError",
    "OverloadedError",
    "PartialUse",
    "PermissionDeniedError",
    "PhaseTiming",
    "Placement",
    "PreconditionError",
    "Priority",
    "Problem",
    "ProverClient",
    "RetryPolicy",
    "Segment",
    "SegmentState",
    "SegmentStatus",
    "ServiceStatus",
    "UnavailableError",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Loads an export from its module on first use."""
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
