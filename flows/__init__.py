"""Recolor's stages as Prefect flows.

The only package that imports Prefect; a task is one call of a stage function.
"""
