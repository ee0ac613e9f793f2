"""The HTTP endpoint for Prometheus."""
