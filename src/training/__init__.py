"""One run: built, fitted, tested and recorded."""
