"""Plots, tables, comparisons and pages of runs."""
