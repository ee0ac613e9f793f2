"""The kernel's lane: BPF programs, links and the ring buffer."""
