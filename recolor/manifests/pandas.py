"""Manifests as pandas frames, for people. Recolor itself reads Arrow tables, and starts the sooner without pandas."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recolor.errors import MissingStageError, SchemaError

Filters = Sequence[tuple[str, str, object]]


def read_manifest(
    path: str | Path, columns: Sequence[str] | None = None, filters: Filters | None = None
) -> pd.DataFrame:
    """Reads any manifest for pandas: strings as strings, whole numbers that may be missing as nullable integers.

    Args:
        path: A Parquet file of `manifests/` or `data/`.
        columns: Those that are wanted; others are not even read.
        filters: Conditions such as `("score", "<", 0.1)`, of which all must hold: of a large manifest, only the row
            groups are read in which they can.

    Raises:
        MissingStageError: It is not there.
        SchemaError: It is not a Parquet file.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingStageError(f"{file}: no such manifest. `recolor run` or a single stage makes it.")
    try:
        table = pq.read_table(file, columns=columns and list(columns), filters=filters and list(filters))
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
