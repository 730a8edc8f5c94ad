from google.rpc import status_pb2 as _status_pb2
from hybrid_prover.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkRequest(_message.Message):
    __slots__ = ("enlist", "heartbeat", "consumed", "proved", "failed", "returned", "leaving")
    ENLIST_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_FIELD_NUMBER: _ClassVar[int]
    PROVED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    enlist: Enlist
    heartbeat: Heartbeat
    consumed: ChunksConsumed
    proved: TaskProved
    failed: TaskFailed
    returned: LeaseReturned
    leaving: Leaving
    def __init__(self, enlist: _Optional[_Union[Enlist, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., consumed: _Optional[_Union[ChunksConsumed, _Mapping]] = ..., proved: _Optional[_Union[TaskProved, _Mapping]] = ..., failed: _Optional[_Union[TaskFailed, _Mapping]] = ..., returned: _Optional[_Union[LeaseReturned, _Mapping]] = ..., leaving: _Optional[_Union[Leaving, _Mapping]] = ...) -> None: ...

class WorkResponse(_message.Message):
    __slots__ = ("enlisted", "granted", "chunk", "witness_end", "revoked")
    ENLISTED_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    WITNESS_END_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    enlisted: Enlisted
    granted: LeaseGranted
    chunk: ChunkRecord
    witness_end: WitnessEnd
    revoked: LeaseRevoked
    def __init__(self, enlisted: _Optional[_Union[Enlisted, _Mapping]] = ..., granted: _Optional[_Union[LeaseGranted, _Mapping]] = ..., chunk: _Optional[_Union[ChunkRecord, _Mapping]] = ..., witness_end: _Optional[_Union[WitnessEnd, _Mapping]] = ..., revoked: _Optional[_Union[LeaseRevoked, _Mapping]] = ...) -> None: ...

class LeaseRef(_message.Message):
    __slots__ = ("job_id", "segment", "token")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    segment: int
    token: int
    def __init__(self, job_id: _Optional[bytes] = ..., segment: _Optional[int] = ..., token: _Optional[int] = ...) -> None: ...

class Enlist(_message.Message):
    __slots__ = ("worker_id", "name", "slots", "device", "protocol_version", "software_version", "leases", "leaving")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    worker_id: bytes
    name: str
    slots: int
    device: str
    protocol_version: int
    software_version: str
    leases: _containers.RepeatedCompositeFieldContainer[HeldLease]
    leaving: bool
    def __init__(self, worker_id: _Optional[bytes] = ..., name: _Optional[str] = ..., slots: _Optional[int] = ..., device: _Optional[str] = ..., protocol_version: _Optional[int] = ..., software_version: _Optional[str] = ..., leases: _Optional[_Iterable[_Union[HeldLease, _Mapping]]] = ..., leaving: _Optional[bool] = ...) -> None: ...

class HeldLease(_message.Message):
    __slots__ = ("lease", "chunks", "complete")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseRef
    chunks: int
    complete: bool
    def __init__(self, lease: _Optional[_Union[LeaseRef, _Mapping]] = ..., chunks: _Optional[int] = ..., complete: _Optional[bool] = ...) -> None: ...

class Enlisted(_message.Message):
    __slots__ = ("lease_millis",)
    LEASE_MILLIS_FIELD_NUMBER: _ClassVar[int]
    lease_millis: int
    def __init__(self, lease_millis: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LeaseGranted(_message.Message):
    __slots__ = ("lease", "circuit", "wires", "public_signals", "seed")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    WIRES_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_SIGNALS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseRef
    circuit: bytes
    wires: int
    public_signals: int
    seed: bytes
    def __init__(self, lease: _Optional[_Union[LeaseRef, _Mapping]] = ..., circuit: _Optional[bytes] = ..., wires: _Optional[int] = ..., public_signals: _Optional[int] = ..., seed: _Optional[bytes] = ...) -> None: ...

class ChunkRecord(_message.Message):
    __slots__ = ("lease", "record")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseRef
    record: bytes
    def __init__(self, lease: _Optional[_Union[LeaseRef, _Mapping]] = ..., record: _Optional[bytes] = ...) -> None: ...

class WitnessEnd(_message.Message):
    __slots__ = ("lease", "chunk_count")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseRef
    chunk_count: int
    def __init__(self, lease: _Optional[_Union[LeaseRef, _Mapping]] = ..., chunk_count: _Optional[int] = ...) -> None: ...

class LeaseRevoked(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseRef
    def __init__(self, lease: _Optional[_Union[LeaseRef, _Mapping]] = ...) -> None: ...

class ChunksConsumed(_message.Message):
    __slots__ = ("lease", "chunks", "record_bytes")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    RECORD_BYTES_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseRef
    chunks: int
    record_bytes: int
    def __init__(self, lease: _Optional[_Union[LeaseRef, _Mapping]] = ..., chunks: _Optional[int] = ..., record_bytes: _Optional[int] = ...) -> None: ...

class TaskProved(_message.Message):
    __slots__ = ("lease", "leaf", "timings", "wrong_partials")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    WRONG_PARTIALS_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseRef
    leaf: _common_pb2.LeafProof
    timings: _containers.RepeatedCompositeFieldContainer[_common_pb2.PhaseTiming]
    wrong_partials: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, lease: _Optional[_Union[LeaseRef, _Mapping]] = ..., leaf: _Optional[_Union[_common_pb2.LeafProof, _Mapping]] = ..., timings: _Optional[_Iterable[_Union[_common_pb2.PhaseTiming, _Mapping]]] = ..., wrong_partials: _Optional[_Iterable[int]] = ...) -> None: ...

class TaskFailed(_message.Message):
    __slots__ = ("lease", "error", "timings")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseRef
    error: _status_pb2.Status
    timings: _containers.RepeatedCompositeFieldContainer[_common_pb2.PhaseTiming]
    def __init__(self, lease: _Optional[_Union[LeaseRef, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., timings: _Optional[_Iterable[_Union[_common_pb2.PhaseTiming, _Mapping]]] = ...) -> None: ...

class LeaseReturned(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseRef
    def __init__(self, lease: _Optional[_Union[LeaseRef, _Mapping]] = ...) -> None: ...

class Leaving(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
