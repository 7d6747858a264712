"""What differs between a record and the part as it would be built now."""

from dataclasses import dataclass, replace

import pytest

from recolor.pipeline.cache import Part, read_record, run_part
from recolor.pipeline.changes import changes


@dataclass(frozen=True)
class Inner:
    size_px: int = 8


@dataclass(frozen=True)
class Settings:
    inner: Inner = Inner()
    names: tuple[str, ...] = ("a",)


@pytest.fixture
def part(workspace):
    """A finished part."""
    output = workspace.root / "data" / "a.bin"
    made = Part(workspace, "test", 1, Settings(), {"x": "1", "y": "2"}, (output,))

    def build(staging):
        (staging / "a.bin").write_bytes(b"alpha")
        return {}

    run_part(made, build)
    return made


def of(part, **others):
    return changes(read_record(part.record_path), replace(part, **others), "group")


def test_a_current_part_has_no_changes(part):
    assert of(part) == []


def test_each_setting_is_named_with_both_values(part):
    now = Settings(Inner(9), ("b" * 100,))
    first, second = of(part, settings=now)
    assert first == "group.inner.size_px: 9 now, 8 then"
    assert second.startswith("group.names: [")
    assert len(second) < 80


def test_the_version_and_each_input_are_named(part):
    assert of(part, version=2) == ["version 1 of the stage then, 2 now"]
    assert of(part, inputs={"x": "1", "z": "3"}) == ["other input: y", "other input: z"]


def test_a_setting_that_is_new_or_gone_has_no_value(part):
    assert of(part, settings=Inner()) == [
        "group.size_px: 8 now, none then",
        "group.inner.size_px: none now, 8 then",
        'group.names: none now, ["a"] then',
    ]


def test_a_file_that_was_changed_is_named(part):
    part.outputs[0].write_bytes(b"ALPHA")
    assert of(part) == ["missing or changed since it was written: a.bin"]
