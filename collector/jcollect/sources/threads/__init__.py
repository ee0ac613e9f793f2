"""The work of the threads of traced processes, from tracepoints of the kernel, and explanations of calls."""
