import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from skimage.color import rgb2lab

from recolor import stages as pipeline
from recolor.color.lab import CODE_HIGH, CODE_LOW, decode_lab
from recolor.config.settings import Config, ExecutionConfig, GeneratorConfig, RefinerConfig, ShardConfig, TrainConfig
from recolor.errors import DamagedError, InputError, MissingStageError
from recolor.manifests.schemas import MEASUREMENTS, SHARD_INDEX
from recolor.pipeline import workers as processes
from recolor.pipeline.cache import Part, record_path, run_part, sha256_file
from recolor.pipeline.workspace import locked, open_workspace
from recolor.shards import rows as shard_rows
from recolor.shards import writer as shards
from recolor.shards.format import read_index
from recolor.shards.rows import to_square
from recolor.shards.writer import (
    bucket_count,
    drop_damaged,
    finish_shards,
    plan_shards,
    read_shard,
    verify_shards,
    write_shards,
)

SIZE_PX = 64
TRAIN = TrainConfig(crop_px=SIZE_PX)
CONFIG = Config(
    shard=ShardConfig(size_px=SIZE_PX, max_shard_images=16),
    generator=GeneratorConfig(train=TRAIN),
    refiner=RefinerConfig(train=TRAIN),
)


def crops(count, seed):
    """Cuts of photographs, of different sizes and shapes, each of at least 64 px."""
    rng = np.random.default_rng(seed)
    photographs = [data.astronaut(), data.coffee(), data.rocket(), data.chelsea()]
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        height, width = rng.integers(SIZE_PX, 200, 2)
        top, left = rng.integers(0, photograph.shape[0] - height), rng.integers(0, photograph.shape[1] - width)
        yield photograph[top : top + height, left : left + width]


def write_images(folder, count, seed):
    folder.mkdir(exist_ok=True)
    for number, rgb in enumerate(crops(count, seed)):
        Image.fromarray(rgb).save(folder / f"photo {seed}-{number}.png", compress_level=1)


def write_clean(workspace, images, names=None):
    """What cleaning hands over, for all images of the folder or some of them."""
    rows = []
    for name in names or sorted(path.relative_to(images).as_posix() for path in images.rglob("*.*")):
        sha256 = hashlib.sha256((images / name).read_bytes()).hexdigest()
        with Image.open(images / name) as image:
            width_px, height_px = image.size
        split = ("val", "test", "train")[min(int(sha256[:2], 16) % 5, 2)]
        size = {"width_px": np.int32(width_px), "height_px": np.int32(height_px)}
        rows.append({"path": name, "sha256": sha256, "split": split, **size})
    columns = {key: [row[key] for row in rows] for key in ("path", "sha256", "split", "width_px", "height_px")}
    sizes = {key: pa.array(columns[key], pa.int32()) for key in ("width_px", "height_px")}
    table = pa.table({**columns, **sizes})
    part = Part(workspace, "select", 1, str(rows), {}, (workspace.manifest("clean"),))
    run_part(part, lambda staging: pq.write_table(table, staging / "clean.parquet") or {"images": len(rows)})


def shard_all(workspace, images, config=CONFIG):
    """Shards what is missing; returns how many shards were written."""
    plan = plan_shards(workspace, config)
    for part in plan.missing:
        write_shards(workspace, images, part, config)
    finish_shards(workspace, config)
    return len(plan.missing)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*") if not path.name.endswith(".record.json")}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workspace with 70 sharded images; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("made")
    write_images(folder / "images", 70, seed=1)
    workspace = open_workspace(folder / "workspace")
    write_clean(workspace, folder / "images")
    shard_all(workspace, folder / "images")
    return workspace


@pytest.fixture
def copied(made, tmp_path):
    """A copy of the workspace, and of its image folder."""
    shutil.copytree(made.root.parent, tmp_path, dirs_exist_ok=True)
    return open_workspace(tmp_path / "workspace"), tmp_path / "images"


