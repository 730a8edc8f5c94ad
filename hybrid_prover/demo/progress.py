"""Live progress of operations on a terminal, one line an operation where nobody looks."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from examples.rollup.decompose import OperationJob
from hybrid_prover.cli.output import Output
from hybrid_prover.model import Job, SegmentState

SHOWN = (SegmentState.WITNESSING, SegmentState.UPLOADING, SegmentState.PROVING, SegmentState.PROVED)


class Board:
    """Shows what is going on; used as a context manager around all measurements."""

    def __init__(self, output: Output) -> None:
        self._output = output
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[where]}", markup=False),
        )
        self._progress = Progress(*columns, console=output.err, transient=True, disable=not output.live)
        self._title: TaskID | None = None
        self._tasks: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def title(self, text: str) -> None:
        """What is being done now; forgets the operations shown before."""
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._tasks.clear()
        self._title = self._progress.add_task(text, total=None, where="")
        if not self._output.live and not self._output.as_json:
            self._output.note(text)

    def watcher(self, job: OperationJob) -> Callable[[Job], None]:
        """A line for this operation, and what to call with each state of its job."""
        task = self._progress.add_task(job.name, total=len(job.segments), where="")
        self._tasks[id(job)] = task

        def seen(state: Job) -> None:
            where = ", ".join(f"{state.count(s)} {s.name.lower()}" for s in SHOWN if state.count(s))
            self._progress.update(task, completed=state.count(SegmentState.VERIFIED), where=where)

        return seen

    def finished(self, job: OperationJob, seconds: float) -> None:
        """The operation's proofs are verified."""
        self._progress.update(self._tasks[id(job)], where=f"verified in {seconds:.2f} s")
        if not self._output.live and not self._output.as_json:
            self._output.note(f"  {job.name}: {len(job.segments)} segments verified in {seconds:.2f} s")
