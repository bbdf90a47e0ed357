"""Many pictures -> a table, a row a file and model, that a stopped scan continues."""

from fakeface.scan.rows import COLUMNS, Row, header, line, rows

__all__ = ["COLUMNS", "Row", "header", "line", "rows"]
