"""The reference of all settings, read from the dataclasses.

It has the name, allowed values, default and meaning of each, and the command that it redoes.
"""

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from inspect import getdoc
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MultipleOf

from recolor.config.presets import PRESETS, Preset, preset
from recolor.errors import ConfigError

_SHORT_CHARS = 40

Value = bool | int | float | str | tuple[str, ...]

# The command that is run again when a setting of a group changes.
_COMMANDS = {
    "index": "index",
    "measure": "measure",
    "corrupt": "detect corrupt",
    "too_large": "detect too_large",
    "duplicate": "detect duplicate",
    "monochrome": "detect monochrome",
    "skewed": "detect skewed",
    "blurry": "detect blurry",
    "exposure": "detect exposure",
    "low_resolution": "detect low_resolution",
    "extreme_aspect": "detect extreme_aspect",
    "select": "select",
    "shard": "shards build",
    "generator": "train generator",
    "refiner": "train refiner",
    "evaluate": "evaluate",
}
# Settings of `train` that are not part of a key: they change a result by rounding at most.
_NOT_IN_TRAINING_KEY = {
    "checkpoint_steps", "compile", "deterministic", "device", "devices", "keep_checkpoints", "metrics_steps",
    "resident", "tensorboard",
}  # fmt: skip
# Files of weights: their content is part of a key, not their path.
_WEIGHTS = {"encoder_weights", "start_from", "teachers", "perceptual_weights", "lpips_weights", "inception_weights"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: Full name, such as `blurry.threshold`.
        allowed: Allowed values, such as `a number from 0.0 up to 1.0`.
        default: Value in the preset.
        meaning: Description, one or more sentences.
        redone: The command that is redone when the setting changes; empty if it is not part of a key.
        by_content: Whether it names a file of weights, whose content is part of the key instead of its path.
    """

    name: str
    allowed: str
    default: Value
    meaning: str
    redone: str
    by_content: bool

    @property
    def group(self) -> str:
        """Name of its table, such as `generator.train`."""
        return self.name.rpartition(".")[0]

    @property
    def summary(self) -> str:
        """First sentence of its meaning."""
        return first_sentence(self.meaning)

    @property
    def redone_text(self) -> str:
        """What is redone when the setting changes, as a sentence."""
        if not self.redone:
            return "Nothing is redone: the setting changes a result by rounding at most."
        condition = ", if the content of the weights differs" if self.by_content else ""
        return f"`recolor {self.redone}` is redone{condition}; later stages follow if its result changes."


@dataclass(frozen=True, slots=True)
class Group:
    """The settings of one table, such as `generator.train`, without its inner tables."""

    name: str
    meaning: str
    settings: tuple[Setting, ...]


def settings_reference(name: Preset = "default") -> tuple[Group, ...]:
    """Returns all settings by group, in order of declaration, with a preset's defaults."""
    config = preset(name)
    return tuple(group for item in fields(config) for group in _groups(getattr(config, item.name), item.name))


def find_settings(name: str, groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Returns a group and its inner groups, or a group that holds only the setting of that name.

    Args:
        name: A group, such as `generator` (includes `generator.train`), or a setting, such as `blurry.threshold`.
        groups: The groups to search.

    Raises:
        ConfigError: Neither a group nor a setting has that name; the message suggests the nearest.
    """
    found = tuple(group for group in groups if f"{group.name}.".startswith(f"{name}."))
    if found:
        return found
    for group in groups:
        for setting in group.settings:
            if setting.name == name:
                return (Group(group.name, group.meaning, (setting,)),)
    raise ConfigError(f"{name}: unknown setting.{_nearest(name, groups)}")


def settings_markdown() -> str:
    """Returns the text of docs/settings.md."""
    groups = settings_reference()
    return "\n".join([_HEAD, *(_group_markdown(group) for group in groups), _presets_markdown(groups)])


def allowed_text(hint: Any) -> str:
    """Returns the allowed values of an annotation, such as `a number from 0.0 up to 1.0`."""
    base, *limits = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if get_origin(base) is Literal:
        return ", ".join(repr(choice) for choice in get_args(base))
    if get_origin(base) is tuple:
        item = get_args(base)[0]
        return "a list of texts" if item is str else f"a list of any of {allowed_text(item)}"
    kind = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[base]
    return " ".join([kind, *map(_limit_text, limits)])


def toml_value(value: Value) -> str:
    """Returns a value as TOML."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML allows it only as an escape


def short_value(value: object) -> str:
    """Returns a value as TOML or JSON for a message, cut after 40 characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHORT_CHARS else f"{text[: _SHORT_CHARS - 4]} ..."


def docstring(config: type) -> tuple[str, dict[str, str]]:
    """Returns the meaning of a config dataclass and that of each attribute, from its docstring."""
    meaning, _, attributes = (getdoc(config) or "").partition("\nAttributes:\n")
    described: dict[str, str] = {}
    name = ""
    for line in attributes.splitlines():
        if not line.startswith("    "):
            break
        if start := re.match(r" {4}(\w+): (.*)", line):
            name, described[start[1]] = start[1], start[2]
        else:
            described[name] += " " + line.strip()
    return meaning.partition("\nExamples:\n")[0].strip(), described


def first_sentence(text: str) -> str:
    """Returns the first sentence of a text."""
    return re.split(r"(?<=[.!?]) +(?=[A-Z0-9`])", text, maxsplit=1)[0]


def _groups(config: Any, name: str) -> Iterator[Group]:
    meaning, meanings = docstring(type(config))
    hints = get_type_hints(type(config), include_extras=True)
    values = {item.name: getattr(config, item.name) for item in fields(config)}
    settings = tuple(
        Setting(
            f"{name}.{key}",
            allowed_text(hints[key]),
            value,
            meanings.get(key, ""),
            _redone(name, key),
            key in _WEIGHTS,
        )
        for key, value in values.items()
        if not is_dataclass(value)
    )
    yield Group(name, meaning, settings)
    for key, value in values.items():
        if is_dataclass(value):
            yield from _groups(value, f"{name}.{key}")


def _redone(group: str, key: str) -> str:
    first, _, inner = group.partition(".")
    if (inner == "train" and key in _NOT_IN_TRAINING_KEY) or (first == "evaluate" and key == "device"):
        return ""
    return _COMMANDS.get(first, "")


def _nearest(name: str, groups: tuple[Group, ...]) -> str:
    names = [group.name for group in groups] + [setting.name for group in groups for setting in group.settings]
    same = [each for each in names if each.rpartition(".")[2] == name]
    close = same[:3] or difflib.get_close_matches(name, names, n=1)
    if not close:
        return f" Groups: {', '.join(group.name for group in groups)}."
    return f" Did you mean {' or '.join(map(repr, close))}?"


def _limit_text(limit: Any) -> str:
    match limit:
        case Ge(bound):
            return f"from {bound}"
        case Gt(bound):
            return f"above {bound}"
        case Le(bound):
            return f"up to {bound}"
        case Lt(bound):
            return f"below {bound}"
        case MultipleOf(factor):
            return f"in steps of {factor}"
    raise AssertionError(f"unknown limit: {limit!r}")


_HEAD = """\
# Settings

<!-- Written by tools/write_reference.py from the docstrings in recolor/config/settings.py. -->

Settings come from the preset, then from the workspace's `recolor.toml` (or the file of `--config`), then from
`--set blurry.threshold=0.4`; later sources override earlier ones. `recolor settings --init` writes a `recolor.toml` in
which every setting is commented out, and `--save` adds the settings of a command to it. A command says which settings
the last one was given that it does not have. `recolor settings NAME` shows this page's text for one setting or group. A
wrong name or value is refused before any work starts.

A stage is redone when a setting in its key changes, or when the result of an earlier stage changes. The last column
names the command that is redone. With "–" nothing is redone: the setting changes a result by rounding at most. For a
file of weights, the content is part of the key and not the path.
"""


def _group_markdown(group: Group) -> str:
    lines = [f"## {group.name}", "", group.meaning, ""]
    if group.settings:
        lines += ["| setting | allowed | default | meaning | redoes |", "|---|---|---|---|---|"]
        lines += [_row_markdown(setting) for setting in group.settings]
        lines.append("")
    return "\n".join(lines)


def _row_markdown(setting: Setting) -> str:
    cells = [
        f"`{setting.name}`",
        setting.allowed,
        f"`{toml_value(setting.default)}`",
        setting.meaning,
        f"`{setting.redone}`" if setting.redone else "–",
    ]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _presets_markdown(groups: tuple[Group, ...]) -> str:
    by_preset = {
        name: {setting.name: setting.default for group in settings_reference(name) for setting in group.settings}
        for name in PRESETS
    }
    lines = [
        "## Presets",
        "",
        "Settings that differ between the presets.",
        "",
        f"| setting | {' | '.join(f'`{name}`' for name in PRESETS)} |",
        "|---" * (1 + len(PRESETS)) + "|",
    ]
    for setting in (setting for group in groups for setting in group.settings):
        values = [toml_value(by_preset[name][setting.name]) for name in PRESETS]
        if len(set(values)) > 1:
            lines.append(f"| `{setting.name}` | {' | '.join(f'`{value}`' for value in values)} |")
    return "\n".join([*lines, ""])
