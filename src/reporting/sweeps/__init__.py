"""What people read of a sweep: its progress while it runs, and its summary at its end."""
