"""Tasks: LightningModules that wrap a network, one per kind of step, never one per network."""
