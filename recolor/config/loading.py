"""Loads and checks settings from a preset, a TOML file and KEY=VALUE words."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from recolor.config.presets import PRESETS, Preset, preset
from recolor.config.settings import Config
from recolor.errors import ConfigError
from recolor.paths import expand_user

T = TypeVar("T")


def load_config(name: Preset | None = None, file: Path | None = None, words: Sequence[str] = ()) -> Config:
    """Returns the settings of a preset, overridden by the file, overridden by `words`.

    Args:
        name: The preset to start from. Default: the file's `preset`, else `default`.
        file: A TOML file with a table for each group of settings, such as `[blurry]`.
        words: Settings such as `blurry.threshold=0.4`. Values are parsed as TOML; bare words are strings.

    Raises:
        ConfigError: The file cannot be read, or a key or value is not allowed; the message names it and what is
            allowed.

    Examples:
        >>> from recolor import load_config
        >>> config = load_config("demo", words=["blurry.threshold=0.4"])
        >>> config.blurry.threshold
        0.4
    """
    changes = read_changes(file, words)
    return overlay(_preset(name, changes.pop("preset", "default")), changes)


def read_changes(file: Path | None, words: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the settings of a file, overridden by `words`, as nested dictionaries.

    They are not checked.

    Raises:
        ConfigError: The file cannot be read, or a word does not have the form KEY=VALUE.
    """
    changes = _read_toml(expand_user(file)) if file is not None else {}
    for word in words:
        _merge(changes, _parse_word(word))
    return changes


def _merge(into: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _preset(name: Preset | None, of_file: Any) -> Config:
    chosen = name or of_file
    if chosen not in PRESETS:
        raise ConfigError(f"preset = {chosen!r}: unknown preset. Allowed: {', '.join(PRESETS)}.")
    return preset(chosen)


def overlay(base: T, changes: Mapping[str, Any]) -> T:
    """Returns a config dataclass with settings replaced by nested `changes`.

    Each value is checked against its annotation.

    Raises:
        ConfigError: Keys are unknown or values are not allowed; the message has one line for each.
    """
    if changes == {}:
        return base
    from recolor.config.validation import checked_overlay

    return checked_overlay(base, changes)


def check(config: Config) -> None:
    """Checks every value of settings that were built in Python.

    Raises:
        ConfigError: Values are not allowed; the message has one line for each.
    """
    overlay(config, asdict(config))


def _read_toml(file: Path) -> dict[str, Any]:
    """Returns the content of a TOML file; a byte order mark, as Windows editors write it, is skipped."""
    try:
        return tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except IsADirectoryError as error:
        raise ConfigError(
            f"{file}: this is a folder. Give a TOML file of settings, such as {file / 'recolor.toml'}."
        ) from error
    except OSError as error:
        raise ConfigError(f"{file}: the settings file cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file}: byte {error.start + 1} is not UTF-8 text ({error.object[error.start]:#04x}). Save the file as"
            " UTF-8."
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: not a TOML file ({error}). Correct it there.") from error


def _parse_word(word: str) -> dict[str, Any]:
    key, sign, text = word.partition("=")
    if not sign or not key:
        raise ConfigError(f"{word!r}: settings have the form KEY=VALUE, such as blurry.threshold=0.4.")
    value: Any = _parse_value(text)
    for name in reversed(key.strip().split(".")):
        value = {name: value}
    return dict(value)


def _parse_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text.strip()
    return parsed["value"] if len(parsed) == 1 else text.strip()  # a second line would be a second setting