def test_every_kept_image_has_one_row_and_its_own_pixels(made):
    index = pq.read_table(made.shards / "index.parquet").to_pandas()
    assert sorted(index["path"]) == sorted(path.name for path in (made.root.parent / "images").glob("*"))
    means = []
    for row in index.itertuples():
        rgb = np.asarray(Image.open(made.root.parent / "images" / row.path))
        assert (row.width_px, row.height_px) == (rgb.shape[1], rgb.shape[0])
        lab = decode_lab(read_shard(made.shards / row.shard)[row.row].transpose(1, 2, 0))
        error = np.linalg.norm(lab - rgb2lab(reference_square(rgb) / 255.0), axis=-1)
        assert error.max() <= 0.75
        means.append(error.mean())
    assert np.mean(means) <= 0.35


def reference_square(rgb):
    height, width = rgb.shape[:2]
    side = min(height, width)
    square = rgb[(height - side) // 2 :, (width - side) // 2 :][:side, :side]
    return cv2.resize(square, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)


def test_rows_are_sorted_by_content_and_shards_by_number(made):
    index = read_index(made).to_pandas()
    assert list(index["sha256"]) == sorted(index["sha256"])
    assert list(index["shard"]) == sorted(index["shard"])
    assert all((rows == np.arange(len(rows))).all() for _, rows in index.groupby("shard")["row"])


def test_the_index_has_its_schema_and_counts_each_split(made):
    assert pq.read_schema(made.shards / "index.parquet").remove_metadata() == SHARD_INDEX.arrow
    outcome = finish_shards(made, CONFIG)
    assert outcome.current
    splits = read_index(made)["split"].to_pylist()
    counted = {split: splits.count(split) for split in ("train", "val", "test")}
    assert outcome.counts == {"images": 70, "shards": 8, **counted}


def test_a_shard_is_a_plain_npy_file(made):
    for path in made.shards.glob("shard-*.npy"):
        array = np.load(path)
        assert re.fullmatch(r"shard-\d{5}-[0-9a-f]{8}\.npy", path.name)
        assert array.dtype.str == "|u1"
        assert array.shape[1:] == (3, SIZE_PX, SIZE_PX)
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, read_shard(path))


def test_a_second_plan_has_nothing_to_do(made):
    plan = plan_shards(made, CONFIG)
    assert (plan.missing, plan.reused, plan.images) == ((), 8, 70)


@given(st.integers(1, 3_000_000), st.integers(16, 8192))
def test_buckets_are_on_average_more_than_half_full(images, max_shard_images):
    buckets = bucket_count(images, max_shard_images)
    assert buckets & (buckets - 1) == 0
    assert images <= buckets * max_shard_images
    assert buckets == 1 or images > buckets * max_shard_images / 2


def test_adding_images_rewrites_at_most_as_many_shards(copied):
    workspace, images = copied
    before = {path.name: path.stat().st_mtime_ns for path in workspace.shards.glob("shard-*.npy")}
    write_images(images, 3, seed=2)
    write_clean(workspace, images)
    assert 1 <= shard_all(workspace, images) <= 3
    after = {path.name: path.stat().st_mtime_ns for path in workspace.shards.glob("shard-*.npy")}
    assert len(after) == 8
    assert len(before.items() & after.items()) >= 5
    assert read_index(workspace).num_rows == 73
    verify_shards(workspace)


def test_removing_an_image_rewrites_its_shard_alone(copied):
    workspace, images = copied
    next(images.glob("*")).unlink()
    write_clean(workspace, images)
    assert shard_all(workspace, images) == 1
    assert read_index(workspace).num_rows == 69


def test_the_order_of_arrival_does_not_matter(copied, tmp_path):
    workspace, images = copied
    write_images(images, 4, seed=3)
    write_clean(workspace, images)
    shard_all(workspace, images)
    fresh = open_workspace(tmp_path / "fresh")
    write_clean(fresh, images)
    shard_all(fresh, images)
    assert contents(fresh.shards) == contents(workspace.shards)


def test_renaming_an_image_rewrites_the_index_and_no_shard(copied):
    workspace, images = copied
    next(images.glob("*")).rename(images / "renamed ünïcode\n.png")
    write_clean(workspace, images)
    assert shard_all(workspace, images) == 0
    assert "renamed ünïcode\n.png" in read_index(workspace)["path"].to_pylist()


