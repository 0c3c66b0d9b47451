"""Encoders: one dual encoder over several backends, their processor, checkpoints and the zoo of pretrained models."""
