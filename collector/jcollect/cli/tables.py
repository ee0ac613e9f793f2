"""Prints tables to stdout. Escapes the cells, because they may contain text from a target."""

from __future__ import annotations

from collections.abc import Sequence

import click

from jcollect.printable import printable


def print_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()
) -> None:
    """Prints rows below column heads. The columns with a number in `right` are right-aligned."""
    table = [heads, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())
