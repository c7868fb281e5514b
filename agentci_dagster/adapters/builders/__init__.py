"""Builders of the deployable artefact, one module per kind of artefact."""
