"""Loads and checks settings from a preset, a TOML file and KEY=VALUE words."""

import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from recolor.config.presets import PRESETS, Preset, preset
from recolor.config.reference import Value, toml_value
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
    return config_of(name, read_changes(file, words))


def config_of(name: Preset | None, changes: Mapping[str, Any]) -> Config:
    """Returns the settings of a preset, overridden by nested `changes` as a file holds them, with its `preset`.

    Raises:
        ConfigError: A key or value is not allowed.
    """
    settings = {key: value for key, value in changes.items() if key != "preset"}
    return overlay(_preset(name, changes.get("preset", "default")), settings)


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


def merged_changes(*changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested dictionaries of settings in one; later ones override earlier ones, and all stay as they are."""
    into: dict[str, Any] = {}
    for each in changes:
        _merge(into, deepcopy(dict(each)))
    return into


def flat_settings(settings: object) -> dict[str, Value]:
    """Returns settings by dotted name, such as `blurry.threshold`, out of a config dataclass or nested dictionaries."""
    flat: dict[str, Value] = {}
    nested = settings if isinstance(settings, Mapping) else asdict(settings)  # type: ignore[call-overload]
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}.{inner}": each for inner, each in flat_settings(value).items()})
        else:
            flat[name] = tuple(value) if isinstance(value, list) else value
    return flat


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
        return parsed_toml(file.read_bytes().decode("utf-8-sig"), file)
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


def parsed_toml(text: str, file: Path) -> dict[str, Any]:
    """Returns the content of a TOML file from its text.

    Raises:
        ConfigError: The text is not TOML; the message names the file.
    """
    try:
        return tomllib.loads(text)
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


def setting_word(name: str, value: Value) -> str:
    """Returns a setting as `--set` takes it, such as `blurry.threshold=0.4`; text is without quotes where it can be."""
    bare = isinstance(value, str) and value == value.strip() and _parse_value(value) == value
    return f"{name}={value if bare else toml_value(value)}"


def _parse_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text.strip()
    return parsed["value"] if len(parsed) == 1 else text.strip()  # a second line would be a second setting
