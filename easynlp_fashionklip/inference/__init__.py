"""Batched encoding of texts and pictures."""
