"""The only code that reads and writes manifests: Parquet files with the columns that `schemas` states."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recolor.errors import MissingStageError, SchemaError
from recolor.schemas import SCHEMAS, Schema


def write_manifest(schema: Schema, table: pa.Table, path: Path) -> None:
    """Writes a table as a manifest. The same rows give the same bytes.

    Raises:
        SchemaError: Column names, types or nulls are not those of the schema.
    """
    pq.write_table(_conform(schema, table), path, compression="zstd", write_statistics=True)


def read_table(schema: Schema, path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads a manifest, or some of its columns, as an Arrow table.

    Raises:
        MissingStageError: It is not there; names the stage to run.
        SchemaError: It is not such a manifest.
    """
    if not path.is_file():
        raise MissingStageError(f"{path}: not there yet. Run `recolor {schema.stage}` first.")
    try:
        table = pq.read_table(path, columns=None if columns is None else list(columns))
    except (pa.ArrowInvalid, OSError) as error:
        raise SchemaError(f"{path}: not a readable Parquet file ({error}). Delete it and run again.") from error
    return table if columns is not None else _conform(schema, table, path)


def read_manifest(path: str | Path) -> pd.DataFrame:
    """Reads any manifest for pandas: strings as strings, whole numbers that may be missing as nullable integers.

    Args:
        path: A Parquet file of `manifests/` or `data/`.

    Raises:
        MissingStageError: It is not there.
        SchemaError: It is not a Parquet file.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingStageError(f"{file}: no such manifest. `recolor run` or a single stage makes it.")
    try:
        table = pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise SchemaError(f"{file}: not a readable Parquet file ({error}).") from error
    frame: pd.DataFrame = table.to_pandas(types_mapper=_pandas_dtype)
    return frame


def schema_markdown() -> str:
    """The tables of `manifests/README.md`: every schema, column by column."""
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


def _conform(schema: Schema, table: pa.Table, path: Path | None = None) -> pa.Table:
    where = f"{path}: " if path else ""
    names = [column.name for column in schema.columns]
    if table.column_names != names:
        raise SchemaError(f"{where}{schema.name} has columns {table.column_names}, and its schema says {names}.")
    for column in schema.columns:
        values = table.column(column.name)
        if values.type != column.type:
            raise SchemaError(f"{where}{schema.name}.{column.name} is {values.type}, not {column.type}.")
        if values.null_count and not column.nullable:
            raise SchemaError(f"{where}{schema.name}.{column.name} has {values.null_count} nulls and may have none.")
    return table.cast(schema.arrow).replace_schema_metadata(None)


def _pandas_dtype(arrow: pa.DataType) -> pd.api.extensions.ExtensionDtype | None:
    if pa.types.is_string(arrow):
        return pd.StringDtype("pyarrow")
    if pa.types.is_int32(arrow):
        return pd.Int32Dtype()
    if pa.types.is_int64(arrow):
        return pd.Int64Dtype()
    if pa.types.is_boolean(arrow):
        return pd.BooleanDtype()
    return None
