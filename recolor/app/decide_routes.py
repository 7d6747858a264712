"""Routes of the page Decide: outliers, their pictures, decisions, limits, and applying them."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field

from recolor.app.apply import Applier
from recolor.app.decision_log import DecisionLog
from recolor.app.review import Review, load_review, review_version
from recolor.app.threshold_preview import LIMITS, Moved, find_limit, preview_limit
from recolor.cleaning.decisions import decisions_file, read_decisions, stored_decisions
from recolor.cleaning.gallery.cards import Card, Facts, Group, Section
from recolor.cleaning.gallery.thumbnails import thumbnail_jpeg
from recolor.config.reference import Value
from recolor.errors import InputError
from recolor.images import decode, read_bytes
from recolor.images.preview import jpeg_bytes
from recolor.manifests.names import shown
from recolor.pipeline.c_messages import no_c_messages
from recolor.pipeline.workspace import Workspace

_BROWSER_SHOWS = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".jpe": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
_CONVERTED_QUALITY = 92
_CONVERTED_PX = 2048  # least short side of what a browser cannot show and is sent as a JPEG
_MAX_THUMBNAILS = 8192  # of about 8 kB each
_CACHED = {"cache-control": "private, max-age=3600"}
_WITHOUT_LIMIT = ("corrupt", "too_large", "decision")

Word = Literal["keep", "reject"]


class Decided(BaseModel):
    """A decision about some images, or about those that an issue lists.

    Attributes:
        decision: None takes earlier decisions back.
        paths: The images.
        issue: The issue whose outliers are meant; `paths` is empty then.
        below: Only outliers with a lower score, or one that is equal.
    """

    decision: Word | None
    paths: Annotated[list[str], Field(max_length=100_000)] = []
    issue: str | None = None
    below: Annotated[float, Field(ge=0, le=1)] | None = None


class Limits(BaseModel):
    """Values of settings, by dotted name."""

    settings: dict[str, float] = {}


class Reviews:
    """The review of a workspace, read again when the manifests change."""

    def __init__(self, workspace: Workspace, images: Path | None) -> None:
        self.workspace, self.images = workspace, images
        self._review: Review | None = None
        self._lock = threading.Lock()
        self._thumbnails: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()

    def current(self) -> Review:
        """Returns the review; raises the errors of `load_review`."""
        with self._lock:
            if self._review is None or self._review.version != review_version(self.workspace):
                self._review = load_review(self.workspace, self.images)
            return self._review

    @no_c_messages()
    def thumbnail(self, path: str) -> bytes:
        """Returns a small JPEG of an image.

        Raises:
            InputError: It is none of the images.
            ImageError: Nothing of it can be decoded.
        """
        review = self.current()
        file = review.file(path)
        status = file.stat()
        key = (path, status.st_size, status.st_mtime_ns)
        if (data := self._thumbnails.get(key)) is None:
            data = self._thumbnails[key] = thumbnail_jpeg(file, review.config.measure)
            while len(self._thumbnails) > _MAX_THUMBNAILS:
                self._thumbnails.popitem(last=False)
        return data


@dataclass(frozen=True, slots=True)
class _Desk:
    """What the routes use: the outliers of a workspace, its decisions, and what runs `detect` and `select`."""

    reviews: Reviews
    log: DecisionLog
    applier: Applier


def _desk(request: Request) -> _Desk:
    found: _Desk = request.app.state.desk
    return found


Here = Annotated[_Desk, Depends(_desk)]
router = APIRouter(prefix="/api")


def add_decide_routes(app: FastAPI, workspace: Workspace, images: Path | None) -> None:
    """Adds the routes to an application.

    Args:
        app: The application.
        workspace: The workspace.
        images: The image folder; None: the one that was indexed last.
    """
    app.state.desk = _Desk(Reviews(workspace, images), DecisionLog(workspace), Applier(workspace, images))
    app.include_router(router)


@router.get("/review")
def _review(desk: Here) -> Response:
    return JSONResponse(_review_json(desk.reviews.current()))


@router.get("/state")
def _state(desk: Here) -> Response:
    return JSONResponse(_state_json(desk.reviews.current(), desk.log))


@router.get("/versions")
def _versions(desk: Here) -> Response:
    workspace = desk.reviews.workspace
    return JSONResponse({"review": review_version(workspace), "decisions": _decisions_version(workspace)})


@router.post("/decisions")
def _decide(decided: Decided, desk: Here) -> Response:
    current = desk.reviews.current()
    desk.log.decide(_meant(current, decided), None if decided.decision is None else decided.decision == "keep")
    return JSONResponse(_state_json(current, desk.log))


@router.post("/undo")
def _undo(desk: Here) -> Response:
    undone = desk.log.undo()
    return JSONResponse({**_state_json(desk.reviews.current(), desk.log), "undone": list(undone)})


@router.get("/preview")
def _preview(setting: str, value: float, desk: Here) -> Response:
    current = desk.reviews.current()
    found = preview_limit(current, stored_decisions(current.workspace), find_limit(setting), value)
    return JSONResponse(
        {
            "listed": found.listed,
            "listed_now": found.listed_now,
            "all_rejected": found.all_rejected,
            "all_kept": found.all_kept,
            "rejected": [_moved_json(current, one) for one in found.rejected],
            "kept": [_moved_json(current, one) for one in found.kept],
        }
    )


@router.post("/apply")
def _apply(limits: Limits, desk: Here) -> Response:
    changed: dict[str, dict[str, Value]] = {}
    config = desk.reviews.current().config
    for name, value in limits.settings.items():
        limit = find_limit(name)
        settings = getattr(limit.changed(config, value), limit.issue)
        changed.setdefault(limit.issue, {})[limit.setting] = getattr(settings, limit.setting)
    desk.applier.start(changed)
    return JSONResponse({"state": desk.applier.job.state}, status_code=202)


@router.get("/apply")
def _applied(desk: Here) -> Response:
    job = desk.applier.job
    applied = None if job.applied is None else asdict(job.applied)
    if applied is not None:
        facts = desk.reviews.current().facts
        for name in ("newly_kept", "newly_rejected"):
            applied[name] = [_image_json(path, facts[path]) for path in applied[name] if path in facts]
    return JSONResponse({"state": job.state, "error": job.error, "applied": applied})


@router.get("/thumbnail")
def _thumbnail(path: str, desk: Here) -> Response:
    return Response(desk.reviews.thumbnail(path), media_type="image/jpeg", headers=_CACHED)


@router.get("/original")
def _original(path: str, desk: Here) -> Response:
    current = desk.reviews.current()
    file = current.file(path)
    if media_type := _BROWSER_SHOWS.get(file.suffix.lower()):
        return FileResponse(file, media_type=media_type, headers=_CACHED)
    limits = current.config.measure
    with no_c_messages():
        rgb = decode(read_bytes(file, limits), limits, _CONVERTED_PX, lenient=True).rgb
    return Response(jpeg_bytes(rgb, _CONVERTED_QUALITY), media_type="image/jpeg", headers=_CACHED)


def _meant(review: Review, decided: Decided) -> Collection[str]:
    """Returns the paths that a decision is about.

    Raises:
        InputError: One is none of the images, or cannot be decoded and so not be kept, or there is no such issue.
    """
    if decided.issue is not None:
        table = review.listed(decided.issue)
        scored = zip(table["path"].to_pylist(), table["score"].to_pylist())
        below = 1.0 if decided.below is None else decided.below
        paths = [path for path, score in scored if score <= below]
        can_be_kept = [path for path in paths if review.facts[path].width_px is not None]
        return can_be_kept if decided.decision == "keep" else paths
    for path in decided.paths:
        if path not in review.facts:
            raise InputError(f"{path!r}: this is none of the images of the workspace.")
        if decided.decision == "keep" and review.facts[path].width_px is None:
            raise InputError(f"{shown(path)}: it cannot be decoded, so it cannot be kept.")
    return decided.paths


def _decisions_version(workspace: Workspace) -> str:
    return hashlib.sha256(read_decisions(decisions_file(workspace)).encode()).hexdigest()


def _state_json(review: Review, log: DecisionLog) -> Mapping[str, object]:
    version = _decisions_version(review.workspace)
    decisions = stored_decisions(review.workspace)
    rejected = review.rejected(decisions)
    return {
        "review": review.version,
        "decisions_version": version,
        "decisions": {path: "keep" if one.keep else "reject" for path, one in decisions.items()},
        "rejected": sorted(rejected),
        "images": len(review.facts),
        "undoable": log.undoable,
    }


def _review_json(review: Review) -> Mapping[str, object]:
    return {
        "version": review.version,
        "workspace": shown(review.workspace.root),
        "has_pictures": review.images is not None,
        "sections": [_section_json(review, section) for section in review.sections],
    }


def _section_json(review: Review, section: Section) -> Mapping[str, object]:
    config = review.config
    limits = [
        {
            "setting": limit.name,
            "label": limit.label,
            "least": min(limit.least, limit.value(config)),
            "most": max(limit.most, limit.value(config)),
            "step": limit.step,
            "value": limit.value(config),
        }
        for limit in LIMITS
        if limit.issue == section.issue
    ]
    return {
        "issue": section.issue,
        "meaning": section.meaning,
        "threshold": section.threshold,
        "has_limit": section.issue not in _WITHOUT_LIMIT,
        "count": section.count,
        "left_out": section.left_out,
        "limits": limits,
        "outliers": [_card_json(card) for card in section.outliers],
        "near": [_card_json(card) for card in section.near],
        "groups": [_group_json(group) for group in section.groups],
        "near_groups": [_group_json(group) for group in section.near_groups],
    }


def _group_json(group: Group) -> Mapping[str, object]:
    return {"cards": [_card_json(card) for card in group.cards], "left_out": group.left_out}


def _card_json(card: Card) -> Mapping[str, object]:
    return {**_image_json(card.path, card.facts), "score": card.score, "reason": card.reason, "others": card.others}


def _moved_json(review: Review, moved: Moved) -> Mapping[str, object]:
    return {**_image_json(moved.path, review.facts[moved.path]), "score": moved.score}


def _image_json(path: str, facts: Facts) -> Mapping[str, object]:
    return {
        "path": path,
        "width_px": facts.width_px,
        "height_px": facts.height_px,
        "size_bytes": facts.size_bytes,
    }
