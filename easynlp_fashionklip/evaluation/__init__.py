"""Retrieval protocols, scores and their report."""
