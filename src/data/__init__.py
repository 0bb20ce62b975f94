"""Data sets as LightningDataModules: one module per family."""
