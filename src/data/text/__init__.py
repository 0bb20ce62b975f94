"""Texts as sequences of words and as bags of words."""