@pytest.mark.parametrize("harm", ["deleted", "record deleted", "cut", "flipped"])
def test_a_damaged_shard_is_rebuilt_alone_with_the_same_bytes(copied, harm):
    workspace, images = copied
    whole = contents(workspace.shards)
    path = sorted(workspace.shards.glob("shard-*.npy"))[2]
    match harm:
        case "deleted":
            path.unlink()
        case "record deleted":
            record_path(path).unlink()
        case "cut":
            os.truncate(path, 1000)
        case "flipped":
            flip_byte(path, 5000)
    assert shard_all(workspace, images) == 1
    assert contents(workspace.shards) == whole


def test_other_settings_leave_no_old_shard_behind(copied):
    workspace, images = copied
    larger = replace(CONFIG, shard=replace(CONFIG.shard, size_px=72, max_shard_images=64))
    old = set(contents(workspace.shards)) - {"index.parquet"}
    shard_all(workspace, images, larger)
    named = set(read_index(workspace)["shard"].to_pylist())
    assert set(contents(workspace.shards)) == named | {"index.parquet"}
    assert not named & old
    assert len(list(workspace.shards.glob("*.record.json"))) == len(named) + 1


def test_old_shards_stay_until_the_index_is_replaced(copied):
    workspace, images = copied
    larger = replace(CONFIG, shard=replace(CONFIG.shard, size_px=72))
    write_shards(workspace, images, plan_shards(workspace, larger).missing[0], larger)
    verify_shards(workspace)


SHARD_AND_KILL = """
import os, pickle, signal, sys, time
from recolor.shards.writer import finish_shards, plan_shards, write_shards
images, config, moments = pickle.loads(bytes.fromhex(sys.argv[1]))
for workspace, after_s in moments:
    if (child := os.fork()) == 0:
        for part in plan_shards(workspace, config).missing:
            write_shards(workspace, images, part, config)
        finish_shards(workspace, config)
        os._exit(0)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    print("done" if os.waitpid(child, 0)[1] == 0 else "killed")
"""


@pytest.mark.slow
def test_after_kill_9_at_any_moment_the_rerun_ends_with_the_same_bytes_and_redoes_no_finished_shard(made, tmp_path):
    images, moments = made.root.parent / "images", []
    for number, after_s in enumerate(np.random.default_rng(13).uniform(0, 0.15, 10)):
        moments.append((open_workspace(tmp_path / str(number)), after_s))
        shutil.copytree(made.manifests, moments[-1][0].manifests)
    command = [sys.executable, "-c", SHARD_AND_KILL, pickle.dumps((images, CONFIG, moments)).hex()]
    ends = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert ends.count("killed") >= 5
    for workspace, _ in moments:
        finished = len(list(workspace.shards.glob("shard-*.record.json")))
        with locked(workspace):  # as every run does: it sweeps away what the killed one had begun to write
            assert shard_all(workspace, images) == 8 - finished
        assert contents(workspace.shards) == contents(made.shards)


def write_measurements(workspace, images, *, mtime_ns=None):
    """What measuring would say of the kept files' size and time; with `mtime_ns`, that they are of another time."""
    rows = pq.read_table(workspace.manifest("clean"), columns=["path", "sha256"]).to_pylist()
    for row in rows:
        status = (images / row["path"]).stat()
        row |= {"size_bytes": status.st_size, "mtime_ns": mtime_ns or status.st_mtime_ns}
    table = pa.Table.from_pylist(rows, schema=MEASUREMENTS.arrow)
    part = Part(workspace, "measure", 1, None, {"mtime_ns": str(mtime_ns)}, (workspace.manifest("measurements"),))
    run_part(part, lambda staging: pq.write_table(table, staging / "measurements.parquet") or {"images": len(rows)})


def hashed_while_sharding(workspace, images, monkeypatch):
    """Shards everything again; returns how many image files were hashed for it."""
    hashed = []
    counting = SimpleNamespace(sha256=lambda data: hashed.append(1) or hashlib.sha256(data))
    monkeypatch.setattr(shard_rows, "hashlib", counting)
    shutil.rmtree(workspace.shards)
    shard_all(workspace, images)
    return len(hashed)


def test_a_file_of_the_measured_size_and_time_is_trusted_and_any_other_is_hashed(copied, monkeypatch):
    workspace, images = copied
    before = contents(workspace.shards)
    write_measurements(workspace, images)
    assert hashed_while_sharding(workspace, images, monkeypatch) == 0
    write_measurements(workspace, images, mtime_ns=1)
    assert hashed_while_sharding(workspace, images, monkeypatch) == 70
    assert contents(workspace.shards) == before


