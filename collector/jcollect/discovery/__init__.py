"""From a PID to its probes, by reading /proc alone: nothing here needs BPF or changes the target."""
