"""How much of a target is read at most: to read whatever a process maps under the name of a stub library
takes bounded memory and time.

The largest library met so far (8,033 methods of H2, with all their probes) has 24,099 probes in 5.5 MiB, of
which 1.5 MiB are the manifest. What all limits together let pass was measured with libraries made to be as
costly as they can be; tests/unit/test_hostile_libraries.py holds it:
one library 1 s and 150 MiB, with the probes made of it 4 s and 450 MiB; a process 6 s and 700 MiB.
"""

from __future__ import annotations

# One library. Five times the largest; an agent that is asked for more splits the selection, or is refused.
MAX_PROBES = 1 << 17
MAX_METHODS = 1 << 17
MAX_UNTRACEABLE = 1 << 17
# Twice what so many probes take with names of usual length.
MAX_LIBRARY_BYTES = 64 << 20
MAX_MANIFEST_BYTES = 16 << 20
# Two bytes are an element of the manifest, and become up to 70 bytes in memory.
MAX_VALUES = 1 << 19
MAX_SELECTORS = 1 << 14
# Each probe is described with the names of its method: a long one, named by many, multiplies.
MAX_DESCRIPTION_BYTES = 64 << 20
# Ours have 14; their longest name has 19 bytes.
MAX_SECTIONS = 64
MAX_SECTION_NAME_BYTES = 64
# A class file has no longer names; those of a probe are made of one.
MAX_NAME_BYTES = 1 << 16
# One probe and its method in the manifest. Clients reject longer names (hub/elements.py).
MAX_PROBE_DESCRIPTION_BYTES = 1 << 18

# One process. A library is a generation of classes or a provider.
MAX_LIBRARIES = 4096
# Bytes of files, each time that one looks: what is known is not read again.
MAX_READ_BYTES = 512 << 20
# Bytes of memory, as StubImage.weight estimates them, for all libraries that are mapped at one time.
MAX_WEIGHT = 512 << 20
# Limits for libraries remembered after reading, mapped or not, so that they are not read again: weight in
# bytes, and files.
MAX_REMEMBERED_WEIGHT = 128 << 20
MAX_REMEMBERED = 256
# Of libraries that are skipped, so many are told of one by one, and of probes as well.
MAX_WARNINGS = 10
# Characters of a name in a warning.
MAX_TOLD_NAME = 200

# /proc/PID/maps. The kernel allows 65,530 mappings unless told otherwise, and paths of 4 KiB: 256 MiB. Of a
# mapping that is looked for, the line is kept; a library takes four of them.
MAX_MAPS_BYTES = 512 << 20
MAX_KEPT_BYTES = 32 << 20
