"""Exports the networks as ONNX files, if these give the same colours as torch."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import data
from torch import Tensor, nn

from recolor.color.lab import rgb_to_lab
from recolor.errors import ConfigError, WeightsError
from recolor.models.files import LoadedGenerator, LoadedRefiner, load_generator, load_refiner
from recolor.pipeline.storage import storage_errors, write_atomically

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
MAX_DIFFERENCE = 1e-3  # of ab, in Lab units, between ONNX Runtime and torch
_REFINER_MULTIPLE_PX = 8
_SIZES = ((1, 8, 8), (2, 9, 15), (1, 32, 25))  # of the test inputs: images, height and width in multiples

_log = logging.getLogger(__name__)

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFile:
    """An exported network.

    Attributes:
        path: The file, which contains the weights.
        size_bytes: Size of the file.
        difference: Largest difference of ab between ONNX Runtime and torch, in Lab units.
    """

    path: Path
    size_bytes: int
    difference: float


def export_onnx(models: Path, out: Path) -> tuple[OnnxFile, OnnxFile]:
    """Writes `generator.onnx` and `refiner.onnx`, after comparing both with torch.

    generator.onnx maps L [N,1,H,W], float32, 0..100, to ab_small [N,2,H/4,W/4], float32, in Lab units. It has an
    optional input `temperature`, a float32 scalar with the model's value as default; a regression head has none.
    refiner.onnx maps L and ab_small to ab [N,2,H,W]. N, H and W are dynamic; H and W must be multiples of
    `multiple_px`. The files' `metadata_props` contain `multiple_px`, `kind`, `image_px` (short side of a whole image
    in training) and `temperature`.

    Args:
        models: Folder with `generator/` and `refiner/`.
        out: Output folder; created if missing.

    Raises:
        ConfigError: The packages of the extra `onnx` are not installed.
        WeightsError: A model is missing or damaged, or its export differs from it; nothing was written.
        StorageError: The disk is full or cannot be written to.
    """
    check_packages()
    generator, refiner = load_generator(models / "generator"), load_refiner(models / "refiner")
    exported = (generator_to_onnx(generator), refiner_to_onnx(refiner))
    differences = (
        _checked("generator.onnx", generator_difference(generator, exported[0])),
        _checked("refiner.onnx", refiner_difference(refiner, exported[1])),
    )
    return (
        _write(out / "generator.onnx", exported[0], differences[0]),
        _write(out / "refiner.onnx", exported[1], differences[1]),
    )


def check_packages() -> None:
    """Checks that the packages of the extra `onnx` are installed.

    Raises:
        ConfigError: One is not; the message says how to install it.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"export to ONNX: not installed: {', '.join(missing)}. Run `pip install '.[onnx]'` in Recolor's folder"
            " (with `-c constraints.txt` for the versions it was tested with)."
        )


def generator_to_onnx(loaded: LoadedGenerator) -> bytes:
    """Returns the generator as an ONNX file.

    Its inputs are L and, for a distribution head, `temperature`.
    """
    multiple_px = loaded.multiple_px
    L = torch.zeros(2, 1, 8 * multiple_px, 12 * multiple_px)
    shape = _dynamic(multiple_px)
    details = {"kind": "generator", "image_px": loaded.image_px, "multiple_px": multiple_px}
    if loaded.config.head == "regression":
        graph = _Regression(loaded)
        return _with_details(_export(graph, {"L": L}, {"L": shape}, "ab_small"), details)
    inputs = {"L": L, "temperature": torch.tensor(loaded.temperature)}
    model = _export(_Distribution(loaded), inputs, {"L": shape, "temperature": None}, "ab_small")
    _set_default(model, "temperature", loaded.temperature)
    return _with_details(model, {**details, "temperature": loaded.temperature})


