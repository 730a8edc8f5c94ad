"""The cloud's machine: whatever an edge and the network do, each wire is taken once, and everybody hears the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud import messages as m
from cloud.errors import violated_field
from cloud.machine import Machine
from cloud.model import CircuitInfo, job_view
from cloud.policy import Limits, usage
from cloud.sessions import Sessions
from cloud.store import segment_writes
from hybrid_prover.errors import read_details
from hybrid_prover.v1 import common_pb2, uplink_pb2
from prover_core.formats.chunk import ENCODING_PACKED, chunk_digest, encode_chunk
from prover_core.types import FrVector

CIRCUIT = CircuitInfo(b"c" * 32, wires=40, n_public=2)
JOB = b"j" * 32
WINDOW = 4096
OUT_OF_RANGE, ALREADY_EXISTS, DATA_LOSS, NOT_FOUND, INVALID, EXHAUSTED, PRECONDITION = 11, 6, 15, 5, 3, 8, 9


def chunk(sequence: int, offset: int, count: int, *, segment: int = 0, job: bytes = JOB, base: int = 1000):
    payload = encode_chunk(FrVector.from_ints([base + offset + i for i in range(count)]))
    digest = chunk_digest(job, segment, sequence, offset, count, ENCODING_PACKED, payload)
    return uplink_pb2.Chunk(
        job_id=job,
        segment=segment,
        sequence=sequence,
        wire_offset=offset,
        wire_count=count,
        encoding=ENCODING_PACKED,
        payload=payload,
        digest=digest,
    )


@dataclass
class Cloud:
    """The machine with a disk that is as slow as the test likes."""

    machine: Machine = field(
        default_factory=lambda: Machine(
            Sessions(WINDOW, 1024, 2 * WINDOW, 1000),
            max_chunk_bytes=1024,
            max_segments=64,
            limits=Limits(backlog_bytes=1 << 20),
        )
    )
    queued: list = field(default_factory=list)
    taken: list = field(default_factory=list)
    sent: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    connection: int = 0
    now: int = 1

    def __post_init__(self) -> None:
        self.post(m.CircuitKnown(CIRCUIT))

    def post(self, event: m.Event) -> list:
        self.now += 1
        out = self.machine.handle(event, self.now)
        for x in out:
            match x:
                case m.Send():
                    self.sent.append((x.connection, x.response))
                case m.AppendChunk():
                    self.taken.append(x.chunk)
                    self.queued.append(((x.chunk.job_id, x.chunk.segment), x.chunk.sequence + 1, False))
                case m.AppendEnd():
                    self.queued.append((x.key, x.chunk_count, True))
                case m.SaveJob():
                    self.machine.handle(m.JobSaved(x.job.job_id), self.now)
                case _:
                    self.asked.append(x)
        self.check_credit()
        self.check_usage()
        return out

    def check_usage(self) -> None:
        """What is remembered of each job's usage is what it is."""
        for job in self.machine.jobs.values():
            remembered, job.usage = usage(job), None
            assert usage(job) == remembered

    def check_credit(self) -> None:
        for s in self.machine.sessions._by_id.values():
            assert s.outstanding + s.in_flight + s.owed == s.window or s.connection is None
            assert min(s.outstanding, s.in_flight, s.owed) >= 0

    def disk(self, count: int = 1 << 30) -> None:
        done, self.queued = self.queued[:count], self.queued[count:]
        for key, sequence, ended in done:
            self.post(m.ChunksDurable(key, sequence, ended))

    def edge(self, **message) -> list:
        mark = len(self.sent)
        self.post(m.Received(self.connection, uplink_pb2.UplinkRequest(**message)))
        return [r for c, r in self.sent[mark:] if c == self.connection]

    def connect(self, session: bytes = b"s" * 16) -> list:
        self.connection += 1
        return self.edge(hello=uplink_pb2.Hello(session_id=session, edge_name="e", protocol_version=1))

    def open(self, segments: int = 1, placement=common_pb2.PLACEMENT_CLOUD, links=(), job: bytes = JOB) -> list:
        return self.edge(
            open_job=uplink_pb2.OpenJob(
                job_id=job, name="n", placement=placement, circuits=[CIRCUIT.digest] * segments, links=links
            )
        )


def ready(**options) -> Cloud:
    cloud = Cloud()
    cloud.connect()
    (opened,) = cloud.open(**options)
    assert opened.HasField("job_opened")
    return cloud


