"""The probes of processes: stub libraries, their probes and the state of these probes."""
