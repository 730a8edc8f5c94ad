"""A daemon's status as JSON, as a few lines, and as the screen of `top`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hybrid_prover.model import JobState, Priority, SegmentState
from hybrid_prover.security.principal import LOCAL
from hybrid_prover.servicestatus import EdgeSession, RunningJob, ServiceStatus, Stage, Worker

from .text import printable

KIND_STYLE = {"wait": "yellow", "compute": "green", "transfer": "blue"}
STATE_STYLE = {
    SegmentState.VERIFIED: "green",
    SegmentState.PROVED: "cyan",
    SegmentState.PROVING: "blue",
    SegmentState.UPLOADING: "magenta",
    SegmentState.WITNESSING: "yellow",
    SegmentState.QUEUED: "bright_black",
    SegmentState.FAILED: "red",
    SegmentState.CANCELLED: "red",
}
"""Furthest first: the order of a job's bar."""
BAR = 16


def describe(status: ServiceStatus) -> dict[str, object]:
    """The status as JSON; `waits` and `stages` in seconds."""
    plain = asdict(status)
    plain["jobs"] = {state.name.lower(): count for state, count in status.jobs.items()}
    plain["segments"] = _states(status.segments)
    plain["healthy"] = status.healthy
    plain["running"] = [
        {
            "job": str(j.id),
            "name": j.name,
            "placement": j.placement.name.lower(),
            "age": j.age,
            "client": j.client,
            "priority": j.priority.name.lower(),
            "deadline_in": j.left,
            "segments": _states(j.segments),
        }
        for j in status.running
    ]
    return plain


def _states(counts: Mapping[SegmentState, int]) -> dict[str, int]:
    return {state.name.lower(): count for state, count in counts.items()}


def lines(status: ServiceStatus) -> list[str]:
    """Health, queue and waits in three or four lines for `status`."""
    works = "provers" if status.tier == "cloud" else "workers"
    out = [
        f"{title(status)}: {health(status)}, up {span(status.uptime)}",
        f"  {status.jobs.get(JobState.RUNNING, 0)} jobs running, {_counts(status.segments) or 'no segments'}; "
        f"{status.busy} of {status.slots} {works} busy, {status.waiting} waiting; "
        f"{status.verified_last_minute} verified in the last minute",
    ]
    if waits := [s for s in status.stages if s.kind == "wait"]:
        told = ", ".join(f"{printable(s.name)} {seconds(s.p50)} / {seconds(s.p95)}" for s in waits)
        out.append(f"  waiting (median / 95 %): {told}")
    if status.tier == "cloud":
        connected = sum(s.connected for s in status.sessions)
        out.append(f"  {connected} edges connected, {size(status.backlog_bytes)} of witnesses unfinished")
    elif status.uplink is not None:
        state = "connected" if status.uplink.connected else "NOT connected"
        out.append(f"  {state} to {printable(status.uplink.cloud)}, {size(status.backlog_bytes)} not acknowledged")
    return out


def _plain(text: str) -> str:
    """What others chose, as it may stand in rich's markup and on a terminal."""
    return escape(printable(text))


def title(status: ServiceStatus) -> str:
    """Tier, name, version, device."""
    name = f" {status.name}" if status.name else ""
    device = f"{status.backend}, {status.device}" if status.device else status.backend
    return printable(f"{status.tier}{name} {status.version} ({device})")


def health(status: ServiceStatus) -> str:
    """One or two words."""
    if status.draining:
        return "draining"
    return "serving" if status.healthy else "serving, cut off from its cloud"


def screen(target: str, status: ServiceStatus, before: ServiceStatus | None, room: int = 1000) -> RenderableType:
    """One daemon for `top` in about `room` lines; `before` is an earlier status of the same process, for rates."""
    overview = _overview(status, before)
    parts: list[RenderableType] = [overview]
    left = room - overview.row_count - 2
    if left >= len(status.stages) + 5:
        parts += ["", _stages(status)]
        left -= len(status.stages) + 5
    if any(w.remote for w in status.workers) and left >= 5:
        shown = min(len(status.workers), left - 4)
        parts += ["", _workers(status.workers, shown)]
        left -= shown + 4
    if status.running and left >= 5:
        shown = min(len(status.running), left - 4)
        parts += ["", _jobs(status, shown)]
        left -= shown + 4
    if status.sessions and left >= 5:
        parts += ["", _sessions(status.sessions, left - 4)]
    colour = "green" if status.healthy else "yellow"
    name = f" {_plain(status.name)}" if status.name else ""
    head = f"[bold]{status.tier}{name}[/]  {_plain(target)}  {_plain(status.version)}"
    foot = f"up {span(status.uptime)}"
    return Panel(
        Group(*parts),
        title=head,
        title_align="left",
        subtitle=f"[{colour}]● {health(status)}[/]  {foot}",
        subtitle_align="left",
        border_style=colour,
        box=box.ROUNDED,
        padding=(0, 1),
    )


