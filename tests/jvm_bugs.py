"""Class data that some JVMs lose in a retransformation, by release; must agree with catalog/JvmBug.java."""

from __future__ import annotations

from java_target import Jdk

PARAMETER_NAMES = "JDK-8240908"
ANNOTATED_RECORD = "JDK-8376185"
# The first release of each feature release that contains the fix; all later ones contain it.
FIXES = {
    PARAMETER_NAMES: [(17, 0, 20), (19,)],
    ANNOTATED_RECORD: [(25, 0, 4), (26, 0, 2), (27,)],
}


def has_bug(jdk: Jdk, number: str) -> bool:
    release = jdk.release
    fixes = FIXES[number]
    return release < fixes[-1] and not any(fix[0] == release[0] and release >= fix for fix in fixes)
