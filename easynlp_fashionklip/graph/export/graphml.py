"""Concepts and is-a as GraphML (http://graphml.graphdrawing.org), for networkx, Gephi, yEd."""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import escape

from easynlp_fashionklip.graph.export.output import new_file
from easynlp_fashionklip.graph.store import ConceptGraph

MARK = "FashionMMKG as GraphML, written by easynlp-fashionklip"
_NODE_KEYS = {"phrase": "string", "surface": "string", "head": "string", "depth": "long", "frequency": "long"}
_EDGE_KEYS = {"relation": "string", "primary": "boolean"}
# Characters that XML 1.0 has no way to write.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_graphml(graph: ConceptGraph, out: str | Path) -> None:
    """Write a directed graph: node `c<concept id>` for each concept, an edge from child to parent for each is-a.

    Nodes have phrase, surface, head, depth, frequency; edges have relation (`is_a`) and primary. XML cannot hold
    control characters: each becomes U+FFFD.

    Raises:
        InputError: `out` cannot be written or holds something else.
    """
    is_a = graph.tables.hierarchy
    with new_file(out, MARK) as file:
        file.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {MARK} -->\n')
        file.write('<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n')
        for domain, keys in (("node", _NODE_KEYS), ("edge", _EDGE_KEYS)):
            file.writelines(
                f'<key id="{name}" for="{domain}" attr.name="{name}" attr.type="{kind}"/>\n'
                for name, kind in keys.items()
            )
        file.write('<graph id="FashionMMKG" edgedefault="directed">\n')
        for concept in graph.concepts:
            data = "".join(_data(key, str(getattr(concept, key))) for key in _NODE_KEYS)
            file.write(f'<node id="c{concept.concept_id}">{data}</node>\n')
        for child, parent, primary in zip(is_a.child, is_a.parent, is_a.primary, strict=True):
            data = _data("relation", "is_a") + _data("primary", "true" if primary else "false")
            file.write(f'<edge source="c{child}" target="c{parent}">{data}</edge>\n')
        file.write("</graph>\n</graphml>\n")


def _data(key: str, value: str) -> str:
    # A bare carriage return would be read back as a newline.
    return f'<data key="{key}">{escape(_NOT_XML.sub(chr(0xFFFD), value), {chr(13): "&#13;"})}</data>'
