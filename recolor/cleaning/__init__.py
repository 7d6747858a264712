"""Cleans a folder of photographs: index, measure, detect, select.

Then gallery, thresholds and export.
"""
