"""Plots and labels of images."""
