"""Tasks: LightningModules around any network, one per kind of target, none per network."""
