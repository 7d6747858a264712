"""Former names of verbs, from before 0.2: they work, with a hint on standard error."""

from collections.abc import Sequence

import click

REMOVED_IN = "0.3"
_RENAMED = {
    "export-clean": ["export", "images"],
    "export-models": ["export", "models"],
    "export-onnx": ["export", "onnx"],
}
_EVALUATE_MODELS = ("--model", "--control", "--out")


def current_words(words: Sequence[str], *, quiet: bool = False) -> list[str]:
    """Returns the words of a command line with former names replaced by current ones.

    Args:
        words: Words after `recolor` and its own options.
        quiet: Whether to omit the hint, as in shell completion.
    """
    verb, *rest = words
    if verb in _RENAMED:
        old, new = verb, [*_RENAMED[verb], *rest]
        named = " ".join(_RENAMED[verb])
    elif verb == "shard":
        repair = "--repair" in rest
        old, named = ("shard --repair", "shards repair") if repair else ("shard", "shards build")
        new = [*named.split(), *(word for word in rest if word != "--repair")]
    elif verb == "evaluate" and rest and rest[0].startswith("-"):
        old, named, new = _evaluate(rest)
    else:
        return list(words)
    if old and not quiet:
        click.echo(
            f"recolor: `{old}` is now `recolor {named}`; the old name will be removed in {REMOVED_IN}.", err=True
        )
    return new


def _evaluate(rest: Sequence[str]) -> tuple[str, str, list[str]]:
    """Returns the former name, the current name and all current words.

    The names are empty if nothing changed.
    """
    if "--suggest" in rest:
        others = [word for word in rest if word != "--suggest"]
        return "evaluate --suggest", "evaluate suggest", ["evaluate", "suggest", *others]
    photos, others = _taken(rest, "--photos")
    if photos:
        return "evaluate --photos DIR", "evaluate photos DIR", ["evaluate", "photos", photos[-1], *others]
    if any(word.partition("=")[0] in _EVALUATE_MODELS for word in rest):
        models, others = _taken(rest, "--model")
        return "evaluate --model DIR", "evaluate models DIR", ["evaluate", "models", *models, *others]
    return "", "", ["evaluate", *rest]


def _taken(words: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """Returns the values of an option and the other words.

    A value is given as `--option VALUE` or `--option=VALUE`.
    """
    values, others = [], []
    left = iter(words)
    for word in left:
        name, sign, value = word.partition("=")
        if name != option:
            others.append(word)
        elif sign:
            values.append(value)
        else:
            values += [value for value in [next(left, None)] if value is not None]
    return values, others
