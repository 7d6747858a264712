"""Every table's schema, in one place.

A manifest is a Parquet file whose columns are stated here, with their unit, range and meaning; `manifests/README.md`
is made from the same statements. Scores run one way everywhere: 0 is certainly an outlier, 1 is certainly fine.
"""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: As it stands in the file.
        type: Its Arrow type.
        unit: Or "-".
        range: Or "-".
        meaning: What it is.
        nullable: Whether a value may be missing.
        is_path: Whether it names a file below a folder: a name that leads out of that folder is refused.
        is_unique: Whether values hardly repeat.
    """

    name: str
    type: pa.DataType
    unit: str
    range: str
    meaning: str
    nullable: bool = False
    is_path: bool = False
    is_unique: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """One kind of manifest: its file name, what a row is, which stage writes it, its columns in order."""

    name: str
    stage: str
    row: str
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema that every such file has."""
        return pa.schema([pa.field(column.name, column.type, column.nullable) for column in self.columns])


PATH = Column(
    "path",
    pa.string(),
    "-",
    "-",
    "Path relative to the image folder, with forward slashes.",
    is_path=True,
    is_unique=True,
)
SIZE = Column("size_bytes", pa.int64(), "bytes", "≥ 0", "File size.")
MTIME = Column("mtime_ns", pa.int64(), "ns since 1970", "-", "Time of the last change; part of the image's identity.")
SHA256 = Column(
    "sha256",
    pa.string(),
    "-",
    "64 hex digits",
    "SHA-256 of the file's bytes; null if unreadable.",
    nullable=True,
    is_unique=True,
)

INDEX = Schema("index", "index", "an image file that was found", (PATH, SIZE, MTIME))


def _number(name: str, unit: str, range_: str, meaning: str) -> Column:
    return Column(name, pa.float64(), unit, range_, meaning + " Null if not decoded.", True)


_SIZE_PX = (
    Column("width_px", pa.int32(), "px", "≥ 1", "Width of the upright image; null if not decoded.", True),
    Column("height_px", pa.int32(), "px", "≥ 1", "Height of the upright image; null if not decoded.", True),
)
ANGLES = (0, 45, 90, 135)  # degrees from horizontal, anticlockwise: lines along which detail is measured
_LAPLACIAN = {
    octave: (
        _number(
            f"laplacian_variance_{octave}", "grey²", "≥ 0", f"Mean squared Laplacian of L', {octave} times halved."
        ),
        _number(f"laplacian_block_{octave}", "grey²", "≥ 0", "The same of the sharpest blocks (95th percentile)."),
    )
    for octave in (1, 2)
}
SHARPNESS = tuple(
    column
    for octave in range(4)
    for column in (
        *(
            _number(
                f"detail_{angle}_{octave}",
                "grey²",
                "≥ 0",
                f"Mean squared second difference of L' along {angle}°, {octave} times halved.",
            )
            for angle in ANGLES
        ),
        *_LAPLACIAN.get(octave, ()),
    )
)
COLOUR_LAYOUT = 90  # numbers
COLOUR = (
    _number("L_mean", "Lab", "0..100", "Mean lightness."),
    _number("contrast", "Lab", "0..50", "Standard deviation of L."),
    _number("a_mean", "Lab", "-86..98", "Mean a."),
    _number("b_mean", "Lab", "-108..94", "Mean b."),
    _number("a_std", "Lab", "≥ 0", "Standard deviation of a."),
    _number("b_std", "Lab", "≥ 0", "Standard deviation of b."),
    _number("ab_covariance", "Lab²", "-", "Covariance of a and b."),
    _number("chroma_mean", "Lab", "≥ 0", "Mean distance from grey."),
    _number("chroma_p95", "Lab", "≥ 0", "95th percentile of the distance from grey."),
    _number(
        "cast", "Lab", "≥ 0", "5th percentile of ab along its mean: how far even the greyest colours are from grey."
    ),
    _number("hue_entropy", "-", "0..1", "Entropy of the hues, weighted by chroma: 0 is one hue."),
    _number("grey_tail", "-", "0..1", "Share of the picture, from an edge inwards, that is flat mid-grey."),
    _number("ab_residual", "Lab", "≥ 0", "RMS of what a curve over L leaves of a and b: 0 is monochrome."),
    _number("ab_residual_p90", "Lab", "≥ 0", "90th percentile of the same."),
    _number("ab_residual_median", "Lab", "≥ 0", "Median of the RMS in each of 24 stretches of L."),
    *(
        _number(f"{channel}_band_{band}", "Lab", "-108..98", f"Mean {channel} of the {name} third.")
        for band, name in enumerate(("upper", "middle", "lower"))
        for channel in ("a", "b")
    ),
)
MEASUREMENTS = Schema(
    "measurements",
    "measure",
    "an image of the index, measured; an image that cannot be decoded has a reason instead of numbers",
    (
        PATH,
        SIZE,
        MTIME,
        Column("reason", pa.string(), "-", "a decode reason", "Why it cannot be decoded; null if it can.", True),
        Column("detail", pa.string(), "-", "-", "What the decoder said.", True),
        SHA256,
        *_SIZE_PX,
        Column("format", pa.string(), "-", "-", "JPEG, PNG, WEBP, TIFF, BMP or GIF.", True),
        Column("mode", pa.string(), "-", "-", "Pixel mode of the file, in Pillow's words.", True),
        Column(
            "frames",
            pa.int32(),
            "-",
            "≥ 1",
            "Frames or pages; 2 stands for two or more in GIF and TIFF; the first is used.",
            True,
        ),
        Column("orientation", pa.int32(), "-", "1..8", "EXIF orientation that was applied.", True),
        Column("icc", pa.bool_(), "-", "-", "Whether there is an ICC profile.", True),
        Column(
            "phash_64", pa.binary(64), "-", "8 x 64 bits", "imagehash's pHash under the 8 flips and rotations.", True
        ),
        Column("phash_256", pa.binary(256), "-", "8 x 256 bits", "The same with hash_size 16.", True),
        Column("phash_64_windows", pa.binary(72), "-", "9 x 64 bits", "pHash of 9 parts, 92% of each side.", True),
        Column("phash_256_windows", pa.binary(288), "-", "9 x 256 bits", "The same with hash_size 16.", True),
        *SHARPNESS,
        *COLOUR,
        Column(
            "colour_layout",
            pa.binary(4 * COLOUR_LAYOUT),  # a list of numbers takes four times as long to read
            "Lab",
            "90 x float32",
            "Where in the picture and at which lightness which colours are: see `recolor.cleaning.measure.colour`."
            " Null if not decoded.",
            True,
        ),
    ),
)

SYMMETRIES = (
    "identity",
    "flip_horizontal",
    "flip_vertical",
    "rotate_180",
    "transpose",
    "rotate_90",
    "rotate_270",
    "transverse",
)
RELATIONS = (*SYMMETRIES, "crop")
_JUDGED = (
    PATH,
    Column("score", pa.float64(), "-", "0..1", "0 is certainly an outlier; under the threshold all are listed here."),
    Column("threshold", pa.float64(), "-", "0..1", "What the score was compared with."),
    Column("reason", pa.string(), "-", "-", "Why, in a sentence."),
)


def _issue(name: str, row: str, *measurements: Column) -> Schema:
    return Schema(name, "detect", row, (*_JUDGED, *measurements))


CORRUPT = _issue(
    "corrupt",
    "an image that cannot be decoded, or that was saved after a decode that broke off",
    Column("decode_reason", pa.string(), "-", "a decode reason or `grey_tail`", "`reason` of the measurements."),
    *(column for column in COLOUR if column.name == "grey_tail"),
)
DUPLICATE = _issue(
    "duplicate",
    "an image that a better copy makes needless",
    Column("group", pa.string(), "-", "16 hex digits", "The copies of one picture; starts the kept one's SHA-256."),
    Column(
        "kept_path",
        pa.string(),
        "-",
        "-",
        "The best copy: most pixels, then most bytes, then first path.",
        is_path=True,
    ),
    Column("exact", pa.bool_(), "-", "-", "Whether the files have the same bytes."),
    Column("hamming_distance", pa.int32(), "bits", "0..64", "pHash-64 distance to the kept copy."),
    Column("hamming_distance_256", pa.int32(), "bits", "0..256", "pHash-256 distance to the kept copy."),
    Column(
        "relation",
        pa.string(),
        "-",
        ", ".join(RELATIONS),
        "What turns the image into the kept copy; `crop`: it is a part of it.",
    ),
)
MONOCHROME = _issue(
    "monochrome",
    "an image whose colour is a function of its lightness",
    *(
        column
        for column in COLOUR
        if column.name in ("ab_residual", "ab_residual_p90", "ab_residual_median", "chroma_mean")
    ),
)
SKEWED = _issue(
    "skewed",
    "an image with unusual colours",
    Column("colour_distance", pa.float64(), "medians", "≥ 0", "Robust distance to the data set; null if small.", True),
    Column("layout_score", pa.float64(), "-", "0..1", "What the network thinks of `colour_layout`; 0 is skewed."),
    *(column for column in COLOUR if column.name in ("a_mean", "b_mean", "cast", "hue_entropy")),
)
BLURRY = _issue(
    "blurry",
    "an image without fine detail",
    Column("octave_ratio", pa.float64(), "log2", "-", "Energy of a fine octave over the next's: about 0 if sharp."),
    Column("anisotropy", pa.float64(), "log2", "≥ 0", "Finest energy along the richest line over the poorest's."),
    Column("block_detail", pa.float64(), "log2 grey²", "≥ 0", "Energy of the sharpest blocks: about 12 if sharp."),
)
LOW_RESOLUTION = _issue("low_resolution", "an image whose short side is too short", *_SIZE_PX)
EXTREME_ASPECT = _issue(
    "extreme_aspect",
    "an image that is too narrow or too wide",
    Column("aspect", pa.float64(), "-", "> 0", "Width over height."),
    *_SIZE_PX,
)
ISSUES = {
    schema.name: schema for schema in (CORRUPT, DUPLICATE, MONOCHROME, SKEWED, BLURRY, LOW_RESOLUTION, EXTREME_ASPECT)
}

OUTLIERS = Schema(
    "outliers",
    "select",
    "an image that was rejected",
    (
        PATH,
        Column("issues", pa.list_(pa.string()), "-", "-", "The issues that list it; `decision` if a person did."),
        Column("reasons", pa.list_(pa.string()), "-", "-", "One a issue, in the same order."),
        Column("score", pa.float64(), "-", "0..1", "The worst of its scores."),
    ),
)
CLEAN = Schema(
    "clean",
    "select",
    "an image that is kept",
    (
        PATH,
        Column("sha256", pa.string(), "-", "64 hex digits", "SHA-256 of the file's bytes.", is_unique=True),
        Column("width_px", pa.int32(), "px", "≥ 1", "Width of the upright image."),
        Column("height_px", pa.int32(), "px", "≥ 1", "Height of the upright image."),
        Column(
            "group", pa.string(), "-", "16 hex digits", "Copies of one picture share it, and its split.", is_unique=True
        ),
        Column("split", pa.string(), "-", "train, val, test", "By the group's content and the seed alone."),
    ),
)

MODEL = Column(
    "model", pa.string(), "-", "-", "Label of the model that coloured it: the end of its folder's path, or empty."
)
NAME = Column(
    "name", pa.string(), "-", "-", "How it was coloured: by (a part of) the model, or a control such as `grey`."
)
KIND = Column(
    "kind",
    pa.string(),
    "-",
    "model, control",
    "Controls know nothing (`grey`, `mean_ab`), know the truth (`oracle`), or are other models.",
)
ACCURACY = (
    Column("psnr_db", pa.float64(), "dB", "0..100", "PSNR of the 8-bit sRGB image (over a set: mean over images)."),
    Column("ssim", pa.float64(), "-", "-1..1", "Structural similarity of the sRGB channels (Wang et al. 2004)."),
    Column("delta_e_2000", pa.float64(), "ΔE", "≥ 0", "Mean CIEDE2000 difference of the 8-bit images."),
    Column("ab_mse", pa.float64(), "(ab+128)/255, squared", "≥ 0", "Mean squared error of a and b."),
    Column("ab_rmse", pa.float64(), "Lab units", "≥ 0", "255 √ab_mse: root mean squared error of a and b."),
    Column("ab_psnr_db", pa.float64(), "dB", "≤ 100", "-10 log10(ab_mse) of the image (over a set: mean over images)."),
    Column("ab_distance", pa.float64(), "Lab units", "≥ 0", "Mean Euclidean distance in the ab plane."),
)
COLOURFULNESS = (
    Column("colourfulness", pa.float64(), "-", "≥ 0", "Hasler and Süsstrunk 2003, M(3)."),
    Column("colourfulness_abs", pa.float64(), "-", "≥ 0", "The variant that takes the absolute values of rg and yb."),
    Column("truth_colourfulness", pa.float64(), "-", "≥ 0", "`colourfulness` of the photographs themselves."),
    Column("truth_colourfulness_abs", pa.float64(), "-", "≥ 0", "`colourfulness_abs` of the photographs themselves."),
)
LPIPS = Column(
    "lpips", pa.float64(), "-", "≥ 0", "LPIPS 0.1, AlexNet (Zhang et al. 2018). Null without its weights.", True
)

