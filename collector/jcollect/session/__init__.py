"""One collector: its processes, their probes and its hub."""
