"""Checks settings with pydantic models of the dataclasses in `recolor.config.settings`.

The dataclasses are the only declaration. The models have the same fields and limits, but every field is optional: a
setting that is not given keeps the preset's value. Importing pydantic takes a quarter of a second, so this module is
imported only when there are settings to check.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass, replace
from functools import cache, partial
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError, create_model

from recolor.config.reference import allowed_text, docstring
from recolor.errors import ConfigError

T = TypeVar("T")

# Strict: text is not converted to a number, nor true or false to a whole number.
_MODEL_CONFIG = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@cache
def changes_model(config: type, *, nullable: bool = False) -> type[BaseModel]:
    """Returns a pydantic model of changes to a config dataclass.

    Args:
        config: A dataclass of settings, such as `BlurryConfig`.
        nullable: Also accept None for a setting that is not given; Prefect's forms need it.
    """
    meaning, meanings = docstring(config)
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(config, include_extras=True).items():
        if is_dataclass(hint):
            accepted: Any = changes_model(hint, nullable=nullable)  # type: ignore[arg-type]  # a class, no instance
            description = accepted.__doc__
        else:
            accepted = _accepted(hint)
            description = meanings.get(name)
        fields[name] = (accepted | None if nullable else accepted, Field(None, description=description))
    name = config.__name__.removesuffix("Config") + "Settings"
    made: type[BaseModel] = create_model(name, __config__=_MODEL_CONFIG, __doc__=meaning, **fields)
    return made


def _accepted(hint: Any) -> Any:
    """Returns the type of a field for a setting's annotation."""
    if get_origin(hint) is tuple:
        return Annotated[hint, Strict(False)]  # TOML and JSON have lists, not tuples
    if get_origin(hint) is Literal:
        return Annotated[hint, BeforeValidator(partial(_check_type, {type(value) for value in get_args(hint)}))]
    return hint


def _check_type(types: set[type], value: object) -> object:
    """Refuses 2.0 and true where 2 and 1 are allowed: they are equal, so `Literal` accepts them, even when strict."""
    if type(value) not in types:
        raise ValueError("of another type")
    return value


def checked_overlay(base: T, changes: Mapping[str, Any]) -> T:
    """Returns a config dataclass with settings replaced by nested `changes`.

    Raises:
        ConfigError: Keys are unknown or values are not allowed; the message has one line for each.
    """
    config: type = type(base)
    try:
        valid = changes_model(config).model_validate(changes)
    except ValidationError as error:
        problems = [_problem(config, found["loc"], changes) for found in error.errors(include_url=False)]
        raise ConfigError("\n".join(dict.fromkeys(problems))) from None
    return _replaced(base, valid)


def _replaced(base: T, changes: BaseModel) -> T:
    values = {name: getattr(changes, name) for name in changes.model_fields_set}
    for name, value in values.items():
        if isinstance(value, BaseModel):
            values[name] = _replaced(getattr(base, name), value)
    return replace(base, **values)  # type: ignore[type-var]  # T is a config dataclass


def _problem(config: type, location: tuple[int | str, ...], changes: Any) -> str:
    """Returns the message for an error: the setting's full name, its value, and what is allowed."""
    known = get_type_hints(config, include_extras=True)
    names: list[str] = []
    value, hint = changes, config
    for name in _names(location):
        if name not in known:
            return _unknown(".".join([*names, name]), name, list(known))
        names.append(name)
        value, hint = value[name], known[name]
        known = get_type_hints(hint, include_extras=True) if is_dataclass(hint) else {}
    key = ".".join(names) or "settings"
    if is_dataclass(hint):
        return f"{key} = {value!r}: this is a table of settings. Allowed: {', '.join(known)}."
    return f"{key} = {value!r}: not allowed. Allowed: {allowed_text(hint)}."


def _names(location: tuple[int | str, ...]) -> Iterator[str]:
    """Yields the names in a location, without positions in lists."""
    return (name for name in location if isinstance(name, str))


def _unknown(path: str, key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{path}: unknown setting.{hint} Allowed here: {', '.join(known)}."
