import csv
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data as photographs

from recolor.cleaning.decisions import parse_decisions, stored_decisions
from recolor.cleaning.detect import ISSUES, detect_issue
from recolor.cleaning.index import index_images
from recolor.cleaning.measure import measure_part, merge_measurements, plan_measure
from recolor.cleaning.select import _splits, select, split_of
from recolor.config.settings import Config, CorruptConfig, LowResolutionConfig, SelectConfig
from recolor.errors import ConfigError, InputError, MissingStageError
from recolor.manifests.pandas import read_manifest
from recolor.pipeline.workspace import open_workspace, remember_images

SMALL = replace(Config(), low_resolution=LowResolutionConfig(min_side_px=64))


@pytest.fixture(scope="module")
def images_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("select") / "images"
    folder.mkdir()
    for number in range(12):
        crop = photographs.astronaut()[number * 20 : number * 20 + 200, number * 15 : number * 15 + 220]
        Image.fromarray(crop).save(folder / f"{number:02}.jpg", quality=90)
    Image.fromarray(photographs.coffee()).save(folder / "best.png")
    Image.fromarray(photographs.coffee()).save(folder / "copy.jpg", quality=80)
    Image.fromarray(np.fliplr(photographs.coffee())).save(folder / "mirrored.jpg", quality=80)
    Image.fromarray(photographs.camera()[:60]).save(folder / "grey and small.jpg")
    (folder / "bad.jpg").write_bytes(b"<html>")
    return folder


@pytest.fixture
def images(images_once, tmp_path):
    """A copy of the images, which the test may change."""
    return shutil.copytree(images_once, tmp_path / "images")


@pytest.fixture(scope="module")
def measured_once(images_once):
    workspace = open_workspace(images_once.parent / "workspace")
    measure(workspace, images_once)
    return workspace


@pytest.fixture
def workspace(measured_once, tmp_path):
    """A copy of the workspace in which these images are measured, so that only what a test changes is measured."""
    return open_workspace(shutil.copytree(measured_once.root, tmp_path / "workspace"))


def measure(workspace, images, config=SMALL):
    index_images(workspace, images, config)
    for part in plan_measure(workspace, images, config).missing:
        measure_part(workspace, images, part, config)
    merge_measurements(workspace, config)


def clean(workspace, images, config=SMALL):
    measure(workspace, images, config)
    for issue in ISSUES:
        detect_issue(workspace, issue, config, images)
    return select(workspace, config)


def kept(workspace):
    return read_manifest(workspace.manifest("clean")).set_index("path")


def rejected(workspace):
    return read_manifest(workspace.manifest("outliers")).set_index("path")


def decide(workspace, text):
    (workspace.manifests / "decisions.csv").write_text(text, encoding="utf-8")


def test_every_image_is_kept_or_rejected_with_all_its_reasons(workspace, images):
    outcome = clean(workspace, images)
    assert set(kept(workspace).index) | set(rejected(workspace).index) == {file.name for file in images.iterdir()}
    assert not set(kept(workspace).index) & set(rejected(workspace).index)
    assert set(rejected(workspace).index) == {"bad.jpg", "copy.jpg", "mirrored.jpg", "grey and small.jpg"}
    several = rejected(workspace).loc["grey and small.jpg"]
    assert list(several["issues"]) == ["monochrome", "exposure", "low_resolution", "extreme_aspect"]  # only sky
    assert len(several["reasons"]) == 4
    assert several["score"] < 0.2
    assert outcome.counts["kept"] == 13
    assert outcome.counts["train"] + outcome.counts["val"] + outcome.counts["test"] == 13


def test_selecting_again_does_nothing(workspace, images):
    clean(workspace, images)
    assert select(workspace, SMALL).current


def test_decisions_win_over_the_detectors(workspace, images):
    clean(workspace, images)
    decide(workspace, "path,decision\ncopy.jpg,keep\n00.jpg,reject\nbad.jpg,keep\ngone.jpg,keep\n")
    assert select(workspace, SMALL).built == 1
    assert "copy.jpg" in kept(workspace).index
    assert list(rejected(workspace).loc["00.jpg", "reasons"]) == ["rejected in decisions.csv, line 3"]
    assert "bad.jpg" in rejected(workspace).index


