"""hf-runner-controller: ephemeral GitHub Actions runners on Hugging Face Jobs.

The layers and what may import what are drawn in ``docs/architecture.md``.
"""

__version__ = "0.1.0"
