"""What the cloud counts and measures, by name. Fed by the observer; docs/observability.md lists it for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hybrid_prover.telemetry.metrics import SIZES, WRITE_SECONDS, DaemonMetrics, Sampled, Samples
from hybrid_prover.telemetry.stages import Words

PREFIX: Final = "hybrid_prover_cloud"

GAUGES: Final = (
    Sampled("jobs_in_state", "Jobs in memory by state; ended ones only as far as they are kept there.", ("state",)),
    Sampled("segments_in_state", "Segments of running jobs by state.", ("state",)),
    Sampled("queued_segments", "Segments with work at hand that no prover is working at."),
    Sampled("proving_segments", "Segments that a prover is working at."),
    Sampled("open_segments", "Segments whose accumulators are in memory."),
    Sampled("provers", "Segments that can be worked at side by side."),
    Sampled("workers_connected", "Workers that prove, the cloud's own one included.", ("kind",)),
    Sampled("batch_waiting", "Leaf proofs waiting for their batch, or being verified."),
    Sampled("assemblies_waiting", "Assemblies with all their leaf proofs that are not proved."),
    Sampled("sessions", "Sessions of edges by whether they are connected.", ("connected",)),
    Sampled("credit_outstanding_bytes", "Payload bytes that edges may send and have not sent."),
    Sampled("ingest_bytes", "Payload bytes received and not yet durable."),
    Sampled("backlog_bytes", "Disk that the witnesses of unfinished segments may need."),
    Sampled("backlog_limit_bytes", "Backlog beyond which jobs are refused."),
    Sampled("loaded_keys", "Proving keys that are mapped."),
    Sampled("disk_free_bytes", "Free space where the cloud keeps its data."),
    Sampled("certificate_expiry_timestamp_seconds", "When a certificate in use expires, Unix time.", ("certificate",)),
    Sampled("draining", "1 while the cloud is about to stop."),
)
"""Read from the running cloud whenever somebody asks."""


class CloudMetrics(DaemonMetrics):
    """The cloud's registry."""

    def __init__(self, read: Callable[[], Samples]) -> None:
        super().__init__(PREFIX, GAUGES, read)
        counter = self.counter
        self.reasons = Words(limit=64)
        """Reasons of refusals become labels through this."""

        self.jobs_accepted = counter("jobs_accepted", "Jobs opened for the first time.", "placement")
        self.jobs_ended = counter("jobs_ended", "Jobs ended, by state and by the gRPC code of the reason.", "placement",
                                  "state", "code")  # fmt: skip
        self.job_seconds = self.seconds("job_seconds", "From opening a job to its end.", "placement", "state")
        self.segments = counter("segments", "Segments that came to a state.", "placement", "state")

        self.chunks = counter("chunks", "Chunks received: accepted, duplicate, refused, or dropped behind a gap.",
                              "outcome")  # fmt: skip
        self.admission_refusals = counter("admission_refusals", "Calls that were not taken, by limit.", "reason")
        self.refusals = counter("refusals", "Messages of edges that were not taken, by reason.", "reason")
        self.messages = counter("messages", "Messages of edges by kind.", "kind")
        self.received_bytes = counter("received_bytes", "Bytes of the uplink's messages received.")
        self.sent_bytes = counter("sent_bytes", "Bytes of the uplink's messages sent.")
        self.partials = counter("partials", "Accepted chunks that carried a partial.")
        self.partials_wrong = counter("partials_wrong", "Partials that were wrong; the prover summed these chunks.")
        self.edges_distrusted = counter("edges_distrusted", "Edges whose partials are not taken any more.")
        self.chunk_bytes = counter("chunk_bytes", "Bytes of accepted chunks.")
        self.acks = counter("acks", "Acknowledgements sent.")
        self.credit_granted = counter("credit_granted_bytes", "Byte credit granted after the welcome.")
        self.connections = counter("connections", "Connections of edges that said Hello.")
        self.reconnects = counter("reconnects", "Of these, those of a session that was known already.")
        self.closes = counter("closes", "Connections ended by the cloud, by reason.", "reason")

        self.batches = counter("batches", "Batches of leaf proofs verified, by what closed them.", "cause")
        self.batch_size = self.histogram("batch_size", "Leaf proofs in a batch.", buckets=SIZES)
        self.bad_proofs = counter("bad_proofs", "Leaf proofs that failed their batch.")

        self.assemblies_ended = counter("assemblies_ended", "Assemblies ended, by state and by the gRPC code of the "
                                        "reason.", "state", "code")  # fmt: skip
        self.assembled_leaves = counter("assembled_leaves", "Leaf proofs in assemblies that were proved.")

        self.worker_losses = counter("worker_losses", "Workers lost in the middle of a task.")
        self.failed_attempts = counter("failed_attempts", "Attempts at a segment that ended without a proof: failed, "
                                       "claimed (the worker blames the witness), lost.", "outcome")  # fmt: skip
        self.quarantined = counter("quarantined_segments", "Segments given up after their retry budget.")
        self.device_faults = counter("device_faults", "Proofs that the device got wrong or failed at.", "backend")

        self.store_write_seconds = self.histogram("store_write_seconds", "Writes of the database, queue included.",
                                                  buckets=WRITE_SECONDS)  # fmt: skip
        self.chunk_durable_seconds = self.histogram(
            "chunk_durable_seconds", "From a chunk's arrival to its being durable.", buckets=WRITE_SECONDS
        )
        self.storage_failures = counter("storage_failures", "Segments that could not be stored.")
