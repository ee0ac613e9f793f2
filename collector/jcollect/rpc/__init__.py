"""The collector's gRPC service and its client."""
