"""A page to look at the outliers: pictures, scores, reasons, and decisions that the next run obeys."""

from recolor.cleaning.gallery.gallery import Gallery, make_gallery

__all__ = ["Gallery", "make_gallery"]
