"""Several runs trained as one stacked network."""
