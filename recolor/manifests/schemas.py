"""The schemas of all manifests.

A manifest is a Parquet file. Its schema gives the name, type, unit, range and meaning of every column; the tables in
`manifests/README.md` are generated from the schemas. All scores have the same direction: 0 is an outlier, 1 is a good
image.
"""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a manifest.

    Attributes:
        name: Name in the file.
        type: Arrow type.
        unit: Unit of the values, or "-".
        range: Range of the values, or "-".
        meaning: Description.
        nullable: Whether values may be null.
        is_path: Whether the values are file paths relative to a folder. Paths that lead out of the folder are refused.
        is_unique: Whether most values are distinct, so that a dictionary would not help.
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
    """The schema of a manifest.

    Attributes:
        name: File name without its suffix, relative to `manifests/` or to the workspace.
        stage: The command that writes it.
        row: Meaning of a row, as a noun phrase.
        columns: The columns, in order.
    """

    name: str
    stage: str
    row: str
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of the files."""
        return pa.schema([pa.field(column.name, column.type, column.nullable) for column in self.columns])


PATH = Column(
    "path",
    pa.string(),
    "-",
    "-",
    "Path relative to the image folder, with forward slashes; bytes that are not UTF-8 as `\\xNN`.",
    is_path=True,
    is_unique=True,
)
SIZE = Column("size_bytes", pa.int64(), "bytes", "≥ 0", "File size.")
MTIME = Column(
    "mtime_ns", pa.int64(), "ns since 1970", "-", "Modification time. Path, size and time identify an image."
)
SHA256 = Column(
    "sha256",
    pa.string(),
    "-",
    "64 hex digits",
    "SHA-256 of the file's bytes. Null if the file cannot be read.",
    nullable=True,
    is_unique=True,
)

INDEX = Schema("index", "index", "an image file", (PATH, SIZE, MTIME))


def _number(name: str, unit: str, range_: str, meaning: str) -> Column:
    return Column(name, pa.float64(), unit, range_, meaning + " Null if the image cannot be decoded.", True)


_SIZE_PX = (
    Column(
        "width_px", pa.int32(), "px", "≥ 1", "Width of the upright image. Null if no part of it can be decoded.", True
    ),
    Column(
        "height_px", pa.int32(), "px", "≥ 1", "Height of the upright image. Null if no part of it can be decoded.", True
    ),
)
ANGLES = (0, 45, 90, 135)  # degrees from horizontal, anticlockwise: directions in which detail is measured
SHARPNESS_PX = 288  # pictures are halved while their short side stays at least this, then measured
DETAIL_OCTAVES = 6
SHARPNESS = tuple(
    _number(
        f"detail_{angle}_{octave}",
        "grey²",
        "≥ 0",
        f"Mean squared second difference of the grey image along {angle}°, halved {octave} times.",
    )
    for octave in range(DETAIL_OCTAVES)
    for angle in ANGLES
)
EDGES = 32  # numbers
COLOUR_LAYOUT = 90  # numbers
THUMBNAIL_PX = 24  # side
COLOUR_TONES = 81
GREY_TAIL = _number(
    "grey_tail",
    "-",
    "0..1",
    "Share of the image, from an edge inwards, that is uniform mid-grey behind a sharp border.",
)
EXPOSURE_MEASURES = (
    _number("L_p1", "Lab", "0..100", "Lightness of the grey level below which 1% of the pixels lie."),
    _number("L_p999", "Lab", "0..100", "Lightness of the grey level below which 99.9% of the pixels lie."),
    _number("L_max", "Lab", "0..100", "Lightness of the lightest pixel of the grey image, halved 2 times."),
    _number("L_min", "Lab", "0..100", "Lightness of the darkest pixel of the grey image, halved once."),
    _number("clipped", "-", "0..1", "Share of pixels of at least grey level 250."),
    _number(
        "block_energy_median",
        "grey²",
        "≥ 0",
        "Mean squared Laplacian of the grey image, halved 2 times, in the median block of 8 px.",
    ),
    _number("block_energy_max", "grey²", "≥ 0", "The same in the richest block."),
    _number(
        "surface_residual",
        "grey",
        "0..255",
        "99th percentile of the distance of the 64 px grey image from a smooth surface.",
    ),
)
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
        "cast", "Lab", "≥ 0", "Distance of the greyest colours from grey: 5th percentile of ab along the mean of ab."
    ),
    _number(
        "hue_entropy", "-", "0..1", "Entropy of the hues, weighted by chroma. 0 is a single hue, 1 is all hues equally."
    ),
    _number("ab_residual", "Lab", "≥ 0", "RMS residual of a and b after fitting a curve over L. 0 is monochrome."),
    _number("ab_residual_p90", "Lab", "≥ 0", "90th percentile of the same residual."),
    _number("ab_residual_median", "Lab", "≥ 0", "Median over 24 segments of L of the RMS residual in a segment."),
    *(
        _number(f"{channel}_band_{band}", "Lab", "-108..98", f"Mean {channel} of the {name} third of the image.")
        for band, name in enumerate(("upper", "middle", "lower"))
        for channel in ("a", "b")
    ),
)
NATURAL_COLOUR = (
    _number(
        "colour_logit",
        "nat",
        "-",
        "Log-odds that the colours are natural, by a small network that reads the measurements of colour; see"
        " `recolor.cleaning.measure.natural_colour`.",
    ),
    _number(
        "colour_logit_cnn",
        "nat",
        "-",
        "The same by a convolutional network, which only sees pictures with colour whose `colour_logit` is below 0."
        " Null for all others.",
    ),
)
MEASUREMENTS = Schema(
    "measurements",
    "measure",
    "a measured image of the index; an image that cannot be decoded has a reason and no numbers",
    (
        PATH,
        SIZE,
        MTIME,
        Column("reason", pa.string(), "-", "a decode reason", "Why the image cannot be decoded. Null if it can.", True),
        Column("detail", pa.string(), "-", "-", "Message of the decoder.", True),
        Column(
            "notes",
            pa.string(),
            "-",
            "-",
            "What is not in order in the file although no pixel is lost. Null if it is in order.",
            True,
        ),
        SHA256,
        *_SIZE_PX,
        Column("format", pa.string(), "-", "-", "JPEG, PNG, WEBP, TIFF, BMP, GIF, AVIF or HEIF.", True),
        Column("mode", pa.string(), "-", "-", "Pixel mode of the file, as Pillow names it.", True),
        Column(
            "frames",
            pa.int32(),
            "-",
            "≥ 1",
            "Number of frames or pages; in GIF and TIFF, 2 means two or more. The first one is used.",
            True,
        ),
        Column(
            "orientation", pa.int32(), "-", "1..8", "EXIF orientation. It has been applied to all measurements.", True
        ),
        Column("icc", pa.bool_(), "-", "-", "Whether the file has an ICC profile.", True),
        Column(
            "phash_64",
            pa.binary(64),
            "-",
            "8 x 64 bits",
            "pHash, as imagehash computes it, of the 8 flips and rotations.",
            True,
        ),
        Column("phash_256", pa.binary(256), "-", "8 x 256 bits", "The same with `hash_size=16`.", True),
        Column(
            "phash_64_windows",
            pa.binary(408),
            "-",
            "51 x 64 bits",
            "pHash of the windows `recolor.cleaning.windows.WINDOWS`, which copies may have been cut to.",
            True,
        ),
        Column(
            "thumbnail",
            pa.binary(THUMBNAIL_PX**2),
            "grey",
            "24 x 24 x uint8",
            "Small grey copy, stretched to 0..255. A frame is cut off before it and the hashes are made.",
            True,
        ),
        Column(
            "frame_share",
            pa.float64(),
            "-",
            "0..1",
            "Share of the pixels that belong to a frame of one colour, or to two bars.",
            True,
        ),
        GREY_TAIL,
        *SHARPNESS,
        Column(
            "edges",
            pa.binary(4 * EDGES),
            "-",
            "32 x float32",
            "Steepness of edges and contrast of blocks; see `recolor.cleaning.measure.edges`."
            " Null if the image cannot be decoded.",
            True,
        ),
        *EXPOSURE_MEASURES,
        *COLOUR,
        Column(
            "colour_layout",
            pa.binary(4 * COLOUR_LAYOUT),  # reads four times as fast as a list of numbers
            "Lab",
            "90 x float32",
            "Distribution of colours over height and lightness; see `recolor.cleaning.measure.colour`."
            " Null if the image cannot be decoded.",
            True,
        ),
        Column(
            "colour_tones",
            pa.binary(4 * COLOUR_TONES),
            "sRGB, Lab",
            "81 x float32",
            "Percentiles of the channels, greyest colours by lightness, and means of 4 x 4 cells; see"
            " `recolor.cleaning.measure.tones`. Null if the image cannot be decoded.",
            True,
        ),
        *NATURAL_COLOUR,
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
RELATIONS = (*SYMMETRIES, "crop", "whole", "overlap")
_JUDGED = (
    PATH,
    Column(
        "score", pa.float64(), "-", "0..1", "0 is an outlier, 1 a good image. Images below the threshold are listed."
    ),
    Column("threshold", pa.float64(), "-", "0..1", "Threshold that the score was compared with."),
    Column("reason", pa.string(), "-", "-", "Why the image is listed, in a sentence."),
)


def _issue(name: str, row: str, *measurements: Column) -> Schema:
    return Schema(name, "detect", row, (*_JUDGED, *measurements))


CORRUPT = _issue(
    "corrupt",
    "an image that cannot be decoded, or that was saved from an incomplete decode",
    Column(
        "decode_reason",
        pa.string(),
        "-",
        "a decode reason, `grey_tail` or `untidy`",
        "`reason` of `measurements.parquet`, `grey_tail`, or `untidy` if `corrupt.reject_untidy` is set.",
    ),
    GREY_TAIL,
)
TOO_LARGE = _issue(
    "too_large",
    "an image beyond a limit of `measure`, which was not decoded",
    Column(
        "limit",
        pa.string(),
        "-",
        "measure.max_pixels, measure.max_file_bytes, measure.max_decode_s",
        "Setting that allows larger images.",
    ),
)
DUPLICATE = _issue(
    "duplicate",
    "a copy of another image; the best copy is kept",
    Column(
        "group",
        pa.string(),
        "-",
        "16 hex digits",
        "Identifies the copies of one picture: the first digits of the kept copy's SHA-256.",
    ),
    Column(
        "kept_path",
        pa.string(),
        "-",
        "-",
        "Path of the kept copy: the most pixels that hold detail, then the most bytes, then the first path.",
        is_path=True,
    ),
    Column("exact", pa.bool_(), "-", "-", "Whether both files have the same bytes."),
    Column(
        "hamming_distance",
        pa.int32(),
        "bits",
        "0..64",
        "pHash-64 distance to the kept copy; of cut copies, between the parts that are the same.",
    ),
    Column(
        "hamming_distance_256",
        pa.int32(),
        "bits",
        "0..256",
        "pHash-256 distance to the kept copy, of the whole images.",
    ),
    Column(
        "similarity",
        pa.float64(),
        "-",
        "-1..1",
        "Correlation of the details of both images, laid over each other; lower by 0.1 if the colours differ.",
    ),
    Column(
        "relation",
        pa.string(),
        "-",
        ", ".join(RELATIONS),
        "Flip or rotation that turns the image into the kept copy; `crop` is a part of the kept copy, and the kept copy"
        " is a part of `whole`. `overlap` and the kept copy are two parts of one picture.",
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
    Column(
        "colour_distance",
        pa.float64(),
        "medians",
        "≥ 0",
        "Robust distance from the data set's colours. Null if the data set has too few images.",
        True,
    ),
    *NATURAL_COLOUR,
    *(column for column in COLOUR if column.name in ("a_mean", "b_mean", "cast", "hue_entropy")),
)
BLURRY = _issue(
    "blurry",
    "an image without fine detail",
    Column(
        "octave_ratio",
        pa.float64(),
        "log2",
        "-",
        "Least ratio of an octave's energy to the next coarser one's; about 0 in sharp images.",
    ),
    Column(
        "anisotropy",
        pa.float64(),
        "log2",
        "≥ 0",
        "Ratio of the energy between the directions with most and least detail, where it is largest.",
    ),
    Column(
        "edge_px",
        pa.float64(),
        "px",
        "1..16",
        "Width of edges, at a short side of at most 575 px; about 2 in sharp images, at most 16.",
    ),
)
EXPOSURE = _issue("exposure", "an image in which nothing is to be seen: black, blown out or blank", *EXPOSURE_MEASURES)
LOW_RESOLUTION = _issue("low_resolution", "an image whose short side is too short", *_SIZE_PX)
EXTREME_ASPECT = _issue(
    "extreme_aspect",
    "an image that is too narrow or too wide",
    Column("aspect", pa.float64(), "-", "> 0", "Width over height."),
    *_SIZE_PX,
)
ISSUE_SCHEMAS = {
    schema.name: schema
    for schema in (CORRUPT, TOO_LARGE, DUPLICATE, MONOCHROME, SKEWED, BLURRY, EXPOSURE, LOW_RESOLUTION, EXTREME_ASPECT)
}

OUTLIERS = Schema(
    "outliers",
    "select",
    "a rejected image",
    (
        PATH,
        Column(
            "issues",
            pa.list_(pa.string()),
            "-",
            "-",
            "Issues that list the image; `decision` if `decisions.csv` rejects it.",
        ),
        Column("reasons", pa.list_(pa.string()), "-", "-", "One reason per issue, in the same order."),
        Column("score", pa.float64(), "-", "0..1", "Lowest score of these issues."),
    ),
)
ISSUE_SCORES = Schema(
    "scores/<issue>_scores",
    "detect",
    "an image of `measurements.parquet`, in the same order",
    (
        Column(
            "score",
            pa.float64(),
            "-",
            "0..1",
            "Score of the image; 1 if it was not judged. Null if the detector is off.",
            True,
        ),
        Column("threshold", pa.float64(), "-", "0..1", "Threshold of the scores. Null if the detector is off.", True),
    ),
)


def _score_columns(issue: str) -> tuple[Column, Column]:
    return (
        Column(
            issue,
            pa.float64(),
            "-",
            "0..1",
            f"Score of `{issue}`. Null if the image was not judged: it cannot be decoded, or the detector is off.",
            True,
        ),
        Column(
            f"{issue}_threshold",
            pa.float64(),
            "-",
            "0..1",
            "Threshold that this score was compared with. Null if the detector is off.",
            True,
        ),
    )


SCORES = Schema(
    "scores",
    "select",
    "an image of `measurements.parquet`",
    (
        PATH,
        Column(
            "verdict",
            pa.string(),
            "-",
            "keep, reject",
            "`keep`: the image is in `clean.parquet`. `reject`: it is in `outliers.parquet`, with the reasons.",
        ),
        *(column for issue in ISSUE_SCHEMAS for column in _score_columns(issue)),
    ),
)
CLEAN = Schema(
    "clean",
    "select",
    "a kept image",
    (
        PATH,
        Column("sha256", pa.string(), "-", "64 hex digits", "SHA-256 of the file's bytes.", is_unique=True),
        Column("width_px", pa.int32(), "px", "≥ 1", "Width of the upright image."),
        Column("height_px", pa.int32(), "px", "≥ 1", "Height of the upright image."),
        Column(
            "group",
            pa.string(),
            "-",
            "16 hex digits",
            "Group of copies. All images of a group have the same split.",
            is_unique=True,
        ),
        Column(
            "split",
            pa.string(),
            "-",
            "train, val, test",
            "Split of the image. It depends only on the group and the seed.",
        ),
    ),
)

MODEL = Column(
    "model",
    pa.string(),
    "-",
    "-",
    "Label of the model that coloured the image: the end of its folder's path, or empty.",
)
NAME = Column(
    "name",
    pa.string(),
    "-",
    "-",
    "Method that coloured the image: the model, a part of it, or a control such as `grey`.",
)
KIND = Column(
    "kind",
    pa.string(),
    "-",
    "model, control",
    "Controls are trivial (`grey`, `mean_ab`), use the true colours (`oracle`), or are other models.",
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
    Column(
        "colourfulness_abs",
        pa.float64(),
        "-",
        "≥ 0",
        "Variant of `colourfulness` with the absolute values of rg and yb.",
    ),
    Column("truth_colourfulness", pa.float64(), "-", "≥ 0", "`colourfulness` of the original photographs."),
    Column("truth_colourfulness_abs", pa.float64(), "-", "≥ 0", "`colourfulness_abs` of the original photographs."),
)
HUES = ("green", "blue", "orange", "red", "neutral")  # of pixels, see `recolor.evaluation.hues`


def _per_image_hues() -> tuple[Column, ...]:
    """Returns the columns of an image's hues: its confusion table, and the chroma by true hue."""
    pixels = (
        Column(
            f"pixels_{true}_as_{given}",
            pa.int64(),
            "pixels",
            "≥ 0",
            f"Pixels that are {true} in the photograph and {given} in the coloured image.",
        )
        for true in HUES
        for given in HUES
    )
    chroma = (
        Column(
            f"{prefix}chroma_{true}",
            pa.float64(),
            "Lab units",
            "≥ 0",
            f"Mean chroma C*ab of {image} over the pixels that are {true} in the photograph. Null if there are none.",
            True,
        )
        for true in HUES
        for prefix, image in (("truth_", "the photograph"), ("", "the coloured image"))
    )
    return *pixels, *chroma


