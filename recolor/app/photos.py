"""The photographs that were dropped on the page: their files, previews and predictions."""

import errno
import fcntl
import os
import secrets
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recolor.color.arrays import RGB
from recolor.color.gamut import join, lightness_of
from recolor.colorize.look import Look
from recolor.colorize.metadata import read_metadata
from recolor.colorize.photo import has_colour
from recolor.colorize.plan import FORMATS, target_name
from recolor.colorize.upsample import upsample
from recolor.config.settings import MeasureConfig
from recolor.errors import InputError, StorageError
from recolor.images import decode, read_bytes
from recolor.images.preview import jpeg_bytes, reduced
from recolor.manifests.names import shown
from recolor.pipeline.c_messages import no_c_messages

if TYPE_CHECKING:  # these load torch, for which the page does not wait
    from recolor.colorize.candidates import Candidate
    from recolor.colorize.colorizer import Colorizer, Distribution

PREVIEW_PX = 1280  # long side
_QUALITY = 88
_MAX_IN_MEMORY = 24  # previews with their predictions, of about 20 MB each
_PREFIX = "recolor-app-"
_LOCK = "lock"
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph that was dropped on the page.

    Attributes:
        id: Its name in addresses.
        name: Path as it was dropped, such as `1932/beach.jpg`, without parts that lead outside of a folder.
        output: Path of the coloured file in the download.
        width_px: Width of the upright photograph.
        height_px: Height of the upright photograph.
        had_colour: Whether it shows colour, of which only the lightness is used.
        notes: What is not in order in its file.
        dropped: Names of what its file holds and the coloured file does not, such as the video of a motion photo.
    """

    id: str
    name: str
    output: str
    width_px: int
    height_px: int
    had_colour: bool
    notes: tuple[str, ...]
    dropped: tuple[str, ...]


@dataclass(slots=True)
class _Preview:
    """A reduced photograph with its prediction: what a look is applied to.

    Attributes:
        rgb: uint8 [h, w, 3], as the file shows it.
        L: float32 [h, w], 0..100.
        small: L at the models' size.
        predicted: The generator's prediction for `small`.
        look: The look whose colours `ab` holds, without its saturation; None: none yet.
        ab: float32 [h, w, 2], at saturation 1.
    """

    rgb: RGB
    L: Float32Array
    small: Float32Array
    predicted: "Distribution"
    look: Look | None = None
    ab: Float32Array | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Photographs:
    """The photographs of one server, by id. Threads share it.

    Files are kept in a folder of their own, which is removed at the end; previews of the last ones used in memory.

    Args:
        colorizer: Returns the models; may wait until they are loaded.
        limits: Size limits of files and images.
    """

    def __init__(self, colorizer: Callable[[], "Colorizer"], limits: MeasureConfig) -> None:
        self.limits = limits
        self._colorizer = colorizer
        self._folder = _Folder()
        self._photographs: dict[str, Photograph] = {}
        self._previews: OrderedDict[str, _Preview] = OrderedDict()
        self._lock = threading.Lock()
        self._network = threading.Lock()  # two predictions at once take longer than one after the other

    def close(self) -> None:
        """Removes the files."""
        self._folder.remove()

    def new_file(self) -> tuple[str, Path]:
        """Returns a new id, and the path to which the photograph's bytes are to be written."""
        name = secrets.token_hex(8)
        return name, self._folder.path / name

    def add(self, name: str, number: str) -> Photograph:
        """Takes in a photograph whose bytes were written to the path of `new_file`, and predicts its colours.

        Args:
            name: Path as it was dropped.
            number: Its id.

        Raises:
            ImageError: It cannot be decoded. Its file is removed, as after every other error.
        """
        try:
            preview, photograph = self._read(number, clean_name(name))
        except BaseException:
            self._folder.discard(number)
            raise
        with self._lock:
            self._photographs[number] = photograph
            self._remember(number, preview)
        return photograph

    def get(self, number: str) -> Photograph:
        """Returns a photograph.

        Raises:
            InputError: There is none of that id: it was removed, dropped before the server was started again, or the
                system tidied up its file.
        """
        with self._lock:
            found = self._photographs.get(number)
        if found is None or not self._folder.holds(number):
            raise InputError("this photograph is no longer here: it was removed, or the server was started again.")
        return found

    def remove(self, number: str) -> None:
        """Forgets a photograph, and removes its file. Any other text than the id of one is ignored."""
        with self._lock:
            known = self._photographs.pop(number, None)
            self._previews.pop(number, None)
        if known is not None:
            self._folder.discard(number)

    def before(self, number: str) -> bytes:
        """Returns the reduced photograph as it was dropped, as a JPEG."""
        return jpeg_bytes(self._preview(number).rgb, _QUALITY)

    def after(self, number: str, look: Look) -> bytes:
        """Returns the reduced photograph in the colours of a look, as a JPEG. The generator does not run again."""
        preview = self._preview(number)
        ab = self._colours(preview, look)
        return jpeg_bytes(join(preview.L, ab * np.float32(look.saturation)), _QUALITY)

    def thumbnail(self, number: str, look: Look) -> bytes:
        """Returns the photograph in the colours of a look, at the models' size, as a JPEG."""
        preview = self._preview(number)
        with self._network:
            ab = self._colorizer().read_ab(preview.predicted, look)[0]
        return jpeg_bytes(join(preview.small, ab * np.float32(look.saturation)), _QUALITY)

    def candidates(self, number: str, look: Look) -> tuple["Candidate", ...]:
        """Returns other colours that the photograph may have had; see `find_candidates`."""
        from recolor.colorize.candidates import find_candidates  # noqa: PLC0415 - as above

        preview = self._preview(number)
        with self._network:
            return find_candidates(self._colorizer(), preview.predicted, look)

    def colored_file(self, number: str, look: Look) -> bytes:
        """Returns the bytes of the coloured file at full size, as `recolor colorize` writes it.

        Raises:
            ImageError: It cannot be decoded or written, or there is not enough memory.
        """
        from recolor.colorize.files import colorize_bytes  # noqa: PLC0415 - as above

        photograph = self.get(number)
        data = read_bytes(self._folder.path / number, self.limits)
        colorizer = self._colorizer()
        with self._network:
            return colorize_bytes(data, Path(photograph.output), colorizer, look, self.limits, lenient=True)

    def _preview(self, number: str) -> _Preview:
        photograph = self.get(number)
        with self._lock:
            if number in self._previews:
                self._previews.move_to_end(number)
                return self._previews[number]
        preview, _ = self._read(number, photograph.name)
        with self._lock:
            if number in self._photographs:  # not removed meanwhile
                self._remember(number, preview)
        return preview

    def _remember(self, number: str, preview: _Preview) -> None:
        self._previews[number] = preview
        while len(self._previews) > _MAX_IN_MEMORY:
            self._previews.popitem(last=False)

    @no_c_messages()
    def _read(self, number: str, name: str) -> tuple[_Preview, Photograph]:
        data = read_bytes(self._folder.path / number, self.limits)
        decoded = decode(data, self.limits, PREVIEW_PX, lenient=True)
        rgb = reduced(decoded.rgb, PREVIEW_PX)
        L = lightness_of(rgb)
        colorizer = self._colorizer()
        small = colorizer.at_model_size(L)
        with self._network:
            predicted = colorizer.predict_distribution(small[None])
        output = target_name(Path(name))
        metadata = read_metadata(data, decoded).held_by(FORMATS[output.suffix.lower()])
        photograph = Photograph(
            id=number,
            name=name,
            output=output.as_posix(),
            width_px=decoded.width_px,
            height_px=decoded.height_px,
            had_colour=has_colour(rgb),
            notes=decoded.notes,
            dropped=metadata.dropped,
        )
        return _Preview(rgb, L, small, predicted), photograph

    def _colours(self, preview: _Preview, look: Look) -> Float32Array:
        """Returns the colours of a look at saturation 1, [h, w, 2]; those of the last look are kept."""
        wanted = replace(look, saturation=1.0)
        with preview.lock:
            if preview.ab is None or preview.look != wanted:
                with self._network:
                    ab = self._colorizer().read_ab(preview.predicted, wanted)[0]
                preview.ab, preview.look = upsample(ab, preview.small, preview.L), wanted
            return preview.ab


