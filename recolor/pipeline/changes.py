"""Why a finished part is no longer up to date: which setting, input, version or file differs from its record."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recolor.config.reference import short_value
from recolor.pipeline.cache import Part, Record, changed_outputs, named_settings
from recolor.pipeline.workspace import Workspace

INPUT = "other input: "  # how the text of an input that differs begins; its name follows


def changes(record: Record, part: Part, group: str) -> list[str]:
    """Returns what differs between a record and the part as it would be built now, one text each; none if current.

    Args:
        record: The record of the part.
        part: The part.
        group: Name of the group of settings of its stage, such as `blurry`.
    """
    found = own_changes(part.workspace, record, part.version, part.settings, group)
    names = {name for name in {**record.inputs, **part.inputs} if record.inputs.get(name) != part.inputs.get(name)}
    found += [f"{INPUT}{name}" for name in sorted(names)]
    if not {part.workspace.root / output.path for output in record.outputs}.issuperset(part.outputs):
        found.append("an earlier version wrote fewer files")
    if record.key != part.key and not found:
        found.append("another setting; which one is not in its record, which an earlier version wrote")
    return found


def own_changes(workspace: Workspace, record: Record, version: int, settings: object, group: str) -> list[str]:
    """Returns what differs apart from the inputs: the version, the settings and the files that were written.

    Args:
        workspace: The workspace.
        record: The record of a part.
        version: Version of the stage now.
        settings: Settings in the part's key now.
        group: Name of the group of settings of its stage.
    """
    found = []
    if record.version != version:
        found.append(f"version {record.version} of the stage then, {version} now")
    if record.settings is not None:
        found += _setting_changes(record.settings, named_settings(settings), group)
    if changed := changed_outputs(workspace, record):
        names = ", ".join(Path(output.path).name for output in changed)
        found.append(f"missing or changed since it was written: {textwrap.shorten(names, 80, placeholder=' ...')}")
    return found


def _setting_changes(then: Mapping[str, Any], now: Mapping[str, Any], group: str) -> list[str]:
    names = [name for name in {**now, **then} if then.get(name) != now.get(name)]
    return [f"{group}.{name}: {_shown(now, name)} now, {_shown(then, name)} then" for name in names]


def _shown(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return "none"
    return short_value(values[name])
