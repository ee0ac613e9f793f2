"""Makes text of a target fit for a terminal."""


def printable(text: str) -> str:
    """Replaces what a terminal might obey by its Python escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
