"""Catalogues: readers, pairs, datasets, batches and the sample catalogue."""
