import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
import torch
from cli.program import recolor
from click.testing import CliRunner
from PIL import Image

from recolor.cli.main import cli
from recolor.cli.reference import walk
from recolor.config.settings import GeneratorModelConfig, RefinerModelConfig
from recolor.demo import render_landscape
from recolor.errors import ConfigError, InputError, MissingStageError, StorageError
from recolor.models.files import bins_json, load_generator, save_model
from recolor.models.generator import Generator
from recolor.models.refiner import Refiner

LOADED = """
import sys
from pathlib import Path
sys.argv = ["recolor", *{arguments!r}]
import recolor.cli.main
try:
    recolor.cli.main.main()
except SystemExit:
    pass
heavy = {{"torch", "prefect", "pandas", "numpy", "cv2", "matplotlib", "pydantic", "tqdm", "filelock"}}
print(sorted({{name.split(".")[0] for name in sys.modules}} & heavy))
"""


def started(*arguments, **options):
    """Runs the program in a process of its own."""
    command = [sys.executable, "-m", "recolor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["colorize", "none.png", "x.png"]])
def test_help_and_mistakes_load_nothing_heavy(arguments):
    code = LOADED.format(arguments=arguments)
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "[]"


def test_importing_recolor_loads_nothing_heavy():
    code = "import recolor, sys; print({'torch', 'prefect', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


VERBS = {context.command_path: context.command for context in walk(cli)}
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "command"), list(VERBS.items()))
def test_every_verb_says_what_it_does(name, command):
    assert command.help, name
    assert command.help.strip().splitlines()[0].endswith("."), name


def test_every_verb_is_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in cli.commands if f"`recolor {name}" not in readme] == []
    guides = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md") if path.stem != "cli")
    words = {name: name.rpartition(" ")[2] for name in VERBS}
    assert [name for name, last in words.items() if name not in readme + guides and f"`{last}`" not in readme] == []


def test_a_bad_setting_stops_before_the_workspace_is_made(tmp_path):
    process = started(
        "run", "--images", str(tmp_path), "--workspace", str(tmp_path / "w"), "--set", "blurry.treshold=1"
    )
    assert process.returncode == 2
    assert process.stderr.startswith("recolor: blurry.treshold: unknown setting. Did you mean 'threshold'?")
    assert not (tmp_path / "w").exists()


def test_a_missing_folder_is_one_line_without_a_trace(tmp_path):
    process = started("clean", "--images", str(tmp_path / "none"), "--workspace", str(tmp_path / "w"))
    assert process.returncode == 1
    assert process.stderr == (
        f"recolor: {tmp_path / 'none'}: there is no such folder. Give the folder of photographs with --images.\n"
    )


