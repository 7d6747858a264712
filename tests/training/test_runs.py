"""Finished trainings are kept as runs, and none is trained again or overwritten."""

import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner

import recolor.training.generator
import recolor.training.refiner
from recolor.cli.main import cli
from recolor.config.loading import load_config
from recolor.errors import ConfigError, DamagedError, InputError, MissingStageError
from recolor.evaluation import evaluation_part
from recolor.models.files import load_generator, load_refiner
from recolor.models.run_summary import sparkline, summarise_runs
from recolor.models.runs import find_run, list_runs, named_run, promote, runs_folder
from recolor.pipeline.workspace import Workspace, locked
from recolor.stages import is_current
from recolor.status import workspace_status
from recolor.training import GENERATOR, REFINER, train_generator, train_refiner

FILES = ("model.safetensors", "config.json", "metrics.parquet", "loss_curve.png")


def other(config, **changes):
    """Other settings of the generator; with another temperature it is exported again, from the finished checkpoint."""
    return replace(config, generator=replace(config.generator, **changes))


@pytest.fixture
def no_training(monkeypatch):
    """Lets a test fail if anything is trained."""

    def forbid():
        for module in (recolor.training.generator, recolor.training.refiner):
            monkeypatch.setattr(module, "train", lambda *_: pytest.fail("trained again"))

    return forbid


