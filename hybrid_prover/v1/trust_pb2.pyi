from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DistrustedEdge(_message.Message):
    __slots__ = ("edge_name", "fingerprint", "identity", "job_id", "segment", "sequences", "since_unix_nanos")
    EDGE_NAME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    edge_name: str
    fingerprint: str
    identity: str
    job_id: bytes
    segment: int
    sequences: _containers.RepeatedScalarFieldContainer[int]
    since_unix_nanos: int
    def __init__(self, edge_name: _Optional[str] = ..., fingerprint: _Optional[str] = ..., identity: _Optional[str] = ..., job_id: _Optional[bytes] = ..., segment: _Optional[int] = ..., sequences: _Optional[_Iterable[int]] = ..., since_unix_nanos: _Optional[int] = ...) -> None: ...

class ListDistrustedEdgesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDistrustedEdgesResponse(_message.Message):
    __slots__ = ("edges",)
    EDGES_FIELD_NUMBER: _ClassVar[int]
    edges: _containers.RepeatedCompositeFieldContainer[DistrustedEdge]
    def __init__(self, edges: _Optional[_Iterable[_Union[DistrustedEdge, _Mapping]]] = ...) -> None: ...

class ForgiveEdgeRequest(_message.Message):
    __slots__ = ("edge",)
    EDGE_FIELD_NUMBER: _ClassVar[int]
    edge: str
    def __init__(self, edge: _Optional[str] = ...) -> None: ...

class ForgiveEdgeResponse(_message.Message):
    __slots__ = ("edges",)
    EDGES_FIELD_NUMBER: _ClassVar[int]
    edges: _containers.RepeatedCompositeFieldContainer[DistrustedEdge]
    def __init__(self, edges: _Optional[_Iterable[_Union[DistrustedEdge, _Mapping]]] = ...) -> None: ...