def clean_name(name: str) -> str:
    """Returns a relative path with forward slashes and without `.`, `..`, empty parts and control characters.

    The end of each part is kept, at most 200 bytes: a disk allows 255, and a suffix or a number may follow.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part.strip() not in ("", ".", "..")]
    readable = [shown(part).encode()[-_MAX_NAME_BYTES:].decode(errors="ignore") for part in parts]
    return "/".join(readable) or "photograph"


_MAX_NAME_BYTES = 200


def different_names(paths: Iterable[str]) -> Iterator[str]:
    """Yields the paths, numbered as in `a~2.jpg` where an earlier one is equal but for upper and lower case."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}  # the last number of each path: thousands may have the same name
    for text in paths:
        path, number = PurePosixPath(text), numbers.get(text.casefold(), 1)
        while str(path).casefold() in taken:
            number += 1
            path = PurePosixPath(text).with_stem(f"{PurePosixPath(text).stem}~{number}")
        numbers[text.casefold()] = number
        taken.add(str(path).casefold())
        yield str(path)


class _Folder:
    """A temporary folder, locked while this process runs; those of killed processes are removed."""

    def __init__(self) -> None:
        for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            _remove_unused(old)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._lock = (self.path / _LOCK).open("w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # another server that starts took it for one of a killed process, and removes it
                self._lock.close()
                continue
            except OSError:  # no locks: the folder of a killed process stays until the system tidies up
                pass
            if not self.holds(_LOCK):  # the other server was faster
                self._lock.close()
                continue
            return

    def holds(self, name: str) -> bool:
        return (self.path / name).is_file()

    def discard(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _remove_unused(folder: Path) -> None:
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # another server uses it, or it is just being made
        return


def storage_error(error: OSError) -> StorageError:
    """Returns the error for a photograph that cannot be stored."""
    if error.errno in _FULL_DISK:
        return StorageError(f"the disk of {tempfile.gettempdir()} is full. Remove photographs, or set TMPDIR.")
    return StorageError(f"{tempfile.gettempdir()}: the photograph cannot be stored ({error.strerror or error}).")
