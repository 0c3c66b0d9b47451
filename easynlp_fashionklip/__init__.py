"""FashionKLIP as an EasyNLP plugin: concept graph (FashionMMKG), concept-visual alignment, evaluation and search."""

__version__ = "0.1.0"
