#!/bin/sh
# The whole pipeline, stage by stage: from a folder of photographs to coloured pictures.
#
#     sh examples/full_pipeline.sh PHOTOS WORKSPACE [PRESET]
#
#   photos ─ index ─ measure ─ detect ─ select ─ shard ─ train generator ─ train refiner ─ evaluate
#
# Run it again after an interruption or with other settings: finished work is reused.
# `recolor run --images PHOTOS --workspace WORKSPACE` does the same in one command.
set -eu

photos=$1
space=$2
mkdir -p "$space"
[ -f "$space/recolor.toml" ] || echo "preset = \"${3:-quick}\"" > "$space/recolor.toml"

# Cleaning: which images should be trained on?
recolor index --images "$photos" --workspace "$space"      # → manifests/index.parquet
recolor measure --images "$photos" --workspace "$space"    # → manifests/measurements.parquet
recolor detect --workspace "$space"                        # → manifests/<issue>.parquet
recolor select --workspace "$space"                        # → manifests/clean.parquet, outliers.parquet
recolor gallery --workspace "$space"                       # → manifests/gallery.html, to review and decide

# Shards: the kept images as Lab tensors.
recolor shards build --images "$photos" --workspace "$space"    # → data/shards/
recolor shards verify --workspace "$space"

# Training: two networks.
recolor train generator --workspace "$space"               # → data/models/generator/
recolor train refiner --workspace "$space"                 # → data/models/refiner/

# Evaluation: on images that the models were not trained on.
recolor evaluate --workspace "$space"                      # → data/evaluation/report.html

# Use: colour photographs with the new models.
recolor colorize "$photos" "$space/coloured" --model "$space/data/models"
