from google.rpc import status_pb2 as _status_pb2
from hybrid_prover.v1 import assembly_pb2 as _assembly_pb2
from hybrid_prover.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_DONE: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]

class SegmentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEGMENT_STATE_UNSPECIFIED: _ClassVar[SegmentState]
    SEGMENT_STATE_QUEUED: _ClassVar[SegmentState]
    SEGMENT_STATE_WITNESSING: _ClassVar[SegmentState]
    SEGMENT_STATE_UPLOADING: _ClassVar[SegmentState]
    SEGMENT_STATE_PROVING: _ClassVar[SegmentState]
    SEGMENT_STATE_PROVED: _ClassVar[SegmentState]
    SEGMENT_STATE_VERIFIED: _ClassVar[SegmentState]
    SEGMENT_STATE_FAILED: _ClassVar[SegmentState]
    SEGMENT_STATE_CANCELLED: _ClassVar[SegmentState]
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_DONE: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
SEGMENT_STATE_UNSPECIFIED: SegmentState
SEGMENT_STATE_QUEUED: SegmentState
SEGMENT_STATE_WITNESSING: SegmentState
SEGMENT_STATE_UPLOADING: SegmentState
SEGMENT_STATE_PROVING: SegmentState
SEGMENT_STATE_PROVED: SegmentState
SEGMENT_STATE_VERIFIED: SegmentState
SEGMENT_STATE_FAILED: SegmentState
SEGMENT_STATE_CANCELLED: SegmentState

class InputSignal(_message.Message):
    __slots__ = ("name", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: bytes
    def __init__(self, name: _Optional[str] = ..., values: _Optional[bytes] = ...) -> None: ...

class SegmentSpec(_message.Message):
    __slots__ = ("circuit", "inputs")
    CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    circuit: bytes
    inputs: _containers.RepeatedCompositeFieldContainer[InputSignal]
    def __init__(self, circuit: _Optional[bytes] = ..., inputs: _Optional[_Iterable[_Union[InputSignal, _Mapping]]] = ...) -> None: ...

class SubmitJobRequest(_message.Message):
    __slots__ = ("name", "placement", "segments", "links", "assembly", "priority", "deadline_unix_nanos")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    ASSEMBLY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    name: str
    placement: _common_pb2.Placement
    segments: _containers.RepeatedCompositeFieldContainer[SegmentSpec]
    links: _containers.RepeatedCompositeFieldContainer[_common_pb2.Link]
    assembly: _assembly_pb2.AssemblyOptions
    priority: _common_pb2.Priority
    deadline_unix_nanos: int
    def __init__(self, name: _Optional[str] = ..., placement: _Optional[_Union[_common_pb2.Placement, str]] = ..., segments: _Optional[_Iterable[_Union[SegmentSpec, _Mapping]]] = ..., links: _Optional[_Iterable[_Union[_common_pb2.Link, _Mapping]]] = ..., assembly: _Optional[_Union[_assembly_pb2.AssemblyOptions, _Mapping]] = ..., priority: _Optional[_Union[_common_pb2.Priority, str]] = ..., deadline_unix_nanos: _Optional[int] = ...) -> None: ...

class SubmitJobResponse(_message.Message):
    __slots__ = ("job_id", "created")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    created: bool
    def __init__(self, job_id: _Optional[bytes] = ..., created: _Optional[bool] = ...) -> None: ...

class SegmentStatus(_message.Message):
    __slots__ = ("index", "circuit", "state", "wires_acked", "wires", "error", "timings", "partials")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WIRES_ACKED_FIELD_NUMBER: _ClassVar[int]
    WIRES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    PARTIALS_FIELD_NUMBER: _ClassVar[int]
    index: int
    circuit: bytes
    state: SegmentState
    wires_acked: int
    wires: int
    error: _status_pb2.Status
    timings: _containers.RepeatedCompositeFieldContainer[_common_pb2.PhaseTiming]
    partials: PartialUse
    def __init__(self, index: _Optional[int] = ..., circuit: _Optional[bytes] = ..., state: _Optional[_Union[SegmentState, str]] = ..., wires_acked: _Optional[int] = ..., wires: _Optional[int] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., timings: _Optional[_Iterable[_Union[_common_pb2.PhaseTiming, _Mapping]]] = ..., partials: _Optional[_Union[PartialUse, _Mapping]] = ...) -> None: ...

class PartialUse(_message.Message):
    __slots__ = ("chunks", "partials", "late", "wrong")
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    PARTIALS_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    WRONG_FIELD_NUMBER: _ClassVar[int]
    chunks: int
    partials: int
    late: int
    wrong: int
    def __init__(self, chunks: _Optional[int] = ..., partials: _Optional[int] = ..., late: _Optional[int] = ..., wrong: _Optional[int] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "name", "placement", "state", "segments", "links", "error", "accepted_unix_nanos", "ended_unix_nanos", "revision", "assembly", "priority", "deadline_unix_nanos")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    ENDED_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ASSEMBLY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    name: str
    placement: _common_pb2.Placement
    state: JobState
    segments: _containers.RepeatedCompositeFieldContainer[SegmentStatus]
    links: _containers.RepeatedCompositeFieldContainer[_common_pb2.Link]
    error: _status_pb2.Status
    accepted_unix_nanos: int
    ended_unix_nanos: int
    revision: int
    assembly: _assembly_pb2.Assembly
    priority: _common_pb2.Priority
    deadline_unix_nanos: int
    def __init__(self, job_id: _Optional[bytes] = ..., name: _Optional[str] = ..., placement: _Optional[_Union[_common_pb2.Placement, str]] = ..., state: _Optional[_Union[JobState, str]] = ..., segments: _Optional[_Iterable[_Union[SegmentStatus, _Mapping]]] = ..., links: _Optional[_Iterable[_Union[_common_pb2.Link, _Mapping]]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., accepted_unix_nanos: _Optional[int] = ..., ended_unix_nanos: _Optional[int] = ..., revision: _Optional[int] = ..., assembly: _Optional[_Union[_assembly_pb2.Assembly, _Mapping]] = ..., priority: _Optional[_Union[_common_pb2.Priority, str]] = ..., deadline_unix_nanos: _Optional[int] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    def __init__(self, job_id: _Optional[bytes] = ...) -> None: ...

class CancelJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class RequeueJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    def __init__(self, job_id: _Optional[bytes] = ...) -> None: ...

class RequeueJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    def __init__(self, job_id: _Optional[bytes] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    def __init__(self, job_id: _Optional[bytes] = ...) -> None: ...

class WatchJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class GetResultRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    def __init__(self, job_id: _Optional[bytes] = ...) -> None: ...

class GetResultResponse(_message.Message):
    __slots__ = ("proofs", "circuits", "assembly")
    PROOFS_FIELD_NUMBER: _ClassVar[int]
    CIRCUITS_FIELD_NUMBER: _ClassVar[int]
    ASSEMBLY_FIELD_NUMBER: _ClassVar[int]
    proofs: _containers.RepeatedCompositeFieldContainer[_common_pb2.LeafProof]
    circuits: _containers.RepeatedScalarFieldContainer[bytes]
    assembly: _assembly_pb2.AssemblyResult
    def __init__(self, proofs: _Optional[_Iterable[_Union[_common_pb2.LeafProof, _Mapping]]] = ..., circuits: _Optional[_Iterable[bytes]] = ..., assembly: _Optional[_Union[_assembly_pb2.AssemblyResult, _Mapping]] = ...) -> None: ...
