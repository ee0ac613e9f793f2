"""jcollect: finds the probes of a traced JVM, attaches to them, streams their events over gRPC.

The packages depend downwards only: commands → rpc → stream → attach → discovery → procfs.
"""

__version__ = "0.1.0"