def test_a_damaged_image_of_which_something_is_left_is_kept_by_a_decision_alone(workspace, images):
    whole = (images / "00.jpg").read_bytes()
    (images / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    off = replace(SMALL, corrupt=CorruptConfig(enabled=False))
    clean(workspace, images, off)
    assert "cut.jpg" in rejected(workspace).index
    decide(workspace, "cut.jpg,keep\nbad.jpg,keep\n")
    select(workspace, off)
    assert (kept(workspace).loc["cut.jpg", ["width_px", "height_px"]] == [220, 200]).all()
    assert "bad.jpg" in rejected(workspace).index  # a web page has no pixels


def test_copies_that_are_kept_by_decision_share_group_and_split(workspace, images):
    clean(workspace, images)
    decide(workspace, "copy.jpg,keep\nmirrored.jpg,keep\n")
    for seed in range(6):
        select(workspace, replace(SMALL, select=SelectConfig(seed=seed, val_fraction=0.3, test_fraction=0.3)))
        family = kept(workspace).loc[["best.png", "copy.jpg", "mirrored.jpg"]]
        assert family["group"].nunique() == family["split"].nunique() == 1


def test_the_split_of_an_image_does_not_depend_on_the_others(workspace, images):
    spread = replace(SMALL, select=SelectConfig(val_fraction=0.3, test_fraction=0.3))
    clean(workspace, images, spread)
    before = kept(workspace)["split"]
    assert before.nunique() == 3
    for number in range(0, 12, 2):
        (images / f"{number:02}.jpg").unlink()
    Image.fromarray(photographs.rocket()).save(images / "new.jpg")
    clean(workspace, images, spread)
    after = kept(workspace)["split"]
    both = before.index.intersection(after.index)
    assert len(both) == 7
    assert (before[both] == after[both]).all()


def test_an_image_that_moved_keeps_its_split(workspace, images):
    clean(workspace, images)
    before = kept(workspace).loc["05.jpg", "split"]
    (images / "05.jpg").rename(images / "renamed.jpg")
    clean(workspace, images)
    assert kept(workspace).loc["renamed.jpg", "split"] == before


@given(st.integers(0, 1000))
def test_splits_have_about_their_shares(seed):
    config = SelectConfig(seed=seed, val_fraction=0.1, test_fraction=0.2)
    groups = [f"{number:016x}" for number in range(2000)]
    found = _splits(pa.chunked_array([groups]), config).to_pylist()
    assert found[:9] == [split_of(group, config) for group in groups[:9]]
    assert abs(found.count("val") / 2000 - 0.1) < 0.04
    assert abs(found.count("test") / 2000 - 0.2) < 0.05


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("path,decision\na.jpg,keep\nb.jpg,maybe\n", 3),
        ("a.jpg\n", 1),
        ("a.jpg,keep,because\n", 1),
        ('a.jpg,keep\n"b.jpg,reject\n', 2),
        ('"a\nb.jpg",keep\nc.jpg;reject\n', 3),
    ],
)
def test_a_malformed_decision_is_refused_with_its_line(workspace, images, text, line):
    clean(workspace, images)
    decide(workspace, text)
    with pytest.raises(ConfigError, match=rf"decisions.csv, line {line}"):
        select(workspace, SMALL)


def test_decisions_are_read_with_and_without_header_and_the_last_on_an_image_wins(tmp_path):
    decisions = parse_decisions('path,decision\r\n\r\n"a, b.jpg",keep\r\nc.jpg, reject \r\nc.jpg,keep\r\n', tmp_path)
    assert {path: decision.keep for path, decision in decisions.items()} == {"a, b.jpg": True, "c.jpg": True}
    assert decisions["c.jpg"].line == 5
    assert parse_decisions("a.jpg,reject", tmp_path)["a.jpg"].keep is False
    assert parse_decisions("", tmp_path) == {}


def test_select_says_how_many_decisions_were_applied_even_if_nothing_changed(workspace, images):
    assert clean(workspace, images).note == ""
    decide(workspace, "path,decision\ncopy.jpg,keep\n00.jpg,reject\nbad.jpg,keep\ngone.jpg,keep\nlost.jpg,reject\n")
    for _ in range(2):
        assert select(workspace, SMALL).note == "decisions.csv: 2 applied, 2 unknown, 1 cannot be decoded"
    decide(workspace, "copy.jpg,keep\n")
    assert select(workspace, SMALL).note == "decisions.csv: 1 applied, 0 unknown"


