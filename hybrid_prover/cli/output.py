"""What a command says: results on the standard output, progress on the standard error, live only on a terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from .text import printable

Advance: TypeAlias = Callable[[int, int], None]
"""Called with how much is done and how much there is."""

BackendName: TypeAlias = Literal["cpu", "cuda", "reference"]


class Output:
    """One command's voice. `as_json` leaves one JSON object on the standard output and nothing else there."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)
        self.live = self.err.is_terminal and not as_json

    def say(self, text: str) -> None:
        """A line for people; nothing under --json."""
        if not self.as_json:
            self.out.print(printable(text, "\n"), markup=False)

    def note(self, text: str) -> None:
        """A line about what is going on, on the standard error."""
        self.err.print(printable(text, "\n"), markup=False)

    def result(self, value: Mapping[str, object]) -> None:
        """The outcome as JSON, under --json only."""
        if self.as_json:
            json.dump(value, sys.stdout, indent=2)
            sys.stdout.write("\n")

    @contextmanager
    def step(self, name: str) -> Iterator[Advance]:
        """One phase of long work: a live bar on a terminal, else one line with the time it took."""
        start = time.perf_counter()
        if self.live:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
            with Progress(*columns, TimeElapsedColumn(), console=self.err, transient=True) as progress:
                task = progress.add_task(name, total=None)
                yield lambda done, total: progress.update(task, completed=done, total=total)
        else:
            yield lambda done, total: None
        if not self.as_json:
            self.note(f"{name}: {time.perf_counter() - start:.2f} s")
