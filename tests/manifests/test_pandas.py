import pandas as pd
import pytest

from recolor.errors import MissingStageError, SchemaError
from recolor.manifests.pandas import read_manifest


@pytest.fixture
def manifest(tmp_path):
    file = tmp_path / "blurry.parquet"
    pd.DataFrame({"path": ["a.jpg", "b.jpg"], "score": [0.1, 0.5], "width_px": [640, 480]}).to_parquet(file)
    return file


@pytest.mark.parametrize("wrong", [{"columns": ["path", "scores"]}, {"filters": [("scores", "<", 0.1)]}])
def test_a_column_that_is_not_there_is_answered_with_the_nearest(manifest, wrong):
    with pytest.raises(SchemaError) as caught:
        read_manifest(manifest, **wrong)
    assert str(caught.value) == (
        f"{manifest}: there is no column 'scores'. Did you mean 'score'? Its columns: path, score, width_px."
    )


def test_a_single_column_need_not_be_in_a_list(manifest):
    assert read_manifest(manifest, "score").to_dict("list") == {"score": [0.1, 0.5]}


def test_no_columns_are_no_columns(manifest):
    assert read_manifest(manifest, []).shape == (2, 0)


@pytest.mark.parametrize("condition", [("score", "<"), "score", ("score", "<", 0.1, 3), 3])
def test_a_filter_of_another_form_is_refused_with_an_example(manifest, condition):
    with pytest.raises(SchemaError, match=r'is not a filter\. Filters have the form \("score", "<", 0\.1\)\.'):
        read_manifest(manifest, filters=[condition])


@pytest.mark.parametrize(
    "condition", [("score", "<", "low"), ("score", "~", 0.1), ("path", "in", 3), ("score", "in", ["a"])]
)
def test_a_filter_that_does_not_fit_its_column_is_refused_in_one_line(manifest, condition):
    with pytest.raises(SchemaError) as caught:
        read_manifest(manifest, filters=[condition])
    assert str(caught.value).startswith(f"{manifest}: the filters [{condition!r}] do not fit its columns (")
    assert "\n" not in str(caught.value)


def test_a_manifest_whose_pages_are_damaged_is_named(manifest):
    data = bytearray(manifest.read_bytes())
    data[4:40] = bytes(36)
    manifest.write_bytes(data)
    with pytest.raises(SchemaError, match=rf"{manifest}: not a readable Parquet file .*run its stage again"):
        read_manifest(manifest)


def test_a_folder_is_no_manifest(tmp_path):
    with pytest.raises(MissingStageError, match="no such manifest"):
        read_manifest(tmp_path)
