"""Reads and writes manifests, Parquet files that match their schema, as Arrow tables."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recolor.errors import MissingStageError, SchemaError
from recolor.manifests.schemas import SCHEMAS, Schema

_LEADS_OUT = r"^/|(^|/)\.\.(/|$)"  # an absolute path, or one with `..`
ROW_GROUP_ROWS = 1 << 17  # rows that are processed at a time; filters skip whole row groups


def write_manifest(schema: Schema, table: pa.Table, path: Path) -> None:
    """Writes a table as a manifest. Equal rows give equal bytes.

    Raises:
        SchemaError: Column names, types or nulls do not match the schema.
    """
    conforming = _conform(schema, table)
    with manifest_writer(schema, path) as write:
        write(conforming)


@contextmanager
def manifest_writer(schema: Schema, path: Path) -> Iterator[Callable[[pa.Table], None]]:
    """Writes a manifest, one table at a time.

    Each table becomes row groups of at most `ROW_GROUP_ROWS` rows. Tables of that size give the fewest groups.

    Yields:
        A function that writes the next rows. It raises a `SchemaError` if they do not match the schema.
    """
    # A dictionary of mostly distinct values costs time, and Parquet abandons it in the middle of each row group.
    named = [column.name for column in schema.columns if column.type == pa.string() and not column.is_unique]
    with (
        pa.OSFile(os.fsencode(path), "wb") as sink,  # bytes: pyarrow refuses a path that is not UTF-8
        pq.ParquetWriter(sink, schema.arrow, compression="zstd", use_dictionary=named, write_statistics=True) as file,
    ):
        yield lambda table: file.write_table(_conform(schema, table), row_group_size=ROW_GROUP_ROWS)


def read_table(schema: Schema, path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads a manifest, or some of its columns, into an Arrow table.

    Raises:
        MissingStageError: The file does not exist; the message names the command to run.
        SchemaError: The file does not match the schema, a column is missing, or a path leads out of its folder.
    """
    with _opened(schema, path) as file:  # twice as fast as `pq.read_table` for small files
        table = file.read(columns=None if columns is None else list(columns))
    return _checked(schema if columns is None else _part_of(schema, columns), table, path)


def read_in_groups(schema: Schema, path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Reads some columns of a manifest one row group at a time, in bounded memory.

    Raises:
        MissingStageError: The file does not exist; the message names the command to run.
        SchemaError: The file does not match the schema, a column is missing, or a path leads out of its folder.
    """
    part = _part_of(schema, columns)
    with _opened(schema, path) as file:
        for group in range(file.num_row_groups):
            yield _checked(part, file.read_row_group(group, columns=list(columns)), path)
        if not file.num_row_groups:
            yield part.arrow.empty_table()


def find_rows(paths: pa.ChunkedArray, table: pa.Table) -> pa.ChunkedArray:
    """Returns, for each path, the row of a table with that path.

    `table.take(find_rows(paths, table))` aligns a table with other rows; missing rows are null.

    Args:
        paths: Strings.
        table: Any table with a column `path`.

    Returns:
        int32 [paths], null if there is none.
    """
    return pc.index_in(paths, value_set=table["path"].combine_chunks())


@contextmanager
def _opened(schema: Schema, path: Path) -> Iterator[pq.ParquetFile]:
    if not path.is_file():
        raise MissingStageError(f"{path}: does not exist yet. Run `recolor {schema.stage}` first.")
    try:
        with open_parquet(path) as source, pq.ParquetFile(source) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        raise SchemaError(f"{path}: not a readable Parquet file ({error}). Delete it and run again.") from error


def open_parquet(path: Path) -> pa.NativeFile:
    """Opens a file for reading; pyarrow itself refuses a path that is not UTF-8."""
    return pa.OSFile(os.fsencode(path), "rb")


def schema_markdown() -> str:
    """Returns every schema as a Markdown table, for `manifests/README.md`."""
    return "\n".join(_schema_section(schema) for schema in SCHEMAS)


def _schema_section(schema: Schema) -> str:
    lines = [
        f"## `{schema.name}.parquet`",
        "",
        f"A row is {schema.row}. Written by `recolor {schema.stage}`.",
        "",
        "| column | type | unit | range | meaning |",
        "|---|---|---|---|---|",
    ]
    for column in schema.columns:
        kind = f"{column.type}{', may be null' if column.nullable else ''}"
        lines.append(f"| `{column.name}` | {kind} | {column.unit} | {column.range} | {column.meaning} |")
    return "\n".join([*lines, ""])


def _part_of(schema: Schema, columns: Sequence[str]) -> Schema:
    of_name = {column.name: column for column in schema.columns}
    return replace(schema, columns=tuple(of_name[name] for name in columns))


def _checked(schema: Schema, table: pa.Table, path: Path) -> pa.Table:
    """Returns the table if it matches the schema and none of its paths leads out of the folder."""
    conforming = _conform(schema, table, path)
    for column in schema.columns:
        if column.is_path:
            _check_inside(path, column.name, conforming[column.name])
    return conforming


def _check_inside(file: Path, column: str, names: pa.ChunkedArray) -> None:
    """Refuses paths outside of the folder: a manifest may come from an untrusted source."""
    leads_out = pc.match_substring_regex(names, _LEADS_OUT)
    if pc.any(leads_out).as_py():
        name = names.filter(leads_out)[0].as_py()
        raise SchemaError(f"{file}: {column} = {name!r} leads out of its folder. Delete the file and run again.")


def _conform(schema: Schema, table: pa.Table, path: Path | None = None) -> pa.Table:
    where = f"{path}: " if path else ""
    again = f" Run `recolor {schema.stage}` again." if path else ""
    names = [column.name for column in schema.columns]
    if table.column_names != names:
        columns = f"has columns {table.column_names}, but its schema has {names}."
        raise SchemaError(f"{where}{schema.name} {columns}{again}")
    for column in schema.columns:
        values = table.column(column.name)
        if values.type != column.type:
            raise SchemaError(f"{where}{schema.name}.{column.name} is {values.type}, not {column.type}.{again}")
        if values.null_count and not column.nullable:
            raise SchemaError(
                f"{where}{schema.name}.{column.name} has {values.null_count} nulls, but may not have any."
            )
    return table.cast(schema.arrow).replace_schema_metadata(None)
