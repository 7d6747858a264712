"""The commented `recolor.toml` that `recolor settings --init` writes."""

import textwrap
from collections.abc import Iterator

from recolor.config.presets import PRESETS, Preset
from recolor.config.reference import Group, Setting, settings_reference, toml_value

_WIDTH_CHARS = 100


def commented_toml(name: Preset) -> str:
    """Returns a `recolor.toml` for a preset, with every setting commented out.

    Each setting has its meaning as a comment.
    """
    lines = [
        "# Settings of this workspace. Every command of Recolor reads them from here.",
        "# To change a setting, remove the # before its name. `recolor settings NAME` describes it.",
        "",
        f"# Preset to start from: {', '.join(PRESETS)}.",
        f'preset = "{name}"',
    ]
    for group in settings_reference(name):
        lines += ["", *_comment(group.meaning), f"[{group.name}]"]
        for setting in group.settings:
            lines += ["", *_setting_lines(group, setting)]
    return "\n".join([*lines, ""])


def _setting_lines(group: Group, setting: Setting) -> Iterator[str]:
    yield from _comment(setting.meaning)
    yield from _comment(f"Allowed: {setting.allowed}.")
    yield f"#{setting.name.removeprefix(f'{group.name}.')} = {toml_value(setting.default)}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        _WIDTH_CHARS,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )
