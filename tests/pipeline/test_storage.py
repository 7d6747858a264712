import pytest

from recolor.errors import StorageError
from recolor.pipeline.storage import write_output


def test_the_folder_of_an_output_is_made(tmp_path):
    write_output(tmp_path / "missing" / "too" / "x.png", b"picture")
    assert (tmp_path / "missing" / "too" / "x.png").read_bytes() == b"picture"


@pytest.mark.parametrize("name", ["file/x.png", "x" * 300, "folder"])
def test_an_output_that_cannot_be_written_is_one_sentence(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError) as caught:
        write_output(tmp_path / name, b"picture")
    assert str(caught.value).startswith(f"{tmp_path / name}: cannot be written (")
    assert str(caught.value).endswith("). Give the path of another file.")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
