"""The exports for `webdataset` and `datasets`, read by these packages."""

import csv
import gc
import hashlib
import json
import os
import tarfile
import warnings

import pyarrow as pa
import pytest
from click.testing import CliRunner
from PIL import Image

from recolor.cleaning.export import ExportResult
from recolor.cleaning.imagefolder import export_imagefolder
from recolor.cleaning.tar_shards import export_tar_shards
from recolor.cli.main import cli
from recolor.errors import InputError
from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import CLEAN, MEASUREMENTS
from recolor.pipeline.cache import Part, require_record, run_part
from recolor.pipeline.workspace import remember_images

SPLIT_OF = {"a.jpg": "train", "my test/b.c.JPG": "train", "test/d.png": "train", "ünï, x/e.png": "val", "f.jpg": "test"}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for number, name in enumerate(SPLIT_OF):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8 + number, 8), (number * 9, 0, 99)).save(folder / name)
    return folder


def keep(workspace, images, names=tuple(SPLIT_OF)):
    """Writes the manifests that measuring and selecting would write."""
    facts = []
    for name, split in SPLIT_OF.items():
        status, data = (images / name).stat(), (images / name).read_bytes()
        sha = hashlib.sha256(data).hexdigest()
        facts.append({"path": name, "size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha})
        facts[-1] |= {"width_px": 8, "height_px": 8, "group": sha[:16], "split": split}
    publish(workspace, MEASUREMENTS, "measure", facts, {})
    measured = require_record(workspace.manifest("measurements"), "measure").content
    publish(workspace, CLEAN, "select", [row for row in facts if row["path"] in names], {"measurements": measured})


def publish(workspace, schema, stage, rows, inputs):
    table = pa.Table.from_pylist(rows, schema=schema.arrow)
    target = workspace.manifest(schema.name)
    inputs = inputs | {"rows": hashlib.sha256(repr(rows).encode()).hexdigest()}
    part = Part(workspace, stage, 1, None, inputs, (target,))
    run_part(part, lambda staging: write_manifest(schema, table, staging / target.name) or {"images": len(rows)})


def members(shard):
    with tarfile.open(shard) as tar:
        return tar.getmembers()


@pytest.fixture
def leaves_files_open():
    """For packages that leave files to the garbage collector: they are collected here, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture
def webdataset(leaves_files_open):
    return pytest.importorskip("webdataset")


def test_webdataset_reads_the_shards_of_a_split(workspace, images, tmp_path, webdataset):
    keep(workspace, images)
    result = export_tar_shards(workspace, images, tmp_path / "out")
    assert result.written == ["train-000000.tar", "val-000000.tar", "test-000000.tar"]
    shard = str(tmp_path / "out/train-000000.tar")
    samples = list(webdataset.WebDataset(shard, shardshuffle=False).decode("pil"))
    assert {sample["json"]["path"] for sample in samples} == {"a.jpg", "my test/b.c.JPG", "test/d.png"}
    assert [sample["json"]["sha256"] for sample in samples] == sorted(sample["json"]["sha256"] for sample in samples)
    for sample in samples:
        data = (images / sample["json"]["path"]).read_bytes()
        assert sample["json"]["sha256"] == hashlib.sha256(data).hexdigest()
        assert sample["png" if sample["json"]["path"] == "test/d.png" else "jpg"].height == 8
    assert {(member.mtime, member.uname) for member in members(shard)} == {(0, "")}


def test_only_changed_shards_are_written_again_and_others_files_are_left(
    workspace, images, tmp_path, webdataset, monkeypatch
):
    monkeypatch.setattr("recolor.cleaning.tar_shards.SHARD_BYTES", 1)  # an image each
    out = tmp_path / "out"
    keep(workspace, images)
    assert len(export_tar_shards(workspace, images, out).written) == 5
    before = {file.name: file.read_bytes() for file in out.glob("*.tar")}
    assert export_tar_shards(workspace, images, out) == ExportResult(current=sorted(before, key=order))
    (out / "val-000000.tar").write_bytes(b"mine")
    keep(workspace, images, ["a.jpg", "test/d.png", "f.jpg"])
    again = export_tar_shards(workspace, images, out)
    assert (again.removed, again.left) == (["train-000002.tar"], ["val-000000.tar"])
    assert again.current[-1] == "test-000000.tar"
    assert (out / "test-000000.tar").read_bytes() == before["test-000000.tar"]
    keep(workspace, images)
    last = export_tar_shards(workspace, images, out)
    assert [problem.path for problem in last.problems] == ["val-000000.tar"]
    assert (out / "val-000000.tar").read_bytes() == b"mine"


def order(name):
    return ["train", "val", "test"].index(name.partition("-")[0]), name


def test_an_export_that_is_killed_goes_on_with_its_own_shards(workspace, images, tmp_path, webdataset, monkeypatch):
    keep(workspace, images)
    export_tar_shards(workspace, images, tmp_path / "whole")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("recolor.cleaning.tar_shards.replace_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            export_tar_shards(workspace, images, tmp_path / "out")
    assert list((tmp_path / "out").glob("*.tar")) == []
    assert len(export_tar_shards(workspace, images, tmp_path / "out").written) == 3
    for file in (tmp_path / "whole").glob("*.tar"):
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()


def test_a_photograph_that_changed_is_named_and_its_shard_made_again_next_time(workspace, images, tmp_path, webdataset):
    keep(workspace, images)
    status = (images / "a.jpg").stat()
    os.utime(images / "a.jpg", ns=(0, 1))
    result = export_tar_shards(workspace, images, tmp_path / "out")
    assert [problem.path for problem in result.problems] == ["a.jpg"]
    os.utime(images / "a.jpg", ns=(0, status.st_mtime_ns))
    assert export_tar_shards(workspace, images, tmp_path / "out").written == ["train-000000.tar"]
    assert len(members(tmp_path / "out/train-000000.tar")) == 6


def test_the_imagefolder_has_metadata_of_the_images_that_are_there(workspace, images, tmp_path):
    keep(workspace, images)
    os.utime(images / "f.jpg", ns=(0, 1))
    result = export_imagefolder(workspace, images, tmp_path / "out", "copy")
    assert [problem.path for problem in result.problems] == ["test/f.jpg"]
    assert not (tmp_path / "out/test/metadata.csv").exists()
    with (tmp_path / "out/train/metadata.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["file_name"] for row in rows] == ["a.jpg", "my test/b.c.JPG", "test/d.png"]
    assert all((tmp_path / "out/train" / row["file_name"]).is_file() for row in rows)
    keep(workspace, images, ["a.jpg"])
    export_imagefolder(workspace, images, tmp_path / "out", "copy")
    assert not (tmp_path / "out/val/metadata.csv").exists()
    (tmp_path / "out/val/metadata.csv").write_text("file_name,mine\n")
    with pytest.raises(InputError, match=r"val/metadata.csv: not the metadata of an export"):
        export_imagefolder(workspace, images, tmp_path / "out", "copy")


def test_hugging_face_datasets_reads_the_imagefolder(workspace, images, tmp_path, monkeypatch, leaves_files_open):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    keep(workspace, images)
    remember_images(workspace, images)
    words = ["export", "images", "--format", "hf", "--link", "--workspace", str(workspace.root), str(tmp_path / "out")]
    assert CliRunner().invoke(cli, words).exit_code == 0
    read = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: split.num_rows for name, split in read.items()} == {"train": 3, "validation": 1, "test": 1}
    shas = {hashlib.sha256((images / name).read_bytes()).hexdigest() for name in SPLIT_OF}
    assert {row["sha256"] for split in read.values() for row in split} == shas
    assert read["validation"][0]["image"].size == (11, 8)


def test_the_ledger_of_the_shards_is_plain_json(workspace, images, tmp_path, webdataset):
    keep(workspace, images)
    export_tar_shards(workspace, images, tmp_path / "out")
    ledger = json.loads((tmp_path / "out/.recolor-export/shards.json").read_bytes())
    assert set(ledger) == {"train-000000.tar", "val-000000.tar", "test-000000.tar"}
    (tmp_path / "out/.recolor-export/shards.json").write_text("[]")
    with pytest.raises(InputError, match="list of exported shards cannot be read"):
        export_tar_shards(workspace, images, tmp_path / "out")
