"""An HTML page for reviewing outliers, and for deciding about them."""

from recolor.cleaning.gallery.gallery import Gallery, make_gallery

__all__ = ["Gallery", "make_gallery"]
