"""Routes of the page Colour: photographs, their previews in a look, and the coloured files."""

import io
import secrets
import zipfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from recolor.app.photos import Photographs, different_names, storage_error
from recolor.cleaning.passed_over import VIDEO_SUFFIXES
from recolor.colorize.look import LOOKS, Look
from recolor.config.settings import LookName
from recolor.errors import ImageError, InputError

_CACHED = {"cache-control": "private, max-age=86400, immutable"}  # a photograph in a look is always the same
_MAX_PHOTOGRAPHS_IN_ZIP = 10_000
_MAX_DOWNLOADS = 100


class LookOfPage(BaseModel):
    """A look as the page sends it: a named one, with its saturation and temperature changed, and a tilt."""

    look: LookName = "natural"
    saturation: Annotated[float, Field(ge=0, le=3)] = 1.0
    temperature: Annotated[float, Field(gt=0, le=1)] | None = None
    tilt_a: Annotated[float, Field(ge=-1, le=1)] = 0.0
    tilt_b: Annotated[float, Field(ge=-1, le=1)] = 0.0

    def chosen(self) -> Look:
        """Returns the look. The saturation is a factor on that of the named look."""
        named = LOOKS[self.look]
        return Look(
            saturation=named.saturation * self.saturation,
            temperature=self.temperature or named.temperature,
            rebalanced=named.rebalanced,
            tilt=(self.tilt_a, self.tilt_b),
            chroma_contrast=named.chroma_contrast,
        )


class Wanted(LookOfPage):
    """A photograph of a download, and its look."""

    id: str


class Download(BaseModel):
    """Photographs that are to be downloaded in one file."""

    photographs: Annotated[list[Wanted], Field(min_length=1, max_length=_MAX_PHOTOGRAPHS_IN_ZIP)]


class Removal(BaseModel):
    """Photographs that are no longer needed, as their page was closed."""

    ids: Annotated[list[str], Field(max_length=_MAX_PHOTOGRAPHS_IN_ZIP)]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A photograph of a download: its id, its look, and its name in the ZIP file."""

    number: str
    look: Look
    name: str


def _photographs(request: Request) -> Photographs:
    found: Photographs = request.app.state.photographs
    return found


def _downloads(request: Request) -> OrderedDict[str, list[_Entry]]:
    found: OrderedDict[str, list[_Entry]] = request.app.state.downloads
    return found


QueryLook = Annotated[LookOfPage, Query()]
Here = Annotated[Photographs, Depends(_photographs)]
Downloads = Annotated[OrderedDict[str, list[_Entry]], Depends(_downloads)]

router = APIRouter(prefix="/api")


def add_colour_routes(app: FastAPI, photographs: Photographs) -> None:
    """Adds the routes to an application.

    Args:
        app: The application.
        photographs: The photographs of this server.
    """
    app.state.photographs, app.state.downloads = photographs, OrderedDict()
    app.include_router(router)


@router.put("/photographs")
async def _add(request: Request, name: str, photographs: Here) -> Response:
    number, file = photographs.new_file()
    try:
        with file.open("wb") as stored:
            async for some in _within(request.stream(), photographs.limits.max_file_bytes):
                stored.write(some)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise storage_error(error) from error
    except ClientDisconnect:  # nobody waits for the answer
        file.unlink(missing_ok=True)
        return Response(status_code=400)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return await run_in_threadpool(_added, photographs, name, number)


async def _within(stream: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    """Yields the parts of a request's body.

    Raises:
        ImageError: It has more bytes than are allowed.
    """
    size_bytes = 0
    async for some in stream:
        size_bytes += len(some)
        if size_bytes > max_bytes:
            raise ImageError("too_many_bytes", f"more than {max_bytes} bytes")
        yield some


@router.delete("/photographs/{number}")
def _remove(number: str, photographs: Here) -> Response:
    photographs.remove(number)
    return Response(status_code=204)


@router.post("/removals")
def _remove_many(removal: Removal, photographs: Here) -> Response:
    for number in removal.ids:
        photographs.remove(number)
    return Response(status_code=204)


@router.get("/photographs/{number}/before")
def _before(number: str, photographs: Here) -> Response:
    return Response(photographs.before(number), media_type="image/jpeg", headers=_CACHED)


@router.get("/photographs/{number}/after")
def _after(number: str, look: QueryLook, photographs: Here) -> Response:
    return Response(photographs.after(number, look.chosen()), media_type="image/jpeg", headers=_CACHED)


@router.get("/photographs/{number}/thumbnail")
def _thumbnail(number: str, look: QueryLook, photographs: Here) -> Response:
    return Response(photographs.thumbnail(number, look.chosen()), media_type="image/jpeg", headers=_CACHED)


@router.get("/photographs/{number}/candidates")
def _candidates(number: str, look: QueryLook, photographs: Here) -> Response:
    found = photographs.candidates(number, look.chosen())
    named = [{"name": one.name, "tilt_a": one.look.tilt[0], "tilt_b": one.look.tilt[1]} for one in found]
    return JSONResponse(named, headers=_CACHED)


@router.get("/photographs/{number}/file")
def _file(number: str, look: QueryLook, photographs: Here) -> Response:
    data = photographs.colored_file(number, look.chosen())
    name = photographs.get(number).output.rpartition("/")[2]
    return Response(data, media_type="application/octet-stream", headers=_attachment(name))


@router.post("/downloads")
def _prepare(download: Download, photographs: Here, downloads: Downloads) -> Response:
    names = different_names([photographs.get(one.id).output for one in download.photographs])
    wanted = zip(download.photographs, names, strict=True)
    number = secrets.token_urlsafe(12)
    downloads[number] = [_Entry(one.id, one.chosen(), name) for one, name in wanted]
    while len(downloads) > _MAX_DOWNLOADS:
        downloads.popitem(last=False)
    return JSONResponse({"url": f"/api/downloads/{number}"})


@router.get("/downloads/{number}")
def _download(number: str, photographs: Here, downloads: Downloads) -> Response:
    if number not in downloads:
        raise InputError("this download is no longer here. Ask for it again.")
    body = _zipped(photographs, downloads[number])
    return StreamingResponse(body, media_type="application/zip", headers=_attachment("coloured.zip"))


def _added(photographs: Photographs, name: str, number: str) -> Response:
    try:
        return JSONResponse(asdict(photographs.add(name, number)), status_code=201)
    except ImageError as error:
        if error.reason == "not_an_image" and name.lower().endswith(VIDEO_SUFFIXES):
            raise InputError("videos are coloured on the command line: recolor colorize FILM OUT") from error
        raise


def _attachment(name: str) -> dict[str, str]:
    ascii_name = name.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_").replace("\\", "_")
    disposition = f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"
    return {"content-disposition": disposition, "cache-control": "no-store"}


def _zipped(photographs: Photographs, entries: Sequence[_Entry]) -> Iterator[bytes]:
    """Yields a ZIP file as its photographs are coloured, so that it is never whole in memory.

    Its last file names those that could not be coloured: removed meanwhile, or too large for the memory.
    """
    sink = _Sink()
    failed: list[str] = []
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            try:
                archive.writestr(entry.name, photographs.colored_file(entry.number, entry.look))
            except (ImageError, InputError) as error:
                failed.append(f"{entry.name}: {error}\n")
            yield sink.taken()
        if failed:
            archive.writestr("not coloured.txt", "".join(failed))
    yield sink.taken()


class _Sink(io.RawIOBase):
    """A file that can only be written to, and whose bytes are taken away."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]  # any buffer
        self._parts.append(part)
        return len(part)

    def taken(self) -> bytes:
        """Returns the bytes written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