@pytest.mark.parametrize("harm", ["cut", "deleted"])
def test_without_whole_measurements_every_file_is_hashed(copied, monkeypatch, harm):
    workspace, images = copied
    write_measurements(workspace, images)
    path = workspace.manifest("measurements")
    os.truncate(path, 100) if harm == "cut" else path.unlink()
    assert hashed_while_sharding(workspace, images, monkeypatch) == 70


def test_worker_processes_write_the_same_bytes(copied, monkeypatch):
    workspace, images = copied
    before = contents(workspace.shards)
    shutil.rmtree(workspace.shards)
    monkeypatch.setattr(shards, "PROCESSES_FROM_IMAGES", 1)
    pipeline.shard(workspace, images, replace(CONFIG, execution=ExecutionConfig(workers=2)))
    assert contents(workspace.shards) == before


@pytest.mark.slow  # starts processes
def test_a_worker_that_dies_is_an_error_that_names_the_image(copied, monkeypatch):
    workspace, images = copied
    shutil.rmtree(workspace.shards)
    monkeypatch.setattr(shards, "PROCESSES_FROM_IMAGES", 1)
    monkeypatch.setattr(shards, "in_process", lambda *_: processes.in_process(os._exit, 1))
    with pytest.raises(InputError, match=r"photo 1-\d+\.png: a worker process died.*decisions\.csv"):
        pipeline.shard(workspace, images, replace(CONFIG, execution=ExecutionConfig(workers=2)))


def test_a_setting_of_another_stage_redoes_no_shard(made):
    other = replace(CONFIG, generator=replace(CONFIG.generator, rebalance=0.1))
    assert plan_shards(made, other).missing == ()


