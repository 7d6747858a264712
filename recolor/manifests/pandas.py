"""Reads manifests as pandas data frames.

Recolor itself uses Arrow tables and so starts without pandas.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recolor.errors import MissingStageError, SchemaError
from recolor.manifests.io import open_parquet

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
        SchemaError: The file is not a Parquet file.

    Examples:
        >>> from recolor import read_manifest
        >>> clean = read_manifest("manifests/clean.parquet")
        >>> dark = read_manifest("manifests/measurements.parquet", ["path", "L_mean"], [("L_mean", "<", 30)])
    """
    file = Path(path)
    if not file.is_file():
        raise MissingStageError(f"{file}: no such manifest. Create it with `recolor run` or a single stage.")
    try:
        with open_parquet(file) as source:
            table = pq.read_table(source, columns=columns and list(columns), filters=filters and list(filters))
    except (pa.ArrowInvalid, OSError) as error:
        raise SchemaError(f"{file}: not a readable Parquet file ({error}).") from error
    frame: pd.DataFrame = table.to_pandas(types_mapper=_pandas_dtype)
    return frame


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
