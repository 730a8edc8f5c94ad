"""Placement split at the cloud: partials are bound, durable, traced to who sent them, refused from who lied once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cloud_edge import cut, make_sample
from store_book import Place
from test_cloud_machine import (
    ALREADY_EXISTS,
    DATA_LOSS,
    INVALID,
    JOB,
    Cloud,
    chunk,
    leaf,
    ready,
    refusal,
)

from cloud import messages as m
from cloud import store as db
from cloud.chunklog import ChunkLogReader, chunk_record, end_record, log_path, parse_record, partial_origins, recover
from cloud.errors import violated_field
from cloud.model import PROVING, job_view
from cloud.partialcheck import wrong_partials
from cloud.sessions import Session
from cloud.trust import Distrust, TrustBook
from hybrid_prover.v1 import common_pb2, uplink_pb2
from prover_core.backend import select
from prover_core.formats.chunk import decode_chunk, partial_digest
from prover_core.groth16 import PARTIAL_BYTES, partial_of

SPLIT = common_pb2.PLACEMENT_SPLIT
FIRST, SECOND = b"s" * 16, b"t" * 16
POINTS = bytes(range(256)) + bytes(PARTIAL_BYTES - 256)


def with_partial(sequence: int, offset: int, count: int, points: bytes = POINTS, **options) -> uplink_pb2.Chunk:
    made = chunk(sequence, offset, count, **options)
    made.partial.points = points
    made.partial.digest = partial_digest(made.digest, points)
    return made


def witnessed(cloud: Cloud, sequences: tuple[int, ...] = (1, 3)) -> None:
    """A whole witness of four chunks, those of these sequence numbers with partials; all on disk."""
    for k in range(4):
        cloud.edge(chunk=with_partial(k, 10 * k, 10) if k in sequences else chunk(k, 10 * k, 10))
    cloud.edge(segment_end=uplink_pb2.SegmentEnd(job_id=JOB, segment=0, chunk_count=4))
    cloud.disk()
    assert cloud.machine.jobs[JOB].segments[0].state == PROVING


def use(cloud: Cloud) -> tuple[int, int, int]:
    shown = job_view(cloud.machine.jobs[JOB]).segments[0].partials
    return shown.chunks, shown.partials, shown.wrong


def test_chunks_of_a_split_job_come_with_and_without_partials_and_are_counted() -> None:
    cloud = ready(placement=SPLIT)
    witnessed(cloud)
    assert use(cloud) == (4, 2, 0)
    assert [c.HasField("partial") for c in cloud.taken] == [False, True, False, True]
    plain = ready()
    plain.edge(chunk=chunk(0, 0, 10))
    assert not job_view(plain.machine.jobs[JOB]).segments[0].HasField("partials")


def test_a_partial_is_no_part_of_what_a_chunk_is() -> None:
    cloud = ready(placement=SPLIT)
    cloud.edge(chunk=chunk(0, 0, 10))
    (again,) = cloud.edge(chunk=with_partial(0, 0, 10))
    assert again.HasField("ack")
    other = with_partial(0, 0, 10, base=5)
    assert refusal(cloud.edge(chunk=other)).error.code == ALREADY_EXISTS
    assert len(cloud.taken) == 1
    assert use(cloud) == (1, 0, 0)


@pytest.mark.parametrize("what", ["points", "digest", "moved"])
def test_altered_partials_are_asked_for_again(what: str) -> None:
    cloud = ready(placement=SPLIT)
    bad = with_partial(0, 0, 10)
    match what:
        case "points":
            bad.partial.points = b"\x01" + POINTS[1:]
        case "digest":
            bad.partial.digest = bytes(32)
        case _:
            bad.partial.CopyFrom(with_partial(1, 10, 10).partial)
    refused = refusal(cloud.edge(chunk=bad))
    assert (refused.error.code, refused.next_sequence) == (DATA_LOSS, 0)
    assert violated_field(refused.error) == "segments[0].chunks[0].partial.digest"
    assert cloud.taken == []
    cloud.edge(chunk=with_partial(0, 0, 10))
    assert len(cloud.taken) == 1


@pytest.mark.parametrize("size", [0, PARTIAL_BYTES - 1, PARTIAL_BYTES + 1])
def test_partials_of_another_size_are_refused(size: int) -> None:
    cloud = ready(placement=SPLIT)
    refused = refusal(cloud.edge(chunk=with_partial(0, 0, 10, bytes(size))))
    assert refused.error.code == INVALID
    assert violated_field(refused.error) == "segments[0].chunks[0].partial.points"


def test_other_placements_take_no_partials() -> None:
    cloud = ready()
    refused = refusal(cloud.edge(chunk=with_partial(0, 0, 10)))
    assert refused.error.code == INVALID
    assert violated_field(refused.error) == "segments[0].chunks[0].partial"


def test_wrong_partials_are_traced_and_their_edge_is_told_and_trusted_no_more() -> None:
    cloud = ready(placement=SPLIT)
    assert cloud.sent[0][1].welcome.takes_partials
    cloud.edge(chunk=with_partial(0, 0, 10))
    cloud.edge(chunk=with_partial(1, 10, 10))
    cloud.connect(SECOND)
    cloud.open(placement=SPLIT)
    cloud.edge(chunk=with_partial(2, 20, 10))
    cloud.edge(chunk=chunk(3, 30, 10))
    cloud.edge(segment_end=uplink_pb2.SegmentEnd(job_id=JOB, segment=0, chunk_count=4))
    cloud.disk()
    mark = len(cloud.sent)
    out = cloud.post(m.PartialsWrong((JOB, 0), (2,)))
    (saved,) = [x.record for x in out if isinstance(x, m.SaveDistrust)]
    assert (saved.session_id, saved.edge_name, saved.sequences) == (SECOND, "e", (2,))
    # Nobody is told before it is durable.
    assert out.index(m.SaveDistrust(saved)) < min(i for i, x in enumerate(out) if isinstance(x, m.Send))
    ((connection, told),) = cloud.sent[mark:]
    assert connection == cloud.connection
    assert list(told.partials_refused.sequences) == [2]
    assert use(cloud) == (4, 3, 1)
    # The job goes on, with what the prover made of the chunks themselves.
    cloud.post(m.LeafProved((JOB, 0), leaf(1, 2), ()))
    assert cloud.machine.jobs[JOB].segments[0].leaf is not None
    assert cloud.machine.jobs[JOB].segments[0].partial_origins == {}
    (welcome, *_) = cloud.connect(SECOND)
    assert not welcome.welcome.takes_partials
    (welcome, *_) = cloud.connect(FIRST)
    assert welcome.welcome.takes_partials


def test_partials_of_an_edge_that_is_not_trusted_are_left_out_and_its_chunks_taken() -> None:
    cloud = ready(placement=SPLIT)
    cloud.machine.trust.add(Distrust(FIRST, "", "e", JOB, 0, (1,), 5))
    witnessed(cloud)
    assert not any(c.HasField("partial") for c in cloud.taken)
    assert use(cloud) == (4, 0, 0)
    assert [x for x in cloud.post(m.PartialsWrong((JOB, 0), (1, 3))) if isinstance(x, m.SaveDistrust)] == []


def test_wrong_partials_of_an_edge_that_is_away_or_a_job_that_is_gone() -> None:
    cloud = ready(placement=SPLIT)
    witnessed(cloud)
    cloud.post(m.Disconnected(cloud.connection))
    out = cloud.post(m.PartialsWrong((JOB, 0), (1, 3)))
    assert [x.record.sequences for x in out if isinstance(x, m.SaveDistrust)] == [(1, 3)]
    assert not any(isinstance(x, m.Send) for x in out)
    assert not any(isinstance(x, m.SaveDistrust) for x in cloud.post(m.PartialsWrong((JOB, 0), (1, 3))))
    assert cloud.post(m.PartialsWrong((b"k" * 32, 0), (1,))) == []


def test_an_edge_is_known_by_session_and_by_certificate() -> None:
    book = TrustBook()
    first = Distrust(FIRST, "spiffe://d/edge/one", "one", JOB, 0, (1,), 7)
    assert book.add(first)
    assert not book.add(first)
    assert not book.trusts(FIRST, "")
    assert not book.trusts(SECOND, "spiffe://d/edge/one")
    assert book.trusts(SECOND, "spiffe://d/edge/two")
    book.add(Distrust(SECOND, "", "two", JOB, 0, (2,), 3))
    assert book.trusts(b"u" * 16, "")
    assert book.called("") == book.called("nobody") == []
    assert book.called("spiffe://d/edge/one") == book.called(first.fingerprint) == [first]
    book.forgive(FIRST)
    assert book.trusts(FIRST, "spiffe://d/edge/one")
    book.add(first)
    again = TrustBook()
    again.load(book.records())
    assert [r.since_nanos for r in again.records()] == [3, 7]
    assert not again.trusts(SECOND, "")


# What is on disk.


def write_log(root: Path, records: list[bytes]) -> Path:
    path = log_path(root, (JOB, 0))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(records))
    return path


def log_records() -> list[bytes]:
    chunks = [with_partial(k, 10 * k, 10) if k % 2 else chunk(k, 10 * k, 10) for k in range(4)]
    return [chunk_record(c, SECOND if k > 2 else FIRST) for k, c in enumerate(chunks)]


def test_a_log_keeps_partials_and_who_sent_them(tmp_path: Path) -> None:
    path = write_log(tmp_path, [*log_records(), end_record(4)])
    found = recover(tmp_path, (JOB, 0), 40)
    assert found.ended
    assert [(c.partial, c.origin) for c in found.chunks] == [(b"", b""), (POINTS, FIRST), (b"", b""), (POINTS, SECOND)]
    assert partial_origins(tmp_path, (JOB, 0)) == {1: FIRST, 3: SECOND}
    reader = ChunkLogReader(path)
    read = [reader.next() for _ in range(5)]
    reader.close()
    assert [r.sequence for r in read if r] == [0, 1, 2, 3]
    assert [r.payload for r in read if r] == [chunk(k, 10 * k, 10).payload for k in range(4)]
    assert read[1] is not None
    assert read[1].partial == POINTS
    reader = ChunkLogReader(path)
    reader.skip(3)
    last = reader.next()
    reader.close()
    assert last is not None
    assert (last.sequence, last.origin) == (3, SECOND)


def test_a_damaged_partial_ends_a_log_like_a_damaged_chunk(tmp_path: Path) -> None:
    whole = log_records()
    size = len(whole[1])
    for k, place in enumerate((96, size - 40, size - 200, size - 1, size - 368)):
        broken = bytearray(whole[1])
        broken[place] ^= 1
        root = tmp_path / str(k)
        write_log(root, [whole[0], bytes(broken), *whole[2:]])
        assert len(recover(root, (JOB, 0), 40).chunks) == 1
    for missing in (1, 100, 300, 400):
        assert parse_record(whole[1][:-missing]) is None


def test_stores_keep_whom_not_to_trust_and_what_came_with_partials(place: Place) -> None:
    cloud = ready(placement=SPLIT)
    witnessed(cloud)
    out = cloud.post(m.PartialsWrong((JOB, 0), (3,)))
    record = next(x.record for x in out if isinstance(x, m.SaveDistrust))
    earlier = Distrust(SECOND, "spiffe://d/edge/two", "zwei", JOB, 2, (0, 7), 1)
    store = place.open()
    assert store.distrusted() == []
    job = cloud.machine.jobs[JOB]
    store.write([*db.job_writes(job), db.distrust_write(record), db.distrust_write(earlier)])
    store.write([db.distrust_write(record), db.distrust_write(replace(record, session_id=b"u" * 16, forgiven_nanos=9))])
    store.close()
    store = place.open()
    assert store.distrusted() == [earlier, record]
    read = store.load_job(JOB)
    assert read is not None
    assert (read.segments[0].partials, read.segments[0].partials_wrong) == (2, 1)
    store.close()


def test_sessions_remember_what_people_call_an_edge() -> None:
    session = Session(FIRST, 10)
    assert (session.edge_name, session.identity) == ("", "")
    cloud = ready(placement=SPLIT)
    known = cloud.machine.sessions.known(FIRST)
    assert known is not None
    assert known.edge_name == "e"


def test_a_worker_that_accuses_an_edge_is_not_taken_at_its_word(tmp_path: Path) -> None:
    backend = select("cpu", threads=1).backend
    sample = make_sample(tmp_path, backend)
    chunks = cut(JOB, 0, sample.wires(3), 16)
    for k, made in enumerate(chunks):
        values = decode_chunk(made.payload, made.wire_count)
        points = partial_of(sample.key, made.wire_offset, values, backend).to_bytes()
        if k == 1:
            points = bytes(PARTIAL_BYTES)
        elif k == 2:
            points = b"\x01" * PARTIAL_BYTES
        elif k == 3:
            continue
        made.partial.points = points
    write_log(tmp_path, [*[chunk_record(c, FIRST) for c in chunks], end_record(len(chunks))])
    everything = range(len(chunks))
    assert wrong_partials(tmp_path, (JOB, 0), everything, sample.key, backend) == (1, 2)
    assert wrong_partials(tmp_path, (JOB, 0), {0, 2, 3}, sample.key, backend) == (2,)
    assert wrong_partials(tmp_path, (JOB, 0), {0}, sample.key, backend) == ()
    with pytest.raises(OSError, match="No such file"):
        wrong_partials(tmp_path, (JOB, 1), {0}, sample.key, backend)


def test_a_new_session_under_a_distrusted_certificate_is_not_trusted() -> None:
    cloud = Cloud()

    def hello(session: bytes, identity: str) -> uplink_pb2.Welcome:
        cloud.connection += 1
        said = uplink_pb2.UplinkRequest(hello=uplink_pb2.Hello(session_id=session, edge_name="e", protocol_version=1))
        cloud.post(m.Received(cloud.connection, said, edge=identity))
        return cloud.sent[-1][1].welcome

    one, two = "spiffe://hybrid-prover/edge/one", "spiffe://hybrid-prover/edge/two"
    assert hello(FIRST, one).takes_partials
    cloud.machine.trust.add(Distrust(FIRST, one, "e", JOB, 0, (1,), 5))
    assert not hello(SECOND, one).takes_partials
    cloud.post(m.Disconnected(cloud.connection))
    assert hello(b"u" * 16, two).takes_partials
