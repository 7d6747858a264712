"""Help, the reference docs/cli.md and shell completion of every verb and option."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from recolor.cli.main import cli
from recolor.cli.reference import cli_reference_markdown, walk

CONTEXTS = {context.command_path: context for context in walk(cli)}
OPTIONS = {
    f"{path} {option.opts[0]}": (context, option)
    for path, context in CONTEXTS.items()
    for option in context.command.params
    if isinstance(option, click.Option)
}


def helped(path, columns=100):
    words = path.split()[1:]
    result = CliRunner().invoke(cli, [*words, "--help"], prog_name="recolor", terminal_width=columns)
    assert result.exit_code == 0
    return result.stdout


def test_the_help_fits_one_screen_in_sections():
    lines = helped("recolor").splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    titles = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Options:", "Pipeline:", "Review:", "Models:", "Other:"]


def test_the_verbs_of_the_pipeline_are_in_the_order_of_its_stages():
    stages = ["index", "measure", "detect", "select", "shards", "train", "evaluate"]
    assert cli.sections["Pipeline"] == ["run", "clean", *stages]


def test_every_verb_is_in_a_section():
    assert sorted(name for names in cli.sections.values() for name in names) == sorted(cli.commands)


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize(
    "path", [path for path, context in CONTEXTS.items() if isinstance(context.command, click.Group)]
)
def test_no_short_help_is_cut_off(path, columns):
    for command in CONTEXTS[path].command.commands.values():
        first = command.help.strip().splitlines()[0]
        assert f"  {command.name} " in helped(path, columns)
        assert first in helped(path, columns)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_has_a_help_text_and_shows_its_default(name):
    context, option = OPTIONS[name]
    assert option.help
    assert option.help.endswith(".")
    assert option.multiple == option.help.endswith(" May be repeated.")
    assert "[" not in option.help, "click writes the default"
    declared, text = option.get_help_record(context)
    default = option.get_default(context)
    if option.show_default or (isinstance(default, str | int | float | Path) and default is not False):
        assert "[default: " in text, declared


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["clena"], 'No such command "clena". Did you mean "clean"?'),
        (["gallary"], 'No such command "gallary". Did you mean "gallery"?'),
        (["shards", "verfy"], 'No such command "verfy". Did you mean "verify"?'),
        (["train", "genrator"], 'No such command "genrator". Did you mean "generator"?'),
        (["evaluate", "photo"], 'No such command "photo". Did you mean "photos"?'),
        (["export", "xyz"], 'No such command "xyz". Commands: images, models, onnx.'),
        (["clean", "--workspac", "x"], "Did you mean '--workspace'?"),
        (["evaluate", "--split-x", "x"], "No such option '--split-x'"),
        (["--verbosee"], "Did you mean one of: '--verbose', "),
    ],
)
def test_a_mistyped_word_is_answered_with_the_nearest(words, told):
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert told in result.stderr.replace("\n", " ")


def test_the_reference_is_current():
    docs = Path(__file__).parents[2] / "docs/cli.md"
    current = docs.read_text(encoding="utf-8") == cli_reference_markdown(cli)
    assert current, "Run `python tools/write_reference.py`."


def test_every_verb_is_in_the_reference():
    headings = [
        line.removeprefix("### ") for line in cli_reference_markdown(cli).splitlines() if line.startswith("###")
    ]
    assert sorted(headings) == sorted(path for path in CONTEXTS if path != "recolor")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("recolor c", ["clean", "colorize"]),
        ("recolor shards ", ["build", "verify", "repair", "show"]),
        ("recolor export m", ["models"]),
        ("recolor colorize --dev", ["--device"]),
    ],
)
def test_shell_completion_prints_verbs_and_options(words, expected):
    program = "import sys; sys.argv = ['recolor']; from recolor.cli.main import main; main()"
    environment = {
        **os.environ,
        "_RECOLOR_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"plain,{word}" for word in expected]
    assert done.stderr == ""


def test_python_m_recolor_is_the_program():
    done = subprocess.run([sys.executable, "-m", "recolor", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("recolor, version ")
