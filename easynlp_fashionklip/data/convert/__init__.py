"""Writing a catalogue in another format: a pair at a time, whole or not at all."""

from easynlp_fashionklip.data.convert.conversion import FORMATS, Conversion, convert, target_format

__all__ = ["FORMATS", "Conversion", "convert", "target_format"]
