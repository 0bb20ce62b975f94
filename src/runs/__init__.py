"""A run folder on disk: written, read and found."""