def refusal(answers: list):
    (refused,) = [a.refused for a in answers if a.HasField("refused")]
    return refused


def leaf(first: int, second: int) -> common_pb2.LeafProof:
    return common_pb2.LeafProof(
        proof=common_pb2.Groth16Proof(a=bytes(64), b=bytes(128), c=bytes(64)),
        public_signals=[first.to_bytes(32, "big"), second.to_bytes(32, "big")],
    )


steps = st.lists(
    st.one_of(
        st.just("next"),
        st.just("cut"),
        st.just("end"),
        st.tuples(st.just("again"), st.integers(0, 9)),
        st.tuples(st.just("skip"), st.integers(1, 4)),
        st.tuples(st.just("alter"), st.integers(0, 9)),
        st.tuples(st.just("disk"), st.integers(1, 3)),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(cuts=st.sets(st.integers(1, 39), max_size=9), head_last=st.booleans(), script=steps)
def test_every_wire_is_taken_once_and_acks_never_go_back(cuts, head_last, script) -> None:
    borders = [0, *sorted(cuts), 40]
    ranges = list(pairwise(borders))
    if head_last:
        ranges = [*ranges[1:], ranges[0]]
    chunks = [chunk(i, lo, hi - lo) for i, (lo, hi) in enumerate(ranges)]
    cloud = ready()
    position = 0

    def listen(answers: list) -> None:
        nonlocal position
        for a in answers:
            if a.HasField("refused"):
                assert a.refused.error.code in (OUT_OF_RANGE, DATA_LOSS)
                position = a.refused.next_sequence
            elif a.HasField("job_opened"):
                position = a.job_opened.positions[0].next_sequence

    for step in script:
        match step:
            case "next" if position < len(chunks):
                position += 1
                listen(cloud.edge(chunk=chunks[position - 1]))
            case "end":
                listen(cloud.edge(segment_end=uplink_pb2.SegmentEnd(job_id=JOB, chunk_count=len(chunks))))
            case "cut":
                cloud.post(m.Disconnected(cloud.connection))
                cloud.connect()
                listen(cloud.open())
            case ("again", k) if k < position:
                listen(cloud.edge(chunk=chunks[k]))
            case ("skip", k) if position + k < len(chunks):
                listen(cloud.edge(chunk=chunks[position + k]))
            case ("alter", k) if k < len(chunks):
                bad = uplink_pb2.Chunk()
                bad.CopyFrom(chunks[k])
                bad.wire_offset ^= 1
                listen(cloud.edge(chunk=bad))
            case ("disk", k):
                cloud.disk(k)
    listen(cloud.connect() + cloud.open())
    while position < len(chunks):
        position += 1
        listen(cloud.edge(chunk=chunks[position - 1]))
    cloud.edge(segment_end=uplink_pb2.SegmentEnd(job_id=JOB, chunk_count=len(chunks)))
    cloud.disk()

    assert [c.sequence for c in cloud.taken] == list(range(len(chunks)))
    assert sorted(w for c in cloud.taken for w in range(c.wire_offset, c.wire_offset + c.wire_count)) == list(range(40))
    acks = [r.ack.next_sequence for _, r in cloud.sent if r.HasField("ack")]
    assert acks == sorted(acks)
    assert acks[-1] == len(chunks)
    assert [a for a in cloud.asked if isinstance(a, m.Advance)][-1] == m.Advance((JOB, 0), CIRCUIT, len(chunks), True)
    assert any(r.HasField("segment_update") and r.segment_update.HasField("proving") for _, r in cloud.sent)


numbers = st.sampled_from([0, 1, 2, 39, 40, 41, 2**31, 2**32 - 1])
longs = st.one_of(numbers, st.just(2**64 - 1))
ids = st.sampled_from([JOB, JOB, b"k" * 32, b"", b"short"])
small = st.sampled_from([0, 0, 1, 2, 7])
timings = st.lists(
    st.builds(common_pb2.PhaseTiming, phase=st.text(max_size=80), start_unix_nanos=longs, duration_nanos=longs),
    max_size=20,
)


@st.composite
def strange_chunk(draw):
    c = uplink_pb2.Chunk(
        job_id=draw(ids),
        segment=draw(small),
        sequence=draw(st.one_of(small, longs)),
        wire_offset=draw(longs),
        wire_count=draw(numbers),
        encoding=draw(st.sampled_from([0, 1, 1, 2])),
        payload=draw(st.binary(max_size=50)),
    )
    place = (c.job_id, c.segment, c.sequence, c.wire_offset, c.wire_count, c.encoding, c.payload)
    c.digest = draw(st.sampled_from([chunk_digest(*place), chunk_digest(*place), b"", b"d" * 32]))
    return c


links = st.lists(
    st.builds(common_pb2.Link, from_segment=small, from_signal=small, to_segment=small, to_signal=numbers), max_size=2
)
some_leaf = st.builds(
    common_pb2.LeafProof,
    proof=st.builds(
        common_pb2.Groth16Proof,
        a=st.sampled_from([bytes(64), bytes(64), b"\xff" * 64, b""]),
        b=st.sampled_from([bytes(128), bytes(128), b""]),
        c=st.sampled_from([bytes(64), bytes(64), b""]),
    ),
    public_signals=st.sampled_from([[bytes(32)] * 2, [bytes(32)] * 2, [b"\xff" * 32] * 2, [b""] * 2, []]),
)
strange = st.one_of(
    st.fixed_dictionaries({"chunk": strange_chunk()}),
    st.fixed_dictionaries(
        {
            "open_job": st.builds(
                uplink_pb2.OpenJob,
                job_id=ids,
                placement=st.sampled_from([0, 1, 2, 3, 9]),
                circuits=st.lists(st.sampled_from([CIRCUIT.digest, CIRCUIT.digest, b"x" * 32, b""]), max_size=3),
                links=links,
            )
        }
    ),
    st.fixed_dictionaries(
        {"segment_end": st.builds(uplink_pb2.SegmentEnd, job_id=ids, segment=small, chunk_count=longs, timings=timings)}
    ),
    st.fixed_dictionaries(
        {
            "segment_proof": st.builds(
                uplink_pb2.SegmentProof,
                job_id=ids,
                segment=small,
                leaf=st.just(leaf(1, 2)) | some_leaf,
                timings=timings,
            )
        }
    ),
    st.fixed_dictionaries(
        {
            "segment_failure": st.builds(
                uplink_pb2.SegmentFailure,
                job_id=ids,
                segment=numbers,
                error=st.builds(status_pb2.Status, code=st.sampled_from([0, 3, 99, -1]), message=st.text()),
            )
        }
    ),
    st.fixed_dictionaries({"abort_job": st.builds(uplink_pb2.AbortJob, job_id=ids)}),
    st.just({}),
)


@settings(max_examples=200, deadline=None)
@given(script=st.lists(strange, max_size=12), private=st.booleans())
def test_no_message_however_strange_breaks_the_machine_or_the_store(script, private) -> None:
    placement = common_pb2.PLACEMENT_PRIVATE if private else common_pb2.PLACEMENT_CLOUD
    cloud = ready(segments=3, placement=placement)
    for message in script:
        cloud.edge(**message)
        cloud.disk(1)
    cloud.disk()
    for job in cloud.machine.jobs.values():
        assert job_view(job).job_id == job.job_id
        for segment in job.segments:
            assert segment.wires_acked <= segment.circuit.wires
            values = [v for w in segment_writes(job, segment) for row in w.rows for v in row.values()]
            assert all(-(2**63) <= v < 2**63 for v in values if isinstance(v, int))


def test_nothing_is_acked_before_it_is_durable() -> None:
    cloud = ready()
    assert cloud.edge(chunk=chunk(0, 0, 10)) == []
    cloud.disk()
    assert cloud.sent[-1][1].ack.next_sequence == 1


def test_a_gap_is_refused_once_for_all_that_was_under_way() -> None:
    cloud = ready()
    first = refusal(cloud.edge(chunk=chunk(1, 10, 10)))
    assert (first.error.code, first.next_sequence, first.has_segment) == (OUT_OF_RANGE, 0, True)
    assert cloud.edge(chunk=chunk(2, 20, 10)) == []
    assert refusal(cloud.edge(chunk=chunk(1, 10, 10))).next_sequence == 0
    cloud.edge(chunk=chunk(0, 0, 10))
    cloud.edge(chunk=chunk(1, 10, 10))
    assert [c.sequence for c in cloud.taken] == [0, 1]


def test_conflicting_duplicate_keeps_what_came_first() -> None:
    cloud = ready()
    cloud.edge(chunk=chunk(0, 0, 10))
    assert refusal(cloud.edge(chunk=chunk(0, 0, 10, base=77))).error.code == ALREADY_EXISTS
    cloud.edge(chunk=chunk(1, 10, 30))
    assert len(cloud.taken) == 2


def test_altered_chunk_is_data_loss_and_can_be_sent_again() -> None:
    cloud = ready()
    bad = chunk(0, 0, 10)
    bad.payload = bad.payload[:-1] + bytes([bad.payload[-1] ^ 1])
    refused = refusal(cloud.edge(chunk=bad))
    assert (refused.error.code, refused.next_sequence, refused.segment) == (DATA_LOSS, 0, 0)
    assert violated_field(refused.error) == "segments[0].chunks[0].digest"
    assert cloud.taken == []
    cloud.edge(chunk=chunk(0, 0, 10))
    assert len(cloud.taken) == 1


@pytest.mark.parametrize(
    ("bad", "code", "what"),
    [
        (chunk(1, 35, 10), INVALID, "wire_offset"),
        (chunk(1, 5, 10), INVALID, "wire_offset"),
        (chunk(1, 10, 150, base=1 << 60), EXHAUSTED, "payload"),
    ],
)
def test_a_chunk_that_can_never_be_right_fails_its_segment_and_job(bad, code, what) -> None:
    cloud = ready(segments=2)
    cloud.open(job=b"k" * 32)
    cloud.edge(chunk=chunk(0, 0, 10))
    answers = cloud.edge(chunk=bad)
    assert refusal(answers).error.code == code
    assert violated_field(refusal(answers).error) == f"segments[0].chunks[1].{what}"
    assert [a.segment_update.failed.code for a in answers if a.HasField("segment_update")] == [code]
    assert [a.job_update.failed.code for a in answers if a.HasField("job_update")] == [code]
    assert m.Discard((JOB, 1)) in cloud.asked
    cloud.edge(chunk=chunk(0, 0, 40, job=b"k" * 32))
    assert cloud.taken[-1].job_id == b"k" * 32


def test_incomplete_witness_fails_the_segment() -> None:
    cloud = ready()
    cloud.edge(chunk=chunk(0, 0, 39))
    answers = cloud.edge(segment_end=uplink_pb2.SegmentEnd(job_id=JOB, chunk_count=1))
    assert violated_field(refusal(answers).error) == "segments[0].wires"
    assert any(a.HasField("job_update") for a in answers)


def test_end_before_its_chunks_is_a_gap() -> None:
    cloud = ready()
    refused = refusal(cloud.edge(segment_end=uplink_pb2.SegmentEnd(job_id=JOB, chunk_count=2)))
    assert (refused.error.code, refused.next_sequence) == (OUT_OF_RANGE, 0)


def test_credit_beyond_the_grant_is_refused_and_comes_back_when_durable() -> None:
    cloud = ready()
    sent = 0
    for i in range(8):
        piece = chunk(i, 4 * i, 4, base=1 << 252)
        sent += len(piece.payload)
        cloud.edge(chunk=piece)
    session = cloud.machine.sessions.of(cloud.connection)
    assert session is not None
    assert session.outstanding == WINDOW - sent
    session.outstanding, session.owed = 10, WINDOW - sent - 10
    refused = refusal(cloud.edge(chunk=chunk(8, 32, 4, base=1 << 252)))
    assert refused.error.code == EXHAUSTED
    cloud.disk()
    assert sum(r.credit.bytes for _, r in cloud.sent if r.HasField("credit")) >= 3 * WINDOW // 4
    cloud.edge(chunk=chunk(8, 32, 4, base=1 << 252))
    assert len(cloud.taken) == 9


def test_a_reconnected_session_is_granted_only_what_is_not_in_flight() -> None:
    cloud = ready()
    piece = chunk(0, 0, 10)
    cloud.edge(chunk=piece)
    cloud.post(m.Disconnected(cloud.connection))
    (welcome,) = cloud.connect()
    assert welcome.welcome.credit_bytes == WINDOW - len(piece.payload)


def test_sessions_share_the_ingest_memory() -> None:
    cloud = ready()
    cloud.connect(b"t" * 16)
    out = cloud.post(
        m.Received(9, uplink_pb2.UplinkRequest(hello=uplink_pb2.Hello(session_id=b"u" * 16, protocol_version=1)))
    )
    (close,) = out
    assert close.error.code == EXHAUSTED
    assert any(d.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for d in close.error.details)


def test_newer_connection_ends_the_older_one() -> None:
    cloud = ready()
    old = cloud.connection
    cloud.connect()
    (close,) = [x for x in cloud.asked if isinstance(x, m.Close)]
    assert (close.connection, close.error.code) == (old, 10)
    cloud.post(m.Disconnected(old))
    assert cloud.open()[0].job_opened.positions[0].next_sequence == 0
    late = cloud.post(m.Received(old, uplink_pb2.UplinkRequest(chunk=chunk(0, 0, 10))))
    assert [type(x) for x in late] == [m.Close]
    assert cloud.taken == []


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        ({"circuits": [CIRCUIT.digest, b"x" * 32]}, NOT_FOUND, "segments[1].circuit"),
        ({"circuits": []}, INVALID, "segments"),
        ({"circuits": [b"short"]}, INVALID, "segments[0].circuit"),
        ({"placement": common_pb2.PLACEMENT_UNSPECIFIED}, INVALID, "placement"),
        ({"job_id": b"short"}, INVALID, "job_id"),
        ({"name": "n" * 129}, INVALID, "name"),
        ({"links": [common_pb2.Link(from_segment=1, to_segment=0)]}, INVALID, "links[0].to_segment"),
        ({"links": [common_pb2.Link(to_segment=1, to_signal=2)]}, INVALID, "links[0].to_signal"),
        ({"links": [common_pb2.Link(from_segment=0, to_segment=2)]}, INVALID, "links[0].to_segment"),
        ({"circuits": [CIRCUIT.digest] * 65}, INVALID, "segments"),
    ],
)
def test_open_names_what_is_wrong(change, code, where) -> None:
    cloud = Cloud()
    cloud.connect()
    good = {
        "job_id": JOB,
        "name": "n",
        "placement": common_pb2.PLACEMENT_CLOUD,
        "circuits": [CIRCUIT.digest] * 2,
    }
    refused = refusal(cloud.edge(open_job=uplink_pb2.OpenJob(**{**good, **change})))
    assert refused.error.code == code
    assert violated_field(refused.error) == where
    assert cloud.machine.jobs == {}


