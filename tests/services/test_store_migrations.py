"""Databases of older versions are brought to this one; those of newer ones are left alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from store_book import Place, make_job

from cloud import store as db
from cloud.model import JOB_FAILED, VERIFIED
from cloud.store.migrate import migrations, upgrade
from cloud.store.schema import METADATA

LEGACY = Path(__file__).resolve().parent.parent / "vectors" / "cloud-0.1.0.sql"
HEAD = ScriptDirectory.from_config(migrations()).get_current_head()


def to(place: Place, revision: str) -> None:
    engine = place.engine()
    with engine.begin() as connection:
        upgrade(connection, revision)


def versions(place: Place) -> list[str]:
    return [row[0] for row in place.execute("SELECT version_num FROM alembic_version")]


def test_the_migrations_make_the_tables_of_the_models(place: Place) -> None:
    place.open().close()
    with place.engine().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
    assert place.tables() == {*METADATA.tables, "alembic_version"}


def test_every_step_has_one_before_it() -> None:
    script = ScriptDirectory.from_config(migrations())
    assert script.get_bases() == ["0001"]
    assert len(script.get_heads()) == 1


def rows_of_the_baseline(connection: sa.Connection) -> None:
    """A job as the tables of the baseline have it, whatever the models have become."""
    old = sa.MetaData()
    old.reflect(connection)

    def put(table: str, **row: object) -> None:
        connection.execute(sa.insert(old.tables[table]), row)

    job = {"job_id": b"j" * 32}
    place = {**job, "position": 0}
    put("circuits", digest=b"c" * 32, name="withdraw", record=b"")
    put("jobs", **job, name="old", placement=1, state=1, accepted_nanos=7, ended_nanos=0, revision=3)
    put("batches", batch_id=b"b" * 32, verification_key=b"c" * 32, size=1, failed=0, cause="size", closed_nanos=9)
    put(
        "segments", **place, circuit=b"c" * 32, wires=40, n_public=2, state=6, chunks=3, wires_acked=40,
        batch_id=b"b" * 32,
    )  # fmt: skip
    put("links", **place, from_segment=0, from_signal=0, to_segment=1, to_signal=1)
    put("proofs", **place, a=b"A" * 64, b=b"B" * 128, c=b"C" * 64, public_signals=b"p" * 64)
    put("timings", **place, number=0, phase="finish", start_unix_nanos=5, duration_nanos=6)


def test_a_database_of_the_baseline_is_brought_up_with_what_is_in_it(place: Place) -> None:
    with place.engine().begin() as connection:
        upgrade(connection, "0001")
        rows_of_the_baseline(connection)
    assert versions(place) == ["0001"]
    store = place.open()
    job = store.load_job(b"j" * 32)
    assert job is not None
    assert (job.name, job.revision, job.segments[0].state, len(job.links)) == ("old", 3, VERIFIED, 1)
    assert job.segments[0].leaf.proof.b == b"B" * 128
    assert store.load_batch(b"b" * 32).members == ((b"j" * 32, 0),)
    store.write(db.job_writes(make_job(b"n")))
    store.close()
    assert versions(place) == [HEAD]


def test_a_database_of_the_future_is_refused_and_left_alone(place: Place) -> None:
    place.open().close()
    place.execute("UPDATE alembic_version SET version_num = '9999'")
    before = place.tables()
    with pytest.raises(db.StoreVersionError, match=f"schema 9999.*up to {HEAD}"):
        place.open()
    assert (versions(place), place.tables()) == (["9999"], before)


def test_an_upgrade_that_fails_leaves_no_table(place: Place) -> None:
    place.execute("CREATE TABLE ownership (what INTEGER)")
    with pytest.raises(db.StoreError):
        place.open()
    assert place.tables() == {"ownership"}
    place.execute("DROP TABLE ownership")
    place.open().close()
    assert versions(place) == [HEAD]


def test_an_upgrade_of_a_full_database_that_fails_leaves_it_as_it_was(place: Place) -> None:
    with place.engine().begin() as connection:
        upgrade(connection, "0001")
        rows_of_the_baseline(connection)
        connection.exec_driver_sql("CREATE TABLE ownership (what INTEGER)")
    with pytest.raises(db.StoreError):
        place.open()
    assert versions(place) == ["0001"]
    assert place.execute("SELECT name FROM jobs") == [("old",)]


@pytest.fixture
def legacy(tmp_path: Path) -> Place:
    """A database that version 0.1.0 has written."""
    file = sqlite3.connect(tmp_path / "cloud.sqlite")
    file.executescript(LEGACY.read_text())
    file.close()
    return Place(tmp_path)


def test_a_file_of_version_0_1_0_is_taken_over(legacy: Place) -> None:
    store = legacy.open()
    assert [c.name for c in store.circuits()] == ["withdraw"]
    (running,) = store.unfinished()
    assert (running.name, running.revision, [s.state for s in running.segments]) == ("block 7", 4, [VERIFIED, 1])
    assert running.segments[0].leaf.public_signals == [b"p" * 32, b"q" * 32]
    failed = store.load_job(b"k" * 32)
    assert failed is not None
    assert (failed.state, failed.error.message) == (JOB_FAILED, "broken")
    store.write(db.job_writes(make_job(b"n")))
    store.close()
    assert versions(legacy) == [HEAD]
    # Version 0.1.0 reads 1 only: it says so instead of writing to tables it does not know.
    assert legacy.execute("PRAGMA user_version") == [(2,)]


def test_a_file_of_version_0_1_0_whose_making_was_killed(legacy: Place) -> None:
    legacy.execute("DROP TABLE timings")
    legacy.execute("DROP INDEX jobs_by_time")
    store = legacy.open()
    assert len(store.newest(9)) == 2
    store.close()
    assert {"timings", "ownership"} <= legacy.tables()
    assert "jobs_by_time" in {i["name"] for i in sa.inspect(legacy.engine()).get_indexes("jobs")}


@pytest.mark.parametrize("number", [2, 7])
def test_a_file_of_another_make_is_refused(tmp_path: Path, number: int) -> None:
    place = Place(tmp_path)
    place.execute("CREATE TABLE notes (text TEXT)")
    place.execute(f"PRAGMA user_version={number}")
    with pytest.raises(db.StoreVersionError, match=f"user_version {number}"):
        place.open()
    assert place.tables() == {"notes"}


def test_what_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "cloud.sqlite").write_bytes(b"not a database, and long enough to be looked at" * 30)
    with pytest.raises(db.StoreError, match="not a database"):
        Place(tmp_path).open()
