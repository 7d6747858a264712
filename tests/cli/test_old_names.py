"""Former names of verbs, from before version 0.2."""

import click
import pytest
from click.testing import CliRunner

from recolor.cli.main import cli
from recolor.cli.old_names import current_words


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("shard --workspace w", "shards build --workspace w", "`shard` is now `recolor shards build`"),
        (
            "shard --repair --workspace w",
            "shards repair --workspace w",
            "`shard --repair` is now `recolor shards repair`",
        ),
        ("shard --set a=1 --repair", "shards repair --set a=1", "`shard --repair` is now `recolor shards repair`"),
        ("export-clean --link out", "export images --link out", "`export-clean` is now `recolor export images`"),
        (
            "export-models out --float16",
            "export models out --float16",
            "`export-models` is now `recolor export models`",
        ),
        ("export-onnx out", "export onnx out", "`export-onnx` is now `recolor export onnx`"),
        (
            "evaluate --workspace w --photos p --out o --model a --model=b",
            "evaluate photos p --workspace w --out o --model a --model=b",
            "`evaluate --photos DIR` is now `recolor evaluate photos DIR`",
        ),
        ("evaluate --photos=p", "evaluate photos p", "`evaluate --photos DIR` is now `recolor evaluate photos DIR`"),
        (
            "evaluate --model a --split val --control c --model=b --out o",
            "evaluate models a b --split val --control c --out o",
            "`evaluate --model DIR` is now `recolor evaluate models DIR`",
        ),
        ("evaluate --out o", "evaluate models --out o", "`evaluate --model DIR` is now `recolor evaluate models DIR`"),
        (
            "evaluate --suggest --max-images 5",
            "evaluate suggest --max-images 5",
            "`evaluate --suggest` is now `recolor evaluate suggest`",
        ),
    ],
)
def test_an_old_name_is_understood_with_a_hint(capsys, old, new, named):
    assert current_words(old.split()) == new.split()
    assert capsys.readouterr() == ("", f"recolor: {named}; the old name will be removed in 0.3.\n")
    assert current_words(old.split(), quiet=True) == new.split()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "words",
    [
        "shards build",
        "export images --copy out",
        "evaluate",
        "evaluate --workspace w --split val",
        "evaluate photos p --model m --out o",
        "evaluate models m --out o",
        "clean --suggest",
        "colorize --model m a.jpg b.jpg",
        "run --workspace shard",
    ],
)
def test_a_present_name_stays_as_it_is(capsys, words):
    assert current_words(words.split()) == words.split()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("old", "usage"),
    [
        (["shard"], "recolor shards build"),
        (["shard", "--repair"], "recolor shards repair"),
        (["export-clean"], "recolor export images"),
        (["export-models"], "recolor export models"),
        (["export-onnx"], "recolor export onnx"),
        (["evaluate", "--photos", "p"], "recolor evaluate photos"),
        (["evaluate", "--model", "m"], "recolor evaluate models"),
        (["evaluate", "--suggest"], "recolor evaluate suggest"),
    ],
)
def test_an_old_name_reaches_the_present_verb(old, usage):
    result = CliRunner().invoke(cli, [*old, "--help"], prog_name="recolor")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: {usage} ")
    assert result.stderr.count("\n") == 1


def test_old_names_are_not_in_the_help():
    names = set(cli.list_commands(click.Context(cli)))
    assert not names & {"shard", "export-clean", "export-models", "export-onnx"}
