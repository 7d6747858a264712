"""An HTML page for reviewing outliers: pictures, scores, reasons, and decisions for the next run."""

from recolor.cleaning.gallery.gallery import Gallery, make_gallery

__all__ = ["Gallery", "make_gallery"]
