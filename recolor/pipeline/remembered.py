"""The settings of a workspace: its recolor.toml, and those that its last runs used.

A run's settings come from its preset, then from the workspace's `recolor.toml`, then from what the run was given. What
it was given is gone when it ends, unless it was saved. So each run stores in `.recolor/settings.json` which settings it
used, and the next run can tell when it would quietly use others.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recolor.config.edit import edited_toml
from recolor.config.loading import config_of, flat_settings, merged_changes, parsed_toml, read_changes
from recolor.config.presets import PRESETS, Preset, preset
from recolor.config.reference import Value, short_value, toml_value
from recolor.config.settings import Config
from recolor.errors import ConfigError
from recolor.pipeline.storage import storage_errors, write_atomically, write_output
from recolor.pipeline.workspace import Workspace

_MOST_LISTED = 6  # settings that a message lists one by one
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Given:
    """What a run was given of its settings.

    Attributes:
        preset: The preset. None: that of the file, else `default`.
        file: The file that stands in for the workspace's recolor.toml.
        changes: Single settings, as nested dictionaries.
        command: The command, for the message that names it later, such as `recolor detect`.
    """

    preset: Preset | None = None
    file: Path | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True, slots=True)
class LastUse:
    """The settings of one group, such as `blurry`, when a run last used them.

    Attributes:
        command: The command that ran, such as `recolor detect`.
        time: When it started, in ISO 8601 with the time zone.
        preset: The preset that its settings started from.
        file: The file that it was given in place of recolor.toml; empty if none.
        settings: The values, by dotted name.
        without: The values of recolor.toml alone, for those settings that were others because of what it was given.
    """

    command: str
    time: str
    preset: Preset
    file: str
    settings: Mapping[str, Value]
    without: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Reverted:
    """A setting that the last run was given, and that the present one does not have.

    Attributes:
        name: Dotted name.
        now: Value of the present run.
        last: Value of the last run.
        use: The last run.
    """

    name: str
    now: Value
    last: Value
    use: LastUse


@dataclass(frozen=True, slots=True)
class Restoring:
    """What gives a run its reverted settings again.

    Attributes:
        preset: A preset to start from; None if it is the one that it starts from already.
        file: A file of settings to be given; None for the one that it has already.
        settings: Values of single settings, by dotted name.
    """

    preset: Preset | None
    file: Path | None
    settings: Mapping[str, Value]


def workspace_config(workspace: Workspace, given: Given) -> Config:
    """Returns the settings of a run: of the preset, then recolor.toml or the file given, then the single settings.

    Raises:
        ConfigError: The file cannot be read, or a key or value is not allowed.
    """
    return config_of(given.preset, _all_changes(workspace, given))


def starting_preset(workspace: Workspace, given: Given) -> Preset:
    """Returns the preset that a run's settings start from."""
    chosen: Preset = given.preset or _all_changes(workspace, given).get("preset", "default")
    return chosen


def remember_settings(workspace: Workspace, config: Config, groups: Collection[str], given: Given) -> None:
    """Stores the settings of some groups as those of the last run. The caller must hold the lock.

    Args:
        workspace: The workspace.
        config: The settings that the run uses.
        groups: Names of the groups that it uses, such as `blurry`.
        given: What it was given.

    Raises:
        StorageError: The disk is full, read-only or failing.
    """
    used, plain = flat_settings(config), flat_settings(_plain_config(workspace))
    start = starting_preset(workspace, given)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    file = "" if given.file is None else str(given.file.absolute())
    uses = dict(last_uses(workspace))
    for group in groups:
        own = {name: value for name, value in used.items() if name.startswith(f"{group}.")}
        without = {name: plain[name] for name, value in own.items() if value != plain[name]}
        uses[group] = LastUse(given.command, now, start, file, own, without)
    path = _uses_file(workspace)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        data = {group: asdict(use) for group, use in uses.items()}
        write_atomically(path, json.dumps(data, indent=1).encode())


def last_uses(workspace: Workspace) -> Mapping[str, LastUse]:
    """Returns the last use of each group of settings; nothing if no run has stored any, or the file is malformed."""
    try:
        data = json.loads(_uses_file(workspace).read_text(encoding="utf-8"))
        return {str(group): _last_use(stored) for group, stored in data.items() if stored["preset"] in PRESETS}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def reverted_settings(workspace: Workspace, groups: Collection[str], given: Given) -> tuple[Reverted, ...]:
    """Returns the settings that the last run had because it was given them, and that this run does not have.

    A setting that this run is given itself is none of them, nor one that was changed in recolor.toml in the meantime:
    those are meant.

    Args:
        workspace: The workspace.
        groups: Names of the groups that the run uses.
        given: What it is given.

    Raises:
        ConfigError: A setting is not allowed.
    """
    uses = {group: use for group, use in last_uses(workspace).items() if group in groups and use.without}
    if not uses:
        return ()
    now, plain = flat_settings(workspace_config(workspace, given)), flat_settings(_plain_config(workspace))
    changes = _changes_given(given)
    named = set(flat_settings(changes))
    has_preset = given.preset is not None or "preset" in changes
    presets = {use.preset: flat_settings(preset(use.preset)) for use in uses.values()}

    def is_meant(name: str, use: LastUse) -> bool:
        edited = plain[name] != use.without[name] and now[name] == plain[name]
        of_preset = has_preset and use.settings[name] == presets[use.preset][name]
        return name in named or edited or of_preset

    return tuple(
        Reverted(name, now[name], use.settings[name], use)
        for use in uses.values()
        for name in use.without
        if name in now and use.settings.get(name, now[name]) != now[name] and not is_meant(name, use)
    )


