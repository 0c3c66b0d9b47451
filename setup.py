"""Packaging; metadata that tools read statically is in pyproject.toml."""

from setuptools import setup

setup()
