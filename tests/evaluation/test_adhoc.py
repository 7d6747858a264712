from dataclasses import replace

import cv2
import numpy as np
import pytest
from evaluation.hue_examples import reference_counts
from PIL import Image
from skimage import data

from recolor.color.gamut import join
from recolor.color.lab import rgb_to_lab
from recolor.colorize import Colorizer, Look
from recolor.config.settings import Config, EvaluateConfig, ExecutionConfig, MeasureConfig
from recolor.errors import ConfigError, InputError, MissingStageError, WeightsError
from recolor.evaluation import evaluate_photos, evaluate_split
from recolor.evaluation.methods import load_models
from recolor.evaluation.metrics import ab_mse, psnr_db
from recolor.evaluation.photos import find_photos, photo_source, read_photo
from recolor.manifests.io import read_table
from recolor.manifests.pandas import read_manifest
from recolor.manifests.schemas import COMPARISON, HUES, METRICS, PER_IMAGE_METRICS
from recolor.models.device import resolve_device

CONFIG = Config(evaluate=EvaluateConfig(device="cpu", pictures=2), execution=ExecutionConfig(workers=1))
SIZE_PX = 64
PHOTOGRAPHS = ["a.png", "c.png", "small.png", "sub/b.jpg"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def metrics(out):
    return read_manifest(out / "metrics.parquet").set_index(["model", "name"])


def images(out):
    return read_manifest(out / "per_image.parquet").set_index(["model", "name", "path"])


def test_a_folder_is_measured_through_what_colorize_does(photographs, make_models, out):
    models = make_models("mine")
    evaluate_photos(photographs, out, CONFIG, models=[models], size_px=SIZE_PX)
    colorizer = Colorizer.from_folder(models, "cpu")
    measured = images(out)
    for path in PHOTOGRAPHS:
        truth = read_photo(photographs, path, SIZE_PX, MeasureConfig())
        lab = rgb_to_lab(truth)
        ab = colorizer.predict_colour(np.ascontiguousarray(lab[..., 0]))
        row = measured.loc[("mine", "refined", path)]
        assert row["ab_mse"] == pytest.approx(ab_mse(ab, lab[..., 1:]), rel=1e-4)
        assert row["psnr_db"] == pytest.approx(psnr_db(colorizer.colorize_rgb(truth), truth), abs=0.01)


def test_larger_photographs_are_reduced_by_area_and_smaller_ones_left(photographs):
    coffee = data.coffee()[:300, :200]
    expected = cv2.resize(coffee, (96, 144), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(read_photo(photographs, "c.png", 96, MeasureConfig()), expected)
    small = read_photo(photographs, "small.png", 96, MeasureConfig())
    np.testing.assert_array_equal(small, data.rocket()[100:148, 200:280])


@pytest.mark.slow  # three models
def test_every_method_is_measured_on_every_photograph(photographs, make_models, out):
    models = [make_models("one"), make_models("two", 1, refiner=False)]
    found = evaluate_photos(photographs, out, CONFIG, models=models, controls=[make_models("l1", 2)], size_px=SIZE_PX)
    table = read_table(METRICS, out / "metrics.parquet").to_pandas()
    assert list(zip(table["model"], table["name"], table["kind"])) == [
        ("", "grey", "control"),
        ("", "mean_ab", "control"),
        ("one", "generator", "model"),
        ("one", "refined", "model"),
        ("two", "generator", "model"),
        ("l1", "refined", "control"),
        ("l1", "saturated", "control"),
        ("", "oracle", "control"),
    ]
    assert set(table["images"]) == {4}
    rows = read_table(PER_IMAGE_METRICS, out / "per_image.parquet").to_pandas()
    assert rows["path"].tolist()[::8] == PHOTOGRAPHS
    assert found.unreadable == ()
    for told in (
        "4 photographs of",
        "reduced",
        "cannot know whether the model 'one'",
        "l1: saturated *",
        "95% interval",
        "oracle *",
    ):
        assert told in found.text()
    assert "two" in found.report.read_text(encoding="utf-8")


@pytest.mark.slow  # three models
def test_the_controls_are_what_they_say(photographs, make_models, out):
    evaluate_photos(
        photographs, out, CONFIG, models=[make_models("m")], controls=[make_models("l1", 2)], size_px=SIZE_PX
    )
    table = metrics(out)
    errors = table["ab_mse"]
    assert table.loc[("", "grey"), "colourfulness"] == pytest.approx(0, abs=0.5)
    assert errors[("", "mean_ab")] < errors[("", "grey")]
    assert errors[("", "oracle")] == errors.min()
    ratio = table.loc[("l1", "saturated"), "colourfulness"] / table.loc[("l1", "refined"), "colourfulness"]
    assert 1.2 < ratio < 1.5


@pytest.mark.slow  # measures a whole set
def test_hues_of_the_file_are_the_sums_of_the_images_and_those_of_a_loop(photographs, make_models, out):
    models = make_models("m")
    evaluate_photos(photographs, out, CONFIG, models=[models], size_px=SIZE_PX)
    colorizer = Colorizer.from_folder(models, "cpu")
    expected = np.zeros((5, 5), int)
    for path in PHOTOGRAPHS:
        truth = read_photo(photographs, path, SIZE_PX, MeasureConfig())
        coloured = colorizer.colorize_rgb(truth)
        expected += reference_counts(coloured, truth)[0]
    summed = read_manifest(out / "per_image.parquet").query("name == 'refined'").sum(numeric_only=True)
    found = np.array([[summed[f"pixels_{true}_as_{given}"] for given in HUES] for true in HUES])
    assert np.abs(found - expected).sum() <= 0.002 * expected.sum()  # pixels beside a limit
    hues = read_manifest(out / "hues.parquet").query("name == 'refined'").set_index("hue")
    assert list(hues.index) == list(HUES)
    assert hues["truth_pixels"].to_list() == found.sum(axis=1).tolist()
    for number, hue in enumerate(HUES):
        row, true = hues.loc[hue], found[number].sum()
        assert row["share"] == pytest.approx(found[:, number].sum() / found.sum())
        assert row["truth_share"] == pytest.approx(true / found.sum())
        if true:
            assert [row[f"as_{given}"] for given in HUES] == pytest.approx((found[number] / true).tolist())
            assert row["share_low"] <= row["share"] <= row["share_high"]
        else:
            assert row[["share_ratio", "chroma", "truth_chroma", "as_green", "as_green_low"]].isna().all()


@pytest.mark.slow  # measures a whole set
def test_an_image_is_closer_than_grey_where_its_error_is_below_that_of_the_grey_control(photographs, make_models, out):
    evaluate_photos(photographs, out, CONFIG, models=[make_models("m")], size_px=SIZE_PX)
    errors = images(out)["delta_e_2000"].unstack(["model", "name"])
    closer = images(out)["closer_than_grey"].unstack(["model", "name"])
    for method in errors.columns:
        assert closer[method].tolist() == (errors[method] < errors["", "grey"]).tolist()
        assert metrics(out).loc[method, "closer_than_grey"] == pytest.approx(closer[method].mean())
    assert metrics(out).loc[("", "oracle"), "closer_than_grey"] == 1
    assert metrics(out).loc[("", "grey"), ["closer_than_grey", "hue_kept", "green_kept", "orange_ratio"]].eq(0).all()


def test_the_saturated_control_is_the_control_times_one_and_a_half(photographs, make_models):
    models = load_models([make_models("m")], [make_models("l1", 2)], resolve_device("cpu"))
    photos = find_photos(photographs, SIZE_PX, MeasureConfig(), max_images=9, workers=1)
    (batch,) = photo_source(photos, models).samples(np.arange(4))
    for sample in batch:
        ab = {(method.model, method.name): colour for method, colour in sample.methods}
        np.testing.assert_allclose(ab["l1", "saturated"], 1.5 * ab["l1", "refined"], rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(ab["", "mean_ab"][0, 0], photos.mean_ab)
        np.testing.assert_allclose(join(sample.L, sample.truth_ab), sample.truth.astype(int), atol=1)


def test_a_look_changes_the_models_and_not_the_controls(photographs, make_models):
    folders = [make_models("m")], [make_models("l1", 2)]
    photos = find_photos(photographs, SIZE_PX, MeasureConfig(), max_images=2, workers=1)
    by_look = []
    for look in (None, Look(saturation=2.0), Look(temperature=1.0), Look(chroma_contrast=1.0)):
        models = load_models(*folders, resolve_device("cpu"), look)
        (batch,) = photo_source(photos, models).samples(np.arange(1))
        by_look.append({(method.model, method.name): ab for method, ab in batch[0].methods})
    own, twice, *others = by_look
    for name in ("generator", "refined"):
        np.testing.assert_allclose(twice["m", name], 2 * own["m", name], rtol=1e-5, atol=1e-3)
        assert all(np.abs(other["m", name] - own["m", name]).max() > 0.01 for other in others)
    assert all(np.array_equal(one["l1", "refined"], own["l1", "refined"]) for one in by_look)


@pytest.mark.slow  # two evaluations
def test_the_report_names_the_look(photographs, make_models, out):
    model = make_models("m")
    found = evaluate_photos(photographs, out, CONFIG, models=[model], look=Look.named("careful"), size_px=SIZE_PX)
    assert "Look of the models: careful." in found.text()
    assert "Look of the models" not in evaluate_photos(photographs, out, CONFIG, models=[model], size_px=SIZE_PX).text()


@pytest.mark.slow  # two evaluations
def test_two_models_are_compared_and_a_later_run_leaves_no_comparison_behind(photographs, make_models, out):
    first, second = make_models("one"), make_models("two", 1)
    found = evaluate_photos(photographs, out, CONFIG, models=[first, second], size_px=SIZE_PX)
    table = read_table(COMPARISON, out / "comparison.parquet").to_pandas().set_index("metric")
    own = metrics(out)
    for metric in ("psnr_db", "delta_e_2000", "delta_cf_set", "closer_than_grey", "hue_kept"):
        row = table.loc[metric]
        assert (row["first"], row["second"]) == ("one", "two")
        assert row["first_value"] == own.loc[("one", "refined"), metric]
        assert row["difference"] == pytest.approx(own.loc[("two", "refined"), metric] - row["first_value"])
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    assert "difference" in found.text()
    evaluate_photos(photographs, out, CONFIG, models=[first], size_px=SIZE_PX)
    assert sorted(file.name for file in out.iterdir()) == [
        "hues.parquet",
        "metrics.parquet",
        "per_image.parquet",
        "pictures.png",
        "report.html",
    ]


@pytest.mark.slow  # two evaluations
def test_the_same_photographs_and_models_give_the_same_bytes(photographs, make_models, tmp_path):
    models = [make_models("one")]
    for name in ("first", "second"):
        evaluate_photos(photographs, tmp_path / name, CONFIG, models=models, size_px=SIZE_PX)
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes()


@pytest.mark.slow  # measures a whole set
def test_photographs_that_cannot_be_measured_are_named_and_the_others_measured(photographs, make_models, out):
    (photographs / "broken.jpg").write_bytes(b"\xff\xd8\xff not a photograph")
    Image.fromarray(data.chelsea()[:8, :300]).save(photographs / "narrow.png")
    found = evaluate_photos(photographs, out, CONFIG, models=[make_models("m")], size_px=SIZE_PX)
    assert [photo.path for photo in found.unreadable] == ["broken.jpg", "narrow.png"]
    assert "300x8 pixels" in str(found.unreadable[1].error)
    assert set(images(out).reset_index()["path"]) == set(PHOTOGRAPHS)
    assert "2 files could not be measured" in found.text()


@pytest.mark.slow  # measures a whole set
def test_at_most_so_many_photographs_are_taken_evenly_and_outputs_among_them_are_no_photographs(
    photographs, make_models
):
    out = photographs / "evaluation"
    config = replace(CONFIG, evaluate=replace(CONFIG.evaluate, max_images=2))
    models = [make_models("m")]
    for _ in range(2):
        evaluate_photos(photographs, out, config, models=models, size_px=SIZE_PX)
        assert images(out).reset_index()["path"].unique().tolist() == ["a.png", "sub/b.jpg"]


@pytest.mark.slow
def test_a_metrics_networks_are_used_where_their_weights_are_given(
    photographs, make_models, out, alexnet_file, inception_file
):
    for name in ("c.png", "small.png"):  # Inception takes a third of a second for each picture
        (photographs / name).unlink()
    settings = replace(CONFIG.evaluate, lpips_weights=str(alexnet_file), inception_weights=str(inception_file))
    evaluate_photos(photographs, out, replace(CONFIG, evaluate=settings), models=[make_models("m")], size_px=SIZE_PX)
    table = metrics(out)
    for metric in ("lpips", "fid", "kid"):
        assert np.isfinite(table[metric].astype(float)).all()
        assert (table[f"{metric}_low"] <= table[f"{metric}_high"]).all()
    assert table["lpips"].idxmin() == ("", "oracle")
    assert (table["fid"] >= 0).all()


def test_nothing_is_begun_where_something_is_missing(photographs, make_models, out, tmp_path, monkeypatch):
    monkeypatch.setattr("recolor.evaluation.adhoc.find_photos", lambda *_, **__: pytest.fail("it was begun"))
    with pytest.raises(MissingStageError, match="no trained model there"):
        evaluate_photos(photographs, out, CONFIG, models=[tmp_path / "none"])
    bad = replace(CONFIG, evaluate=replace(CONFIG.evaluate, inception_weights=str(tmp_path / "none.pth")))
    with pytest.raises(WeightsError, match="no such file"):
        evaluate_photos(photographs, out, bad, models=[make_models("m")])
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="must be a folder"):
        evaluate_photos(photographs, tmp_path / "file", CONFIG, models=[make_models("n")])
    with pytest.raises(ConfigError, match="given twice"):
        evaluate_photos(photographs, out, CONFIG, models=[make_models("o")], controls=[tmp_path / "o"])
    assert not out.exists()


def test_a_folder_without_a_photograph_says_so(tmp_path, make_models, out):
    folder = tmp_path / "nothing"
    folder.mkdir()
    with pytest.raises(InputError, match="no image in this folder"):
        evaluate_photos(folder, out, CONFIG, models=[make_models("m")])
    (folder / "x.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"none of the 1 images can be read.*not_an_image"):
        evaluate_photos(folder, out, CONFIG, models=[make_models("n")])


def test_any_model_is_measured_on_the_workspaces_split(evaluable, make_models, out):
    found = evaluate_split(evaluable, out, CONFIG, models=[evaluable.models, make_models("stranger", 5)])
    table = metrics(out)
    assert set(table["images"]) == {6}
    assert ("stranger", "oracle_refined") in table.index
    text = found.text()
    assert "The model 'models' was trained on the train split of these shards. It was not trained on any" in text
    assert "cannot know whether the model 'stranger' was trained on these images" in text
    assert not (evaluable.evaluation / "metrics.parquet").exists()


def test_a_split_is_measured_by_the_workspaces_own_models_unless_told_otherwise(evaluable, out):
    evaluate_split(evaluable, out, CONFIG)
    assert ("models", "refined") in metrics(out).index


def test_a_generator_alone_is_measured_on_a_split(evaluable, make_models, out):
    evaluate_split(evaluable, out, CONFIG, models=[make_models("alone", refiner=False)])
    assert list(metrics(out).index.get_level_values("name")) == ["grey", "mean_ab", "generator", "oracle"]


@pytest.mark.slow  # measures a whole set
def test_a_control_of_the_split_is_saturated_too(evaluable, make_models, out):
    evaluate_split(evaluable, out, CONFIG, controls=[make_models("l1", 2, refiner=False)])
    table = metrics(out)
    assert table.loc[("l1", "generator"), "kind"] == "control"
    assert table.loc[("l1", "saturated"), "colourfulness"] > table.loc[("l1", "generator"), "colourfulness"]
    assert ("l1", "oracle_refined") not in table.index
