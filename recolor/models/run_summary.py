"""What tells trainings apart: settings that differ, validation losses, and which model is the current one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recolor.errors import RecolorError
from recolor.manifests.io import read_table
from recolor.manifests.schemas import TRAINING_METRICS
from recolor.models.identity import model_content
from recolor.models.runs import MODELS, Run, current_record_of, is_current, list_runs
from recolor.pipeline.workspace import Workspace

_BARS = "▁▂▃▄▅▆▇█"
_HASH_DIGITS = 8  # of hashes among the settings
# Of config.json: the result of a training or the same in every run of a model, and not settings.
_NO_SETTINGS = ("format_version", "kind", "key", "training.steps_done", "training.exported_step")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run, and what tells it from the others.

    Attributes:
        run: The run.
        current: Whether it is the current model, in `data/models/<model>/`.
        stale: Whether it is the current refiner, but was trained on another generator than the current one.
        generator: Of a refiner, the names of the runs of its generator.
        settings: Settings and inputs by dotted names, from `config.json`; hashes are shortened.
        differing: Those of the settings that are not the same in all runs of the model.
        steps: Steps done.
        losses: Steps and validation losses.
    """

    run: Run
    current: bool
    stale: bool
    generator: tuple[str, ...]
    settings: Mapping[str, object]
    differing: Mapping[str, object]
    steps: int
    losses: tuple[tuple[int, float], ...]

    @property
    def least_loss(self) -> float | None:
        """Lowest validation loss; None without a validation."""
        return min((loss for _, loss in self.losses), default=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the summary as JSON values."""
        return {
            "name": self.run.name,
            "model": self.run.model,
            "finished": self.run.finished.isoformat(),
            "current": self.current,
            "stale": self.stale,
            "generator": list(self.generator),
            "steps": self.steps,
            "val_loss": self.least_loss,
            "val_curve": [list(point) for point in self.losses],
            "differing": dict(self.differing),
            "settings": dict(self.settings),
            "key": self.run.record.key,
            "size_bytes": self.run.size_bytes,
            "folder": str(self.run.folder),
        }


def summarise_runs(workspace: Workspace) -> list[RunSummary]:
    """Returns the summaries of all runs: generators first, each model's oldest first."""
    runs = list_runs(workspace)
    current = {model: current_record_of(workspace, model) for model in MODELS}
    contents = {run.name: model_content(run.record) for run in runs if run.model == "generator"}
    now = None if current["generator"] is None else model_content(current["generator"])
    summaries = []
    for model in MODELS:
        chosen = [run for run in runs if run.model == model]
        settings = [_settings(run) for run in chosen]
        differing = _differing(settings)
        for run, own in zip(chosen, settings, strict=True):
            trained_on = run.record.inputs.get("generator")
            held = is_current(run, current[model])
            summaries.append(
                RunSummary(
                    run=run,
                    current=held,
                    stale=held and trained_on is not None and trained_on != now,
                    generator=tuple(name for name, content in contents.items() if content == trained_on),
                    settings=own,
                    differing={name: own[name] for name in differing if name in own},
                    steps=int(run.record.counts.get("steps", 0)),
                    losses=_losses(run.model_folder / "metrics.parquet"),
                )
            )
    return summaries


def sparkline(values: Sequence[float], width_chars: int) -> str:
    """Returns a curve as a line of bars, from the lowest value to the highest; empty without values.

    Args:
        values: Finite numbers.
        width_chars: Maximum number of bars; of more values, evenly spaced ones are shown, with the first and the last.
    """
    if len(values) > width_chars:
        last = len(values) - 1
        values = [values[round(at * last / (width_chars - 1))] for at in range(width_chars)]
    low, high = min(values, default=0.0), max(values, default=0.0)
    span = (high - low) or 1.0
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in values)


def _settings(run: Run) -> dict[str, object]:
    try:
        config = json.loads((run.model_folder / "config.json").read_text(encoding="utf-8"))
        flat = dict(_flat(config))
    except (OSError, ValueError, AttributeError):
        return {}
    return {name.removeprefix("training."): value for name, value in flat.items() if name not in _NO_SETTINGS}


def _flat(values: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{at}{name}.")
        elif not isinstance(value, list):
            yield f"{at}{name}", _shortened(value)
        elif all(isinstance(item, str) for item in value):  # others are colours, bins and averaged models
            yield f"{at}{name}", ", ".join(value)


def _shortened(value: object) -> object:
    """Shortens hashes, also after the kind of file that they are of."""
    *kind, last = value.split(" ") if isinstance(value, str) else [value]
    if isinstance(last, str) and len(last) == 64:
        return " ".join([*kind, last[:_HASH_DIGITS]])
    return value


def _differing(settings: Sequence[Mapping[str, object]]) -> list[str]:
    names = dict.fromkeys(name for some in settings for name in some)
    return [name for name in names if any(some.get(name) != settings[0].get(name) for some in settings)]


def _losses(file: Path) -> tuple[tuple[int, float], ...]:
    try:
        table = read_table(TRAINING_METRICS, file, ["step", "split", "loss"])
    except RecolorError:
        return ()
    val: pa.Table = table.filter(pc.equal(table["split"], "val"))
    return tuple(zip(val["step"].to_pylist(), val["loss"].to_pylist(), strict=True))
