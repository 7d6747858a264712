"""Every setting, in one frozen dataclass for each group.

A setting's annotation holds its allowed values (`Annotated[float, Ge(0), Le(1)]`, `Literal[...]`), and its entry in the
docstring is its meaning. `load_config`, Prefect's parameter forms, `recolor settings` and docs/settings.md all use
these. The key of a stage holds only its own group, so that another learning rate does not rewrite the shards.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Gt, Le, Lt, MultipleOf

from recolor.errors import ConfigError

Fraction = Annotated[float, Ge(0.0), Le(1.0)]
Threshold = Annotated[float, Ge(0.0), Le(1.0)]
Positive = Annotated[int, Ge(1)]
LARGEST_PIXELS = 178_956_970  # Pillow refuses more, whatever is set here
Seed = Annotated[int, Ge(0), Lt(2**63)]
DeviceName = Literal["auto", "cpu", "cuda"]
ColorizeDevice = Literal["auto", "cpu", "cuda", "mps"]
Runner = Literal["auto", "threads", "processes", "dask"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
LookName = Literal["careful", "natural", "vivid"]


IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".avif", ".heic", ".heif", ".hif"),
)
SYSTEM_NAMES = (
    *("@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", ".Trash*", ".thumbnails"),
    *("lost+found", "System Volume Information", "* Previews.lrdata", "*.photoslibrary/resources"),
    *("Thumbs.db", "._*", ".DS_Store"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexConfig:
    """Which files are images.

    Attributes:
        suffixes: File name endings of images, in lower case and with their dot. Other files are counted but not read.
        skip: Glob patterns (`*`, `?`, `[abc]`) of names of folders and files that are skipped and counted, whatever
            their case: previews, recycle bins and other files of operating systems and photo programs. A pattern with
            a slash, such as `*.photoslibrary/resources`, matches the name of the folder around too. With an empty list
            nothing is skipped but hidden files and the files of Recolor's workspaces.
    """

    suffixes: tuple[str, ...] = IMAGE_SUFFIXES
    skip: tuple[str, ...] = SYSTEM_NAMES


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureConfig:
    """What is measured, and the limits that protect the machine from hostile files.

    Attributes:
        max_pixels: Maximum number of decoded pixels. A larger image gets the reason `too_many_pixels` and is not
            decoded. A JPEG that is not progressive is decoded at a smaller scale, which counts.
        max_file_bytes: Maximum file size, in bytes. A larger file gets the reason `too_many_bytes` and is not read.
        max_decode_s: Maximum decoding time, in seconds, where worker processes decode. A slower image gets the reason
            `too_slow`.
        measure_px: Short side, in pixels, to which the decoder may scale an image down. All is measured at 288 to 575,
            so a larger value costs time and changes nothing; a smaller one would hide blur.
    """

    max_pixels: Annotated[int, Ge(1), Le(LARGEST_PIXELS)] = 100_000_000
    max_file_bytes: Positive = 512 * 1024 * 1024
    max_decode_s: Annotated[float, Gt(0.0)] = 120.0
    measure_px: Annotated[int, Ge(288), Le(4096)] = 288


@dataclass(frozen=True, kw_only=True, slots=True)
class CorruptConfig:
    """Files that fail strict decoding, and files saved again after an incomplete decode.

    Attributes:
        enabled: Run this detector. If false, its manifest has no rows.
        max_grey_tail: Maximum share of the picture that may be flat mid-grey, measured from an edge inwards.
        reject_untidy: Also list files that are not in order although no pixel is lost, such as a JPEG without an end
            marker.
    """

    enabled: bool = True
    max_grey_tail: Annotated[float, Gt(0.0), Le(1.0)] = 0.01
    reject_untidy: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TooLargeConfig:
    """Images beyond a limit of `measure`: pixels, bytes or decoding time.

    Attributes:
        enabled: Run this detector. If false, its manifest has no rows; the images are not kept all the same.
    """

    enabled: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateConfig:
    """When two images are the same picture.

    Attributes:
        enabled: Run this detector. If false, its manifest has no rows.
        max_hamming_distance: Maximum pHash-64 distance of a candidate pair. Distances of imagehash's pHash are even.
        max_hamming_distance_turned: Maximum pHash-64 distance of a flipped or rotated candidate. It is lower, because
            seven more comparisons make a chance match more likely.
        max_hamming_distance_256: Maximum pHash-256 distance of a candidate that is not a crop.
        min_similarity: Minimum correlation of the details of two candidates, laid over each other, at which they are
            copies. It is lowered by 0.1 for a pair whose colours differ.
        min_contrast: Minimum standard deviation of L (0..100). Below it an image is flat and its hash is meaningless:
            flat images are copies if their colours and thumbnails agree.
        symmetries: Also compare with the 8 flips and rotations.
        crops: Also find images that are a part of another: up to 30% cut from the width or the height (another
            aspect ratio), or up to 10% from every side. Two parts of one picture are copies as well.
        max_hamming_distance_crop: Maximum pHash-64 distance between a window of one image and another image for the
            two to be candidates. Between windows of both it is at most 6.
    """

    enabled: bool = True
    max_hamming_distance: Annotated[int, Ge(0), Le(16)] = 12
    max_hamming_distance_turned: Annotated[int, Ge(0), Le(16)] = 6
    max_hamming_distance_256: Annotated[int, Ge(0), Le(128)] = 72
    min_similarity: Annotated[float, Ge(0.0), Le(1.0)] = 0.68
    min_contrast: Annotated[float, Ge(0.0), Le(100.0)] = 4.0
    symmetries: bool = True
    crops: bool = True
    max_hamming_distance_crop: Annotated[int, Ge(0), Le(16)] = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class MonochromeConfig:
    """Images whose colour is a function of lightness alone.

    Attributes:
        enabled: Run this detector. If false, its manifest has no rows.
        threshold: Images that score below this are outliers. 0 selects none, 1 selects nearly all.
    """

    enabled: bool = True
    threshold: Threshold = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class SkewedConfig:
    """Images whose colour distribution is far from that of the data set.

    Attributes:
        enabled: Run this detector. If false, its manifest has no rows.
        threshold: Images that score below this are outliers. 0 selects none, 1 selects nearly all.
    """

    enabled: bool = True
    threshold: Threshold = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class BlurryConfig:
    """Images without fine detail.

    Attributes:
        enabled: Run this detector. If false, its manifest has no rows.
        threshold: Images that score below this are outliers. 0 selects none, 1 selects nearly all.
    """

    enabled: bool = True
    threshold: Threshold = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class ExposureConfig:
    """Images in which nothing is to be seen: black, blown out, or blank.

    Attributes:
        enabled: Run this detector. If false, its manifest has no rows.
        threshold: Images that score below this are outliers. 0 selects none, 1 selects nearly all.
    """

    enabled: bool = True
    threshold: Threshold = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class LowResolutionConfig:
    """Images that are too small.

    Attributes:
        enabled: Run this detector. If false, its manifest has no rows.
        min_side_px: Minimum short side, in pixels. Smaller images are outliers.
    """

    enabled: bool = True
    min_side_px: Positive = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtremeAspectConfig:
    """Images that are too narrow or too wide.

    Attributes:
        enabled: Run this detector. If false, its manifest has no rows.
        min_aspect: Minimum width divided by height. Narrower images are outliers.
        max_aspect: Maximum width divided by height. Wider images are outliers.
    """

    enabled: bool = True
    min_aspect: Annotated[float, Gt(0.0), Le(1.0)] = 0.5
    max_aspect: Annotated[float, Ge(1.0)] = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectConfig:
    """How the kept images are split into train, val and test.

    Attributes:
        val_fraction: Share of the groups of images that goes to validation.
        test_fraction: Share of the groups of images that goes to the test split.
        seed: Seed of the split. The split of an image never depends on what else is in the folder.
    """

    val_fraction: Annotated[float, Ge(0.0), Lt(0.5)] = 0.05
    test_fraction: Annotated[float, Ge(0.0), Lt(0.5)] = 0.05
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardConfig:
    """How images are stored as Lab tensors.

    Attributes:
        size_px: Side of the stored square, in pixels. The short side is resized to it (area filter), then the image is
            centre-cropped.
        dtype: `uint8` stores codes of the linear code book, `float16` stores Lab values.
        max_shard_images: Approximate maximum number of images in a shard. A shard holds half of it to all of it.
    """

    size_px: Annotated[int, Ge(64), Le(1024)] = 256
    dtype: Literal["uint8", "float16"] = "uint8"
    max_shard_images: Annotated[int, Ge(16), Le(8192)] = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorModelConfig:
    """The architecture of the generator.

    Attributes:
        encoder: Network whose features are used: `resnet101`, `efficientnet_lite0` (or 1, 2), or, with the extra
            `encoders`, any network of timm with features at strides 4, 8, ...
        encoder_weights: Initial weights of the encoder: `imagenet` (from torchvision's or timm's hub; for
            `efficientnet_lite0` from the package that the extra `encoders` installs), `none`, or the path of a state
            dict.
        encoder_depth: Number of features of the encoder that are used: at strides 4, 8, 16 and 32. For `resnet101`,
            its last layer that is used.
        head: Output of the model: a `distribution` over ab bins (Zhang et al. 2016) or plain `regression`.
        width: Number of channels of the decoder at its finest level.
        widening: Factor of the number of channels from each level of the decoder to the next coarser one. Coarse levels
            have few pixels, so wide ones cost little. At 1 all have `width` channels.
        blocks: Number of residual blocks of the decoder. The receptive field of four blocks covers an image of 224 px.
        scale: Factor by which the image is reduced before the encoder, by area averaging. At 2 the model needs a
            quarter of the computation.
    """

    encoder: str = "resnet101"
    encoder_weights: str = "imagenet"
    encoder_depth: Annotated[int, Ge(1), Le(4)] = 2
    head: Literal["distribution", "regression"] = "distribution"
    width: Annotated[int, Ge(8), Le(1024), MultipleOf(8)] = 128
    widening: Annotated[float, Ge(1.0), Le(4.0)] = 1.0
    blocks: Annotated[int, Ge(0), Le(32)] = 4
    scale: Literal[1, 2, 4] = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class RefinerModelConfig:
    """The architecture of the refiner.

    Attributes:
        encoder: Network whose features at stride 4 are used, as for the generator.
        encoder_weights: Initial weights of the encoder, as for the generator.
        width: Number of channels of the EDSR body.
        blocks: Number of residual blocks of the EDSR body.
    """

    encoder: str = "resnet101"
    encoder_weights: str = "imagenet"
    width: Annotated[int, Ge(8), Le(512)] = 64
    blocks: Annotated[int, Ge(1), Le(64)] = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How one model is trained: length, optimiser, data and device.

    Attributes:
        steps: Total number of optimiser steps.
        batch_images: Number of images in a batch, over all devices.
        lr: Peak learning rate of AdamW. It warms up linearly, then decays by a cosine to 1% of the peak.
        encoder_lr_fraction: Learning rate of the encoder, as a fraction of `lr`. 0 freezes the encoder, with the
            statistics of its batch norm.
        warmup_steps: Number of warm-up steps.
        weight_decay: Weight decay of AdamW, applied to weights of two dimensions or more.
        clip_norm: Maximum norm of the gradient. A larger gradient is scaled down to it.
        ema_decay: Decay of the exponential moving average (EMA) of the weights. The average is exported.
        seed: Seed of the initial weights, the order of the images and the augmentation.
        checkpoint_steps: Save a checkpoint every N steps. A killed run loses at most N steps.
        keep_checkpoints: Number of newest checkpoints kept while training. The one with the lowest validation loss is
            kept as well.
        validate_steps: Compute the validation loss every N steps.
        patience: Stop after N validations without a lower loss and export the weights of the best one. 0 never stops
            early and exports the last weights.
        metrics_steps: Write the metrics every N steps to `metrics_so_far.parquet` beside the model. After a thousand
            steps, the file is written each time its number of steps has grown by 1%.
        tensorboard: Also write the metrics for TensorBoard, into `tensorboard/` beside the model.
        crop_px: Side, in pixels, of the model's square input.
        resized_crop: Minimum side of the cropped square, as a share of the image's side. Each step draws a side between
            it and the whole image, and resizes the squares to `crop_px`, so that few images teach more. At 1 nothing is
            resized, and squares of `crop_px` are cut out.
        flip: Mirror half of the images.
        exposure: Maximum relative change of exposure. Linear light is multiplied by a random factor from 1 - N to
            1 + N, so that L and ab change together.
        device: Where the model is trained. `auto` uses CUDA if it is available.
        devices: Number of processes that share each batch: one for each GPU, or several on a CPU.
        amp: Mixed precision. `auto` uses bfloat16 autocast on CUDA and on CPUs with native bfloat16 products, else
            float32.
        compile: Compile the model before the first step. This takes a minute or more; steps on a GPU are then faster.
        deterministic: Use only deterministic algorithms on CUDA, which are slower. CPUs always do.
        resident: Keep the whole split in GPU memory. `auto` does so if it takes at most half of the free memory.
    """

    steps: Positive = 20_000
    batch_images: Positive = 128
    lr: Annotated[float, Gt(0.0), Le(1.0)] = 1e-3
    encoder_lr_fraction: Fraction = 1.0
    warmup_steps: Annotated[int, Ge(0)] = 500
    weight_decay: Annotated[float, Ge(0.0), Le(1.0)] = 0.01
    clip_norm: Annotated[float, Gt(0.0)] = 1.0
    ema_decay: Annotated[float, Ge(0.0), Lt(1.0)] = 0.999
    seed: Seed = 0
    checkpoint_steps: Positive = 500
    keep_checkpoints: Positive = 2
    validate_steps: Positive = 500
    patience: Annotated[int, Ge(0)] = 0
    metrics_steps: Positive = 10
    tensorboard: bool = False
    crop_px: Annotated[int, Ge(64), Le(1024)] = 224
    resized_crop: Annotated[float, Gt(0.0), Le(1.0)] = 1.0
    flip: bool = True
    exposure: Annotated[float, Ge(0.0), Lt(1.0)] = 0.1
    device: DeviceName = "auto"
    devices: Annotated[int, Ge(1), Le(64)] = 1
    amp: Literal["auto", "off", "bfloat16"] = "auto"
    compile: bool = False
    deterministic: bool = False
    resident: Literal["auto", "on", "off"] = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorConfig:
    """The generator: its model, its training, and how colours are read from its distribution.

    Attributes:
        model: Architecture.
        train: Training.
        start_from: Initial weights of the whole model: `pretrained`, or a folder with a trained `generator/` of the
            same architecture (its scale may differ). Empty: random weights, with `encoder_weights`.
        teachers: Trained generators whose mean distribution is learnt beside the true colours (Hinton et al. 2015,
            "Distilling the Knowledge in a Neural Network"): `pretrained`, or folders with a trained `generator/` of any
            architecture and the same `scale`.
        teacher_weight: Share of the teachers in the training loss, if there are any. The validation loss is that of the
            true colours alone.
        rebalance: λ of the class weights 1 / ((1-λ)p + λ/Q) (Zhang et al. 2016, eq. 4). 1 is no rebalancing, 0 is full.
        temperature: T of the annealed mean (Zhang et al. 2016, eq. 5). 1 is the mean, towards 0 the mode.
        saturation: Factor of the predicted a and b. It corrects the pale colours of a model that is unsure of a hue.
    """

    model: GeneratorModelConfig = field(default_factory=GeneratorModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    start_from: str = ""
    teachers: tuple[str, ...] = ()
    teacher_weight: Fraction = 0.7
    rebalance: Fraction = 0.5
    temperature: Annotated[float, Gt(0.0), Le(1.0)] = 0.38
    saturation: Annotated[float, Gt(0.0), Le(10.0)] = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RefinerConfig:
    """The refiner: its model and its training.

    Attributes:
        model: Architecture.
        train: Training.
        start_from: Initial weights of the whole model: `pretrained`, or a folder with a trained `refiner/` of the same
            architecture. Empty: random weights, with `encoder_weights`.
        predicted_fraction: Share of a batch whose low-resolution ab comes from the generator. The rest has the true ab.
        predicted_looks: Looks (see `recolor.Look`) in which the generator's ab is read; the images of a batch take them
            in turn. What the refiner learns to correct in one look may be wrong for the others.
        ssim_weight: Weight of the SSIM loss, 1 - SSIM of the sRGB images, beside the mean absolute error of ab / 110
            (Zhao et al. 2017, "Loss Functions for Image Restoration with Neural Networks", section III.B). 0 leaves it
            out.
        perceptual_weight: Weight of the perceptual loss, beside the mean absolute error of ab / 110. 0 leaves it out.
        perceptual_weights: ResNet101 whose features the perceptual loss compares: `imagenet` or the path of a state
            dict.
        adversarial_weight: Weight of the adversarial loss of a patch discriminator. 0 trains without one. Meant for a
            short training at the end, with `start_from`.
    """

    model: RefinerModelConfig = field(default_factory=RefinerModelConfig)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(batch_images=32, lr=4e-4))
    start_from: str = ""
    predicted_fraction: Fraction = 0.5
    predicted_looks: tuple[LookName, ...] = ("natural",)
    ssim_weight: Annotated[float, Ge(0.0)] = 0.0
    perceptual_weight: Annotated[float, Ge(0.0)] = 0.0
    perceptual_weights: str = "imagenet"
    adversarial_weight: Annotated[float, Ge(0.0)] = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateConfig:
    """What the models are evaluated on.

    Attributes:
        split: Split that is evaluated.
        max_images: Maximum number of images, taken in the order of the shards.
        pictures: Number of rows of the picture grid.
        device: Where the models run. `auto` uses CUDA if it is available.
        lpips_weights: File of AlexNet's weights, for LPIPS. Empty leaves LPIPS out.
        inception_weights: File of Inception's weights, for FID and KID. Empty leaves both out.
    """

    split: Split = "test"
    max_images: Positive = 1000
    pictures: Annotated[int, Ge(1), Le(64)] = 12
    device: DeviceName = "auto"
    lpips_weights: str = ""
    inception_weights: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionConfig:
    """How the work is done. No setting here changes a result, so none is part of a key.

    Attributes:
        workers: Number of parts processed at the same time. 0 uses one for each core. With `dask`, set it to the number
            of threads of the cluster.
        part_images: Number of images in one part of measuring.
        runner: Where images are decoded: `threads`, `processes` or `dask`. A decoder that crashes in one of the
            `processes` does not end the run. `dask` uses the workers of a cluster, and works in the flows only. `auto`
            uses processes for measuring, where files are decoded for the first time, and for writing shards if there
            are enough images to make up for starting them.
        dask_address: Address of the cluster's scheduler, such as `tcp://10.0.0.1:8786`.
    """

    workers: Annotated[int, Ge(0), Le(256)] = 0
    part_images: Annotated[int, Ge(1), Le(8192)] = 512
    runner: Runner = "auto"
    dask_address: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """All settings, one field for each group.

    Examples:
        >>> from dataclasses import replace
        >>> from recolor import Config
        >>> config = Config()
        >>> strict = replace(config, blurry=replace(config.blurry, threshold=0.6))
    """

    index: IndexConfig = field(default_factory=IndexConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    corrupt: CorruptConfig = field(default_factory=CorruptConfig)
    too_large: TooLargeConfig = field(default_factory=TooLargeConfig)
    duplicate: DuplicateConfig = field(default_factory=DuplicateConfig)
    monochrome: MonochromeConfig = field(default_factory=MonochromeConfig)
    skewed: SkewedConfig = field(default_factory=SkewedConfig)
    blurry: BlurryConfig = field(default_factory=BlurryConfig)
    exposure: ExposureConfig = field(default_factory=ExposureConfig)
    low_resolution: LowResolutionConfig = field(default_factory=LowResolutionConfig)
    extreme_aspect: ExtremeAspectConfig = field(default_factory=ExtremeAspectConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    shard: ShardConfig = field(default_factory=ShardConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    refiner: RefinerConfig = field(default_factory=RefinerConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)

    def __post_init__(self) -> None:
        """Raises an error for settings that contradict each other.

        The ranges of single fields cannot exclude these.
        """
        _check_together(self)


def _check_together(config: Config) -> None:
    if config.execution.runner == "dask" and not config.execution.dask_address:
        raise ConfigError(
            "execution.runner = 'dask': no cluster is given. Start one (`dask scheduler`, `dask worker ADDRESS`) and"
            " give its scheduler's address with --dask-address or execution.dask_address."
        )
    if config.select.val_fraction == 0:
        raise ConfigError("select.val_fraction = 0: training needs a validation split. Allowed: above 0, below 0.5.")
    if config.select.test_fraction == 0 and config.evaluate.split == "test":
        raise ConfigError(
            "select.test_fraction = 0 and evaluate.split = 'test': there would be no images to evaluate on. Set"
            " select.test_fraction above 0, or evaluate.split to 'val'."
        )
    if not config.index.suffixes or any(not s.startswith(".") or s != s.lower() for s in config.index.suffixes):
        raise ConfigError(
            f"index.suffixes = {list(config.index.suffixes)}: not allowed. Allowed: at least one ending, in lower case"
            " and with its dot, such as '.jpg'."
        )
    _check_refiner(config.refiner)
    _check_training(config)


def _check_refiner(refiner: RefinerConfig) -> None:
    looks = refiner.predicted_looks
    if not looks or len(set(looks)) < len(looks):
        raise ConfigError(
            f"refiner.predicted_looks = {list(looks)}: not allowed. Allowed: at least one of"
            f" {', '.join(map(repr, get_args(LookName)))}, each at most once."
        )
    predicted_images = round(refiner.predicted_fraction * refiner.train.batch_images)
    if 0 < predicted_images < len(looks):
        raise ConfigError(
            f"refiner.predicted_looks = {list(looks)}: a batch has only {predicted_images} images in predicted colour"
            " (refiner.predicted_fraction of refiner.train.batch_images), so not every look would be trained. Give"
            " fewer looks, or a larger fraction or batch."
        )
    if refiner.perceptual_weight and refiner.perceptual_weights == "none":
        raise ConfigError(
            "refiner.perceptual_weights = 'none' and refiner.perceptual_weight > 0: the perceptual loss needs trained"
            " weights. Allowed: `imagenet`, or the path of a ResNet101 state dict."
        )


def _check_training(config: Config) -> None:
    for name, train in (("generator", config.generator.train), ("refiner", config.refiner.train)):
        if train.warmup_steps >= train.steps:
            raise ConfigError(
                f"{name}.train.warmup_steps = {train.warmup_steps}: the warm-up must end before the training does."
                f" Allowed: 0 to {train.steps - 1} ({name}.train.steps - 1)."
            )
        if train.batch_images % train.devices:
            raise ConfigError(
                f"{name}.train.batch_images = {train.batch_images}: the batch is divided equally among the"
                f" {train.devices} devices ({name}.train.devices). Allowed: multiples of {train.devices}."
            )
        multiple_px = 8 * config.generator.model.scale  # for the refiner too: the generator runs on its crops
        if train.crop_px > config.shard.size_px or train.crop_px % multiple_px:
            raise ConfigError(
                f"{name}.train.crop_px = {train.crop_px}: not allowed. Allowed: multiples of {multiple_px} (8 times"
                f" generator.model.scale, the stride of the generator) up to {config.shard.size_px} (shard.size_px)."
            )