def test_absolute_paths_inside_the_image_folder_are_those_of_its_images(workspace, images, tmp_path):
    clean(workspace, images)
    remember_images(workspace, images)
    link = tmp_path / "photographs"
    link.symlink_to(images)
    decide(
        workspace, f"{images}/copy.jpg,keep\n{images}/../images/00.jpg,reject\n./01.jpg,reject\n/other/02.jpg,reject\n"
    )
    assert select(workspace, SMALL).note == "decisions.csv: 3 applied, 1 unknown"
    assert "copy.jpg" in kept(workspace).index
    assert list(rejected(workspace).loc["00.jpg", "reasons"]) == ["rejected in decisions.csv, line 2"]
    assert "01.jpg" in rejected(workspace).index
    assert set(stored_decisions(workspace)) == {"copy.jpg", "00.jpg", "01.jpg", "/other/02.jpg"}
    remember_images(workspace, link)  # indexed by another name of the same folder
    assert select(workspace, SMALL).note == "decisions.csv: 3 applied, 1 unknown"
    remember_images(workspace, tmp_path)
    again = select(workspace, SMALL)
    assert (again.built, again.note) == (1, "decisions.csv: 1 applied, 3 unknown")
    assert "00.jpg" in kept(workspace).index


@pytest.mark.parametrize(
    "data",
    [
        b'\xef\xbb\xbfPath;Decision\r\nlake/\xc3\xa9t\xc3\xa9.jpg;keep\r\n"a; b.jpg";Reject\r\n',
        b'\xef\xbb\xbfsep=;\r\npath;decision\r\nlake/\xc3\xa9t\xc3\xa9.jpg;keep\r\n"a; b.jpg";reject\r\n;;\r\n',
        b'path;decision;;\nlake/\xc3\xa9t\xc3\xa9.jpg;keep;;\n"a; b.jpg";reject;;\n',
        b'"path";"decision"\r\n"lake/\xc3\xa9t\xc3\xa9.jpg";"keep"\r\n"a; b.jpg";"reject"\r\n',
        b"lake/\xc3\xa9t\xc3\xa9.jpg\tkeep\na; b.jpg\treject\n",
    ],
)
def test_decisions_are_read_as_spreadsheet_programs_save_them(workspace, data):
    (workspace.manifests / "decisions.csv").parent.mkdir(exist_ok=True)
    (workspace.manifests / "decisions.csv").write_bytes(data)
    read = {path: decision.keep for path, decision in stored_decisions(workspace).items()}
    assert read == {"lake/été.jpg": True, "a; b.jpg": False}


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).map(
            lambda name: f"x{name}x"
        ),
        st.booleans(),
        min_size=1,
    ),
    st.sampled_from(",;\t"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
)
def test_every_path_is_read_as_it_was_written(decisions, delimiter, quoting, header):
    text = io.StringIO(newline="")
    rows = [("path", "decision")] if header else []
    rows += [(path, "keep" if keep else "reject") for path, keep in decisions.items()]
    csv.writer(text, delimiter=delimiter, quoting=quoting).writerows(rows)
    if not header and ("\n" in rows[0][0] or "\r" in rows[0][0]):
        return  # the first line cannot tell what separates the cells
    read = parse_decisions(text.getvalue(), Path("decisions.csv"))
    assert {path: decision.keep for path, decision in read.items()} == decisions


def test_a_decisions_file_that_is_no_text_is_refused(workspace, images):
    clean(workspace, images)
    (workspace.manifests / "decisions.csv").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        select(workspace, SMALL)


def test_nothing_kept_says_why_and_what_to_do(workspace, images):
    strict = replace(Config(), low_resolution=LowResolutionConfig(min_side_px=5000))
    with pytest.raises(InputError, match=r"all 17 images are rejected \(low_resolution 16.*corrupt 1"):
        clean(workspace, images, strict)


def test_a_blurry_enlargement_does_not_cost_its_original(workspace, images):
    photograph = Image.fromarray(photographs.chelsea()).resize((225, 150), Image.Resampling.LANCZOS)
    photograph.save(images / "original.png")
    photograph.resize((150, 100), Image.Resampling.LANCZOS).save(images / "a thumbnail.png")
    photograph.resize((2048, 1365), Image.Resampling.BICUBIC).save(images / "enlarged.png")
    clean(workspace, images)
    assert set(rejected(workspace).loc["enlarged.png", "issues"]) == {"duplicate", "blurry"}
    assert list(rejected(workspace).loc["a thumbnail.png", "issues"]) == ["duplicate"]
    assert "original.png" in kept(workspace).index


