"""Reads other processes in ways that they cannot turn against the reader. For all other packages."""
