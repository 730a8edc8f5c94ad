from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetRecordsRequest(_message.Message):
    __slots__ = ("job_id", "with_seeds")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    WITH_SEEDS_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    with_seeds: bool
    def __init__(self, job_id: _Optional[bytes] = ..., with_seeds: _Optional[bool] = ...) -> None: ...

class GetRecordsResponse(_message.Message):
    __slots__ = ("node", "leaf", "batch", "assembly")
    NODE_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    ASSEMBLY_FIELD_NUMBER: _ClassVar[int]
    node: SigningNode
    leaf: LeafRecord
    batch: BatchEnvelope
    assembly: AssemblyEnvelope
    def __init__(self, node: _Optional[_Union[SigningNode, _Mapping]] = ..., leaf: _Optional[_Union[LeafRecord, _Mapping]] = ..., batch: _Optional[_Union[BatchEnvelope, _Mapping]] = ..., assembly: _Optional[_Union[AssemblyEnvelope, _Mapping]] = ...) -> None: ...

class SigningNode(_message.Message):
    __slots__ = ("public_key_pem",)
    PUBLIC_KEY_PEM_FIELD_NUMBER: _ClassVar[int]
    public_key_pem: bytes
    def __init__(self, public_key_pem: _Optional[bytes] = ...) -> None: ...

class LeafRecord(_message.Message):
    __slots__ = ("segment", "envelope", "seed")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    segment: int
    envelope: bytes
    seed: bytes
    def __init__(self, segment: _Optional[int] = ..., envelope: _Optional[bytes] = ..., seed: _Optional[bytes] = ...) -> None: ...

class BatchEnvelope(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    def __init__(self, envelope: _Optional[bytes] = ...) -> None: ...

class AssemblyEnvelope(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    def __init__(self, envelope: _Optional[bytes] = ...) -> None: ...
