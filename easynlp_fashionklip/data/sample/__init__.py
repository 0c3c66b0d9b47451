"""The sample catalogue: drawn products with captions and the concept graph they really hold."""

from __future__ import annotations

from easynlp_fashionklip.data.sample.catalogue import SampleSummary, write_sample_catalogue

__all__ = ["SampleSummary", "write_sample_catalogue"]
