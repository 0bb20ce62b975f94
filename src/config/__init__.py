"""Configuration: composed, validated and explained before torch is imported."""