def unreachable(target: str, why: str) -> RenderableType:
    """The place of a daemon that does not answer."""
    return Panel(
        Text(printable(why, "\n")),
        title=f"[bold]{_plain(target)}[/]",
        title_align="left",
        border_style="red",
        padding=(0, 1),
    )


def _overview(status: ServiceStatus, before: ServiceStatus | None) -> Table:
    t = status.totals
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True, min_width=10)
    table.add_column(no_wrap=True, overflow="ellipsis")
    if status.device:
        table.add_row("device", f"{_plain(status.backend)}: {_plain(status.device)}")
    ended = f"{t.jobs_done} done, {t.jobs_failed} failed, {t.jobs_cancelled} cancelled"
    table.add_row("jobs", f"{status.jobs.get(JobState.RUNNING, 0)} running   {ended}")
    table.add_row("segments", _coloured(status.segments) or Text("none under way", style="bright_black"))
    table.add_row("throughput", _throughput(status, before))
    busy = Text.assemble(bar(status.busy, status.slots, 12, "green"), f" {status.busy} of ")
    works = "provers" if status.tier == "cloud" else "workers"
    busy.append(f"{status.slots} busy")
    busy.append(f"   {status.waiting} waiting", style="yellow" if status.waiting else "")
    table.add_row(works, busy)
    full = Text.assemble(bar(status.backlog_bytes, status.backlog_limit_bytes, 12, "magenta"))
    full.append(f" {size(status.backlog_bytes)} of {size(status.backlog_limit_bytes)}")
    full.append("   unfinished witnesses" if status.tier == "cloud" else "   not acknowledged")
    table.add_row("backlog", full)
    if status.uplink is not None:
        state = Text("connected", style="green") if status.uplink.connected else Text("NOT connected", style="red")
        credit = f"   credit {size(status.uplink.credit_bytes)}" if status.uplink.connected else ""
        table.add_row("uplink", Text.assemble(state, f" to {printable(status.uplink.cloud)}{credit}"))
    if trouble := _trouble(status):
        table.add_row("trouble", Text(trouble, style="yellow"))
    if status.loop_lag > 0.1:
        table.add_row("event loop", Text(f"late by {seconds(status.loop_lag)}", style="yellow"))
    return table


def _throughput(status: ServiceStatus, before: ServiceStatus | None) -> str:
    told = f"{status.verified_last_minute} segments verified in the last minute"
    if before is None or status.now <= before.now:
        return told
    seconds_between = status.now - before.now
    arrived = (status.totals.received_bytes - before.totals.received_bytes) / seconds_between
    sent = (status.totals.sent_bytes - before.totals.sent_bytes) / seconds_between
    return f"{told}   in {size(max(0, arrived))}/s   out {size(max(0, sent))}/s"


def _trouble(status: ServiceStatus) -> str:
    t = status.totals
    faults = "device faults" if status.tier == "cloud" else "leaf proofs refused"
    counted = (
        (t.quarantined, "segments quarantined"),
        (t.faults, faults),
        (t.worker_losses, "workers lost"),
        (t.refused, "messages refused"),
        (t.reconnects, "reconnects"),
    )
    return ", ".join(f"{count} {what}" for count, what in counted if count)


def _stages(status: ServiceStatus) -> RenderableType:
    if not status.stages:
        return Text("no segment has been measured yet", style="bright_black")
    whole = sum(s.seconds for s in status.stages) or 1.0
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        title="Where the time of segments goes",
        title_justify="left",
    )
    table.add_column("stage", no_wrap=True, min_width=10)
    table.add_column("", no_wrap=True, min_width=8)
    for head in ("median", "95 %", "longest"):
        table.add_column(head, justify="right", no_wrap=True, min_width=7)
    table.add_column("count", justify="right", no_wrap=True, min_width=5)
    table.add_column("share", no_wrap=True)
    for s in status.stages:
        style = KIND_STYLE.get(s.kind, "")
        recent = (seconds(s.p50), seconds(s.p95), seconds(s.longest)) if s.recent else ("-", "-", "-")
        share = Text.assemble(bar(s.seconds, whole, 8, style), f" {s.seconds / whole:4.0%}")
        table.add_row(_plain(s.name), Text(printable(s.kind), style=style), *recent, f"{s.count:,}", share)
    return Group(table, _waiting_and_work(status.stages))


