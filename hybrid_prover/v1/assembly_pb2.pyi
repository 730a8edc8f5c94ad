from google.rpc import status_pb2 as _status_pb2
from hybrid_prover.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AssemblyState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ASSEMBLY_STATE_UNSPECIFIED: _ClassVar[AssemblyState]
    ASSEMBLY_STATE_RUNNING: _ClassVar[AssemblyState]
    ASSEMBLY_STATE_DONE: _ClassVar[AssemblyState]
    ASSEMBLY_STATE_FAILED: _ClassVar[AssemblyState]
    ASSEMBLY_STATE_CANCELLED: _ClassVar[AssemblyState]
ASSEMBLY_STATE_UNSPECIFIED: AssemblyState
ASSEMBLY_STATE_RUNNING: AssemblyState
ASSEMBLY_STATE_DONE: AssemblyState
ASSEMBLY_STATE_FAILED: AssemblyState
ASSEMBLY_STATE_CANCELLED: AssemblyState

class AssemblyOptions(_message.Message):
    __slots__ = ("chain",)
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    chain: AssemblyChain
    def __init__(self, chain: _Optional[_Union[AssemblyChain, _Mapping]] = ...) -> None: ...

class AssemblyChain(_message.Message):
    __slots__ = ("out", "into")
    OUT_FIELD_NUMBER: _ClassVar[int]
    INTO_FIELD_NUMBER: _ClassVar[int]
    out: int
    into: int
    def __init__(self, out: _Optional[int] = ..., into: _Optional[int] = ...) -> None: ...

class AssemblySegment(_message.Message):
    __slots__ = ("job", "segment")
    JOB_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    job: int
    segment: int
    def __init__(self, job: _Optional[int] = ..., segment: _Optional[int] = ...) -> None: ...

