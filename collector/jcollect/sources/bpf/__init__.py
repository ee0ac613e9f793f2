"""The kernel's uprobes as a source: BPF programs, links and the ring buffer."""
