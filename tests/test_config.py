"""`--user_defined_parameters`: what is read, and the sentence for what is not."""

from __future__ import annotations

import dataclasses

import pytest

from easynlp_fashionklip.config import AppConfig, config_from_mapping, parse_user_defined_parameters, split_parameters
from easynlp_fashionklip.errors import InputError


@pytest.mark.parametrize("text", [None, "", "   "])
def test_nothing_given_is_the_defaults(text: str | None) -> None:
    assert parse_user_defined_parameters(text) == AppConfig()


def test_every_kind_of_value() -> None:
    config = parse_user_defined_parameters(
        "pretrain_model_name_or_path=../zoo/a=b graph_dir='my graph' cva=False augment=1 "
        "cva_variant=image prototype_scope=paper on_bad_row=skip num_prototypes=3 cva_weight=0.25 mmr_diversity=1"
    )
    assert config == AppConfig(
        pretrain_model_name_or_path="../zoo/a=b",  # EasyNLP's own parser would keep `b`
        graph_dir="my graph",
        cva=False,
        augment=True,
        cva_variant="image",
        prototype_scope="paper",
        on_bad_row="skip",
        num_prototypes=3,
        cva_weight=0.25,
        mmr_diversity=1.0,
    )
    assert type(config.mmr_diversity) is float


@pytest.mark.parametrize(("text", "value"), [("true", True), ("YES", True), ("0", False), ("no", False)])
def test_spellings_of_truth(text: str, value: bool) -> None:
    assert parse_user_defined_parameters(f"cva={text}").cva is value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1 b=", {"a": "1", "b": ""}),
        ("a=b=c", {"a": "b=c"}),
        ('a=\'two words\'  b="x\\"y"', {"a": "two words", "b": 'x"y'}),
        ("'a=two words'", {"a": "two words"}),
        ("a=#1", {"a": "#1"}),
        ("a=1\nb=2", {"a": "1", "b": "2"}),
    ],
)
def test_splitting(text: str, expected: dict[str, str]) -> None:
    assert split_parameters(text) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cva", "'cva' is not key=value"),
        ("graph_dir=my graph", "'graph' is not key=value; quote values that hold blanks"),
        ("graph_dir='my graph", "close the quotation"),
        ("cva=1 cva=0", "cva is given twice"),
        ("cva_wieght=0.1", "unknown key 'cva_wieght'; did you mean 'cva_weight'"),
        ("=1", "unknown key ''"),
        ("cva=maybe", "cva=maybe is not true or false"),
        ("cva_variant=images", "cva_variant=images is not one of prototype, image, both, paper"),
        ("num_prototypes=2.5", "num_prototypes=2.5 is not a number"),
        ("cva_weight=", "cva_weight= is not a number"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_user_defined_parameters(text)
    message = str(caught.value)
    assert message.startswith("--user_defined_parameters: ")
    assert sentence in message
    assert "\n" not in message


def test_an_unknown_key_lists_all_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        config_from_mapping({"zzzzzz": "1"})
    assert "did you mean" not in str(caught.value)
    assert all(known.name in str(caught.value) for known in dataclasses.fields(AppConfig))


@pytest.mark.parametrize(
    "text",
    [
        "image_size=-1",
        "train_layers=-2",
        "data_workers=-2",
        "min_frequency=0",
        "num_prototypes=0",
        "num_candidates=9",
        "mmr_diversity=1.1",
        "mmr_diversity=nan",
        "refresh_steps=-1",
        "cva_weight=1.01",
        "cva_weight=-0.5",
        "cva_weight=nan",
        "cva_weight_max=inf",
        "cva_weight_max=-0.1",
        "cva_prototypes=0",
    ],
)
def test_a_value_out_of_range_is_named_and_described(text: str) -> None:
    name = text.partition("=")[0]
    described = next(known for known in dataclasses.fields(AppConfig) if known.name == name).metadata["help"]
    with pytest.raises(InputError, match=f"{name}=.* is out of range") as caught:
        parse_user_defined_parameters(text)
    assert described in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["cva_weight=-1", "cva_weight=0", "cva_weight=1", "num_candidates=10", "num_candidates=30 num_prototypes=30"],
)
def test_values_at_the_limits(text: str) -> None:
    parsed = parse_user_defined_parameters(text)
    asked = dict(pair.split("=") for pair in text.split())
    assert {key: getattr(parsed, key) for key in asked} == {key: float(value) for key, value in asked.items()}


def test_too_few_candidates_for_the_prototypes_names_both() -> None:
    with pytest.raises(InputError, match=r"num_candidates=20 .*at least num_prototypes"):
        parse_user_defined_parameters("num_prototypes=30")


def test_every_setting_is_described_and_frozen() -> None:
    for setting in dataclasses.fields(AppConfig):
        assert setting.metadata["help"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        AppConfig().cva = False  # type: ignore[misc]
