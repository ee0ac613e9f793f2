"""Reads of other processes that those processes cannot turn against whoever reads. For all other packages."""