def test_the_same_id_with_other_content_is_refused() -> None:
    cloud = ready()
    assert refusal(cloud.open(segments=2)).error.code == ALREADY_EXISTS


def test_a_job_beyond_the_backlog_is_told_to_come_later() -> None:
    cloud = ready(segments=64)
    cloud.machine._limits = Limits(backlog_bytes=33 * 40 * 64)
    error = refusal(cloud.open(job=b"k" * 32)).error
    assert error.code == EXHAUSTED
    assert read_details(error).reason == "LIMIT_BACKLOG_BYTES"
    assert read_details(error).retry_after is not None


def test_messages_before_hello_and_chunks_before_open_are_refused() -> None:
    cloud = Cloud()
    cloud.connection = 1
    cloud.edge(chunk=chunk(0, 0, 1))
    (close,) = [x for x in cloud.asked if isinstance(x, m.Close)]
    assert close.error.code == PRECONDITION
    cloud.connect()
    assert refusal(cloud.edge(chunk=chunk(0, 0, 1))).error.code == NOT_FOUND


def test_private_jobs_take_no_witness_and_cloud_jobs_no_proof() -> None:
    cloud = ready(placement=common_pb2.PLACEMENT_PRIVATE)
    assert refusal(cloud.edge(chunk=chunk(0, 0, 1))).error.code == PRECONDITION
    assert cloud.taken == []
    cloud.open(job=b"k" * 32)
    proof = uplink_pb2.SegmentProof(job_id=b"k" * 32, leaf=leaf(1, 2))
    assert refusal(cloud.edge(segment_proof=proof)).error.code == PRECONDITION