def files_of(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def test_a_training_is_kept_by_date_and_key_or_by_its_name(trained, tiny):
    (run,) = list_runs(trained)
    assert run.name == f"{run.finished.astimezone():%Y-%m-%d}-{run.record.key[:8]}"
    assert files_of(run.model_folder) == files_of(trained.models / "generator")
    train_generator(trained, other(tiny, temperature=0.5), name="pale")
    assert [run.name for run in list_runs(trained)][1:] == ["pale"]
    pale = load_generator(runs_folder(trained) / "pale" / "generator")
    assert pale.temperature == 0.5
    assert files_of(run.model_folder) != files_of(trained.models / "generator")  # the first is kept, not overwritten


def test_a_training_that_was_finished_before_is_taken_from_its_run(trained, tiny, no_training):
    first = files_of(trained.models / "generator")
    (run,) = list_runs(trained)
    pale = other(tiny, temperature=0.5)
    train_generator(trained, pale)
    shutil.rmtree(trained.models / "generator" / "checkpoints")
    no_training()
    assert is_current("train-generator", trained, tiny)
    (status,) = workspace_status(trained, None, tiny, ["train-generator"])
    assert (status.state, status.reasons[-1]) == (
        "stale",
        f"nothing to train: the run {run.name} is taken",
    )
    outcome = train_generator(trained, tiny)
    assert (outcome.current, outcome.note) == (True, f"trained before: run {run.name}")
    assert files_of(trained.models / "generator") == first
    assert train_generator(trained, tiny).note == ""
    assert len(list_runs(trained)) == 2


def test_a_run_that_is_killed_before_its_model_is_the_current_one_is_not_trained_again(
    trained, tiny, monkeypatch, no_training
):
    def killed(*_):
        raise KeyboardInterrupt

    before = files_of(trained.models / "generator")
    pale = other(tiny, temperature=0.5)
    with monkeypatch.context() as patched:
        patched.setattr("recolor.pipeline.cache._publish", killed)
        with pytest.raises(KeyboardInterrupt):
            train_generator(trained, pale, name="pale")
    assert files_of(trained.models / "generator") == before
    assert [run.name for run in list_runs(trained)][1:] == ["pale"]
    shutil.rmtree(trained.models / "generator" / "checkpoints")
    no_training()
    assert train_generator(trained, pale, name="pale").note == "trained before: run pale"
    assert files_of(trained.models / "generator") == files_of(runs_folder(trained) / "pale" / "generator")


def test_a_run_that_is_killed_while_it_is_written_is_not_there(trained, tiny, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("recolor.models.runs._sync", killed)
        with pytest.raises(KeyboardInterrupt):
            train_generator(trained, other(tiny, temperature=0.5), name="pale")
    assert not (runs_folder(trained) / "pale").exists()
    with locked(trained):
        assert list(trained.staging.iterdir()) == []
        assert train_generator(trained, other(tiny, temperature=0.5), name="pale").built == 1
    assert len(list_runs(trained)) == 2


def test_a_name_that_is_taken_or_not_allowed_is_refused_before_anything_is_trained(trained, tiny, no_training):
    pale = other(tiny, temperature=0.5)
    (runs_folder(trained) / "mine").mkdir()
    no_training()
    with pytest.raises(ConfigError, match="no run is overwritten"):
        train_generator(trained, pale, name="mine")
    for name in ("a/b", "..", "", "-x", "x" * 101):
        if name:
            with pytest.raises(ConfigError, match="a run is named with"):
                train_generator(trained, pale, name=name)


def test_a_damaged_run_is_not_used(trained, tiny):
    (run,) = list_runs(trained)
    train_generator(trained, other(tiny, temperature=0.5))
    weights = run.model_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedError, match=f"{run.name} cannot become the current generator"):
        promote(trained, run)
    assert find_run(trained, "generator", run.record.key) is None
    assert train_generator(trained, tiny).built == 1  # from the finished checkpoint
    assert [run.name for run in list_runs(trained) if run.name.endswith("-2")]
    (run.folder / "run.json").write_text("{}")
    assert run.name not in [run.name for run in list_runs(trained)]


def test_a_model_of_before_there_were_runs_is_kept_when_another_takes_its_place(trained, tiny):
    before = files_of(trained.models / "generator")
    shutil.rmtree(runs_folder(trained))
    train_generator(trained, other(tiny, temperature=0.5), name="pale")
    kept = [run for run in list_runs(trained) if run.name != "pale"]
    assert [files_of(run.model_folder) for run in kept] == [before]
    with pytest.raises(InputError, match=r"'gone': there is no such run.*pale"):
        named_run(trained, "gone")


@pytest.fixture(scope="module")
def made_runs(_finished, tiny, tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("two") / "workspace")
    shutil.copytree(_finished.root, workspace.root)
    (runs_folder(workspace) / list_runs(workspace)[0].name).rename(runs_folder(workspace) / "first")
    train_refiner(workspace, tiny, name="first-refiner")
    second = other(tiny, rebalance=0.25)
    train_generator(workspace, second, name="second")
    train_refiner(workspace, second, name="second-refiner")
    return workspace


@pytest.fixture
def two_of_each(made_runs, tmp_path):
    """Two generators, and a refiner on each: `first` and `second`, the current ones."""
    return Workspace(shutil.copytree(made_runs.root, tmp_path / "two"))


def invoke(workspace, *words):
    return CliRunner().invoke(cli, [*words, "--workspace", str(workspace.root)], env={"COLUMNS": "80"})


@pytest.mark.slow  # trains
def test_the_list_shows_what_tells_the_runs_apart_in_80_columns(two_of_each):
    done = invoke(two_of_each, "runs")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if str(two_of_each.root) not in line) <= 80
    assert lines[0].split() == ["generator", "run", "steps", "val", "loss", "curve", "size", "finished"]
    assert lines[1].split()[:2] == ["first", "6"]
    assert lines[2].split(", ")[-1].endswith("rebalance 0.5")
    assert lines[3].startswith("* second")
    assert any(line.startswith("* second-refiner") for line in lines)
    assert any(line.strip().startswith("on second") for line in lines)
    assert any(line.startswith("* is the current model. All runs: ") for line in lines)
    assert done.stdout.endswith(f"rm -r {runs_folder(two_of_each)}/NAME`.\n")
    rows = json.loads(invoke(two_of_each, "runs", "--json").stdout)
    assert [(row["name"], row["model"], row["current"]) for row in rows] == [
        ("first", "generator", False),
        ("second", "generator", True),
        ("first-refiner", "refiner", False),
        ("second-refiner", "refiner", True),
    ]
    assert [row["generator"] for row in rows] == [[], [], ["first"], ["second"]]
    assert [row["differing"]["rebalance"] for row in rows[:2]] == [0.5, 0.25]
    assert rows[0]["val_loss"] == min(loss for _, loss in rows[0]["val_curve"])
    assert [step for step, _ in rows[0]["val_curve"]] == [3, 6]


def test_a_promoted_generator_leaves_the_refiner_stale_and_says_what_to_do(two_of_each, tiny, no_training):
    done = invoke(two_of_each, "runs", "promote", "first")
    assert (done.exit_code, done.stdout) == (0, "generator  first is the current model\n")
    assert done.stderr == (
        "The current refiner, second-refiner, is stale: it was trained on another generator.\n"
        "Run `recolor runs promote first-refiner`.\n"
        "Or go back to its generator: `recolor runs promote second`.\n"
    )
    assert "! second-refiner" in invoke(two_of_each, "runs").stdout
    with pytest.raises(MissingStageError, match="not trained with the present generator"):
        evaluation_part(two_of_each, tiny)
    no_training()
    assert train_refiner(two_of_each, tiny).note == "trained before: run first-refiner"
    assert not any(summary.stale for summary in summarise_runs(two_of_each))
    assert files_of(two_of_each.models / "refiner") == files_of(runs_folder(two_of_each) / "first-refiner/refiner")
    done = invoke(two_of_each, "runs", "promote", "second", "second-refiner")
    assert done.stderr == ""
    assert not any(summary.stale for summary in summarise_runs(two_of_each))


