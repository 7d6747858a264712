import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from recolor.bench import Options, bench_training, report_json, report_text
from recolor.bench import profile as profile_module
from recolor.bench.feed import write_random_shards
from recolor.cli.main import cli
from recolor.errors import ConfigError
from recolor.pipeline.workspace import Workspace
from recolor.training.step import fresh_state

OPTIONS = Options(device="cpu", batch_images=2, warmup_steps=1, steps=2)


@pytest.fixture(autouse=True)
def few_random_images(monkeypatch, small_limits):
    monkeypatch.setattr(profile_module, "RANDOM_IMAGES", 5)


@pytest.fixture
def nowhere(tmp_path):
    return Workspace(tmp_path / "nowhere")


def test_both_trainings_are_measured_and_their_figures_fit_together(nowhere, tiny):
    report = bench_training(nowhere, tiny, OPTIONS)
    assert [(p.model, p.mode) for p in report.profiles] == [("generator", "eager"), ("refiner", "eager")]
    (limits,) = report.limits
    for profile in report.profiles:
        assert (profile.batch_images, profile.configured_images, profile.crop_px) == (2, 4, 64)
        assert profile.images_per_s == pytest.approx(2 / profile.step_s)
        assert 0 <= profile.waiting_share <= profile.data_share < 1
        assert profile.flop_per_s == pytest.approx(profile.flop_per_image * profile.images_per_s)
        assert profile.matrix_share == pytest.approx(profile.flop_per_s / limits.matrix_flop_per_s)
        assert profile.bytes_per_s == pytest.approx(profile.bytes_per_image * profile.images_per_s)
        assert profile.copy_share == pytest.approx(profile.bytes_per_s / limits.copy_bytes_per_s)
        assert profile.hot == ()


@pytest.mark.slow  # trains
def test_a_refiner_step_includes_the_generators_predictions(nowhere, tiny):
    def counted(fraction):
        config = replace(tiny, refiner=replace(tiny.refiner, predicted_fraction=fraction))
        return bench_training(nowhere, config, replace(OPTIONS, models=("refiner",))).profiles[0]

    none, half, all_ = map(counted, (0.0, 0.5, 1.0))
    assert none.flop_per_image == none.own_flop_per_image == half.own_flop_per_image == all_.own_flop_per_image
    predicted = half.flop_per_image - half.own_flop_per_image
    assert predicted > 0
    assert all_.flop_per_image - all_.own_flop_per_image == pytest.approx(2 * predicted)


def test_a_training_reads_the_shards_of_its_workspace(workspace, tiny):
    write_random_shards(workspace, size_px=64, images=3)
    assert str(workspace.shards) in bench_training(workspace, tiny, replace(OPTIONS, models=("generator",))).data


def test_a_cpu_takes_at_most_eight_images_a_step_unless_asked_for(nowhere, tiny):
    train = replace(tiny.generator.train, batch_images=128)
    config = replace(tiny, generator=replace(tiny.generator, train=train))
    (profile,) = bench_training(nowhere, config, replace(OPTIONS, models=("generator",), batch_images=None)).profiles
    assert (profile.batch_images, profile.configured_images) == (8, 128)


def test_compiled_steps_are_those_of_a_training_that_is_to_be_compiled(nowhere, tiny, monkeypatch):
    compiled, checked = [], []

    def uncompiled(training):
        compiled.append(training.config.compile)
        return fresh_state(replace(training, config=replace(training.config, compile=False)))

    monkeypatch.setattr(profile_module, "fresh_state", uncompiled)
    monkeypatch.setattr(profile_module, "check_compiler", lambda name, device: checked.append(device))
    options = replace(OPTIONS, models=("generator",), modes=("eager", "compiled"))
    assert [profile.mode for profile in bench_training(nowhere, tiny, options).profiles] == ["eager", "compiled"]
    assert compiled == [False, False, True]  # the first is the step whose work is counted
    assert checked == [torch.device("cpu")]


@pytest.mark.slow  # trains
def test_the_operations_that_take_the_most_time_come_longest_first(nowhere, tiny):
    (profile,) = bench_training(nowhere, tiny, replace(OPTIONS, models=("generator",), trace=True)).profiles
    shares = [operation.share for operation in profile.hot]
    assert len(shares) == 10
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1
    assert "convolution_backward" in " ".join(operation.name for operation in profile.hot)


def test_the_text_has_a_row_for_each_training_and_the_json_every_field(nowhere, tiny):
    report = bench_training(nowhere, tiny, OPTIONS)
    text = report_text(report)
    rows = [line.split() for line in text.splitlines() if line.startswith(("generator  ", "refiner  "))]
    assert [row[:3] for row in rows[:2]] == [["generator", "eager", "2"], ["refiner", "eager", "2"]]
    assert [row[:2] for row in rows[2:]] == [["generator", "eager"], ["refiner", "eager"]]
    assert max(map(len, text.splitlines())) <= 80
    assert "5 squares of 64 px with random codes" in text
    assert "batches of 2, not 4 as configured" in text
    assert "of them the generator's predictions" in " ".join(text.split())
    stored = json.loads(report_json(report))
    assert stored["profiles"][1]["images_per_s"] == report.profiles[1].images_per_s
    assert stored["limits"][0]["dtype"] == "float32"


def test_a_crop_larger_than_the_shards_squares_is_refused(workspace, tiny):
    write_random_shards(workspace, size_px=32, images=3)
    with pytest.raises(ConfigError, match="crop_px = 64"):
        bench_training(workspace, tiny, OPTIONS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without CUDA answers")
def test_cuda_that_is_not_there_is_refused(nowhere, tiny):
    with pytest.raises(ConfigError, match="cuda"):
        bench_training(nowhere, tiny, replace(OPTIONS, device="cuda"))


@pytest.mark.slow  # trains
def test_the_command_prints_a_row_for_each_training_and_makes_no_workspace(tmp_path):
    small = ["crop_px=64", "batch_images=2", "amp=off"]
    words = [f"{model}.train.{setting}" for model in ("generator", "refiner") for setting in small]
    words += ["generator.model.width=8", "generator.model.encoder_depth=1", "refiner.model.blocks=1"]
    sets = [argument for word in words for argument in ("--set", word)]
    out = tmp_path / "figures.json"
    where = ["--workspace", str(tmp_path / "nowhere"), "--out", str(out), "--device", "cpu"]
    steps = ["--steps", "1", "--warmup-steps", "0", "--trace"]
    result = CliRunner().invoke(cli, ["bench", "train", *where, *steps, *sets], catch_exceptions=False)
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.output.splitlines() if " eager  " in line] == [
        *(["generator", "eager"], ["refiner", "eager"]),  # speed
        *(["generator", "eager"], ["refiner", "eager"]),  # rates
    ]
    assert "generator, eager: most time by itself" in result.output
    assert [profile["model"] for profile in json.loads(out.read_bytes())["profiles"]] == ["generator", "refiner"]
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_both_modes_are_measured_with_their_memory(nowhere, tiny):
    report = bench_training(nowhere, tiny, replace(OPTIONS, device="cuda", models=("generator",), trace=True))
    assert [profile.mode for profile in report.profiles] == ["eager", "compiled"]
    for profile in report.profiles:
        assert profile.peak_memory_bytes > 0
        assert 0 < sum(operation.share for operation in profile.hot) <= 1.001
