"""Every setting: one frozen dataclass a stage.

A setting's allowed values stand in its annotation (`Annotated[float, Ge(0), Le(1)]`, `Literal[...]`), where
both `settings.load_config` and Prefect's parameter forms read them. What a stage is keyed by is its own dataclass
alone, so that another learning rate does not void the shards.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MultipleOf

from recolor.errors import ConfigError

Fraction = Annotated[float, Ge(0.0), Le(1.0)]
Threshold = Annotated[float, Ge(0.0), Le(1.0)]
Positive = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0), Lt(2**63)]
DeviceName = Literal["auto", "cpu", "cuda"]
ColorizeDevice = Literal["auto", "cpu", "cuda", "mps"]
Runner = Literal["auto", "threads", "processes", "dask"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexConfig:
    """Which files are images.

    Attributes:
        suffixes: File name endings, lower case, with their dot; other files are counted and left alone.
    """

    suffixes: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureConfig:
    """What is measured, and the limits that keep a hostile file from taking the machine.

    Attributes:
        max_pixels: A larger image gets the reason `too_many_pixels` and is not decoded.
        max_file_bytes: A larger file gets the reason `too_many_pixels` and is not read.
        max_decode_s: An image that takes longer, where worker processes decode, gets the reason `too_slow`.
        measure_px: Short side, in pixels, that the decoder may scale an image down to.
    """

    max_pixels: Annotated[int, Ge(1), Le(178_956_970)] = 100_000_000  # Pillow refuses more, whatever is set here
    max_file_bytes: Positive = 512 * 1024 * 1024
    max_decode_s: Annotated[float, Gt(0.0)] = 120.0
    measure_px: Annotated[int, Ge(64), Le(4096)] = 288


@dataclass(frozen=True, kw_only=True, slots=True)
class CorruptConfig:
    """What the strict decode refused, and what was saved again after a decode that broke off.

    Attributes:
        enabled: Whether the issue is looked for at all.
        max_grey_tail: Share of the picture, from an edge inwards, that may be flat mid-grey.
    """

    enabled: bool = True
    max_grey_tail: Annotated[float, Gt(0.0), Le(1.0)] = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateConfig:
    """When two images are the same picture.

    Attributes:
        enabled: Whether the issue is looked for at all.
        max_hamming_distance: pHash-64 distance up to which a pair is a candidate (imagehash's are even).
        max_hamming_distance_turned: The same for flipped and rotated copies: chance has seven more tries there.
        max_hamming_distance_256: pHash-256 distance up to which a candidate is a duplicate.
        min_contrast: Standard deviation of L (0..100) under which an image is flat and its hash means nothing.
        symmetries: Also compare with the 8 flips and rotations.
        crops: Also look for parts of another image, of about nine tenths of its sides or more.
        max_hamming_distance_crop: pHash-64 distance up to which a part of one image and another image are a candidate.
        max_hamming_distance_256_crop: pHash-256 distance up to which such a candidate is a duplicate.
    """

    enabled: bool = True
    max_hamming_distance: Annotated[int, Ge(0), Le(16)] = 10
    max_hamming_distance_turned: Annotated[int, Ge(0), Le(16)] = 6
    max_hamming_distance_256: Annotated[int, Ge(0), Le(128)] = 48
    min_contrast: Annotated[float, Ge(0.0), Le(100.0)] = 4.0
    symmetries: bool = True
    crops: bool = True
    max_hamming_distance_crop: Annotated[int, Ge(0), Le(16)] = 6
    max_hamming_distance_256_crop: Annotated[int, Ge(0), Le(128)] = 72


@dataclass(frozen=True, kw_only=True, slots=True)
class MonochromeConfig:
    """Colour as a function of lightness alone.

    Attributes:
        enabled: Whether the issue is looked for at all.
        threshold: Images that score under this are outliers: 0 takes none, 1 nearly all.
    """

    enabled: bool = True
    threshold: Threshold = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class SkewedConfig:
    """Colour distributions far from the data set's own.

    Attributes:
        enabled: Whether the issue is looked for at all.
        threshold: Images that score under this are outliers: 0 takes none, 1 nearly all.
    """

    enabled: bool = True
    threshold: Threshold = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class BlurryConfig:
    """Images without fine detail.

    Attributes:
        enabled: Whether the issue is looked for at all.
        threshold: Images that score under this are outliers: 0 takes none, 1 nearly all.
    """

    enabled: bool = True
    threshold: Threshold = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class LowResolutionConfig:
    """Images that are too small.

    Attributes:
        enabled: Whether the issue is looked for at all.
        min_side_px: Images whose short side is under this are outliers.
    """

    enabled: bool = True
    min_side_px: Positive = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtremeAspectConfig:
    """Images that are too long.

    Attributes:
        enabled: Whether the issue is looked for at all.
        min_aspect: Narrower images are outliers (width over height).
        max_aspect: Wider images are outliers.
    """

    enabled: bool = True
    min_aspect: Annotated[float, Gt(0.0), Le(1.0)] = 0.5
    max_aspect: Annotated[float, Ge(1.0)] = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectConfig:
    """How the kept images are split.

    Attributes:
        val_fraction: Share of the groups that goes to validation.
        test_fraction: Share of the groups that goes to the test.
        seed: Another seed, another split; an image's side never depends on what else is in the folder.
    """

    val_fraction: Annotated[float, Ge(0.0), Lt(0.5)] = 0.05
    test_fraction: Annotated[float, Ge(0.0), Lt(0.5)] = 0.05
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardConfig:
    """How images become Lab tensors.

    Attributes:
        size_px: Side of the stored square: short side resized to it (area filter), centre cropped.
        dtype: `uint8` codes of the linear code book, or `float16` Lab.
        max_shard_images: A shard holds at most about this many images (half of it to all of it).
    """

    size_px: Annotated[int, Ge(64), Le(1024)] = 256
    dtype: Literal["uint8", "float16"] = "uint8"
    max_shard_images: Annotated[int, Ge(16), Le(8192)] = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorModelConfig:
    """The generator's shape.

    Attributes:
        encoder_weights: `imagenet` (torchvision's hub), `none`, or the path of a ResNet101 state dict.
        encoder_depth: Last ResNet101 layer used: 1, 2 or 3.
        head: `distribution` over ab bins (Zhang et al. 2016) or plain `regression`.
        width: Channels of the decoder.
        blocks: Residual blocks of the decoder; four see across a whole 224-pixel image.
        scale: Side of the squares of pixels that are averaged before the encoder: 2 sees a picture at half its size,
            for a quarter of the work.
    """

    encoder_weights: str = "imagenet"
    encoder_depth: Annotated[int, Ge(1), Le(3)] = 2
    head: Literal["distribution", "regression"] = "distribution"
    width: Annotated[int, Ge(8), Le(1024), MultipleOf(8)] = 128
    blocks: Annotated[int, Ge(0), Le(32)] = 4
    scale: Literal[1, 2, 4] = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class RefinerModelConfig:
    """The refiner's shape.

    Attributes:
        encoder_weights: As for the generator.
        width: Channels of the EDSR body.
        blocks: Residual blocks of the EDSR body.
    """

    encoder_weights: str = "imagenet"
    width: Annotated[int, Ge(8), Le(512)] = 64
    blocks: Annotated[int, Ge(1), Le(64)] = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """One training: how long, how fast, on what.

    Attributes:
        steps: Optimiser steps in all.
        batch_images: Images a step.
        lr: Peak learning rate of AdamW; linear warm-up, then cosine to 1% of it.
        warmup_steps: Steps of the warm-up.
        weight_decay: AdamW's, on weights of two dimensions or more.
        clip_norm: Gradient norm above which the gradient is scaled down.
        ema_decay: Decay of the moving average of the weights that is exported.
        seed: Fixes initial weights, order and augmentation.
        checkpoint_steps: A checkpoint each so many steps; a killed run loses at most these.
        keep_checkpoints: The newest so many are kept while it trains, besides the one with the least validation loss.
        validate_steps: Validation loss each so many steps.
        patience: Stops after so many validations without a lower loss, and the weights of the best one are exported;
            0 never stops early, and exports the last.
        metrics_steps: The metrics so far are written each so many steps, beside the model as `metrics_so_far.parquet`;
            after the first thousand, once they have grown by a hundredth.
        tensorboard: They are written for TensorBoard too, into `tensorboard/` beside the model.
        crop_px: Side of the square fed to the model.
        resized_crop: Least side of the square that is cut out, as a share of the image's: each step draws a side from
            there to the whole and resizes its squares to `crop_px`, so that few images teach more. At 1 nothing is
            resized, and squares of `crop_px` are cut out.
        flip: Mirror half of the images.
        exposure: Exposure is varied by a factor of up to 1 ± this, L and ab together.
        device: `auto` takes CUDA where there is one.
        devices: Processes that share each batch, one a GPU (or, on a CPU, one each).
        amp: `auto` is bfloat16 autocast on CUDA and on a CPU that multiplies bfloat16 itself, else float32.
        compile: Compile the model before the first step: a minute or more, then faster steps on a GPU.
        deterministic: On CUDA too only algorithms that give the same bits every time, slower; a CPU always has these.
        resident: Keep the whole split in the memory of the GPU: `auto` if it takes at most half of what is free.
    """

    steps: Positive = 20_000
    batch_images: Positive = 128
    lr: Annotated[float, Gt(0.0), Le(1.0)] = 1e-3
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
    """The generator: its model, its training, and how its distribution is learnt and read.

    Attributes:
        start_from: What the first weights are: `pretrained`, or a folder with a trained `generator/` of this shape (its
            scale may differ); empty: random ones, with `encoder_weights`.
        rebalance: λ of the class weights 1 / ((1-λ)p + λ/Q): 1 is none, 0 is full (Zhang et al. 2016, eq. 4).
        temperature: T of the annealed mean (Zhang et al. 2016, eq. 5): 1 is the mean, 0 the mode.
        saturation: Factor of the colour so read: a model that is unsure of a hue predicts it paler than it ever is.
    """

    model: GeneratorModelConfig = field(default_factory=GeneratorModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    start_from: str = ""
    rebalance: Fraction = 0.5
    temperature: Annotated[float, Gt(0.0), Le(1.0)] = 0.38
    saturation: Annotated[float, Gt(0.0), Le(10.0)] = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RefinerConfig:
    """The refiner: its model and its training.

    Attributes:
        start_from: As for the generator.
        predicted_fraction: Share of the images of a batch whose low-resolution ab is the generator's, not the truth.
        perceptual_weight: Of the perceptual loss, beside the mean absolute error of ab / 110: 0 leaves it out.
        perceptual_weights: ResNet101 whose features it compares: `imagenet` or the path of a state dict.
        adversarial_weight: Of what a critic of patches thinks of the result: 0 trains without one. Meant for a short
            training at the end, with `start_from`.
    """

    model: RefinerModelConfig = field(default_factory=RefinerModelConfig)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(batch_images=32, lr=4e-4))
    start_from: str = ""
    predicted_fraction: Fraction = 0.5
    perceptual_weight: Annotated[float, Ge(0.0)] = 0.0
    perceptual_weights: str = "imagenet"
    adversarial_weight: Annotated[float, Ge(0.0)] = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateConfig:
    """What the models are measured on.

    Attributes:
        split: The split whose images are coloured and compared.
        max_images: At most so many of them, in the order of the shards.
        pictures: Rows of the picture grid.
        device: As for the training.
        lpips_weights: File of AlexNet's weights, for LPIPS; empty leaves it out.
        inception_weights: File of Inception's weights, for FID and KID; empty leaves them out.
    """

    split: Split = "test"
    max_images: Positive = 1000
    pictures: Annotated[int, Ge(1), Le(64)] = 12
    device: DeviceName = "auto"
    lpips_weights: str = ""
    inception_weights: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionConfig:
    """How the work is done. Nothing here changes a result, so nothing here is part of a key.

    Attributes:
        workers: Parts under way at once; 0 is one for each core. With `dask`, what the parts are cut for: give the
            number of the cluster's threads.
        part_images: Images in one part of measuring.
        runner: Who decodes: `threads` of this process; `processes` beside it, which a decoder that crashes does not
            take along; the workers of a `dask` cluster, in the flows alone; `auto` is processes to measure, where files
            are decoded for the first time, and to write shards if there are images enough to be worth starting them.
        dask_address: The scheduler of the cluster, such as `tcp://10.0.0.1:8786`.
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
    duplicate: DuplicateConfig = field(default_factory=DuplicateConfig)
    monochrome: MonochromeConfig = field(default_factory=MonochromeConfig)
    skewed: SkewedConfig = field(default_factory=SkewedConfig)
    blurry: BlurryConfig = field(default_factory=BlurryConfig)
    low_resolution: LowResolutionConfig = field(default_factory=LowResolutionConfig)
    extreme_aspect: ExtremeAspectConfig = field(default_factory=ExtremeAspectConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    shard: ShardConfig = field(default_factory=ShardConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    refiner: RefinerConfig = field(default_factory=RefinerConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)

    def __post_init__(self) -> None:
        """Refuse what no single field's range can: settings that contradict each other."""
        _check_together(self)


def _check_together(config: Config) -> None:
    if config.execution.runner == "dask" and not config.execution.dask_address:
        raise ConfigError(
            "execution.runner = 'dask': which cluster? Start one (`dask scheduler`, `dask worker ADDRESS`) and give its"
            " scheduler's address with --dask-address or execution.dask_address."
        )
    if config.select.val_fraction == 0:
        raise ConfigError("select.val_fraction = 0: training needs a validation split. Allowed: above 0, below 0.5.")
    if config.select.test_fraction == 0 and config.evaluate.split == "test":
        raise ConfigError(
            "select.test_fraction = 0 and evaluate.split = 'test': there would be nothing to evaluate on. Give one a"
            " fraction above 0, or the other 'val'."
        )
    if not config.index.suffixes or any(not s.startswith(".") or s != s.lower() for s in config.index.suffixes):
        raise ConfigError(
            f"index.suffixes = {list(config.index.suffixes)}: not allowed. Allowed: at least one ending, in lower case"
            " and with its dot, such as '.jpg'."
        )
    if config.refiner.perceptual_weight and config.refiner.perceptual_weights == "none":
        raise ConfigError(
            "refiner.perceptual_weights = 'none' and refiner.perceptual_weight > 0: random weights know nothing of"
            " photographs. Allowed: `imagenet`, or the path of a ResNet101 state dict."
        )
    for name, train in (("generator", config.generator.train), ("refiner", config.refiner.train)):
        if train.warmup_steps >= train.steps:
            raise ConfigError(
                f"{name}.train.warmup_steps = {train.warmup_steps}: the warm-up must end before the training does."
                f" Allowed: 0 to {train.steps - 1} ({name}.train.steps - 1)."
            )
        if train.batch_images % train.devices:
            raise ConfigError(
                f"{name}.train.batch_images = {train.batch_images}: each of the {train.devices} devices"
                f" ({name}.train.devices) takes as many images of a batch. Allowed: multiples of {train.devices}."
            )
        multiple_px = 8 * config.generator.model.scale  # the refiner is shown the generator's colours
        if train.crop_px > config.shard.size_px or train.crop_px % multiple_px:
            raise ConfigError(
                f"{name}.train.crop_px = {train.crop_px}: a crop is cut from the shards' squares, and the generator"
                f" sees eighths of it at its scale. Allowed: multiples of {multiple_px} (8 times"
                f" generator.model.scale) up to {config.shard.size_px} (shard.size_px)."
            )
