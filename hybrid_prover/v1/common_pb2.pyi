from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Placement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLACEMENT_UNSPECIFIED: _ClassVar[Placement]
    PLACEMENT_CLOUD: _ClassVar[Placement]
    PLACEMENT_SPLIT: _ClassVar[Placement]
    PLACEMENT_PRIVATE: _ClassVar[Placement]

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_LOW: _ClassVar[Priority]
    PRIORITY_NORMAL: _ClassVar[Priority]
    PRIORITY_HIGH: _ClassVar[Priority]
    PRIORITY_URGENT: _ClassVar[Priority]
PLACEMENT_UNSPECIFIED: Placement
PLACEMENT_CLOUD: Placement
PLACEMENT_SPLIT: Placement
PLACEMENT_PRIVATE: Placement
PRIORITY_UNSPECIFIED: Priority
PRIORITY_LOW: Priority
PRIORITY_NORMAL: Priority
PRIORITY_HIGH: Priority
PRIORITY_URGENT: Priority

class Groth16Proof(_message.Message):
    __slots__ = ("a", "b", "c")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    C_FIELD_NUMBER: _ClassVar[int]
    a: bytes
    b: bytes
    c: bytes
    def __init__(self, a: _Optional[bytes] = ..., b: _Optional[bytes] = ..., c: _Optional[bytes] = ...) -> None: ...

class LeafProof(_message.Message):
    __slots__ = ("proof", "public_signals")
    PROOF_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_SIGNALS_FIELD_NUMBER: _ClassVar[int]
    proof: Groth16Proof
    public_signals: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, proof: _Optional[_Union[Groth16Proof, _Mapping]] = ..., public_signals: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Link(_message.Message):
    __slots__ = ("from_segment", "from_signal", "to_segment", "to_signal")
    FROM_SEGMENT_FIELD_NUMBER: _ClassVar[int]
    FROM_SIGNAL_FIELD_NUMBER: _ClassVar[int]
    TO_SEGMENT_FIELD_NUMBER: _ClassVar[int]
    TO_SIGNAL_FIELD_NUMBER: _ClassVar[int]
    from_segment: int
    from_signal: int
    to_segment: int
    to_signal: int
    def __init__(self, from_segment: _Optional[int] = ..., from_signal: _Optional[int] = ..., to_segment: _Optional[int] = ..., to_signal: _Optional[int] = ...) -> None: ...

class PhaseTiming(_message.Message):
    __slots__ = ("phase", "start_unix_nanos", "duration_nanos")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    START_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    DURATION_NANOS_FIELD_NUMBER: _ClassVar[int]
    phase: str
    start_unix_nanos: int
    duration_nanos: int
    def __init__(self, phase: _Optional[str] = ..., start_unix_nanos: _Optional[int] = ..., duration_nanos: _Optional[int] = ...) -> None: ...