PER_IMAGE_METRICS = Schema(
    "data/evaluation/per_image",
    "evaluate",
    "an image coloured by a model or a control",
    (
        PATH,
        MODEL,
        NAME,
        KIND,
        *ACCURACY,
        *COLOURFULNESS,
        Column(
            "delta_cf",
            pa.float64(),
            "-",
            "≥ 0",
            "Difference of colourfulness from truth_colourfulness, without its sign.",
        ),
        LPIPS,
    ),
)
OF_SETS = (
    Column("ab_psnr_db_set", pa.float64(), "dB", "≤ 100", "-10 log10 of the mean ab_mse: of all pixels together."),
    Column("delta_cf_set", pa.float64(), "-", "≥ 0", "ΔCF: difference of the mean colourfulness from the truth's."),
    Column("delta_cf_set_abs", pa.float64(), "-", "≥ 0", "The same of `colourfulness_abs`."),
    Column("delta_cf_image", pa.float64(), "-", "≥ 0", "Mean over images of the difference of colourfulness."),
    LPIPS,
    Column("fid", pa.float64(), "-", "≥ 0", "Fréchet inception distance. Null without Inception's weights.", True),
    Column(
        "kid", pa.float64(), "-", "-", "Kernel inception distance of pairs, unbiased. Null without the weights.", True
    ),
)


def _ends(column: Column) -> tuple[Column, Column]:
    """The ends of a figure's 95% bootstrap interval over the images."""
    return (
        Column(f"{column.name}_low", column.type, column.unit, "-", "Low end of its 95% interval.", column.nullable),
        Column(f"{column.name}_high", column.type, column.unit, "-", "High end.", column.nullable),
    )


METRICS = Schema(
    "data/evaluation/metrics",
    "evaluate",
    "a model or a control, measured over all images",
    (
        MODEL,
        NAME,
        KIND,
        Column("images", pa.int64(), "-", "≥ 1", "Images measured; the metrics are means over them."),
        *ACCURACY,
        *COLOURFULNESS,
        *OF_SETS,
        *(end for column in (*ACCURACY, *COLOURFULNESS[:2], *OF_SETS) for end in _ends(column)),
    ),
)
COMPARISON = Schema(
    "data/evaluation/comparison",
    "evaluate",
    "a metric of two models, measured on the same images (in `--out DIR`, where there are two)",
    (
        Column("first", pa.string(), "-", "-", "Label of the model that the others are compared with."),
        Column("second", pa.string(), "-", "-", "Label of the other model."),
        Column("metric", pa.string(), "-", "-", "A column of `metrics.parquet`, in whose unit the others are."),
        Column("first_value", pa.float64(), "-", "-", "The metric of the first model."),
        Column("second_value", pa.float64(), "-", "-", "The metric of the second model."),
        Column("difference", pa.float64(), "-", "-", "second_value - first_value."),
        Column("difference_low", pa.float64(), "-", "-", "Low end of its 95% bootstrap interval, images in pairs."),
        Column("difference_high", pa.float64(), "-", "-", "High end."),
        Column("better", pa.string(), "-", "-", "Label of the model that all of the interval speaks for, or empty."),
    ),
)

SHARD_INDEX = Schema(
    "data/shards/index",
    "shard",
    "an image stored in a Lab shard, in the order of the shards",
    (
        PATH,
        Column(
            "sha256",
            pa.string(),
            "-",
            "64 hex digits",
            "SHA-256 of the image file's bytes; the rows' order.",
            is_unique=True,
        ),
        Column("shard", pa.string(), "-", "-", "File name of the shard, in the folder of this index.", is_path=True),
        Column("row", pa.int32(), "-", "≥ 0", "Row of the image in its shard."),
        Column("split", pa.string(), "-", "train, val, test", "Split of the image."),
        Column("width_px", pa.int32(), "px", "≥ 1", "Width of the original, upright."),
        Column("height_px", pa.int32(), "px", "≥ 1", "Height of the original, upright."),
    ),
)

TRAINING_METRICS = Schema(
    "data/models/<model>/metrics",
    "train generator` and `recolor train refiner",
    "a loss that was measured while training",
    (
        Column("step", pa.int64(), "steps", "≥ 1", "Optimiser steps done when it was measured."),
        Column("split", pa.string(), "-", "train, val", "`train`: of the step's batch; `val`: averaged weights."),
        Column("loss", pa.float64(), "nats, or 110 Lab units", "≥ 0", "The loss that is minimised."),
        Column("lr", pa.float64(), "-", "> 0", "Learning rate of the step."),
    ),
)

SCHEMAS: tuple[Schema, ...] = (
    INDEX,
    MEASUREMENTS,
    *ISSUES.values(),
    OUTLIERS,
    CLEAN,
    METRICS,
    PER_IMAGE_METRICS,
    COMPARISON,
    SHARD_INDEX,
    TRAINING_METRICS,
)
