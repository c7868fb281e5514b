"""Places where a release can run, one module per place."""
