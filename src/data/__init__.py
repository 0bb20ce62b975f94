"""Data sets as LightningDataModules: one module per family."""

# Magnitude of a value in a file: sums of squares beyond it leave the range of floating-point numbers.
LARGEST = 1e30
