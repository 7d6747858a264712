"""The kept images as a folder, of links or of copies."""

from recolor.export.folder import ExportResult, Problem, export_clean

__all__ = ["ExportResult", "Problem", "export_clean"]
