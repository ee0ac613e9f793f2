"""Moved to jcollect.procfs.files."""

from jcollect.procfs.files import open_directory as open_directory
from jcollect.procfs.files import open_seen_directory as open_seen_directory
