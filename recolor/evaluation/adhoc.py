"""Evaluates any model on a folder of photographs or on a split of a workspace's shards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from recolor.colorize.look import LOOKS, Look
from recolor.config.settings import Config
from recolor.errors import InputError
from recolor.evaluation.facts import train_overlap_in_folder
from recolor.evaluation.measure import measure
from recolor.evaluation.methods import Model, load_models
from recolor.evaluation.networks import load_networks
from recolor.evaluation.outputs import COMPARISON_FILE, Evaluation, write_evaluation
from recolor.evaluation.part import FILES
from recolor.evaluation.photos import SIZE_PX, Unreadable, find_photos, photo_source
from recolor.evaluation.report import photographs
from recolor.evaluation.run import measure_split
from recolor.evaluation.text import evaluation_text
from recolor.models.device import resolve_device
from recolor.models.identity import MODEL_FILE
from recolor.models.pretrained import models_folder
from recolor.pipeline.cache import fingerprint, sha256_file
from recolor.pipeline.parallel import worker_count
from recolor.pipeline.storage import storage_errors, write_atomically
from recolor.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Result of an evaluation.

    Attributes:
        evaluation: The metrics.
        report: Path of the HTML report.
        unreadable: Photographs that could not be measured.
    """

    evaluation: Evaluation
    report: Path
    unreadable: tuple[Unreadable, ...]

    def text(self, width_chars: int | None = None) -> str:
        """Returns the tables for a terminal of this width."""
        return evaluation_text(self.evaluation, width_chars)


def evaluate_photos(
    folder: Path,
    out: Path,
    config: Config,
    *,
    models: Sequence[Path] = (),
    controls: Sequence[Path] = (),
    look: Look | None = None,
    size_px: int = SIZE_PX,
) -> Evaluated:
    """Measures models on a folder of colour photographs.

    The photographs are coloured as `recolor colorize` colours them.

    Args:
        folder: Folder of photographs, searched recursively. At most `evaluate.max_images` of them are measured, evenly
            spaced over the sorted paths.
        out: Output folder; created if missing.
        config: The groups `evaluate`, `measure` and `execution` are used.
        models: Folders of models. Default: the pretrained model of the package.
        controls: Folders of models that serve as controls.
        look: Look of the models. Default: their own colours.
        size_px: Photographs whose short side is longer are first reduced to this size by an area filter.

    Raises:
        InputError: The folder has no readable image, or `out` is a file.
        MissingStageError, WeightsError, ConfigError: A model, the weights of a metric or a package is missing.
        StorageError: The files cannot be written.
    """
    _check_out(out)
    device = resolve_device(config.evaluate.device)
    networks = load_networks(config.evaluate, device)
    loaded = load_models(models or [models_folder()], controls, device, look)
    workers = worker_count(config.execution)
    photos = find_photos(
        folder, size_px, config.measure, max_images=config.evaluate.max_images, workers=workers, skip=(out,)
    )
    source = photo_source(photos, loaded)
    evaluation = Evaluation(
        source=source,
        models=loaded,
        images=measure(source, networks, workers),
        measured_on=f"{photographs(len(photos.paths))} of {folder}",
        notes=(*_look_note(look), *photos.notes, *train_overlap_in_folder(loaded)),
        mean_of="these photographs",
        data_set=folder.absolute().name,
        key=_key(loaded, photos.paths),
    )
    return _publish(evaluation, out, config, photos.unreadable)


def evaluate_split(
    workspace: Workspace,
    out: Path,
    config: Config,
    *,
    models: Sequence[Path] = (),
    controls: Sequence[Path] = (),
    look: Look | None = None,
) -> Evaluated:
    """Measures models on the split `evaluate.split` of a workspace's shards.

    The models may have been trained on any images.

    Args:
        workspace: Workspace that contains the shards.
        out: Output folder; created if missing.
        config: The groups `evaluate` and `execution` are used.
        models: Folders of models. Default: the models of the workspace.
        controls: Folders of models that serve as controls.
        look: Look of the models. Default: their own colours.

    Raises:
        InputError: The split has no images, or `out` is a file.
        MissingStageError, WeightsError, ConfigError: The shards, a model, the weights of a metric or a package is
            missing.
        StorageError: The files cannot be written.
    """
    _check_out(out)
    loaded = load_models(models or [workspace.models], controls, resolve_device(config.evaluate.device), look)
    evaluation = measure_split(workspace, config, loaded)
    notes, key = (*_look_note(look), *evaluation.notes), _key(loaded, evaluation.source.paths)
    return _publish(replace(evaluation, notes=notes, key=key), out, config, ())


def _key(models: Sequence[Model], paths: Sequence[str]) -> str:
    """Returns a fingerprint of the models' weights, their looks and the names of the images."""
    files = [model.folder / name / MODEL_FILE for model in models for name in ("generator", "refiner")]
    weights = [sha256_file(file) for file in files if file.is_file()]
    return fingerprint({"weights": weights, "looks": [model.look for model in models], "images": list(paths)})


def _look_note(look: Look | None) -> tuple[str, ...]:
    name = next((name for name, named in LOOKS.items() if named == look), None)
    return () if look in (None, Look()) else (f"Look of the models: {name or look}.",)


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: the output must be a folder, but this is a file.")


def _publish(evaluation: Evaluation, out: Path, config: Config, unreadable: tuple[Unreadable, ...]) -> Evaluated:
    """Writes each file atomically and deletes the comparison of an earlier run."""
    with storage_errors(out), TemporaryDirectory() as staging:
        write_evaluation(evaluation, Path(staging), config.evaluate.pictures)
        out.mkdir(parents=True, exist_ok=True)
        (out / COMPARISON_FILE).unlink(missing_ok=True)
        for name in (*FILES, COMPARISON_FILE):
            written = Path(staging) / name
            if written.exists():
                write_atomically(out / name, written.read_bytes())
    return Evaluated(evaluation, out / "report.html", unreadable)