LPIPS = Column(
    "lpips",
    pa.float64(),
    "-",
    "≥ 0",
    "LPIPS 0.1 with AlexNet (Zhang et al. 2018). Null if its weights are not available.",
    True,
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
            "Absolute difference of `colourfulness` and `truth_colourfulness`.",
        ),
        Column(
            "closer_than_grey",
            pa.bool_(),
            "-",
            "-",
            "Whether `delta_e_2000` is below that of the image without colour (the method `grey`).",
        ),
        *_per_image_hues(),
        LPIPS,
    ),
)
OF_SETS = (
    Column(
        "ab_psnr_db_set",
        pa.float64(),
        "dB",
        "≤ 100",
        "-10 log10 of the mean `ab_mse`: PSNR over the pixels of all images.",
    ),
    Column(
        "delta_cf_set",
        pa.float64(),
        "-",
        "≥ 0",
        "ΔCF: absolute difference of the means of `colourfulness` and `truth_colourfulness`.",
    ),
    Column("delta_cf_set_abs", pa.float64(), "-", "≥ 0", "The same for `colourfulness_abs`."),
    Column("delta_cf_image", pa.float64(), "-", "≥ 0", "Mean over images of `delta_cf`."),
    Column("closer_than_grey", pa.float64(), "-", "0..1", "Share of the images with `closer_than_grey`."),
    Column(
        "hue_kept",
        pa.float64(),
        "-",
        "0..1",
        "Share of the pixels that are green, blue, orange or red in the photographs and were given that hue. Null if"
        " there are none.",
        True,
    ),
    Column(
        "green_kept",
        pa.float64(),
        "-",
        "0..1",
        "Share of the truly green pixels that were given green. Null if there are none.",
        True,
    ),
    Column(
        "orange_ratio",
        pa.float64(),
        "-",
        "≥ 0",
        "Share of orange in the coloured images, divided by that in the photographs. Null if these have none.",
        True,
    ),
    LPIPS,
    Column(
        "fid",
        pa.float64(),
        "-",
        "≥ 0",
        "Fréchet inception distance. Null if Inception's weights are not available.",
        True,
    ),
    Column(
        "kid",
        pa.float64(),
        "-",
        "-",
        "Kernel inception distance, unbiased. Null if Inception's weights are not available.",
        True,
    ),
)