def restoring(
    workspace: Workspace, given: Given, reverted: Collection[Reverted], *, use_file: bool = True
) -> Restoring:
    """Returns what a run needs in addition to what it is given, to have reverted settings again.

    Args:
        workspace: The workspace.
        given: What the run is given.
        reverted: Its reverted settings, from `reverted_settings`.
        use_file: Whether the run can be given a file.
    """
    latest = max((each.use for each in reverted), key=lambda use: use.time)
    preset_now = starting_preset(workspace, given)
    start = given
    if use_file and given.file is None and latest.file and Path(latest.file).is_file():
        start = replace(start, file=Path(latest.file))
    if given.preset is None and latest.preset != preset_now:
        with_preset = replace(start, preset=latest.preset)
        if len(_missing(workspace, with_preset, reverted)) < len(_missing(workspace, start, reverted)):
            start = with_preset
    return Restoring(
        preset=start.preset if start.preset != given.preset else None,
        file=start.file if start.file != given.file else None,
        settings={each.name: each.last for each in _missing(workspace, start, reverted)},
    )


def reverted_lines(reverted: Collection[Reverted], again: Restoring) -> list[str]:
    """Returns which settings are reverted, a few lines: those of a preset or a file are summed up if they are many."""
    lines = []
    for command, time in dict.fromkeys((each.use.command, each.use.time) for each in reverted):
        of_use = [each for each in reverted if (each.use.command, each.use.time) == (command, time)]
        lines.append(f"other settings than in `{command}` of {local_time(time)}:")
        listed = of_use if len(of_use) <= _MOST_LISTED else [each for each in of_use if each.name in again.settings]
        lines += [f"  {each.name}: {short_value(each.now)} now, {short_value(each.last)} then" for each in listed]
        if others := len(of_use) - len(listed):
            source = f"preset {again.preset!r}" if again.preset else f"the file {again.file}"
            lines.append(f"  {others} settings of {source}, which was given then and is not now")
    return lines


def local_time(time: str) -> str:
    """Returns a time in ISO 8601 as people read it, in the local time zone, such as `29 Nov 14:02`."""
    return datetime.fromisoformat(time).astimezone().strftime("%d %b %H:%M")


def _missing(workspace: Workspace, given: Given, reverted: Collection[Reverted]) -> list[Reverted]:
    """Returns the reverted settings that a run does not have either that is given this."""
    found = flat_settings(workspace_config(workspace, given))
    return [each for each in reverted if found[each.name] != each.last]


def save_settings(workspace: Workspace, given: Given) -> Mapping[str, Value]:
    """Changes recolor.toml so that a run that is given nothing has the settings of this one; keeps all else in it.

    Returns:
        The values that were written, by dotted name; none if the file gives these settings already.

    Raises:
        ConfigError: A setting is not allowed, or the file cannot be changed in place; it was not changed.
        StorageError: The file cannot be written.
    """
    file, wanted = workspace.settings_file, workspace_config(workspace, given)
    if wanted == _plain_config(workspace):
        return {}
    written = file.read_bytes() if file.exists() else _HEAD.encode()
    mark = _BYTE_ORDER_MARK if written.startswith(_BYTE_ORDER_MARK) else b""
    before = written.removeprefix(mark).decode()
    start = starting_preset(workspace, given)
    changes: dict[str, Value] = {}
    if start != parsed_toml(before, file).get("preset", "default"):
        changes["preset"] = start
    base = config_of(None, parsed_toml(edited_toml(before, changes), file))
    changes |= _differing(wanted, base)
    after = edited_toml(before, changes)
    if not _gives(after, wanted, file):
        lines = "".join(f"\n  {name} = {toml_value(value)}" for name, value in changes.items())
        raise ConfigError(f"{file}: cannot be changed in place, and was left as it is. Set there yourself:{lines}")
    write_output(file, mark + after.encode())
    return changes


_HEAD = """\
# Settings of this workspace. Every command of Recolor reads them from here.
# `recolor settings` lists all settings, and `recolor settings NAME` describes one.
"""


def _gives(text: str, wanted: Config, file: Path) -> bool:
    try:
        return config_of(None, parsed_toml(text, file)) == wanted
    except ConfigError:
        return False


def _differing(wanted: Config, base: Config) -> Iterator[tuple[str, Value]]:
    there = flat_settings(base)
    return ((name, value) for name, value in flat_settings(wanted).items() if value != there[name])


def _changes_given(given: Given) -> dict[str, Any]:
    """Returns all that the run was given, as nested dictionaries: the file, then the single settings."""
    return merged_changes({} if given.file is None else read_changes(given.file), given.changes)


def _all_changes(workspace: Workspace, given: Given) -> dict[str, Any]:
    own = workspace.settings_file
    base = read_changes(own) if given.file is None and own.exists() else {}
    return merged_changes(base, _changes_given(given))


def _plain_config(workspace: Workspace) -> Config:
    """Returns the settings of a run that is given nothing; the defaults if recolor.toml is not valid."""
    try:
        return workspace_config(workspace, Given())
    except ConfigError:  # a run that is given another file does not read it
        return Config()


def _uses_file(workspace: Workspace) -> Path:
    return workspace.internal / "settings.json"


def _last_use(stored: Mapping[str, Any]) -> LastUse:
    return LastUse(
        command=str(stored["command"]),
        time=datetime.fromisoformat(stored["time"]).isoformat(),
        preset=stored["preset"],
        file=str(stored["file"]),
        settings=flat_settings(stored["settings"]),
        without=flat_settings(stored["without"]),
    )
