"""ActionPrompt: teach CLIP-like vision-language models to recognise human actions in video."""

__version__ = "0.1.0"
