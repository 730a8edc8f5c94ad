"""What the services' suites share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import CannotRun, Postgres
from store_book import Place


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL server; whoever stops or kills it starts it again."""
    try:
        server = Postgres()
    except CannotRun as e:
        pytest.skip(f"no PostgreSQL server here: {e}")
    with server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place for a database, once of each kind."""
    if request.param == "sqlite":
        return Place(tmp_path)
    return Place(tmp_path, request.getfixturevalue("postgres").new_schema())


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The `database` setting for tests of a whole cloud: PostgreSQL with HYBRID_PROVER_TEST_DATABASE=postgres."""
    if os.environ.get("HYBRID_PROVER_TEST_DATABASE") != "postgres":
        return ""
    return request.getfixturevalue("postgres").new_schema()
