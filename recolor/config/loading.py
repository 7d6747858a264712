"""Settings from a preset, a TOML file and `key=value` words; whatever is wrong is refused before any work."""

import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MultipleOf

from recolor.config.presets import PRESETS, Preset, preset
from recolor.config.settings import Config
from recolor.errors import ConfigError

T = TypeVar("T")


def load_config(name: Preset | None = None, file: Path | None = None, words: Sequence[str] = ()) -> Config:
    """Builds the settings: the preset, overlaid by the file, overlaid by the words.

    Args:
        name: The preset to start from; without one, the file's `preset`, else `default`.
        file: A TOML file with a table for each stage, such as `[blurry]`.
        words: Settings such as `blurry.threshold=0.4`; values are read as TOML, bare words as strings.

    Raises:
        ConfigError: The file cannot be read, or a key or a value is not allowed; says which and what is.

    Examples:
        >>> from recolor import load_config
        >>> config = load_config("demo", words=["blurry.threshold=0.4"])
        >>> config.blurry.threshold
        0.4
    """
    changes = read_changes(file, words)
    return overlay(_preset(name, changes.pop("preset", "default")), changes)


def read_changes(file: Path | None, words: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of a file overlaid by words, as nested tables, not yet checked.

    Raises:
        ConfigError: The file cannot be read, or a word is not KEY=VALUE.
    """
    changes = _read_toml(file) if file is not None else {}
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
        raise ConfigError(f"preset = {chosen!r}: there is no such preset. Allowed: {', '.join(PRESETS)}.")
    return preset(chosen)


def overlay(base: T, changes: Mapping[str, Any], at: str = "") -> T:
    """Replaces settings of a config dataclass by nested `changes`, each checked against its annotation.

    Raises:
        ConfigError: A key is unknown or a value is not allowed.
    """
    hints = get_type_hints(type(base), include_extras=True)
    for key in changes:
        if key not in hints:
            raise ConfigError(_unknown_key(at + key, key, list(hints)))
    values = {key: _checked(getattr(base, key), value, hints[key], at + key) for key, value in changes.items()}
    return replace(base, **values)  # type: ignore[type-var]  # T is a config dataclass


def check(config: object, at: str = "") -> None:
    """Checks every value of a config that was built in Python against its annotation.

    Raises:
        ConfigError: A value is not allowed; says which and what is.
    """
    hints = get_type_hints(type(config), include_extras=True)
    for item in fields(config):  # type: ignore[arg-type]  # a config dataclass
        value = getattr(config, item.name)
        if is_dataclass(value):
            check(value, f"{at}{item.name}.")
        else:
            _checked(value, value, hints[item.name], at + item.name)


def _checked(current: Any, value: Any, hint: Any, key: str) -> Any:
    if is_dataclass(current):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{key} = {value!r}: this is a table of settings. Allowed: {_names(current)}.")
        return overlay(current, value, key + ".")
    base, limits = _split_hint(hint)
    value = _coerced(value, base)
    if not _is_of(value, base) or not all(_within(value, limit) for limit in limits):
        raise ConfigError(f"{key} = {value!r}: not allowed. Allowed: {_describe(base, limits)}.")
    return value


def _coerced(value: Any, base: Any) -> Any:
    if base is float and type(value) is int:
        return float(value)
    if get_origin(base) is tuple and isinstance(value, list):
        return tuple(value)
    return value


def _is_of(value: Any, base: Any) -> bool:
    if get_origin(base) is Literal:
        return value in get_args(base)
    if get_origin(base) is tuple:
        return isinstance(value, tuple) and all(isinstance(item, get_args(base)[0]) for item in value)
    return type(value) is base and not (base is float and not math.isfinite(value))


def _within(value: Any, limit: Any) -> bool:
    match limit:
        case Ge(ge):
            return bool(value >= ge)
        case Gt(gt):
            return bool(value > gt)
        case Le(le):
            return bool(value <= le)
        case Lt(lt):
            return bool(value < lt)
        case MultipleOf(factor):
            return bool(value % factor == 0)
    raise AssertionError(f"a limit that is not known here: {limit!r}")


def _split_hint(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(hint) is Annotated:
        base, *limits = get_args(hint)
        return base, tuple(limits)
    return hint, ()


def _describe(base: Any, limits: tuple[Any, ...]) -> str:
    if get_origin(base) is Literal:
        return ", ".join(repr(choice) for choice in get_args(base))
    if get_origin(base) is tuple:
        return f"a list of {get_args(base)[0].__name__}"
    words = [_describe_limit(limit) for limit in limits]
    return " ".join(
        [{"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}[base.__name__], *words]
    )


def _describe_limit(limit: Any) -> str:
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
    raise AssertionError(f"a limit that is not known here: {limit!r}")


def _unknown_key(path: str, key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{path}: there is no such setting.{hint} Allowed here: {', '.join(known)}."


def _names(config: Any) -> str:
    return ", ".join(item.name for item in fields(config))


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: the settings file cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not a TOML file ({error}).") from error


def _parse_word(word: str) -> dict[str, Any]:
    key, sign, text = word.partition("=")
    if not sign or not key:
        raise ConfigError(f"{word!r}: a setting is written KEY=VALUE, such as blurry.threshold=0.4.")
    value: Any = _parse_value(text)
    for name in reversed(key.strip().split(".")):
        value = {name: value}
    return dict(value)


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
