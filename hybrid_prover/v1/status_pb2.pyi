from hybrid_prover.v1 import common_pb2 as _common_pb2
from hybrid_prover.v1 import job_pb2 as _job_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Tier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIER_UNSPECIFIED: _ClassVar[Tier]
    TIER_EDGE: _ClassVar[Tier]
    TIER_CLOUD: _ClassVar[Tier]

class StageKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_KIND_UNSPECIFIED: _ClassVar[StageKind]
    STAGE_KIND_WAIT: _ClassVar[StageKind]
    STAGE_KIND_COMPUTE: _ClassVar[StageKind]
    STAGE_KIND_TRANSFER: _ClassVar[StageKind]
TIER_UNSPECIFIED: Tier
TIER_EDGE: Tier
TIER_CLOUD: Tier
STAGE_KIND_UNSPECIFIED: StageKind
STAGE_KIND_WAIT: StageKind
STAGE_KIND_COMPUTE: StageKind
STAGE_KIND_TRANSFER: StageKind

class GetStatusRequest(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: int
    def __init__(self, jobs: _Optional[int] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: ServiceStatus
    def __init__(self, status: _Optional[_Union[ServiceStatus, _Mapping]] = ...) -> None: ...

class ServiceStatus(_message.Message):
    __slots__ = ("tier", "name", "software_version", "draining", "started_unix_nanos", "now_unix_nanos", "device", "jobs", "segments", "stages", "totals", "verified_last_minute", "workers", "waiting", "sessions", "uplink", "backlog_bytes", "backlog_limit_bytes", "running", "loop_lag_seconds")
    TIER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    NOW_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_LAST_MINUTE_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    UPLINK_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    LOOP_LAG_SECONDS_FIELD_NUMBER: _ClassVar[int]
    tier: Tier
    name: str
    software_version: str
    draining: bool
    started_unix_nanos: int
    now_unix_nanos: int
    device: Device
    jobs: _containers.RepeatedCompositeFieldContainer[JobCount]
    segments: _containers.RepeatedCompositeFieldContainer[SegmentCount]
    stages: _containers.RepeatedCompositeFieldContainer[StageSummary]
    totals: Totals
    verified_last_minute: int
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    waiting: int
    sessions: _containers.RepeatedCompositeFieldContainer[EdgeSession]
    uplink: UplinkStatus
    backlog_bytes: int
    backlog_limit_bytes: int
    running: _containers.RepeatedCompositeFieldContainer[JobSummary]
    loop_lag_seconds: float
    def __init__(self, tier: _Optional[_Union[Tier, str]] = ..., name: _Optional[str] = ..., software_version: _Optional[str] = ..., draining: _Optional[bool] = ..., started_unix_nanos: _Optional[int] = ..., now_unix_nanos: _Optional[int] = ..., device: _Optional[_Union[Device, _Mapping]] = ..., jobs: _Optional[_Iterable[_Union[JobCount, _Mapping]]] = ..., segments: _Optional[_Iterable[_Union[SegmentCount, _Mapping]]] = ..., stages: _Optional[_Iterable[_Union[StageSummary, _Mapping]]] = ..., totals: _Optional[_Union[Totals, _Mapping]] = ..., verified_last_minute: _Optional[int] = ..., workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ..., waiting: _Optional[int] = ..., sessions: _Optional[_Iterable[_Union[EdgeSession, _Mapping]]] = ..., uplink: _Optional[_Union[UplinkStatus, _Mapping]] = ..., backlog_bytes: _Optional[int] = ..., backlog_limit_bytes: _Optional[int] = ..., running: _Optional[_Iterable[_Union[JobSummary, _Mapping]]] = ..., loop_lag_seconds: _Optional[float] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("backend", "device", "reason")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    backend: str
    device: str
    reason: str
    def __init__(self, backend: _Optional[str] = ..., device: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class JobCount(_message.Message):
    __slots__ = ("state", "count")
    STATE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    state: _job_pb2.JobState
    count: int
    def __init__(self, state: _Optional[_Union[_job_pb2.JobState, str]] = ..., count: _Optional[int] = ...) -> None: ...

class SegmentCount(_message.Message):
    __slots__ = ("state", "count")
    STATE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    state: _job_pb2.SegmentState
    count: int
    def __init__(self, state: _Optional[_Union[_job_pb2.SegmentState, str]] = ..., count: _Optional[int] = ...) -> None: ...

class StageSummary(_message.Message):
    __slots__ = ("stage", "kind", "recent", "p50", "p95", "longest", "count", "seconds")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RECENT_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P95_FIELD_NUMBER: _ClassVar[int]
    LONGEST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    kind: StageKind
    recent: int
    p50: float
    p95: float
    longest: float
    count: int
    seconds: float
    def __init__(self, stage: _Optional[str] = ..., kind: _Optional[_Union[StageKind, str]] = ..., recent: _Optional[int] = ..., p50: _Optional[float] = ..., p95: _Optional[float] = ..., longest: _Optional[float] = ..., count: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class Totals(_message.Message):
    __slots__ = ("jobs_done", "jobs_failed", "jobs_cancelled", "segments_verified", "received_bytes", "sent_bytes", "chunks", "refused", "reconnects", "worker_losses", "faults", "quarantined")
    JOBS_DONE_FIELD_NUMBER: _ClassVar[int]
    JOBS_FAILED_FIELD_NUMBER: _ClassVar[int]
    JOBS_CANCELLED_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_VERIFIED_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    RECONNECTS_FIELD_NUMBER: _ClassVar[int]
    WORKER_LOSSES_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    jobs_done: int
    jobs_failed: int
    jobs_cancelled: int
    segments_verified: int
    received_bytes: int
    sent_bytes: int
    chunks: int
    refused: int
    reconnects: int
    worker_losses: int
    faults: int
    quarantined: int
    def __init__(self, jobs_done: _Optional[int] = ..., jobs_failed: _Optional[int] = ..., jobs_cancelled: _Optional[int] = ..., segments_verified: _Optional[int] = ..., received_bytes: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., chunks: _Optional[int] = ..., refused: _Optional[int] = ..., reconnects: _Optional[int] = ..., worker_losses: _Optional[int] = ..., faults: _Optional[int] = ..., quarantined: _Optional[int] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("name", "slots", "busy", "remote", "connected", "wires_per_second")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    REMOTE_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    WIRES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    name: str
    slots: int
    busy: int
    remote: bool
    connected: bool
    wires_per_second: float
    def __init__(self, name: _Optional[str] = ..., slots: _Optional[int] = ..., busy: _Optional[int] = ..., remote: _Optional[bool] = ..., connected: _Optional[bool] = ..., wires_per_second: _Optional[float] = ...) -> None: ...

class EdgeSession(_message.Message):
    __slots__ = ("edge_name", "fingerprint", "connected", "credit_bytes", "in_flight_bytes")
    EDGE_NAME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_BYTES_FIELD_NUMBER: _ClassVar[int]
    edge_name: str
    fingerprint: str
    connected: bool
    credit_bytes: int
    in_flight_bytes: int
    def __init__(self, edge_name: _Optional[str] = ..., fingerprint: _Optional[str] = ..., connected: _Optional[bool] = ..., credit_bytes: _Optional[int] = ..., in_flight_bytes: _Optional[int] = ...) -> None: ...

class UplinkStatus(_message.Message):
    __slots__ = ("cloud", "connected", "credit_bytes")
    CLOUD_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    cloud: str
    connected: bool
    credit_bytes: int
    def __init__(self, cloud: _Optional[str] = ..., connected: _Optional[bool] = ..., credit_bytes: _Optional[int] = ...) -> None: ...

class JobSummary(_message.Message):
    __slots__ = ("job_id", "name", "placement", "accepted_unix_nanos", "segments", "client", "priority", "deadline_unix_nanos")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    name: str
    placement: _common_pb2.Placement
    accepted_unix_nanos: int
    segments: _containers.RepeatedCompositeFieldContainer[SegmentCount]
    client: str
    priority: _common_pb2.Priority
    deadline_unix_nanos: int
    def __init__(self, job_id: _Optional[bytes] = ..., name: _Optional[str] = ..., placement: _Optional[_Union[_common_pb2.Placement, str]] = ..., accepted_unix_nanos: _Optional[int] = ..., segments: _Optional[_Iterable[_Union[SegmentCount, _Mapping]]] = ..., client: _Optional[str] = ..., priority: _Optional[_Union[_common_pb2.Priority, str]] = ..., deadline_unix_nanos: _Optional[int] = ...) -> None: ...