@pytest.mark.parametrize("change", ["touched", "deleted", "truncated"])
def test_an_image_that_changed_since_cleaning_is_named(copied, change):
    workspace, images = copied
    shutil.rmtree(workspace.shards)
    victim = sorted(images.glob("*"))[40]
    match change:
        case "touched":
            Image.new("RGB", (80, 80)).save(victim)
        case "deleted":
            victim.unlink()
        case "truncated":
            os.truncate(victim, victim.stat().st_size // 2)
    parts = plan_shards(workspace, CONFIG).missing
    failures = [failure for part in parts if (failure := failure_of(workspace, images, part)) is not None]
    assert len(failures) == 1
    assert victim.name in failures[0]
    assert "recolor clean" in failures[0]
    assert len(list(workspace.shards.glob("shard-*.npy"))) == len(parts) - 1
    with pytest.raises(MissingStageError, match="recolor shards build"):
        finish_shards(workspace, CONFIG)


def test_very_many_shards_are_written_some_in_a_part_to_the_same_bytes(copied, monkeypatch):
    workspace, images = copied
    before = contents(workspace.shards)
    shutil.rmtree(workspace.shards)
    monkeypatch.setattr(shards, "MAX_PARTS", 3)
    plan = plan_shards(workspace, CONFIG)
    assert [len(part.buckets) for part in plan.missing] == [3, 3, 2]
    assert sum(part.images for part in plan.missing) == plan.images
    assert str(plan.missing[-1]) == f"{plan.missing[-1].images} images, buckets 7 to 8 of 8"
    built = [write_shards(workspace, images, part, CONFIG).built for part in plan.missing]
    finish_shards(workspace, CONFIG)
    assert built == [3, 3, 2]
    assert contents(workspace.shards) == before


def test_shards_beside_one_that_fails_in_the_same_part_are_finished(copied, monkeypatch):
    workspace, images = copied
    shutil.rmtree(workspace.shards)
    monkeypatch.setattr(shards, "MAX_PARTS", 1)
    victim = next(images.rglob("*.png"))
    victim.write_bytes(b"another file")
    (part,) = plan_shards(workspace, CONFIG).missing
    with pytest.raises(InputError, match=rf"shard: 1 of 8 parts failed.*\n  .*{re.escape(victim.name)}"):
        write_shards(workspace, images, part, CONFIG)
    (left,) = plan_shards(workspace, CONFIG).missing
    assert len(left.buckets) == 1


def failure_of(workspace, images, part):
    try:
        write_shards(workspace, images, part, CONFIG)
    except InputError as error:
        return str(error)
    return None


def rewrite_clean(workspace, table):
    """Another manifest, with a record that says so."""
    path = workspace.manifest("clean")
    pq.write_table(table, path)
    record = json.loads(record_path(path).read_text())
    facts = {"sha256": sha256_file(path), "size_bytes": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}
    record["outputs"][0].update(facts)
    record_path(path).write_text(json.dumps(record))


def test_an_image_that_never_could_be_decoded_is_named(workspace, tmp_path):
    write_images(tmp_path / "images", 2, seed=4)
    write_clean(workspace, tmp_path / "images")
    broken = tmp_path / "images" / "photo 4-0.png"
    os.truncate(broken, 20)
    table = pq.read_table(workspace.manifest("clean"))
    changed = table.to_pydict()
    changed["sha256"][changed["path"].index(broken.name)] = hashlib.sha256(broken.read_bytes()).hexdigest()
    rewrite_clean(workspace, pa.table(changed, schema=table.schema))
    with pytest.raises(InputError, match=r"photo 4-0\.png.*truncated.*recolor clean"):
        shard_all(workspace, tmp_path / "images")


def test_float16_shards_hold_lab_itself(copied):
    workspace, images = copied
    config = replace(CONFIG, shard=replace(CONFIG.shard, dtype="float16"))
    shard_all(workspace, images, config)
    verify_shards(workspace)
    for row in read_index(workspace).slice(0, 10).to_pylist():
        stored = read_shard(workspace.shards / row["shard"])[row["row"]]
        assert stored.dtype.str == "<f2"
        exact = rgb2lab(reference_square(np.asarray(Image.open(images / row["path"]))) / 255.0)
        assert np.linalg.norm(stored.transpose(1, 2, 0) - exact, axis=-1).max() <= 0.06


@pytest.mark.parametrize("shape", [(20, 30), (64, 64), (63, 200), (1, 500), (500, 1), (301, 77)])
def test_any_shape_becomes_the_square_of_its_centre(shape):
    rgb = np.full((*shape, 3), 10, np.uint8)
    side = min(shape)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    rgb[top : top + side, left : left + side] = (200, 100, 50)
    square = to_square(rgb, SIZE_PX)
    np.testing.assert_array_equal(square, np.broadcast_to(np.array([200, 100, 50], np.uint8), (SIZE_PX, SIZE_PX, 3)))


def test_images_of_one_content_share_a_shard_in_the_order_of_their_paths(workspace, tmp_path):
    write_images(tmp_path / "images", 1, seed=5)
    first = next((tmp_path / "images").glob("*"))
    shutil.copy(first, first.with_name("a copy.png"))
    write_clean(workspace, tmp_path / "images")
    shard_all(workspace, tmp_path / "images")
    assert read_index(workspace)["path"].to_pylist() == ["a copy.png", first.name]


def test_without_cleaning_the_stage_to_run_is_named(workspace):
    with pytest.raises(MissingStageError, match="recolor clean"):
        plan_shards(workspace, CONFIG)


def test_nothing_kept_is_an_input_error(workspace, tmp_path):
    write_images(tmp_path / "images", 1, seed=6)
    write_clean(workspace, tmp_path / "images")
    rewrite_clean(workspace, pq.read_table(workspace.manifest("clean")).slice(0, 0))
    with pytest.raises(InputError, match="no image was kept"):
        plan_shards(workspace, CONFIG)


def test_parts_and_plans_are_small_and_picklable(made, tmp_path):
    config = replace(CONFIG, shard=replace(CONFIG.shard, size_px=72))
    plan = plan_shards(made, config)
    assert len(plan.missing) == 8
    assert sum(part.images for part in plan.missing) == 70
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert len(pickle.dumps(plan.missing[0])) < 200


def flip_byte(path, offset):
    with path.open("r+b") as file:
        file.seek(offset)
        value = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([value ^ 1]))


def test_verify_finds_any_flipped_byte_and_names_its_file(copied):
    workspace, _ = copied
    verify_shards(workspace)
    rng = np.random.default_rng(11)
    files = [*sorted(workspace.shards.glob("*.npy")), workspace.shards / "index.parquet"]
    for path in rng.choice(files, 12):
        offset = int(rng.integers(0, path.stat().st_size))
        flip_byte(path, offset)
        with pytest.raises(DamagedError, match=re.escape(path.name)):
            verify_shards(workspace)
        flip_byte(path, offset)
    verify_shards(workspace)


