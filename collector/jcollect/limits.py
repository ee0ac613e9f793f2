"""Limits on what jcollect reads from a target process. They bound memory and time, whatever the target maps
under a stub library's name.

The largest library so far (8,033 methods of H2, with all their probes) has 24,099 probes in 5.5 MiB,
including a manifest of 1.5 MiB. A library built to be as expensive as the limits allow needs 1 s and 150 MiB,
and 4 s and 450 MiB with its probes. A process needs at most 6 s and 700 MiB.
tests/unit/test_hostile_libraries.py checks these figures.
"""

from __future__ import annotations

# One library: five times the largest. For more methods, an agent splits the selection or rejects it.
MAX_PROBES = 1 << 17
MAX_METHODS = 1 << 17
MAX_UNTRACEABLE = 1 << 17
# Twice the size of that many probes with names of usual length.
MAX_LIBRARY_BYTES = 64 << 20
MAX_MANIFEST_BYTES = 16 << 20
# An element of the manifest can have only two bytes, and needs up to 70 bytes in memory.
MAX_VALUES = 1 << 19
MAX_SELECTORS = 1 << 14
# Maximum number of owners of one set of probes: the agent's gateway has 16 clients.
MAX_OWNERS = 32
# Each probe is described with the names of its method, so a long name with many probes multiplies.
MAX_DESCRIPTION_BYTES = 64 << 20
# The agent's libraries have 14, whose longest name has 19 bytes.
MAX_SECTIONS = 64
MAX_SECTION_NAME_BYTES = 64
# Maximum length of a name in a class file. The names of a probe are derived from these.
MAX_NAME_BYTES = 1 << 16
# One probe and its method in the manifest. Clients reject longer names (rpc/elements.py).
MAX_PROBE_DESCRIPTION_BYTES = 1 << 18

# One process. It has a library per generation of classes and per provider.
MAX_LIBRARIES = 4096
# Bytes of files per scan; known files are not read again.
MAX_READ_BYTES = 512 << 20
# Bytes of memory, as StubImage.weight estimates them, for all libraries that are mapped at one time.
MAX_WEIGHT = 512 << 20
# Cache of libraries that were read, mapped or not: weight in bytes, and number of files.
MAX_REMEMBERED_WEIGHT = 128 << 20
MAX_REMEMBERED = 256
# Maximum number of skipped libraries that are reported one by one, and of skipped probes.
MAX_WARNINGS = 10
# Characters of a name in a warning.
MAX_SHOWN_NAME = 200

# /proc/PID/maps. By default the kernel allows 65,530 mappings with paths of 4 KiB each: 256 MiB. Only the
# lines of stub libraries are kept, four per library.
MAX_MAPS_BYTES = 512 << 20
MAX_KEPT_BYTES = 32 << 20

# Probes of one collector (--max-probes): their counters need four maps of 16 MiB
# (sources/bpf/bpf_programs.py). A client accepts no more, from any server.
MAX_COLLECTOR_PROBES = 1 << 20