class Assembly(_message.Message):
    __slots__ = ("assembly_id", "job_ids", "options", "state", "error", "leaves", "committed", "nodes", "nodes_proved", "left_out", "timings", "accepted_unix_nanos", "ended_unix_nanos", "revision")
    ASSEMBLY_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    LEAVES_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    NODES_PROVED_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    ENDED_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    assembly_id: bytes
    job_ids: _containers.RepeatedScalarFieldContainer[bytes]
    options: AssemblyOptions
    state: AssemblyState
    error: _status_pb2.Status
    leaves: int
    committed: int
    nodes: int
    nodes_proved: int
    left_out: _containers.RepeatedCompositeFieldContainer[AssemblySegment]
    timings: _containers.RepeatedCompositeFieldContainer[_common_pb2.PhaseTiming]
    accepted_unix_nanos: int
    ended_unix_nanos: int
    revision: int
    def __init__(self, assembly_id: _Optional[bytes] = ..., job_ids: _Optional[_Iterable[bytes]] = ..., options: _Optional[_Union[AssemblyOptions, _Mapping]] = ..., state: _Optional[_Union[AssemblyState, str]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., leaves: _Optional[int] = ..., committed: _Optional[int] = ..., nodes: _Optional[int] = ..., nodes_proved: _Optional[int] = ..., left_out: _Optional[_Iterable[_Union[AssemblySegment, _Mapping]]] = ..., timings: _Optional[_Iterable[_Union[_common_pb2.PhaseTiming, _Mapping]]] = ..., accepted_unix_nanos: _Optional[int] = ..., ended_unix_nanos: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class VerificationKey(_message.Message):
    __slots__ = ("alpha1", "beta2", "gamma2", "delta2", "ic", "insecure_setup")
    ALPHA1_FIELD_NUMBER: _ClassVar[int]
    BETA2_FIELD_NUMBER: _ClassVar[int]
    GAMMA2_FIELD_NUMBER: _ClassVar[int]
    DELTA2_FIELD_NUMBER: _ClassVar[int]
    IC_FIELD_NUMBER: _ClassVar[int]
    INSECURE_SETUP_FIELD_NUMBER: _ClassVar[int]
    alpha1: bytes
    beta2: bytes
    gamma2: bytes
    delta2: bytes
    ic: _containers.RepeatedScalarFieldContainer[bytes]
    insecure_setup: bool
    def __init__(self, alpha1: _Optional[bytes] = ..., beta2: _Optional[bytes] = ..., gamma2: _Optional[bytes] = ..., delta2: _Optional[bytes] = ..., ic: _Optional[_Iterable[bytes]] = ..., insecure_setup: _Optional[bool] = ...) -> None: ...

class AssemblyLeaf(_message.Message):
    __slots__ = ("segment", "assembly")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    ASSEMBLY_FIELD_NUMBER: _ClassVar[int]
    segment: AssemblySegment
    assembly: AssemblyContents
    def __init__(self, segment: _Optional[_Union[AssemblySegment, _Mapping]] = ..., assembly: _Optional[_Union[AssemblyContents, _Mapping]] = ...) -> None: ...

class AssemblyContents(_message.Message):
    __slots__ = ("places", "publics", "chunk", "chain", "leaf_key", "wrap_key", "leaves")
    PLACES_FIELD_NUMBER: _ClassVar[int]
    PUBLICS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    LEAF_KEY_FIELD_NUMBER: _ClassVar[int]
    WRAP_KEY_FIELD_NUMBER: _ClassVar[int]
    LEAVES_FIELD_NUMBER: _ClassVar[int]
    places: int
    publics: int
    chunk: int
    chain: AssemblyChain
    leaf_key: bytes
    wrap_key: bytes
    leaves: _containers.RepeatedCompositeFieldContainer[AssemblyLeaf]
    def __init__(self, places: _Optional[int] = ..., publics: _Optional[int] = ..., chunk: _Optional[int] = ..., chain: _Optional[_Union[AssemblyChain, _Mapping]] = ..., leaf_key: _Optional[bytes] = ..., wrap_key: _Optional[bytes] = ..., leaves: _Optional[_Iterable[_Union[AssemblyLeaf, _Mapping]]] = ...) -> None: ...

class AssemblyResult(_message.Message):
    __slots__ = ("assembly_id", "proof", "contents", "keys", "record")
    ASSEMBLY_ID_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    assembly_id: bytes
    proof: _common_pb2.LeafProof
    contents: AssemblyContents
    keys: _containers.RepeatedCompositeFieldContainer[VerificationKey]
    record: bytes
    def __init__(self, assembly_id: _Optional[bytes] = ..., proof: _Optional[_Union[_common_pb2.LeafProof, _Mapping]] = ..., contents: _Optional[_Union[AssemblyContents, _Mapping]] = ..., keys: _Optional[_Iterable[_Union[VerificationKey, _Mapping]]] = ..., record: _Optional[bytes] = ...) -> None: ...

class AssembleJobsRequest(_message.Message):
    __slots__ = ("job_ids", "options", "skip_unproved")
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SKIP_UNPROVED_FIELD_NUMBER: _ClassVar[int]
    job_ids: _containers.RepeatedScalarFieldContainer[bytes]
    options: AssemblyOptions
    skip_unproved: bool
    def __init__(self, job_ids: _Optional[_Iterable[bytes]] = ..., options: _Optional[_Union[AssemblyOptions, _Mapping]] = ..., skip_unproved: _Optional[bool] = ...) -> None: ...

class AssembleJobsResponse(_message.Message):
    __slots__ = ("assembly_id", "created")
    ASSEMBLY_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    assembly_id: bytes
    created: bool
    def __init__(self, assembly_id: _Optional[bytes] = ..., created: _Optional[bool] = ...) -> None: ...

class GetAssemblyRequest(_message.Message):
    __slots__ = ("assembly_id",)
    ASSEMBLY_ID_FIELD_NUMBER: _ClassVar[int]
    assembly_id: bytes
    def __init__(self, assembly_id: _Optional[bytes] = ...) -> None: ...

class GetAssemblyResponse(_message.Message):
    __slots__ = ("assembly", "result")
    ASSEMBLY_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    assembly: Assembly
    result: AssemblyResult
    def __init__(self, assembly: _Optional[_Union[Assembly, _Mapping]] = ..., result: _Optional[_Union[AssemblyResult, _Mapping]] = ...) -> None: ...

class GetAssemblyLeavesRequest(_message.Message):
    __slots__ = ("assembly_id",)
    ASSEMBLY_ID_FIELD_NUMBER: _ClassVar[int]
    assembly_id: bytes
    def __init__(self, assembly_id: _Optional[bytes] = ...) -> None: ...

class GetAssemblyLeavesResponse(_message.Message):
    __slots__ = ("segment", "circuit", "leaf")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    segment: AssemblySegment
    circuit: bytes
    leaf: _common_pb2.LeafProof
    def __init__(self, segment: _Optional[_Union[AssemblySegment, _Mapping]] = ..., circuit: _Optional[bytes] = ..., leaf: _Optional[_Union[_common_pb2.LeafProof, _Mapping]] = ...) -> None: ...

class WatchAssemblyRequest(_message.Message):
    __slots__ = ("assembly_id",)
    ASSEMBLY_ID_FIELD_NUMBER: _ClassVar[int]
    assembly_id: bytes
    def __init__(self, assembly_id: _Optional[bytes] = ...) -> None: ...

class WatchAssemblyResponse(_message.Message):
    __slots__ = ("assembly",)
    ASSEMBLY_FIELD_NUMBER: _ClassVar[int]
    assembly: Assembly
    def __init__(self, assembly: _Optional[_Union[Assembly, _Mapping]] = ...) -> None: ...

class CancelAssemblyRequest(_message.Message):
    __slots__ = ("assembly_id",)
    ASSEMBLY_ID_FIELD_NUMBER: _ClassVar[int]
    assembly_id: bytes
    def __init__(self, assembly_id: _Optional[bytes] = ...) -> None: ...

class CancelAssemblyResponse(_message.Message):
    __slots__ = ("assembly",)
    ASSEMBLY_FIELD_NUMBER: _ClassVar[int]
    assembly: Assembly
    def __init__(self, assembly: _Optional[_Union[Assembly, _Mapping]] = ...) -> None: ...
