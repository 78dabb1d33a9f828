from __future__ import annotations

import pytest
import torch

from songwright.errors import ConfigError
from songwright.model.config import ConvolutionConfig, StreamSizes
from songwright.model.network import FAMILIES, SequenceNetwork
from songwright.model.sizes import SIZED_FAMILIES, count_parameters, parse_size, sized

SIZES = StreamSizes(vocab_size=315, num_channel_rows=2742, num_hints=6)


@pytest.mark.parametrize("family", SIZED_FAMILIES)
@pytest.mark.parametrize("wanted", ["1M", "6M", "25M", "100M"])
def test_a_size_is_met_within_a_tenth_and_counted_as_the_network_counts(family, wanted):
    config = sized(family, parse_size(wanted), SIZES, dropout=0.2)
    with torch.device("meta"):
        network = SequenceNetwork(config, SIZES)
    assert count_parameters(config, SIZES) == network.num_parameters
    assert network.num_parameters == pytest.approx(parse_size(wanted), rel=0.1)
    assert config.dropout == 0.2


def test_every_sequence_family_has_sizes():
    assert set(SIZED_FAMILIES) == set(FAMILIES)


def test_a_sized_convolution_sees_a_whole_window():
    config = sized("convolution", 6_000_000, SIZES)
    assert isinstance(config, ConvolutionConfig)
    assert 1 + (config.kernel_size - 1) * sum(config.dilations) >= config.context_length


@pytest.mark.parametrize("text", ["", "6", "six", "-1M", "1e6", "3B", "6MB"])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(ConfigError, match="--size"):
        parse_size(text)


def test_families_without_sizes_are_named():
    with pytest.raises(ConfigError, match="does not fit dcgan"):
        sized("dcgan", 1_000_000, SIZES)
