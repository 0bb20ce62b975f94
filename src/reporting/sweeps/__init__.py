"""Output of a sweep: its progress while it runs, and its summary when it has finished."""
