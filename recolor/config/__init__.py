"""Settings: their schema, presets, and how they are loaded."""
