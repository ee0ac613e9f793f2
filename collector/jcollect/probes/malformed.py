"""The one error of everything that reads stub libraries."""


class MalformedLibraryError(Exception):
    """What is mapped under the name of a stub library is not one, or is too large. The message says why, as a
    clause; nothing of it is a text of the library's own."""