def test_the_outcome_of_index_counts_what_is_passed_over(tmp_path):
    for name in ("a.jpg", "b.mov", "@eaDir/a.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    arguments = ["index", "--images", str(tmp_path / "images"), "--workspace", str(tmp_path / "space")]
    for took in ("s", "cached"):
        words = recolor(*arguments).stdout.split()
        assert f"{took} 1 image, 1 other file; passed over: 1 video (.mov 1); skipped: 1 @eaDir" in " ".join(words)


def test_a_folder_with_a_colon_can_be_given(tmp_path):
    (tmp_path / "Trip:/x").mkdir(parents=True)
    (tmp_path / "Trip:/x/a.jpg").touch()
    process = started("index", "--images", "./Trip:/x", "--workspace", "./New:/x", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "New:/x/manifests/index.parquet").is_file()


@pytest.mark.parametrize(
    ("verb", "needs"),
    [("measure", "--images"), ("shards build", "--images"), ("select", "--images"), ("evaluate", "--images")],
)
def test_a_stage_in_a_folder_that_is_no_workspace_says_how_to_make_one(tmp_path, verb, needs):
    process = recolor(*verb.split(), "--workspace", str(tmp_path / "w"))
    assert process.returncode == 1
    assert needs in process.stderr


@pytest.mark.parametrize(
    ("verb", "needs"),
    [
        (["measure"], "recolor index"),
        (["detect"], "recolor measure"),
        (["select"], "recolor measure"),
        (["shards", "build"], "recolor clean"),
        (["train", "generator", "--preset", "demo"], "recolor shards build"),
        (["train", "refiner", "--preset", "demo"], "recolor shards build"),
        (["evaluate"], "recolor"),
    ],
)
def test_a_stage_names_the_stage_that_it_needs(tmp_path, verb, needs):
    (tmp_path / "w").mkdir()
    process = recolor(*verb, "--images", str(tmp_path), "--workspace", str(tmp_path / "w"))
    assert process.returncode == 1, process.stderr
    assert f"Run `{needs}" in process.stderr


@pytest.mark.slow  # runs every stage up to the shards
def test_damaged_shards_are_named_repaired_and_shown(tmp_path):
    images, workspace = tmp_path / "images", tmp_path / "workspace"
    for seed in range(6):
        (images / f"{seed}.jpg").parent.mkdir(exist_ok=True)
        Image.fromarray(render_landscape(seed, 384, 288)).save(images / f"{seed}.jpg")
    where = ("--workspace", str(workspace))
    assert recolor("clean", "--images", str(images), *where).returncode == 0
    assert recolor("shards", "build", *where).returncode == 0
    (shard,) = (workspace / "data/shards").glob("*.npy")
    stored = bytearray(shard.read_bytes())
    stored[5000] ^= 1
    shard.write_bytes(stored)
    found = recolor("shards", "verify", *where)
    assert found.returncode == 1
    assert shard.name in found.stderr
    assert "recolor shards repair" in found.stderr
    assert recolor("shards", "repair", "--set", "shard.size_px=none", *where).returncode == 2
    assert shard.read_bytes() == stored  # nothing was changed
    assert f"{shard.name}: damaged; rebuilding it" in recolor("shards", "repair", *where).stdout
    assert recolor("shards", "verify", *where).returncode == 0
    shown = recolor("shards", "show", "--images", "4", *where)
    assert shown.stdout.strip() == str(workspace / "data/shards.png")
    with Image.open(workspace / "data/shards.png") as sheet:
        assert sheet.size[0] > 1000


def test_exported_models_are_the_trained_ones_alone(tmp_path):
    trained = tmp_path / "space/data/models"
    shape = {"encoder_weights": "none", "width": 8, "blocks": 1}
    torch.manual_seed(5)
    generator = Generator(GeneratorModelConfig(**shape, encoder_depth=1))
    details = {"kind": "generator", "model": {**shape, "encoder_depth": 1}, "temperature": 0.5, "ab_bins": bins_json()}
    for name in ("generator/checkpoints", "refiner"):
        (trained / name).mkdir(parents=True)
    save_model(trained / "generator", generator, details)
    save_model(trained / "refiner", Refiner(RefinerModelConfig(**shape)), {"kind": "refiner", "model": shape})
    out = tmp_path / "out"
    result = recolor("export", "models", "--workspace", str(tmp_path / "space"), "--float16", str(out))
    assert result.returncode == 0, result.stderr
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    names = ("config.json", "model.safetensors")
    assert files == [f"{model}/{name}" for model in ("generator", "refiner") for name in names]
    exported = load_generator(out / "generator").model.state_dict()
    for name, tensor in generator.state_dict().items():
        torch.testing.assert_close(exported[name], tensor, rtol=1e-3, atol=1e-6)


def test_a_cluster_is_refused_where_no_flow_runs(tmp_path):
    options = ["--runner", "dask", "--dask-address", "tcp://127.0.0.1:1"]
    done = recolor("run", *options, "--images", str(tmp_path), "--workspace", str(tmp_path / "space"))
    assert done.returncode == 2
    assert "recolor run --prefect" in done.stderr
    assert not (tmp_path / "space").exists()


READING = [
    "gallery",
    "shards verify",
    "shards show",
    "shards repair",
    "export models x",
    "detect",
    "evaluate models --out x",
]


@pytest.mark.parametrize("verb", READING)
def test_a_mistyped_workspace_is_answered_with_the_nearest_and_makes_no_folder(tmp_path, verb, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos-2024").mkdir()
    answer = CliRunner().invoke(cli, [*verb.split(), "--workspace", "photos-2042"])
    assert str(answer.exception) == (
        f"{tmp_path}/photos-2042: there is no such workspace. The nearest folder is {tmp_path}/photos-2024. Correct"
        " --workspace, or make a new workspace from a folder of photographs: `recolor index --images FOLDER --workspace"
        f" {tmp_path}/photos-2042`."
    )
    assert isinstance(answer.exception, InputError)
    assert [path.name for path in tmp_path.iterdir()] == ["photos-2024"]


@pytest.mark.parametrize("verb", ["gallery", "shards verify", "shards show"])
def test_a_verb_that_only_reads_writes_nothing_into_a_folder_that_is_no_workspace(tmp_path, verb):
    answer = CliRunner().invoke(cli, [*verb.split(), "--workspace", str(tmp_path)])
    assert isinstance(answer.exception, MissingStageError)
    assert list(tmp_path.iterdir()) == []


PATH_OPTIONS = [
    (context.command_path, parameter)
    for context in walk(cli)
    for parameter in context.command.params
    if isinstance(parameter.type, click.Path)
]


@pytest.mark.parametrize(("name", "parameter"), PATH_OPTIONS, ids=lambda value: getattr(value, "name", value))
def test_every_path_option_reads_a_leading_tilde_as_the_home_folder(name, parameter, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ansel")
    convert = parameter.type.convert
    assert convert("~/x y", parameter, None) == Path("/home/ansel/x y")
    assert convert("~backup.jpg", parameter, None) == Path("~backup.jpg")
    assert convert("-", parameter, None) == Path("-")


def test_a_model_folder_with_a_tilde_is_looked_for_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    answer = CliRunner().invoke(cli, ["colorize", "--model=~/x", "a.jpg", "out"])
    assert str(answer.exception).startswith(f"{tmp_path}/x/generator: contains no trained generator.")


@pytest.mark.skipif(not Path("/proc/sys").is_dir(), reason="needs a folder that even root cannot write to")
@pytest.mark.parametrize(
    ("verb", "variable", "home"),
    [
        ("run --prefect", "HOME", "/proc/sys/home/.prefect"),
        ("run --prefect", "PREFECT_HOME", "/proc/sys/home"),
        ("up", "PREFECT_HOME", "/proc/sys/home"),
        ("up --server http://host:4200", "HOME", "/proc/sys/home/.prefect"),
    ],
)
def test_a_home_that_prefect_cannot_write_to_is_refused_before_prefect_starts(
    verb, variable, home, tmp_path, monkeypatch
):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    monkeypatch.setenv(variable, "/proc/sys/home")
    answer = CliRunner().invoke(cli, [*verb.split(), "--workspace", str(tmp_path / "space")])
    assert isinstance(answer.exception, StorageError)
    assert str(answer.exception).startswith(f"{home}: Prefect keeps its database here")
    assert "Set PREFECT_HOME" in str(answer.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_called_recolor_toml_is_refused_and_not_passed_over(tmp_path):
    (tmp_path / "recolor.toml").mkdir()
    answer = CliRunner().invoke(cli, ["detect", "--workspace", str(tmp_path)])
    assert isinstance(answer.exception, ConfigError)
    assert str(answer.exception).startswith(f"{tmp_path}/recolor.toml: this is a folder. Give a TOML file")


MISTYPED = [
    (["colorize", "nope.png", "x.png"], "nope.png: there is no such file or folder."),
    (["colorize", "--model", "nope", "PHOTO", "x.png"], "nope/generator: contains no trained generator."),
    (["colorize", "--temperature", "7", "PHOTO", "x.png"], "temperature = 7.0: not allowed."),
    (["colorize", "PHOTO", "PHOTO"], "the coloured file would replace the original."),
    (["turing", "nope"], "nope: there is no such file or folder."),
    (["evaluate", "photos", "nope", "--out", "x"], "nope: there is no such file or folder."),
    (["evaluate", "models", "nope", "--out", "x"], "nope: no trained model there."),
    (["evaluate", "--workspace", "nope"], "nope: there is no such workspace."),
    (["train", "generator", "--workspace", "nope"], "nope: there is no such workspace."),
    (["run", "--images", "nope"], "nope: there is no such folder."),
    (["export", "models", "out"], "data/models/generator: contains no trained generator."),
    (["export", "onnx", "--model", "nope", "out"], "nope/generator: contains no trained generator."),
]
WITHOUT_TORCH = """
import contextlib, io, json, sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise RuntimeError("torch was loaded")
sys.meta_path.insert(0, NoTorch())
from recolor.cli.main import main
said = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["recolor", *words]
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.suppress(SystemExit):
        main()
    said.append(err.getvalue())
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said_without_torch(tmp_path_factory):
    """What each of `MISTYPED` says in a process that cannot load torch."""
    folder = tmp_path_factory.mktemp("mistyped")
    Image.new("L", (8, 8)).save(folder / "photo.png")
    given = [[word.replace("PHOTO", "photo.png") for word in words] for words, _ in MISTYPED]
    command = [sys.executable, "-c", WITHOUT_TORCH, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    assert sorted(path.name for path in folder.iterdir()) == ["photo.png"]
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len(MISTYPED)), ids=lambda number: " ".join(MISTYPED[number][0]))
def test_a_wrong_argument_is_refused_before_torch_is_loaded(said_without_torch, number):
    assert MISTYPED[number][1] in said_without_torch[number]