def test_the_folder_of_a_run_is_a_model_that_other_commands_load(made_runs):
    folder, first = runs_folder(made_runs) / "first-refiner", runs_folder(made_runs) / "first"
    assert load_refiner(folder / "refiner")
    weights = "generator/model.safetensors"
    assert load_generator(folder / "generator")
    assert (folder / weights).stat().st_ino == (first / weights).stat().st_ino  # no bytes twice among runs
    assert (made_runs.models / weights).stat().st_nlink == 1  # the current model is a copy


def test_deleting_a_run_leaves_the_others_and_the_current_model(two_of_each, tiny):
    shutil.rmtree(runs_folder(two_of_each) / "second")
    assert [run.name for run in list_runs(two_of_each)] == ["first", "first-refiner", "second-refiner"]
    assert load_generator(two_of_each.models / "generator")
    assert load_generator(runs_folder(two_of_each) / "second-refiner/generator")
    assert train_generator(two_of_each, other(tiny, rebalance=0.25)).current


def test_options_are_given_after_the_command(trained):
    done = CliRunner().invoke(cli, ["runs", "--workspace", str(trained.root), "promote", "x"])
    assert done.exit_code == 2
    assert "Give the options after the command: `recolor runs promote [OPTIONS]`" in done.stderr


def test_a_workspace_without_runs_says_how_to_make_one(workspace):
    assert invoke(workspace, "runs").stdout == "No runs yet: `recolor train generator` makes one.\n"


def test_keys_are_as_they_were_before_there_were_runs(tiny, trained):
    assert GENERATOR.part(trained, tiny).key == list_runs(trained)[0].record.key
    assert REFINER.part(trained, tiny).outputs[0] == trained.models / "refiner" / "model.safetensors"


def test_a_name_is_given_on_the_command_line(trained, tiny, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(
        '[generator.model]\nencoder_weights = "none"\nencoder_depth = 1\nwidth = 8\nblocks = 1\n[generator.train]\n'
        'steps = 2\nbatch_images = 4\nwarmup_steps = 1\ncrop_px = 64\ndevice = "cpu"\namp = "off"\n'
        "[shard]\nsize_px = 64\n[refiner.train]\ncrop_px = 64\n"
    )
    assert load_config(file=file).generator.train.steps == 2
    words = ["train", "generator", "--name", "short", "--config", str(file)]
    assert invoke(trained, *words).exit_code == 0
    assert named_run(trained, "short").record.counts["steps"] == 2
    longer = invoke(trained, *words, "--set", "generator.train.steps=3")
    assert isinstance(longer.exception, ConfigError)
    assert "no run is overwritten" in str(longer.exception)


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([2.0], "▁"),
        ([1.0, 1.0], "▁▁"),
        ([3.0, 2.0, 1.0], "█▅▁"),
        (list(range(8)), "▁▂▃▄▅▆▇█"),
        (list(range(100, 0, -1)), "█▇▆▆▅▄▃▃▂▁"),
    ],
)
def test_a_curve_is_drawn_from_its_lowest_to_its_highest_value(values, bars):
    assert sparkline(values, 10) == bars


def test_a_run_of_another_workspace_can_be_copied_here(trained, tmp_path):
    copy = Workspace(tmp_path / "copy")
    shutil.copytree(trained.root, copy.root)
    shutil.rmtree(copy.models / "generator")
    promote(copy, list_runs(copy)[0])
    assert files_of(copy.models / "generator") == files_of(trained.models / "generator")


@pytest.mark.slow  # two trainings
def test_other_looks_of_the_refiner_are_what_differs_in_runs_and_in_the_status(trained, tiny):
    several = replace(tiny, refiner=replace(tiny.refiner, predicted_looks=("natural", "careful")))
    train_refiner(trained, tiny, name="one")
    (status,) = workspace_status(trained, None, several, ["train-refiner"])
    assert "other looks" in status.reasons
    train_refiner(trained, several, name="two")
    found = {each.run.name: each.differing for each in summarise_runs(trained)}
    assert [found[name]["predicted_looks"] for name in ("one", "two")] == ["natural", "natural, careful"]
    assert not any(str(value).startswith("Look(") for value in found["two"].values())
