"""sRGB, CIELAB, gamut and the stored codes: each formula once."""
