"""The evaluation as a part of the cache: its key and its output files. Loads no torch."""

from collections.abc import Mapping
from dataclasses import replace

from recolor.config.settings import Config, EvaluateConfig
from recolor.errors import MissingStageError
from recolor.models.identity import MODEL_FILE, model_content
from recolor.paths import expand_user
from recolor.pipeline.cache import Part, Record, read_record, record_path, require_record, sha256_file
from recolor.pipeline.workspace import Workspace
from recolor.shards.format import index_path

STAGE = "evaluate"
VERSION = 4
FILES = ("metrics.parquet", "hues.parquet", "per_image.parquet", "pictures.png", "report.html")


def evaluation_part(workspace: Workspace, config: Config) -> Part:
    """Returns the stage's inputs, settings and outputs.

    Raises:
        MissingStageError: The shards or a model are missing; the message names the stage to run.
    """
    outputs = tuple(workspace.evaluation / name for name in FILES)
    sources = {"shards": index_path(workspace)}
    sources |= {name: workspace.models / name / MODEL_FILE for name in ("generator", "refiner")}
    return Part(
        workspace,
        STAGE,
        VERSION,
        evaluation_settings(config.evaluate),
        _inputs(workspace, config.evaluate),
        outputs,
        sources,
    )


def evaluation_settings(config: EvaluateConfig) -> EvaluateConfig:
    """Returns the settings in the key: without device and paths of weights, whose contents are among the inputs."""
    return replace(config, device="auto", lpips_weights="", inception_weights="")


def _inputs(workspace: Workspace, config: EvaluateConfig) -> Mapping[str, str]:
    """Returns the fingerprints of the inputs.

    The models must have been trained on these shards; otherwise they might be tested on their training images.
    """
    shards = require_record(index_path(workspace), "shards build").content
    generator = _model_record(workspace, "generator", {"shards": shards})
    refiner = _model_record(workspace, "refiner", {"shards": shards, "generator": model_content(generator)})
    inputs = {"shards": shards, "generator": generator.content, "refiner": refiner.content}
    for name in ("lpips_weights", "inception_weights"):
        file = expand_user(getattr(config, name))
        if file.is_file():  # a missing file raises an error when it is loaded
            inputs[name] = sha256_file(file)
    cleaned = read_record(record_path(workspace.manifest("clean")))  # this record covers the outliers too
    return inputs if cleaned is None else {**inputs, "outliers": cleaned.content}


def _model_record(workspace: Workspace, name: str, inputs: Mapping[str, str]) -> Record:
    record = require_record(workspace.models / name / MODEL_FILE, f"train {name}")
    for what, content in inputs.items():
        if record.inputs.get(what) != content:
            raise MissingStageError(
                f"{workspace.models / name}: not trained with the present {what}. Run `recolor train {name}` first."
            )
    return record
