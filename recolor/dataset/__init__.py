"""Shards as training data: dataset, sampler, loader, augmentation."""
