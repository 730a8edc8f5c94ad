"""What only a database server can do to a store: die, stop answering, come back, belong to somebody else."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from postgres import Postgres
from store_book import Place, make_job, prove

from cloud import store as db
from cloud.config import CloudConfig
from cloud.store.interface import Store
from prover_core.errors import InvalidInputError


@pytest.fixture
def place(postgres: Postgres, tmp_path: Path) -> Place:
    return Place(tmp_path, postgres.new_schema())


def names(store: Store) -> list[str]:
    return [job.name for job in reversed(store.newest(10_000))]


def put(store: Store, i: int) -> None:
    job = make_job(f"{i:05}".encode(), 2, i)
    prove(job.segments[1])
    store.write(db.job_writes(job) + db.segment_writes(job, job.segments[1]))


def sessions(postgres: Postgres) -> str:
    return "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hybrid-prover cloud'"


def test_writes_go_on_over_a_server_that_is_killed_and_cut_off(postgres: Postgres, place: Place) -> None:
    store = place.open()
    done = threading.Event()
    cuts = [0]

    def trouble() -> None:
        while not done.is_set():
            time.sleep(0.15)
            if cuts[0] % 3 == 0:
                postgres.kill()
                postgres.start()
            else:
                postgres.execute(sessions(postgres))
            cuts[0] += 1

    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        count = 0
        while cuts[0] < 9:
            put(store, count)
            count += 1
    finally:
        done.set()
        thread.join()
    assert names(store) == [f"{i:05}" for i in range(count)]
    assert all(job.segments[1].leaf is not None for job in store.newest(10_000))
    store.close()


def test_a_database_that_stays_away_ends_the_store(postgres: Postgres, place: Place) -> None:
    store = place.open(0.6)
    put(store, 0)
    postgres.stop()
    try:
        begun = time.monotonic()
        with pytest.raises(db.StoreUnavailableError, match="is away") as e:
            put(store, 1)
        assert 0.5 < time.monotonic() - begun < 5
        assert "prover@127.0.0.1" in str(e.value)
    finally:
        postgres.start()
    for call in (lambda: put(store, 2), lambda: store.newest(1), lambda: store.circuits()):
        with pytest.raises(db.StoreUnavailableError):
            call()
    store.close()
    again = place.open()
    assert names(again) in (["00000"], ["00000", "00001"])
    again.close()


def test_a_server_that_stops_answering_counts_as_away(postgres: Postgres, place: Place) -> None:
    store = place.open(1.0)
    put(store, 0)
    postgres.freeze()
    try:
        with pytest.raises(db.StoreUnavailableError):
            put(store, 1)
    finally:
        postgres.thaw()
    store.close()


def test_a_server_that_hangs_for_a_while_is_waited_for(postgres: Postgres, place: Place) -> None:
    store = place.open(12.0)
    postgres.freeze()
    timer = threading.Timer(0.5, postgres.thaw)
    timer.start()
    put(store, 0)
    timer.join()
    assert names(store) == ["00000"]
    store.close()


def test_a_cloud_starts_before_its_database(postgres: Postgres, place: Place) -> None:
    postgres.stop()
    timer = threading.Timer(0.3, postgres.start)
    timer.start()
    store = place.open()
    timer.join()
    put(store, 0)
    store.close()


def test_the_lock_is_waited_for(place: Place) -> None:
    first = place.open()
    timer = threading.Timer(0.3, first.close)
    timer.start()
    second = place.open()
    timer.join()
    assert second.epoch == first.epoch + 1
    second.close()


def test_a_cloud_whose_database_another_one_has_had_stops(postgres: Postgres, place: Place) -> None:
    """The lock is lost with the connection; what happened before it was had again shows in the epoch."""
    store = place.open()
    put(store, 0)
    place.execute("UPDATE ownership SET epoch = epoch + 1")
    postgres.execute(sessions(postgres))
    with pytest.raises(db.StoreInUseError, match="has used"):
        put(store, 1)
    with pytest.raises(db.StoreInUseError, match="has used"):
        store.newest(1)
    store.close()
    again = place.open()
    assert names(again) == ["00000"]
    again.close()


def test_commits_wait_for_the_disk_whatever_the_default(postgres: Postgres, place: Place) -> None:
    postgres.execute("ALTER ROLE prover SET synchronous_commit = off")
    try:
        store = place.open()
        put(store, 0)
        assert store._run(lambda c: c.exec_driver_sql("SHOW synchronous_commit").scalar_one()) == "on"
        store.close()
    finally:
        postgres.execute("ALTER ROLE prover RESET synchronous_commit")


def test_a_server_that_does_not_sync_is_refused(postgres: Postgres, place: Place) -> None:
    postgres.execute("ALTER SYSTEM SET fsync = off")
    postgres.execute("SELECT pg_reload_conf()")
    try:
        deadline = time.monotonic() + 10
        while postgres.execute("SHOW fsync") != [("off",)] and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(db.StoreError, match="fsync=off"):
            place.open()
    finally:
        postgres.execute("ALTER SYSTEM RESET fsync")
        postgres.execute("SELECT pg_reload_conf()")


def test_text_that_postgres_cannot_hold_is_an_error_of_that_list_alone(place: Place) -> None:
    store = place.open()
    job = make_job(b"j")
    job.name = "a\0b"
    with pytest.raises(db.StoreError) as e:
        store.write(db.job_writes(job))
    assert not isinstance(e.value, db.StoreUnavailableError)
    put(store, 0)
    store.close()


@pytest.mark.parametrize("url", ["mysql://host/x", "sqlite:///x", "postgresql:x", "nonsense"])
def test_a_setting_that_is_no_database_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as e:
        db.open_store(url, tmp_path, 1)
    assert e.value.field == "database"
    with pytest.raises(InvalidInputError) as e:
        CloudConfig(database=url)
    assert e.value.field == "database"


def test_passwords_are_not_told(tmp_path: Path) -> None:
    url = "postgresql://prover:geheim@127.0.0.1:1/x"
    with pytest.raises(db.StoreUnavailableError) as e:
        db.open_store(url, tmp_path, 0.1)
    assert "geheim" not in str(e.value)
    assert "geheim" not in repr(CloudConfig(database=url))


def test_the_lock_is_that_of_the_schema(postgres: Postgres, tmp_path: Path) -> None:
    first, second = (Place(tmp_path, postgres.new_schema()).open() for _ in range(2))
    put(first, 0)
    assert names(second) == []
    first.close()
    second.close()


def test_tables_are_in_the_place_that_the_url_names(place: Place) -> None:
    place.open().close()
    assert "jobs" in sa.inspect(place.engine()).get_table_names()