def test_verify_names_every_damaged_shard(copied):
    workspace, _ = copied
    first, second, third, *_ = sorted(workspace.shards.glob("*.npy"))
    first.unlink()
    os.truncate(second, second.stat().st_size - 1)
    flip_byte(third, 10_000)
    with pytest.raises(DamagedError) as caught:
        verify_shards(workspace)
    assert all(path.name in str(caught.value) for path in (first, second, third))
    *listed, advice = str(caught.value).splitlines()
    assert len(listed) == 3
    assert "recolor shards repair" in advice


def test_repair_rebuilds_what_is_damaged_and_nothing_else(copied):
    workspace, images = copied
    before = contents(workspace.shards)
    kept = {path: path.stat().st_mtime_ns for path in sorted(workspace.shards.glob("*.npy"))[3:]}
    first, second, third, *_ = sorted(workspace.shards.glob("*.npy"))
    first.unlink()
    record_path(second).write_text("{")
    flip_byte(third, 10_000)
    flip_byte(workspace.shards / "index.parquet", 100)
    assert drop_damaged(workspace) == ("index.parquet", first.name, second.name, third.name)
    assert shard_all(workspace, images) == 3
    assert contents(workspace.shards) == before
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert drop_damaged(workspace) == ()


def test_reading_refuses_a_missing_shard(copied):
    workspace, _ = copied
    path = next(workspace.shards.glob("*.npy"))
    path.unlink()
    with pytest.raises(DamagedError, match=path.name):
        read_shard(path)


@pytest.mark.parametrize("size_bytes", [0, 5, 64, 20_000])
def test_reading_refuses_a_cut_shard(copied, size_bytes):
    workspace, _ = copied
    path = next(workspace.shards.glob("*.npy"))
    os.truncate(path, size_bytes)
    with pytest.raises(DamagedError, match="recolor shards build"):
        read_shard(path)


def test_reading_refuses_a_wrong_count(copied):
    workspace, _ = copied
    path = next(workspace.shards.glob("*.npy"))
    np.save(path, np.load(path)[:-1])
    with pytest.raises(DamagedError, match="its record says"):
        read_shard(path)


def test_reading_refuses_what_is_no_lab_shard(copied):
    workspace, _ = copied
    path = next(workspace.shards.glob("*.npy"))
    np.save(path, np.load(path).transpose(0, 2, 3, 1).copy())
    with pytest.raises(DamagedError, match="not a Lab shard"):
        read_shard(path)


def test_reading_refuses_an_unknown_version(copied):
    workspace, _ = copied
    path = next(workspace.shards.glob("*.npy"))
    record = json.loads(record_path(path).read_text())
    record_path(path).write_text(json.dumps({**record, "version": 99}))
    with pytest.raises(InputError, match="version 99"):
        read_shard(path)


def test_sharding_needs_no_torch():
    command = "import sys, recolor.shards.writer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def test_the_readme_example_reads_a_shard_with_numpy_and_pandas_alone(made, monkeypatch):
    readme = (Path(__file__).parents[2] / "data" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert "recolor" not in example
    monkeypatch.chdir(made.root)
    read = {}
    exec(example, read)
    exact = rgb2lab(reference_square(np.asarray(Image.open(made.root.parent / "images" / read["image"]["path"]))) / 255)
    assert read["ab"].shape == (2, SIZE_PX, SIZE_PX)
    assert np.linalg.norm(np.moveaxis(read["lab"], 0, -1) - exact, axis=-1).max() <= 0.75
    np.testing.assert_array_equal(read["L"], read["lab"][0])


def test_the_readme_states_the_code_book_and_every_index_column():
    readme = (Path(__file__).parents[2] / "data" / "README.md").read_text(encoding="utf-8")
    for channel, low, high in zip("Lab", CODE_LOW, CODE_HIGH):
        assert f"| {channel} | {low} | {high} | {(high - low) / 255:.6f} |" in readme
    assert all(f"`{column.name}`" in readme for column in SHARD_INDEX.columns)