def test_an_enlargement_beyond_the_measured_size_does_not_cost_its_original(workspace, images):
    enlarged = Image.fromarray(photographs.coffee()).resize((1800, 1200), Image.Resampling.BICUBIC)
    enlarged.save(images / "enlarged.png")
    clean(workspace, images)
    assert "duplicate" in rejected(workspace).loc["enlarged.png", "issues"]
    assert "best.png" in kept(workspace).index


def test_a_picture_whose_best_copy_a_person_rejects_keeps_its_next_best(workspace, images):
    Image.fromarray(photographs.coffee()[::2, ::2]).save(images / "a small copy.png")
    clean(workspace, images)
    decide(workspace, "best.png,reject\n")
    counts = select(workspace, SMALL).counts
    assert "copy.jpg" in kept(workspace).index  # as many pixels as mirrored.jpg, and the first path
    assert {"best.png", "mirrored.jpg", "a small copy.png"} <= set(rejected(workspace).index)
    assert counts["rejected"] == len(rejected(workspace))
    decide(workspace, "best.png,reject\ncopy.jpg,reject\n")
    select(workspace, SMALL)
    assert "mirrored.jpg" in kept(workspace).index


def test_no_second_copy_is_kept_beside_the_one_that_a_person_keeps(workspace, images):
    clean(workspace, images)
    decide(workspace, "best.png,reject\nmirrored.jpg,keep\n")
    select(workspace, SMALL)
    family = {"best.png", "copy.jpg", "mirrored.jpg"}
    assert family & set(kept(workspace).index) == {"mirrored.jpg"}


def test_images_that_no_detector_has_seen_are_not_selected(workspace, images):
    clean(workspace, images)
    (images / "new.jpg").write_bytes(b"<html>")
    measure(workspace, images)
    with pytest.raises(MissingStageError, match=r"corrupt.parquet.*other measurements.*recolor detect"):
        select(workspace, SMALL)
    for issue in ISSUES[:-1]:
        detect_issue(workspace, issue, SMALL)
    with pytest.raises(MissingStageError, match=f"{ISSUES[-1]}.parquet"):
        select(workspace, SMALL)
    detect_issue(workspace, ISSUES[-1], SMALL)
    assert select(workspace, SMALL).counts["images"] == 18


def test_a_missing_stage_is_named(tmp_path):
    workspace = open_workspace(tmp_path / "empty")
    with pytest.raises(MissingStageError, match="recolor measure"):
        select(workspace, SMALL)


@pytest.mark.parametrize(
    "text",
    [
        "path;decision\na.jpg;keep\nb;c.jpg;reject\n".replace("b;c", '"b;c"').replace('"b;c".jpg', '"b;c.jpg"'),
        'a.jpg;keep\r\n"b;c.jpg";reject\r\n',
        "path\tdecision\na.jpg\tkeep\nb;c.jpg\treject\n",
        '"path";"decision"\n"a.jpg";"keep"\n"b;c.jpg";"reject"\n',
        "\n\npath,decision\na.jpg,keep\nb;c.jpg,reject\n",
        "b;c.jpg,reject\na.jpg,keep",
    ],
)
def test_cells_may_be_separated_by_commas_semicolons_or_tabs(text, tmp_path):
    decisions = parse_decisions(text, tmp_path / "decisions.csv")
    assert {path: decision.keep for path, decision in decisions.items()} == {"a.jpg": True, "b;c.jpg": False}


def test_2000_decisions_about_unknown_images_are_one_warning(workspace, images, caplog):
    clean(workspace, images)
    decide(workspace, "path,decision\n" + "".join(f"gone {number}.jpg,keep\n" for number in range(2000)))
    select(workspace, SMALL)
    assert [record.getMessage() for record in caplog.records] == [
        "decisions.csv, line 2: 'gone 0.jpg' is not among the images; line ignored. The same holds for 1,999 more."
    ]


def test_keeping_images_that_cannot_be_decoded_is_one_warning(workspace, images, caplog):
    (images / "worse.jpg").write_bytes(b"")
    clean(workspace, images)
    decide(workspace, "bad.jpg,keep\nworse.jpg,keep\nbad.jpg,keep\n")
    select(workspace, SMALL)
    assert [record.getMessage() for record in caplog.records] == [
        "decisions.csv, line 3: 'bad.jpg' cannot be decoded, so it cannot be kept. The same holds for 1 more."
    ]
    assert {"bad.jpg", "worse.jpg"} <= set(rejected(workspace).index)