def _waiting_and_work(stages: tuple[Stage, ...]) -> Text:
    sums = {kind: sum(s.seconds for s in stages if s.kind == kind) for kind in KIND_STYLE}
    whole = sum(sums.values())
    out = Text(" ")
    if not whole:
        return out
    for kind, style in KIND_STYLE.items():
        out.append(f"{kind} {sums[kind] / whole:.0%}   ", style=style)
    return out


def _workers(workers: tuple[Worker, ...], rows: int) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, title="Workers", title_justify="left")
    table.add_column("worker", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("segments", justify="right", no_wrap=True)
    table.add_column("wires/s", justify="right", no_wrap=True)
    for w in workers[:rows]:
        state = Text("connected", style="green") if w.connected else Text("away", style="yellow")
        speed = f"{w.wires_per_second:,.0f}" if w.wires_per_second else "-"
        table.add_row(_plain(w.name[:32]), state, f"{w.busy} of {w.slots}", speed)
    if len(workers) > rows:
        table.add_row(f"and {len(workers) - rows} more", "", "", "")
    return table


def _sessions(sessions: tuple[EdgeSession, ...], rows: int) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, title="Edges", title_justify="left")
    table.add_column("edge", no_wrap=True)
    table.add_column("session", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("credit", justify="right", no_wrap=True)
    table.add_column("in flight", justify="right", no_wrap=True)
    for s in sessions[:rows]:
        state = Text("connected", style="green") if s.connected else Text("away", style="yellow")
        name = _plain(s.edge_name[:32]) or "-"
        table.add_row(name, _plain(s.fingerprint), state, size(s.credit_bytes), size(s.in_flight_bytes))
    if len(sessions) > rows:
        table.add_row(f"and {len(sessions) - rows} more", "", "", "", "")
    return table


def _jobs(status: ServiceStatus, rows: int) -> RenderableType:
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, title="Running jobs, oldest first", title_justify="left"
    )
    table.add_column("job", no_wrap=True, min_width=12)
    table.add_column("name", no_wrap=True, max_width=24)
    table.add_column("placement", no_wrap=True, min_width=9)
    table.add_column("age", justify="right", no_wrap=True, min_width=8)
    table.add_column("segments", no_wrap=True, overflow="ellipsis")
    for job in status.running[:rows]:
        progress = Text.assemble(_job_bar(job), " ", _coloured(job.segments))
        whose = f"{job.client}: " if job.client not in ("", LOCAL.client) else ""
        marks = {Priority.LOW: " -", Priority.HIGH: " +", Priority.URGENT: " !"}.get(job.priority, "")
        left = f" ({span(max(job.left, 0))} left)" if job.left is not None else ""
        name = _plain(f"{whose}{job.name or '-'}{marks}{left}")
        table.add_row(str(job.id)[:12], name, job.placement.name.lower(), span(job.age), progress)
    more = status.jobs.get(JobState.RUNNING, 0) - min(rows, len(status.running))
    if more > 0:
        table.add_row(f"and {more} more", "", "", "", "")
    return table


def _job_bar(job: RunningJob) -> Text:
    """One cell a share of the segments, furthest state first."""
    whole, out, drawn, seen = sum(job.segments.values()), Text(), 0, 0
    for state, style in STATE_STYLE.items():
        seen += job.segments.get(state, 0)
        until = round(BAR * seen / whole) if whole else 0
        out.append("█" * (until - drawn), style=style)
        drawn = until
    return out


def _coloured(counts: Mapping[SegmentState, int]) -> Text:
    """Counts by state, in a segment's order."""
    out = Text()
    for state in SegmentState:
        if counts.get(state):
            out.append(f"{', ' if out else ''}{counts[state]} {state.name.lower()}", style=STATE_STYLE[state])
    return out


def _counts(counts: Mapping[SegmentState, int]) -> str:
    return _coloured(counts).plain


def bar(value: float, whole: float, cells: int, style: str) -> Text:
    """A bar of that many cells, filled in eighths."""
    eighths = round(cells * 8 * min(1.0, value / whole)) if whole > 0 else 0
    full, part = divmod(eighths, 8)
    filled = "█" * full + ("▏▎▍▌▋▊▉"[part - 1] if part else "")
    return Text.assemble((filled, style), ("░" * (cells - len(filled)), "bright_black"))


def seconds(value: float) -> str:
    """A duration in the unit that fits."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms" if value >= 0.01 or not value else f"{value * 1000:.1f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s" if value < 600 else span(value)


def span(value: float) -> str:
    """A long duration in its two largest units."""
    whole = int(value)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def size(value: float) -> str:
    """Bytes in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1023.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