def _ends(column: Column) -> tuple[Column, Column]:
    """Returns the columns for the ends of a metric's 95% bootstrap interval over the images."""
    return (
        Column(
            f"{column.name}_low",
            column.type,
            column.unit,
            "-",
            f"Lower end of the 95% interval of `{column.name}`.",
            column.nullable,
        ),
        Column(
            f"{column.name}_high",
            column.type,
            column.unit,
            "-",
            f"Upper end of the 95% interval of `{column.name}`.",
            column.nullable,
        ),
    )


METRICS = Schema(
    "data/evaluation/metrics",
    "evaluate",
    "a model or a control, with its metrics over all images",
    (
        MODEL,
        NAME,
        KIND,
        Column("images", pa.int64(), "-", "≥ 1", "Number of images. The metrics are means over them."),
        *ACCURACY,
        *COLOURFULNESS,
        *OF_SETS,
        *(end for column in (*ACCURACY, *COLOURFULNESS[:2], *OF_SETS) for end in _ends(column)),
    ),
)
_OF_HUE = (
    Column("share", pa.float64(), "-", "0..1", "Share of the coloured images' pixels that have this hue."),
    Column(
        "share_ratio", pa.float64(), "-", "≥ 0", "share / truth_share. Null if the photographs lack this hue.", True
    ),
    Column(
        "chroma",
        pa.float64(),
        "Lab units",
        "≥ 0",
        "Mean chroma C*ab of the coloured images over the pixels that have this hue in the photographs. Null if there"
        " are none.",
        True,
    ),
    *(
        Column(
            f"as_{given}",
            pa.float64(),
            "-",
            "0..1",
            f"Share of the pixels of this hue in the photographs that were given {given}. Null if there are none.",
            True,
        )
        for given in HUES
    ),
)
HUE_METRICS = Schema(
    "data/evaluation/hues",
    "evaluate",
    "a hue and a model or a control; its columns `as_*` are a row of the confusion table over all pixels",
    (
        MODEL,
        NAME,
        KIND,
        Column("hue", pa.string(), "-", ", ".join(HUES), "Hue; orange includes yellow and brown, red pink and purple."),
        Column("truth_pixels", pa.int64(), "pixels", "≥ 0", "Pixels of the photographs that have this hue."),
        Column("truth_share", pa.float64(), "-", "0..1", "Share of the photographs' pixels that have this hue."),
        Column(
            "truth_chroma",
            pa.float64(),
            "Lab units",
            "≥ 0",
            "Mean chroma C*ab of the photographs over these pixels. Null if there are none.",
            True,
        ),
        *_OF_HUE,
        *(end for column in _OF_HUE for end in _ends(column)),
    ),
)
COMPARISON = Schema(
    "data/evaluation/comparison",
    "evaluate",
    "a metric of two models on the same images (in `--out DIR`, if two models are evaluated)",
    (
        Column("first", pa.string(), "-", "-", "Label of the model that the other is compared with."),
        Column("second", pa.string(), "-", "-", "Label of the other model."),
        Column("metric", pa.string(), "-", "-", "Column of `metrics.parquet`. The values below have its unit."),
        Column("first_value", pa.float64(), "-", "-", "The metric of the first model."),
        Column("second_value", pa.float64(), "-", "-", "The metric of the second model."),
        Column("difference", pa.float64(), "-", "-", "second_value - first_value."),
        Column(
            "difference_low",
            pa.float64(),
            "-",
            "-",
            "Lower end of its 95% bootstrap interval; images are resampled in pairs.",
        ),
        Column("difference_high", pa.float64(), "-", "-", "Upper end of the interval."),
        Column(
            "better",
            pa.string(),
            "-",
            "-",
            "Label of the better model; empty if the interval contains 0, or if neither direction is better.",
        ),
    ),
)

