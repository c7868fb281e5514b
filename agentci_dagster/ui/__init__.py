"""Dagster's UI behind a guard: what no web page and no stranger may ask of it.

What is shown belongs to Dagster; what may be asked is `rules.py`.
"""