def prove(cloud: Cloud, leaves: list[common_pb2.LeafProof]) -> None:
    for i, proof in enumerate(leaves):
        cloud.edge(segment_proof=uplink_pb2.SegmentProof(job_id=JOB, segment=i, leaf=proof))


def checked(good: list[int], bad: list[int]) -> m.BatchChecked:
    return m.BatchChecked(
        b"b" * 32, tuple((JOB, i) for i in good), tuple((JOB, i) for i in bad), common_pb2.PhaseTiming(phase="verify")
    )


@pytest.mark.parametrize(("second", "holds"), [(5, True), (6, False)])
def test_links_are_checked_when_all_is_verified(second, holds) -> None:
    link = common_pb2.Link(from_segment=0, from_signal=1, to_segment=1, to_signal=0)
    cloud = ready(segments=2, placement=common_pb2.PLACEMENT_PRIVATE, links=[link])
    prove(cloud, [leaf(4, 5), leaf(second, 7)])
    assert m.LeavesComplete(JOB) in cloud.asked
    cloud.post(checked([0, 1], []))
    (update,) = [r.job_update for _, r in cloud.sent if r.HasField("job_update")]
    if holds:
        assert update.HasField("done")
    else:
        assert update.failed.code == PRECONDITION
        assert violated_field(update.failed) == "links[0]"
        assert "public signal 1 of segment 0" in update.failed.message
        assert "public signal 0 of segment 1" in update.failed.message


