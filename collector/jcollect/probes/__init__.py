"""What a process offers: stub libraries, their probes, and the state of these."""
