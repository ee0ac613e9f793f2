"""The error of all modules that parse stub libraries."""


class MalformedLibraryError(Exception):
    """A mapped file has the name of a stub library and is not one, or is too large. The message is a clause
    with the reason, and contains no text from the file."""
