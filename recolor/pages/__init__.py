"""HTML pages: templates, inline scripts and pictures; text drawn on images."""
