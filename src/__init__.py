"""Labbook: textbook deep-learning experiments as reproducible Lightning and Hydra runs."""

import sys

from src.torchvision_operators import BeforeTorchvision

sys.meta_path.insert(0, BeforeTorchvision())
