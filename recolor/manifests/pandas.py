"""Reads manifests as pandas data frames.

Recolor itself uses Arrow tables and so starts without pandas.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recolor.errors import MissingStageError, SchemaError
from recolor.manifests.io import open_parquet
from recolor.manifests.schemas import SCHEMAS
from recolor.paths import expand_user

Filters = Sequence[tuple[str, str, object]]


def read_manifest(
    path: str | Path, columns: Sequence[str] | None = None, filters: Filters | None = None
) -> pd.DataFrame:
    """Reads a manifest into a pandas data frame.

    Strings become `string[pyarrow]`, integers and booleans the nullable types of pandas.

    Args:
        path: A Parquet file of `manifests/` or `data/`.
        columns: Names of the columns to read; all by default.
        filters: Conditions such as `("score", "<", 0.1)`. Rows that meet all of them are returned; row groups without
            such rows are not read.

    Raises:
        MissingStageError: The file does not exist.
        SchemaError: The file is not a Parquet file, has no such column, or a filter does not fit a column. The message
            names the nearest column.

    Examples:
        >>> from recolor import read_manifest
        >>> clean = read_manifest("manifests/clean.parquet")
        >>> dark = read_manifest("manifests/measurements.parquet", ["path", "L_mean"], [("L_mean", "<", 30)])
    """
    file = expand_user(path)
    if not file.is_file():
        raise MissingStageError(f"{file}: no such manifest. Create it with {_command(file)}.")
    try:
        with open_parquet(file) as source:
            names = pq.read_schema(source).names
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(file, error) from error
    chosen = None if columns is None else _known(file, [columns] if isinstance(columns, str) else columns, names)
    conditions = [_condition(file, condition, names) for condition in filters or ()] or None
    try:
        with open_parquet(file) as source:
            table = pq.read_table(source, columns=chosen, filters=conditions)
    except OSError as error:
        raise _unreadable(file, error) from error
    except (pa.ArrowException, TypeError, ValueError) as error:
        if conditions is None:
            raise _unreadable(file, error) from error
        raise SchemaError(f"{file}: the filters {conditions!r} do not fit its columns ({_line(error)}).") from error
    frame: pd.DataFrame = table.to_pandas(types_mapper=_pandas_dtype)
    return frame


def _command(file: Path) -> str:
    """Returns the command that writes a manifest of this name."""
    stages = [schema.stage for schema in SCHEMAS if schema.name == file.stem and file.suffix == ".parquet"]
    return f"`recolor {stages[0]}`" if stages else "`recolor run` or a single stage"


def _known(file: Path, wanted: Sequence[str], names: Sequence[str]) -> list[str]:
    """Returns the names of columns, after checking that the file has them."""
    for name in wanted:
        if name not in names:
            close = difflib.get_close_matches(str(name), names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise SchemaError(f"{file}: there is no column {name!r}.{hint} Its columns: {', '.join(names)}.")
    return list(wanted)


def _condition(file: Path, condition: tuple[str, str, object], names: Sequence[str]) -> tuple[str, str, object]:
    """Returns a filter, after checking that it has three parts and names a column of the file."""
    if isinstance(condition, str) or not isinstance(condition, Sequence) or len(condition) != 3:
        raise SchemaError(f'{file}: {condition!r} is not a filter. Filters have the form ("score", "<", 0.1).')
    name, operator, value = condition
    return _known(file, [name], names)[0], operator, value


def _unreadable(file: Path, error: Exception) -> SchemaError:
    return SchemaError(f"{file}: not a readable Parquet file ({_line(error)}). Delete it and run its stage again.")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


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
