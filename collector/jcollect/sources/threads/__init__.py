"""What the threads of traced processes do, from tracepoints of the kernel, and the calls that it explains."""
