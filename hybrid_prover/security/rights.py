"""Which right each method wants. A method that is not listed wants OPERATE: forgetting one closes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .principal import Right

OPEN: Final = None
"""No right: anybody who can connect may call it."""

_PACKAGE: Final = "/hybrid_prover.v1."

RIGHTS: Final[Mapping[str, Right | None]] = {
    "/grpc.health.v1.Health/Check": OPEN,
    "/grpc.health.v1.Health/Watch": OPEN,
    "/grpc.health.v1.Health/List": OPEN,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Right.READ,
    f"{_PACKAGE}CircuitService/StatArtifacts": Right.READ,
    f"{_PACKAGE}CircuitService/GetCircuit": Right.READ,
    f"{_PACKAGE}CircuitService/ListCircuits": Right.READ,
    f"{_PACKAGE}CircuitService/GetArtifact": Right.READ,
    f"{_PACKAGE}CircuitService/PutArtifact": Right.SUBMIT,
    f"{_PACKAGE}CircuitService/RegisterCircuit": Right.SUBMIT,
    f"{_PACKAGE}AssemblyService/AssembleJobs": Right.SUBMIT,
    f"{_PACKAGE}AssemblyService/CancelAssembly": Right.SUBMIT,
    f"{_PACKAGE}AssemblyService/GetAssembly": Right.READ,
    f"{_PACKAGE}AssemblyService/GetAssemblyLeaves": Right.READ,
    f"{_PACKAGE}AssemblyService/WatchAssembly": Right.READ,
    f"{_PACKAGE}JobService/SubmitJob": Right.SUBMIT,
    f"{_PACKAGE}JobService/CancelJob": Right.SUBMIT,
    f"{_PACKAGE}JobService/RequeueJob": Right.SUBMIT,
    f"{_PACKAGE}JobQueryService/GetJob": Right.READ,
    f"{_PACKAGE}JobQueryService/ListJobs": Right.READ,
    f"{_PACKAGE}JobQueryService/WatchJob": Right.READ,
    f"{_PACKAGE}JobQueryService/GetResult": Right.READ,
    f"{_PACKAGE}StatusService/GetStatus": Right.READ,
    f"{_PACKAGE}RecordService/GetRecords": Right.READ,
    f"{_PACKAGE}TrustService/ListDistrustedEdges": Right.OPERATE,
    f"{_PACKAGE}TrustService/ForgiveEdge": Right.OPERATE,
    f"{_PACKAGE}UplinkService/Uplink": Right.EDGE,
    f"{_PACKAGE}WorkerService/Work": Right.WORK,
}


def wanted(method: str) -> Right | None:
    """The right that a method (`/package.Service/Method`) wants; None if it is open."""
    return RIGHTS.get(method, Right.OPERATE)
