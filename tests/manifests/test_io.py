import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recolor
from recolor.errors import MissingStageError, SchemaError
from recolor.manifests.io import read_in_groups, read_table, write_manifest
from recolor.manifests.pandas import read_manifest
from recolor.manifests.schemas import INDEX, Column, Schema

EVERY_TYPE = Schema(
    "every",
    "test",
    "a row",
    (
        Column("text", pa.string(), "-", "-", "-", True),
        Column("whole", pa.int64(), "-", "-", "-", True),
        Column("small", pa.int32(), "-", "-", "-", True),
        Column("yes", pa.bool_(), "-", "-", "-", True),
        Column("number", pa.float64(), "-", "-", "-", True),
        Column("many", pa.list_(pa.string()), "-", "-", "-", True),
    ),
)


def index_table(*paths):
    count = len(paths)
    return pa.table({"path": list(paths), "size_bytes": [2**40] * count, "mtime_ns": [2**62 + 1] * count})


def leads_out(path):
    return path.startswith("/") or ".." in path.split("/")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda path: not leads_out(path)), max_size=5))
def test_any_paths_come_back_as_they_were(tmp_path_factory, paths):
    file = tmp_path_factory.mktemp("manifest") / "index.parquet"
    table = index_table(*paths).cast(INDEX.arrow)
    write_manifest(INDEX, table, file)
    assert read_table(INDEX, file).equals(table)
    assert read_manifest(file)["path"].tolist() == paths


@given(st.lists(st.sampled_from(["", ".", "..", "...", "a", "..b", "c.."]), min_size=1, max_size=4).map("/".join))
def test_a_path_that_leads_out_of_the_folder_is_refused_and_no_other(tmp_path_factory, path):
    file = tmp_path_factory.mktemp("manifest") / "index.parquet"
    write_manifest(INDEX, index_table("fine", path).cast(INDEX.arrow), file)
    for columns in (None, ["path"]):
        if leads_out(path):
            with pytest.raises(SchemaError, match="leads out of its folder"):
                read_table(INDEX, file, columns)
        else:
            assert read_table(INDEX, file, columns)["path"].to_pylist() == ["fine", path]
    assert read_table(INDEX, file, ["size_bytes"]).num_rows == 2


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_manifest(INDEX, index_table("x", "y"), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pandas_gets_whole_numbers_and_text_even_where_some_are_missing(tmp_path):
    table = pa.table(
        {
            "text": ["a", None],
            "whole": [2**62 + 1, None],
            "small": pa.array([1, None], pa.int32()),
            "yes": [True, None],
            "number": [0.5, None],
            "many": [["a"], None],
        }
    )
    write_manifest(EVERY_TYPE, table, tmp_path / "x.parquet")
    frame = recolor.read_manifest(tmp_path / "x.parquet")
    assert frame["whole"][0] == 2**62 + 1
    assert frame["whole"].dtype == pd.Int64Dtype()
    assert frame["small"].dtype == pd.Int32Dtype()
    assert frame["yes"].dtype == pd.BooleanDtype()
    assert frame["number"].dtype == np.float64
    assert isinstance(frame["text"].dtype, pd.StringDtype)
    assert frame.isna().sum().tolist() == [1] * 6


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"path": ["a"]}), "has columns"),
        (pa.table({"path": ["a"], "size_bytes": ["1"], "mtime_ns": [1]}), r"index\.size_bytes is string, not int64"),
        (pa.table({"path": [None], "size_bytes": [1], "mtime_ns": [1]}).cast(
            pa.schema([("path", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64())])
        ), "1 nulls, but may not have any"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_match_its_schema_is_not_written(tmp_path, table, message):
    with pytest.raises(SchemaError, match=message):
        write_manifest(INDEX, table, tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


def test_a_file_of_another_schema_or_no_parquet_is_not_read(tmp_path):
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"path": ["a"]}), file)
    with pytest.raises(SchemaError, match=r"x\.parquet: index has columns .* Run `recolor index` again\."):
        read_table(INDEX, file)
    file.write_bytes(b"PAR1 this is no Parquet file")
    for read in (lambda: read_table(INDEX, file), lambda: read_manifest(file)):
        with pytest.raises(SchemaError, match="not a readable Parquet file"):
            read()


def test_some_columns_come_in_the_order_asked_for_and_a_missing_one_is_named(tmp_path):
    file = tmp_path / "x.parquet"
    write_manifest(INDEX, index_table("a", "b").cast(INDEX.arrow), file)
    assert read_table(INDEX, file, ["mtime_ns", "path"]).column_names == ["mtime_ns", "path"]
    pq.write_table(pa.table({"path": ["a"]}), file)
    with pytest.raises(SchemaError, match="size_bytes"):
        read_table(INDEX, file, ["path", "size_bytes"])
    pq.write_table(pa.table({"path": [1]}), file)
    with pytest.raises(SchemaError, match=r"index\.path is int64, not string"):
        read_table(INDEX, file, ["path"])


def test_a_manifest_that_is_not_there_names_the_stage(tmp_path):
    with pytest.raises(MissingStageError, match="`recolor index`"):
        read_table(INDEX, tmp_path / "index.parquet")
    with pytest.raises(MissingStageError, match="no such manifest"):
        read_manifest(str(tmp_path / "index.parquet"))


def test_a_manifest_read_in_row_groups_is_the_same_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("recolor.manifests.io.ROW_GROUP_ROWS", 10)
    table = index_table(*(f"{number:03}" for number in range(25))).cast(INDEX.arrow)
    write_manifest(INDEX, table, tmp_path / "index.parquet")
    groups = list(read_in_groups(INDEX, tmp_path / "index.parquet", ["path", "mtime_ns"]))
    assert [len(group) for group in groups] == [10, 10, 5]
    assert pa.concat_tables(groups).equals(table.select(["path", "mtime_ns"]))
    write_manifest(INDEX, table.slice(0, 0), tmp_path / "empty.parquet")
    assert [len(group) for group in read_in_groups(INDEX, tmp_path / "empty.parquet", ["path"])] == [0]
    with pytest.raises(MissingStageError, match="recolor index"):
        next(read_in_groups(INDEX, tmp_path / "none.parquet", ["path"]))


def test_a_filter_gives_the_rows_that_pandas_would_and_reads_only_the_columns_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("recolor.manifests.io.ROW_GROUP_ROWS", 10)
    table = index_table(*(f"{number:03}" for number in range(95))).cast(INDEX.arrow)
    write_manifest(INDEX, table, tmp_path / "index.parquet")
    whole = read_manifest(tmp_path / "index.parquet")
    some = read_manifest(tmp_path / "index.parquet", ["path"], [("path", ">=", "041"), ("path", "<", "057")])
    expected = whole[(whole["path"] >= "041") & (whole["path"] < "057")][["path"]].reset_index(drop=True)
    assert len(expected) == 16
    pd.testing.assert_frame_equal(some, expected)
    statistics = [pq.read_metadata(tmp_path / "index.parquet").row_group(at).column(0).statistics for at in range(10)]
    assert [(one.min, one.max) for one in statistics][4] == ("040", "049")
