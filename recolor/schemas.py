"""Every table's schema, in one place.

A manifest is a Parquet file whose columns are stated here, with their unit, range and meaning; `manifests/README.md`
is made from the same statements. Scores run one way everywhere: 0 is certainly an outlier, 1 is certainly fine.
"""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its Arrow type, its unit (or "-"), its range (or "-"), and what it means."""

    name: str
    type: pa.DataType
    unit: str
    range: str
    meaning: str
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """One kind of manifest: its file name, what a row is, which stage writes it, its columns in order."""

    name: str
    stage: str
    row: str
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema that every such file has."""
        return pa.schema([pa.field(column.name, column.type, column.nullable) for column in self.columns])


PATH = Column("path", pa.string(), "-", "-", "Path relative to the image folder, with forward slashes.")
SIZE = Column("size_bytes", pa.int64(), "bytes", "≥ 0", "File size.")
MTIME = Column("mtime_ns", pa.int64(), "ns since 1970", "-", "Time of the last change; part of the image's identity.")
SHA256 = Column("sha256", pa.string(), "-", "64 hex digits", "SHA-256 of the file's bytes; null if unreadable.", True)

INDEX = Schema("index", "index", "an image file that was found", (PATH, SIZE, MTIME))

SCHEMAS: tuple[Schema, ...] = (INDEX,)
