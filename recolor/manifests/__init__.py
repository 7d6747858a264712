"""Manifests: their schemas, reading and writing, and pandas."""
