"""Cleans a folder of photographs: index, measure, detect, select; then gallery, thresholds and export."""
