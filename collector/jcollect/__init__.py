"""jcollect: finds the probes of a traced JVM, attaches to them, streams their events over gRPC.

Packages import only from packages to their right: commands → cli → rpc → sinks → session → view → hub →
sources → control → probes → procfs. All may import the modules of this package.
"""

__version__ = "0.1.0"
