"""The Dockerfile, read without Docker: what it copies, installs and starts is there."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import pytest
from click.testing import CliRunner

from recolor.cli.main import cli

PROJECT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
TARGETS = ("app", "pipeline")


@dataclass
class Stage:
    """A stage: what it stands on, and its instructions."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def values(self, name):
        return [value for instruction, value in self.instructions if instruction == name]


def read_stages(text):
    """Stages by name, in the order of the file."""
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    stages = {}
    for line in without_comments.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        instruction, _, value = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = value.partition(" AS ")
            stages[name] = Stage(base)
        else:
            list(stages.values())[-1].instructions.append((instruction, value.strip()))
    return stages


TEXT = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
STAGES = read_stages(TEXT)


def lineage(name):
    """A stage and those that it stands on, the lowest first."""
    stages = []
    while name in STAGES:
        stages.insert(0, STAGES[name])
        name = STAGES[name].base
    return stages


def everything(name, instruction):
    return [value for stage in lineage(name) for value in stage.values(instruction)]


def started(name):
    return json.loads(everything(name, "ENTRYPOINT")[-1])


def installs():
    return [
        shlex.split(command) for stage in STAGES.values() for command in stage.values("RUN") if "pip install" in command
    ]


def test_every_stage_is_known_and_the_last_one_is_the_app():
    assert set(TARGETS) <= set(STAGES)
    assert list(STAGES)[-1] == "app"
    for stage in STAGES.values():
        assert stage.base in STAGES or stage.base.startswith("python:")
    referred = re.findall(r"--from=(\S+)", TEXT)
    assert referred
    assert set(referred) <= set(STAGES)


def test_python_is_one_that_the_package_supports():
    (version,) = {stage.base.removeprefix("python:").removesuffix("-slim") for stage in STAGES.values()} - set(STAGES)
    assert f"Programming Language :: Python :: {version}" in PYPROJECT["project"]["classifiers"]


def test_what_is_copied_is_there_and_is_sent_to_the_builder():
    lines = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = set()
    for stage in STAGES.values():
        for value in stage.values("COPY"):
            if not value.startswith("--from"):
                copied |= set(shlex.split(value)[:-1])
    assert all((PROJECT / source).exists() for source in copied)
    assert copied == sent
    assert next(line for line in lines if not line.startswith("#")) == "*"


def test_everything_that_the_wheel_is_built_from_is_copied():
    copied = {source for stage in STAGES.values() for value in stage.values("COPY") for source in shlex.split(value)}
    packages = {pattern.removesuffix("*") for pattern in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= copied
    assert {"pyproject.toml", PYPROJECT["project"]["readme"], "LICENSE", "prefect.yaml"} <= copied
    assert any(fnmatch("LICENSE", name) for name in PYPROJECT["project"]["license-files"])


def test_every_package_is_pinned_and_every_extra_exists():
    extras = set()
    for words in installs():
        assert "-c constraints.txt" in " ".join(words)
        extras |= {extra for word in words for some in re.findall(r"\.\[([\w,]+)\]", word) for extra in some.split(",")}
    assert extras == {"app", "all"}
    assert extras <= set(PYPROJECT["project"]["optional-dependencies"])
    pinned = (PROJECT / "constraints.txt").read_text(encoding="utf-8")
    for name in ("torch", "torchvision", "fastapi", "uvicorn", "prefect"):
        assert re.search(rf"^{name}==", pinned, re.MULTILINE), name


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_user_that_is_made_in_it(target):
    user = everything(target, "USER")[-1]
    assert user not in ("root", "0")
    assert any("useradd" in command and user in command for command in everything(target, "RUN"))
    names = [name for name, _ in STAGES[target].instructions]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "RUN" not in names[names.index("USER") :]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_starts_a_command_with_options_that_exist(target):
    program, *words = started(target)
    assert program in PYPROJECT["project"]["scripts"]
    if words and words[0] not in cli.commands:
        pytest.skip(f"there is no command `recolor {words[0]}` yet")
    result = CliRunner().invoke(cli, [*words, "--help"])
    assert result.exit_code == 0
    assert all(word in result.output for word in words if word.startswith("--"))


def test_the_port_is_the_same_everywhere():
    words = started("app")
    (port,) = everything("app", "EXPOSE")
    assert words[words.index("--port") + 1] == port
    assert f"'127.0.0.1', {port}" in everything("app", "HEALTHCHECK")[0]
    compile(json.loads(everything("app", "HEALTHCHECK")[0].partition("CMD ")[2])[2], "health", "exec")
    assert f":{port}" in (PROJECT / "docs/docker.md").read_text(encoding="utf-8")


def test_no_host_is_named():
    text = TEXT + (PROJECT / "Makefile").read_text(encoding="utf-8")
    assert not re.search(r"(index-url|TORCH_INDEX)[= ]*\S*(://|\w\.\w)", text)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_the_image_is_built_and_answers(target):
    if (
        shutil.which("docker") is None
        or subprocess.run(("docker", "info"), capture_output=True, check=False).returncode
    ):
        pytest.skip("docker is not installed, or its daemon does not run")
    command = ("docker", "build", "--quiet", "--target", target, str(PROJECT))
    image = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    command = ("docker", "run", "--rm", "--entrypoint", "recolor", image, "--version")
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    assert answer.stdout.startswith("recolor, version")