def test_a_bad_proof_is_named_and_its_neighbours_are_verified() -> None:
    cloud = ready(segments=3, placement=common_pb2.PLACEMENT_PRIVATE)
    prove(cloud, [leaf(i, i) for i in range(3)])
    cloud.post(checked([0, 2], [1]))
    states = [s.state for s in cloud.machine.jobs[JOB].segments]
    assert states == [6, 7, 6]
    (update,) = [r.job_update for _, r in cloud.sent if r.HasField("job_update")]
    assert violated_field(update.failed) == "segments[1].proof"


def test_a_returning_edge_is_told_what_it_missed() -> None:
    cloud = ready(placement=common_pb2.PLACEMENT_PRIVATE)
    prove(cloud, [leaf(1, 2)])
    cloud.post(m.Disconnected(cloud.connection))
    cloud.post(checked([0], []))
    cloud.connect()
    opened, proved, verified, done = cloud.open(placement=common_pb2.PLACEMENT_PRIVATE)
    assert opened.job_opened.positions[0].complete
    assert proved.segment_update.proved == leaf(1, 2)
    assert verified.segment_update.verified.batch_id == b"b" * 32
    assert done.job_update.HasField("done")


def test_cancelling_stops_everything_once() -> None:
    cloud = ready(segments=2)
    cloud.edge(chunk=chunk(0, 0, 10))
    answers = cloud.edge(abort_job=uplink_pb2.AbortJob(job_id=JOB))
    assert [a.job_update.failed.code for a in answers if a.HasField("job_update")] == [1]
    assert {x.key[1] for x in cloud.asked if isinstance(x, m.Discard)} == {0, 1}
    cloud.disk()
    cloud.post(m.LeafProved((JOB, 0), leaf(1, 1), ()))
    assert cloud.machine.jobs[JOB].state == 4


