"""The parameter `settings` as Prefect's forms show it: every field of `Config`, typed, limited and described."""

from dataclasses import is_dataclass
from inspect import getdoc
from typing import TYPE_CHECKING, Any, get_type_hints

from griffe import Docstring, DocstringSectionAttributes, DocstringSectionText, Parser, parse
from pydantic import BaseModel, ConfigDict, Field, create_model

from recolor.config.settings import Config


def _changes_of(config: type) -> type[BaseModel]:
    """A form of the same fields and limits, all optional: what is not given stays as the preset has it."""
    meaning, meanings = _docstring(config)
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(config, include_extras=True).items():
        if isinstance(hint, type) and is_dataclass(hint):
            form = _changes_of(hint)
            fields[name] = (form | None, Field(None, description=form.__doc__))
        else:
            fields[name] = (hint | None, Field(None, description=meanings.get(name)))
    made: type[BaseModel] = create_model(
        config.__name__.removesuffix("Config") + "Settings",
        __config__=ConfigDict(extra="forbid", frozen=True),
        __doc__=meaning,
        **fields,
    )
    return made


def _docstring(config: type) -> tuple[str, dict[str, str]]:
    """What the docstring of a config dataclass says, of itself and of each attribute on one line."""
    text, attributes = "", {}
    for section in parse(Docstring(getdoc(config) or ""), Parser.google):
        if isinstance(section, DocstringSectionText):
            text = section.value
        elif isinstance(section, DocstringSectionAttributes):
            attributes = {item.name: " ".join(item.description.split()) for item in section.value}
    return text, attributes


if TYPE_CHECKING:

    class Settings(BaseModel):
        """Settings that differ from the preset's; the form is made from `Config`."""
else:
    Settings = _changes_of(Config)
