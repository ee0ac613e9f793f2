"""Moved to jcollect.procfs.files."""

from jcollect.procfs.files import open_directory as open_directory