@pytest.mark.parametrize(("size", "kept"), [(20, True), (10_000, False)])
def test_a_job_that_its_edge_gives_up_with_a_reason_failed_for_that_reason(size: int, kept: bool) -> None:
    cloud = ready(segments=2)
    reason = status_pb2.Status(code=PRECONDITION, message="links[0]: " + "x" * size)
    (told,) = [
        a for a in cloud.edge(abort_job=uplink_pb2.AbortJob(job_id=JOB, error=reason)) if a.HasField("job_update")
    ]
    assert (told.job_update.failed == reason) is kept
    job = cloud.machine.jobs[JOB]
    assert (job.state, job.error.code, "links[0]" in job.error.message) == (3, PRECONDITION, True)
    assert job.error.ByteSize() <= 8192
    assert {x.key[1] for x in cloud.asked if isinstance(x, m.Discard)} == {0, 1}


def test_draining_takes_nothing_new() -> None:
    cloud = ready()
    cloud.post(m.Drain(500))
    assert cloud.sent[-1][1].draining.retry_after_millis == 500
    assert refusal(cloud.open(job=b"k" * 32)).error.code == 14
    cloud.edge(chunk=chunk(0, 0, 40))
    assert len(cloud.taken) == 1
    (close,) = cloud.post(m.Received(77, uplink_pb2.UplinkRequest(hello=uplink_pb2.Hello())))
    assert close.error.code == 14
