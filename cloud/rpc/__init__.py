"""The cloud's gRPC services: thin translations between the wire and the aggregator."""
