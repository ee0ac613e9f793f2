"""Export to OpenTelemetry's protocol: metrics, and slow calls as spans."""
