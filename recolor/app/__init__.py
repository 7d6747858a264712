"""A page on this machine for colouring photographs and for deciding about outliers: `recolor app`."""
