"""Classical baselines behind the interface of a network."""