SHARD_INDEX = Schema(
    "data/shards/index",
    "shards build",
    "an image stored in a Lab shard, in the order of the shards",
    (
        PATH,
        Column(
            "sha256",
            pa.string(),
            "-",
            "64 hex digits",
            "SHA-256 of the image file's bytes. Rows are sorted by it.",
            is_unique=True,
        ),
        Column(
            "shard", pa.string(), "-", "-", "File name of the shard, in the same folder as this index.", is_path=True
        ),
        Column("row", pa.int32(), "-", "≥ 0", "Row of the image in the shard."),
        Column("split", pa.string(), "-", "train, val, test", "Split of the image."),
        Column("width_px", pa.int32(), "px", "≥ 1", "Width of the upright original."),
        Column("height_px", pa.int32(), "px", "≥ 1", "Height of the upright original."),
    ),
)

TRAINING_METRICS = Schema(
    "data/models/<model>/metrics",
    "train generator` and `recolor train refiner",
    "a loss measured during training",
    (
        Column("step", pa.int64(), "steps", "≥ 1", "Number of optimiser steps before the measurement."),
        Column(
            "split",
            pa.string(),
            "-",
            "train, val",
            "`train`: loss of the step's batch. `val`: validation loss of the averaged weights.",
        ),
        Column("loss", pa.float64(), "nats, or 110 Lab units", "≥ 0", "Value of the loss."),
        Column("lr", pa.float64(), "-", "> 0", "Learning rate at that step."),
    ),
)

SCHEMAS: tuple[Schema, ...] = (
    INDEX,
    MEASUREMENTS,
    *ISSUE_SCHEMAS.values(),
    ISSUE_SCORES,
    OUTLIERS,
    CLEAN,
    SCORES,
    METRICS,
    PER_IMAGE_METRICS,
    HUE_METRICS,
    COMPARISON,
    SHARD_INDEX,
    TRAINING_METRICS,
)
