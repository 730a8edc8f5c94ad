from google.rpc import status_pb2 as _status_pb2
from hybrid_prover.v1 import assembly_pb2 as _assembly_pb2
from hybrid_prover.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UplinkRequest(_message.Message):
    __slots__ = ("hello", "open_job", "chunk", "segment_end", "segment_proof", "segment_failure", "abort_job")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    OPEN_JOB_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_END_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_PROOF_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FAILURE_FIELD_NUMBER: _ClassVar[int]
    ABORT_JOB_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    open_job: OpenJob
    chunk: Chunk
    segment_end: SegmentEnd
    segment_proof: SegmentProof
    segment_failure: SegmentFailure
    abort_job: AbortJob
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., open_job: _Optional[_Union[OpenJob, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., segment_end: _Optional[_Union[SegmentEnd, _Mapping]] = ..., segment_proof: _Optional[_Union[SegmentProof, _Mapping]] = ..., segment_failure: _Optional[_Union[SegmentFailure, _Mapping]] = ..., abort_job: _Optional[_Union[AbortJob, _Mapping]] = ...) -> None: ...

class UplinkResponse(_message.Message):
    __slots__ = ("welcome", "job_opened", "ack", "credit", "refused", "segment_update", "job_update", "draining", "partials_refused")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    JOB_OPENED_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_UPDATE_FIELD_NUMBER: _ClassVar[int]
    JOB_UPDATE_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    PARTIALS_REFUSED_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    job_opened: JobOpened
    ack: Ack
    credit: Credit
    refused: Refused
    segment_update: SegmentUpdate
    job_update: JobUpdate
    draining: Draining
    partials_refused: PartialsRefused
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., job_opened: _Optional[_Union[JobOpened, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ..., segment_update: _Optional[_Union[SegmentUpdate, _Mapping]] = ..., job_update: _Optional[_Union[JobUpdate, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ..., partials_refused: _Optional[_Union[PartialsRefused, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("session_id", "edge_name", "protocol_version", "software_version")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    EDGE_NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    edge_name: str
    protocol_version: int
    software_version: str
    def __init__(self, session_id: _Optional[bytes] = ..., edge_name: _Optional[str] = ..., protocol_version: _Optional[int] = ..., software_version: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("credit_bytes", "max_chunk_bytes", "encodings", "takes_partials")
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    ENCODINGS_FIELD_NUMBER: _ClassVar[int]
    TAKES_PARTIALS_FIELD_NUMBER: _ClassVar[int]
    credit_bytes: int
    max_chunk_bytes: int
    encodings: _containers.RepeatedScalarFieldContainer[int]
    takes_partials: bool
    def __init__(self, credit_bytes: _Optional[int] = ..., max_chunk_bytes: _Optional[int] = ..., encodings: _Optional[_Iterable[int]] = ..., takes_partials: _Optional[bool] = ...) -> None: ...

class OpenJob(_message.Message):
    __slots__ = ("job_id", "name", "placement", "circuits", "links", "submission", "client", "assembly", "priority", "deadline_unix_nanos")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    CIRCUITS_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    ASSEMBLY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    name: str
    placement: _common_pb2.Placement
    circuits: _containers.RepeatedScalarFieldContainer[bytes]
    links: _containers.RepeatedCompositeFieldContainer[_common_pb2.Link]
    submission: int
    client: str
    assembly: _assembly_pb2.AssemblyOptions
    priority: _common_pb2.Priority
    deadline_unix_nanos: int
    def __init__(self, job_id: _Optional[bytes] = ..., name: _Optional[str] = ..., placement: _Optional[_Union[_common_pb2.Placement, str]] = ..., circuits: _Optional[_Iterable[bytes]] = ..., links: _Optional[_Iterable[_Union[_common_pb2.Link, _Mapping]]] = ..., submission: _Optional[int] = ..., client: _Optional[str] = ..., assembly: _Optional[_Union[_assembly_pb2.AssemblyOptions, _Mapping]] = ..., priority: _Optional[_Union[_common_pb2.Priority, str]] = ..., deadline_unix_nanos: _Optional[int] = ...) -> None: ...

class JobOpened(_message.Message):
    __slots__ = ("job_id", "positions")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    positions: _containers.RepeatedCompositeFieldContainer[SegmentPosition]
    def __init__(self, job_id: _Optional[bytes] = ..., positions: _Optional[_Iterable[_Union[SegmentPosition, _Mapping]]] = ...) -> None: ...

class SegmentPosition(_message.Message):
    __slots__ = ("next_sequence", "complete")
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    next_sequence: int
    complete: bool
    def __init__(self, next_sequence: _Optional[int] = ..., complete: _Optional[bool] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("job_id", "segment", "sequence", "wire_offset", "wire_count", "encoding", "payload", "digest", "partial")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WIRE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    WIRE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    segment: int
    sequence: int
    wire_offset: int
    wire_count: int
    encoding: int
    payload: bytes
    digest: bytes
    partial: Partial
    def __init__(self, job_id: _Optional[bytes] = ..., segment: _Optional[int] = ..., sequence: _Optional[int] = ..., wire_offset: _Optional[int] = ..., wire_count: _Optional[int] = ..., encoding: _Optional[int] = ..., payload: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., partial: _Optional[_Union[Partial, _Mapping]] = ...) -> None: ...

class Partial(_message.Message):
    __slots__ = ("points", "digest")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    points: bytes
    digest: bytes
    def __init__(self, points: _Optional[bytes] = ..., digest: _Optional[bytes] = ...) -> None: ...

class SegmentEnd(_message.Message):
    __slots__ = ("job_id", "segment", "chunk_count", "timings")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    segment: int
    chunk_count: int
    timings: _containers.RepeatedCompositeFieldContainer[_common_pb2.PhaseTiming]
    def __init__(self, job_id: _Optional[bytes] = ..., segment: _Optional[int] = ..., chunk_count: _Optional[int] = ..., timings: _Optional[_Iterable[_Union[_common_pb2.PhaseTiming, _Mapping]]] = ...) -> None: ...

class SegmentProof(_message.Message):
    __slots__ = ("job_id", "segment", "leaf", "timings")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    segment: int
    leaf: _common_pb2.LeafProof
    timings: _containers.RepeatedCompositeFieldContainer[_common_pb2.PhaseTiming]
    def __init__(self, job_id: _Optional[bytes] = ..., segment: _Optional[int] = ..., leaf: _Optional[_Union[_common_pb2.LeafProof, _Mapping]] = ..., timings: _Optional[_Iterable[_Union[_common_pb2.PhaseTiming, _Mapping]]] = ...) -> None: ...

class SegmentFailure(_message.Message):
    __slots__ = ("job_id", "segment", "error")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    segment: int
    error: _status_pb2.Status
    def __init__(self, job_id: _Optional[bytes] = ..., segment: _Optional[int] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class AbortJob(_message.Message):
    __slots__ = ("job_id", "error")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    error: _status_pb2.Status
    def __init__(self, job_id: _Optional[bytes] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("job_id", "segment", "next_sequence")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    segment: int
    next_sequence: int
    def __init__(self, job_id: _Optional[bytes] = ..., segment: _Optional[int] = ..., next_sequence: _Optional[int] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("bytes",)
    BYTES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    def __init__(self, bytes: _Optional[int] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("job_id", "segment", "has_segment", "next_sequence", "error")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    HAS_SEGMENT_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    segment: int
    has_segment: bool
    next_sequence: int
    error: _status_pb2.Status
    def __init__(self, job_id: _Optional[bytes] = ..., segment: _Optional[int] = ..., has_segment: _Optional[bool] = ..., next_sequence: _Optional[int] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class SegmentUpdate(_message.Message):
    __slots__ = ("job_id", "segment", "proving", "proved", "verified", "failed", "timings")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    PROVING_FIELD_NUMBER: _ClassVar[int]
    PROVED_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    segment: int
    proving: SegmentProving
    proved: _common_pb2.LeafProof
    verified: SegmentVerified
    failed: _status_pb2.Status
    timings: _containers.RepeatedCompositeFieldContainer[_common_pb2.PhaseTiming]
    def __init__(self, job_id: _Optional[bytes] = ..., segment: _Optional[int] = ..., proving: _Optional[_Union[SegmentProving, _Mapping]] = ..., proved: _Optional[_Union[_common_pb2.LeafProof, _Mapping]] = ..., verified: _Optional[_Union[SegmentVerified, _Mapping]] = ..., failed: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., timings: _Optional[_Iterable[_Union[_common_pb2.PhaseTiming, _Mapping]]] = ...) -> None: ...

class SegmentProving(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SegmentVerified(_message.Message):
    __slots__ = ("batch_id",)
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    batch_id: bytes
    def __init__(self, batch_id: _Optional[bytes] = ...) -> None: ...

class JobUpdate(_message.Message):
    __slots__ = ("job_id", "done", "failed", "assembling")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    ASSEMBLING_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    done: JobDone
    failed: _status_pb2.Status
    assembling: _assembly_pb2.Assembly
    def __init__(self, job_id: _Optional[bytes] = ..., done: _Optional[_Union[JobDone, _Mapping]] = ..., failed: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., assembling: _Optional[_Union[_assembly_pb2.Assembly, _Mapping]] = ...) -> None: ...

class JobDone(_message.Message):
    __slots__ = ("assembly", "status")
    ASSEMBLY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    assembly: _assembly_pb2.AssemblyResult
    status: _assembly_pb2.Assembly
    def __init__(self, assembly: _Optional[_Union[_assembly_pb2.AssemblyResult, _Mapping]] = ..., status: _Optional[_Union[_assembly_pb2.Assembly, _Mapping]] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ("retry_after_millis",)
    RETRY_AFTER_MILLIS_FIELD_NUMBER: _ClassVar[int]
    retry_after_millis: int
    def __init__(self, retry_after_millis: _Optional[int] = ...) -> None: ...

class PartialsRefused(_message.Message):
    __slots__ = ("job_id", "segment", "sequences", "error")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    segment: int
    sequences: _containers.RepeatedScalarFieldContainer[int]
    error: _status_pb2.Status
    def __init__(self, job_id: _Optional[bytes] = ..., segment: _Optional[int] = ..., sequences: _Optional[_Iterable[int]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...
