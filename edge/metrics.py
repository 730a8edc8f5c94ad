"""What the edge counts and measures, by name. Fed by the observer; docs/observability.md lists it for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hybrid_prover.telemetry.metrics import WRITE_SECONDS, DaemonMetrics, Sampled, Samples
from hybrid_prover.telemetry.stages import Words

PREFIX: Final = "hybrid_prover_edge"

GAUGES: Final = (
    Sampled("jobs_in_state", "Jobs known here by state; ended ones as far as they are kept.", ("state",)),
    Sampled("segments_in_state", "Segments of running jobs by state.", ("state",)),
    Sampled("queued_segments", "Segments that wait for a witness worker."),
    Sampled("workers", "Witness worker processes by whether they have a segment.", ("busy",)),
    Sampled("uplink_connected", "1 while the cloud has welcomed this edge."),
    Sampled("credit_bytes", "Payload bytes that the cloud allows to be sent now."),
    Sampled("unacked_bytes", "Chunk bytes on disk that the cloud has not acknowledged."),
    Sampled("unacked_limit_bytes", "Unacknowledged bytes beyond which no witness is begun."),
    Sampled("disk_free_bytes", "Free space where the edge keeps its state."),
    Sampled("certificate_expiry_timestamp_seconds", "When a certificate in use expires, Unix time.", ("certificate",)),
    Sampled("stopping", "1 while the edge is about to stop."),
)
"""Read from the running edge whenever somebody asks."""


class EdgeMetrics(DaemonMetrics):
    """The edge's registry."""

    def __init__(self, read: Callable[[], Samples]) -> None:
        super().__init__(PREFIX, GAUGES, read)
        counter = self.counter
        self.reasons = Words(limit=64)
        """Reasons of the cloud's refusals become labels through this."""

        self.admission_refusals = counter(
            "admission_refusals", "Calls of clients that were not taken, by limit.", "reason"
        )
        self.jobs_accepted = counter("jobs_accepted", "Jobs taken from clients.", "placement")
        self.jobs_ended = counter("jobs_ended", "Jobs ended, by state and by the gRPC code of the reason.", "placement",
                                  "state", "code")  # fmt: skip
        self.job_seconds = self.seconds("job_seconds", "From accepting a job to its end.", "placement", "state")
        self.segments = counter("segments", "Segments that ended, by state.", "placement", "state")

        self.chunks_sent = counter("chunks_sent", "Chunks sent, the first time or again.", "again")
        self.partials_sent = counter("partials_sent", "Chunks sent with a partial.")
        self.partials_refused = counter("partials_refused", "Times that the cloud found partials of this edge wrong.")
        self.chunks_acked = counter("acks", "Acknowledgements of the cloud.")
        self.messages = counter("messages", "Messages sent to the cloud by kind.", "kind")
        self.sent_bytes = counter("sent_bytes", "Bytes of the uplink's messages sent.")
        self.received_bytes = counter("received_bytes", "Bytes of the uplink's messages received.")
        self.credit_granted = counter("credit_granted_bytes", "Byte credit granted after the welcome.")
        self.refusals = counter("refusals", "Messages that the cloud did not take, by reason.", "reason")
        self.connections = counter("connections", "Connections that the cloud welcomed.")
        self.disconnects = counter("disconnects", "Connections that ended.")

        self.worker_losses = counter("worker_losses", "Witness workers that died in the middle of a segment.")
        self.leaves_refused = counter("leaves_refused", "Leaf proofs of the cloud that did not verify here.")

        self.store_write_seconds = self.histogram("store_write_seconds", "Transactions of the spool, sync included.",
                                                  buckets=WRITE_SECONDS)  # fmt: skip
