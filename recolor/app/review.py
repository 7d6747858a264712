"""The outliers of a workspace as the page shows them, and what the decisions make of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from recolor.cleaning.decisions import Decision, stored_decisions
from recolor.cleaning.gallery.cards import Facts, Section
from recolor.cleaning.gallery.sections import Detected, make_facts, make_sections, read_detected
from recolor.cleaning.select import judge
from recolor.color.arrays import Floats
from recolor.config.settings import Config
from recolor.errors import InputError
from recolor.manifests.io import read_table
from recolor.manifests.names import decode_path
from recolor.manifests.schemas import ISSUE_SCHEMAS, ISSUE_SCORES
from recolor.pipeline.cache import fingerprint, require_record
from recolor.pipeline.remembered import Given, workspace_config
from recolor.pipeline.workspace import Workspace, indexed_images

MAX_OUTLIERS = 5000  # for each issue: as many as in the gallery


@dataclass(frozen=True)
class Review:
    """What the detectors say about the images of a workspace.

    Attributes:
        workspace: The workspace.
        images: The image folder; None if it is not known, or not there.
        config: Settings of the workspace.
        detected: The manifests.
        sections: A section for each issue.
        version: Changes whenever the manifests or the settings do.
    """

    workspace: Workspace
    images: Path | None
    config: Config
    detected: Detected
    sections: tuple[Section, ...]
    version: str

    @cached_property
    def facts(self) -> Mapping[str, Facts]:
        """Facts of every image, by path, with the issues for which it is rejected without any decision."""
        return make_facts(self.detected.measurements, judge(self.detected.issues, {}, self.detected.measurements))

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """The row of each image in the measurements, by path."""
        return {path: row for row, path in enumerate(self.facts)}

    def scores(self, issue: str) -> Floats:
        """Returns the scores of all images for an issue, float64 [images]; 1 if not judged."""
        table = read_table(ISSUE_SCORES, self.workspace.issue_scores(issue))
        scores: Floats = table["score"].to_numpy(zero_copy_only=False).astype(np.float64)
        return np.where(np.isnan(scores), 1.0, scores)

    def listed(self, issue: str) -> pa.Table:
        """Returns the outliers of an issue.

        Raises:
            InputError: There is no such issue.
        """
        if issue not in self.detected.issues:
            raise InputError(f"{issue!r} is not an issue.")
        return self.detected.issues[issue]

    def rejected(self, decisions: Mapping[str, Decision]) -> Collection[str]:
        """Returns the paths of the images that `select` rejects with these decisions."""
        return judge(self.detected.issues, decisions, self.detected.measurements).keys()

    def file(self, path: str) -> Path:
        """Returns the file of an image.

        Raises:
            InputError: It is none of the images, it is gone, or it leads outside of the image folder.
        """
        if path not in self.facts or self.images is None:
            raise InputError("this is none of the images of the workspace.")
        try:
            file = (self.images / decode_path(path)).resolve(strict=True)
            if file.is_relative_to(self.images.resolve(strict=True)) and file.is_file():
                return file
        except (OSError, ValueError, RuntimeError):  # gone; a loop of links
            pass
        raise InputError("the file is gone, or leads outside of the folder of photographs.")


def load_review(workspace: Workspace, images: Path | None) -> Review:
    """Reads what the detectors say. No image is opened.

    Args:
        workspace: A workspace whose images are measured, and judged by the detectors.
        images: The image folder; None: the one that was indexed last.

    Raises:
        MissingStageError: A manifest does not exist, or was made from other measurements.
        ConfigError: The settings or `decisions.csv` are malformed.
    """
    config = workspace_config(workspace, Given())
    detected = read_detected(workspace)
    folder = images or indexed_images(workspace)
    sections = make_sections(detected, stored_decisions(workspace), config, MAX_OUTLIERS)
    version = fingerprint({"contents": dict(detected.contents), "config": config})
    return Review(workspace, folder if folder and folder.is_dir() else None, config, detected, sections, version)


def review_version(workspace: Workspace) -> str:
    """Returns the version that `load_review` would give, from the records alone.

    Raises:
        MissingStageError: A manifest does not exist.
        ConfigError: The settings are malformed.
    """
    contents = {
        name: require_record(workspace.manifest(name), "measure" if name == "measurements" else "detect").content
        for name in ("measurements", *ISSUE_SCHEMAS)
    }
    return fingerprint({"contents": contents, "config": workspace_config(workspace, Given())})
