"""Continuous delivery as data assets on Dagster. Importing this package imports nothing heavy."""
