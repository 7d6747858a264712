"""Tables of plain text for a terminal."""

from collections.abc import Iterator, Sequence

Row = Sequence[str]


def text_table(rows: Sequence[Row], width_chars: int | None = None, *, numbers: bool = True) -> str:
    """Returns rows as aligned columns, the first to the left.

    A table that is too wide is cut between columns, and its pieces follow each other: each repeats the first column.

    Args:
        rows: Rows of equally many cells.
        width_chars: Maximum length of a line; None for any. A piece has at least two columns.
        numbers: Whether the columns after the first are aligned to the right.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    pieces = [
        "\n".join(_line(row, widths, columns, numbers) for row in rows) for columns in _pieces(widths, width_chars)
    ]
    return "\n\n".join(pieces)


def _pieces(widths: Sequence[int], width_chars: int | None) -> Iterator[list[int]]:
    """Yields the columns of each piece."""
    piece, length = [0], widths[0]
    for column, width in enumerate(widths[1:], start=1):
        if width_chars is not None and length + 2 + width > width_chars and len(piece) > 1:
            yield piece
            piece, length = [0], widths[0]
        piece.append(column)
        length += 2 + width
    yield piece


def _line(row: Row, widths: Sequence[int], columns: Sequence[int], numbers: bool) -> str:
    cells = (
        row[column].rjust(widths[column]) if column and numbers else row[column].ljust(widths[column])
        for column in columns
    )
    return "  ".join(cells).rstrip()
