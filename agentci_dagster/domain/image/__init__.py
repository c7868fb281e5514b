"""The deployable artefact of a commit, and what its Dockerfile could do better.

Building belongs to `adapters/builders/`; asking the schema to `adapters/schema_probe.py`.
"""

from __future__ import annotations

from agentci_dagster.domain.image.dockerfile import (
    Dockerfile,
    Instruction,
    Stage,
    parse_dockerfile,
)
from agentci_dagster.domain.image.dockerfile_advice import (
    Advice,
    AdviceCode,
    Proposal,
    advise,
    propose,
)
from agentci_dagster.domain.image.gain import Gain, gain_of
from agentci_dagster.domain.image.generated_dockerfile import dockerfile_of
from agentci_dagster.domain.image.recipe import (
    DockerUse,
    ImageWish,
    Recipe,
    RecipeAnswer,
    Toolchain,
    read_for_recipe,
    recipe_of,
)
from agentci_dagster.domain.image.review import DockerfileReview, review_dockerfile
from agentci_dagster.domain.image.values import (
    Image,
    ImageKind,
    Layer,
    LayerKind,
    LayerTouch,
    SchemaFinding,
    nothing_to_build,
    summary,
    touched_layers,
)

__all__ = [
    "Advice",
    "AdviceCode",
    "DockerUse",
    "Dockerfile",
    "DockerfileReview",
    "Gain",
    "Image",
    "ImageKind",
    "ImageWish",
    "Instruction",
    "Layer",
    "LayerKind",
    "LayerTouch",
    "Proposal",
    "Recipe",
    "RecipeAnswer",
    "SchemaFinding",
    "Stage",
    "Toolchain",
    "advise",
    "dockerfile_of",
    "gain_of",
    "nothing_to_build",
    "parse_dockerfile",
    "propose",
    "read_for_recipe",
    "recipe_of",
    "review_dockerfile",
    "summary",
    "touched_layers",
]