def refiner_to_onnx(loaded: LoadedRefiner) -> bytes:
    """Returns the refiner as an ONNX file with the inputs L and ab_small."""
    inputs = {"L": torch.zeros(2, 1, 64, 96), "ab_small": torch.zeros(2, 2, 16, 24)}
    shapes = {"L": _dynamic(_REFINER_MULTIPLE_PX), "ab_small": _dynamic(_REFINER_MULTIPLE_PX // 4)}
    details = {"kind": "refiner", "image_px": loaded.image_px, "multiple_px": _REFINER_MULTIPLE_PX}
    return _with_details(_export(loaded.model, inputs, shapes, "ab"), details)


def generator_difference(loaded: LoadedGenerator, exported: bytes) -> float:
    """Returns the largest |Δab| of the exported generator from torch, over all test inputs."""
    run = _session(exported)
    batches = _lightnesses(loaded.multiple_px)
    return max(_largest(run.run(None, {"L": L.numpy()})[0], loaded.predict_ab(L)) for L in batches)


def refiner_difference(loaded: LoadedRefiner, exported: bytes) -> float:
    """Returns the largest |Δab| of the exported refiner from torch, over all test inputs."""
    run, random = _session(exported), torch.Generator().manual_seed(0)
    differences = []
    for L in _lightnesses(_REFINER_MULTIPLE_PX):
        ab_small = 20 * torch.randn(len(L), 2, L.shape[2] // 4, L.shape[3] // 4, generator=random)
        found = run.run(None, {"L": L.numpy(), "ab_small": ab_small.numpy()})[0]
        differences.append(_largest(found, loaded.refine_ab(L, ab_small)))
    return max(differences)


class _Distribution(nn.Module):
    """The generator with its temperature as an input."""

    def __init__(self, loaded: LoadedGenerator) -> None:
        super().__init__()
        self.model, self.saturation = loaded.model, loaded.saturation

    def forward(self, L: Tensor, temperature: Tensor) -> Tensor:
        return self.saturation * self.model.predict_ab(L, temperature)  # type: ignore[arg-type]  # a traced scalar serves as float


class _Regression(nn.Module):
    """A generator with a regression head, which has no temperature."""

    def __init__(self, loaded: LoadedGenerator) -> None:
        super().__init__()
        self.model, self.saturation = loaded.model, loaded.saturation

    def forward(self, L: Tensor) -> Tensor:
        return self.saturation * self.model.predict_ab(L, 1.0)


def _dynamic(multiple_px: int) -> dict[int, Any]:
    """Returns dynamic dimensions: batch, and height and width as multiples."""
    dim = torch.export.Dim
    return {0: dim("batch"), 2: multiple_px * dim("h"), 3: multiple_px * dim("w")}


def _export(graph: nn.Module, inputs: Inputs, shapes: Mapping[str, Any], output: str) -> "ModelProto":
    with warnings.catch_warnings():
        # The refiner's inputs share their batch, height and width dimensions on purpose.
        warnings.filterwarnings("ignore", message=r".*The axis name: \w+ will not be used")
        program = torch.onnx.export(
            graph.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=tuple(shapes.values()),
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _set_default(model: "ModelProto", name: str, value: float) -> None:
    """Makes an input optional by storing a default value (ONNX IR, "Optional Inputs")."""
    from onnx import numpy_helper  # noqa: PLC0415  (an extra: see `check_packages`)

    model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))


def _with_details(model: "ModelProto", details: Mapping[str, object]) -> bytes:
    from onnx import helper  # noqa: PLC0415  (an extra: see `check_packages`)

    for node in model.graph.node:
        del node.metadata_props[:]  # source file and line on this machine
    helper.set_model_props(model, {name: str(value) for name, value in details.items()})
    return bytes(model.SerializeToString())


def _session(exported: bytes) -> Any:
    import onnxruntime  # noqa: PLC0415  (an extra: see `check_packages`)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # suppresses the warning that the optional temperature is not a constant
    return onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])


def _lightnesses(multiple_px: int) -> list[Tensor]:
    """Returns test inputs L [N,1,H,W], 0..100: noise and crops of a photograph in several sizes."""
    random, photograph = torch.Generator().manual_seed(0), _photograph()
    noise = [100 * torch.rand(n, 1, h * multiple_px, w * multiple_px, generator=random) for n, h, w in _SIZES]
    return noise + [photograph[:, :, -batch.shape[2] :, -batch.shape[3] :].clone() for batch in noise]


def _photograph() -> Tensor:
    """Returns L [1,1,512,512] of scikit-image's photograph `camera`."""
    grey = data.camera()  # type: ignore[no-untyped-call]
    return torch.from_numpy(np.ascontiguousarray(rgb_to_lab(np.stack([grey] * 3, axis=-1))[..., 0]))[None, None]


def _largest(found: NDArray[np.float32], expected: Tensor) -> float:
    return float(np.abs(found - expected.numpy()).max())


def _checked(name: str, difference: float) -> float:
    if not difference <= MAX_DIFFERENCE:
        raise WeightsError(
            f"{name}: differs from torch by {difference:.2g} Lab units, more than {MAX_DIFFERENCE}; nothing was"
            f" written. Install the versions of constraints.txt (this is torch {torch.__version__})."
        )
    return difference


def _write(path: Path, exported: bytes, difference: float) -> OnnxFile:
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, exported)
    _log.info("%s: %d bytes, differs from torch by at most %.2g Lab units", path, len(exported), difference)
    return OnnxFile(path=path, size_bytes=len(exported), difference=difference)
