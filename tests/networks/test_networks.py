"""Networks: sizes as documented, shapes, and what each option does."""

import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import nn

from src.baselines.estimator import Estimator
from src.baselines.series import ARIMA
from src.config.compose import compose
from src.data.datamodule import Spec
from src.errors import UserError
from src.networks import Attends, Encodes, Forecasts, Grouped
from src.networks.attention import Attention
from src.networks.autoencoder import Autoencoder
from src.networks.convolutional import CNN1d, Inception, InceptionModule
from src.networks.feedforward import MLP, TabularResNet
from src.networks.grud import GRUD
from src.networks.recurrent import Recurrent
from src.training.build import build, data_set, instantiate

SERIES = Spec(shape=(5, 3), outputs=1, columns=(), target="y")


@pytest.mark.parametrize(
    ("choices", "parameters"),
    [
        ("data=nyse model=rnn", 217),
        ("data=hitters model=mlp", 1051),
        ("data=nyse model=mlp", 705),
        ("data=nyse model=linear", 16),
    ],
)
def test_parameter_counts_of_the_documented_networks(choices: str, parameters: int) -> None:
    config = compose("train", choices.split())
    network = build(config, data_set(config)).network
    assert sum(weight.numel() for weight in network.parameters()) == parameters


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_recurrent_networks_of_every_kind(cell: str, bidirectional: bool, num_layers: int) -> None:
    network = Recurrent(SERIES, cell, 4, num_layers, bidirectional, dropout=0.2)
    assert network(torch.randn(7, 5, 3)).shape == (7, 1)
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    directions = 1 + bidirectional
    layers = [3] + [4 * directions] * (num_layers - 1)
    expected = sum(directions * gates * 4 * (size + 4 + 2) for size in layers) + 4 * directions + 1
    assert sum(weight.numel() for weight in network.parameters()) == expected


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_recurrent_network_reads_every_step(bidirectional: bool) -> None:
    network = Recurrent(SERIES, "gru", 4, 2, bidirectional, dropout=0.0)
    x = torch.randn(1, 5, 3, requires_grad=True)
    network(x).sum().backward()
    assert (x.grad[0].abs().sum(1) > 0).all()


def test_the_backward_direction_has_read_the_whole_series() -> None:
    network = Recurrent(SERIES, "rnn", 4, 1, True, dropout=0.0).eval()
    x = torch.randn(1, 5, 3)
    states, _ = network.recurrent(x)
    joined = torch.cat([states[:, -1, :4], states[:, 0, 4:]], dim=1)
    torch.testing.assert_close(network(x), network.output(joined))


@pytest.mark.parametrize("steps", [1, 5, 200])
def test_a_convolutional_network_takes_any_number_of_steps(steps: int) -> None:
    network = CNN1d(SERIES._replace(shape=(steps, 3), outputs=2), channels=[4, 8, 16], kernel_size=5).eval()
    x = torch.randn(7, steps, 3, requires_grad=True)
    assert network(x).shape == (7, 2)
    network(x).sum().backward()
    assert (x.grad.abs().sum(2) > 0).any(0).float().mean() > 0.9, "nearly every step counts for some sample"


@pytest.mark.parametrize(("steps", "rows"), [(1, 1), (1, 3), (50, 1), (50, 3)])
def test_inception_takes_any_number_of_steps_and_rows(steps: int, rows: int) -> None:
    network = Inception(SERIES._replace(shape=(steps, 3), outputs=2), width=4, kernel_sizes=[9, 5], blocks=2)
    assert network(torch.randn(rows, steps, 3)).shape == (rows, 2)
    # each module: bottleneck, two convolutions and that of the pooled series; then mean and variance of 12 channels
    first, further = 3 * 4 + 4 * 4 * (9 + 5) + 3 * 4 + 24, 12 * 4 + 4 * 4 * (9 + 5) + 12 * 4 + 24
    shortcuts = 3 * 12 + 24 + 12 * 12 + 24
    assert sum(weight.numel() for weight in network.parameters()) == first + 5 * further + shortcuts + 12 * 2 + 2


def test_an_inception_module_is_the_formula_of_its_source() -> None:
    module, x = InceptionModule(3, 2, [3, 1]).eval(), torch.randn(4, 3, 7)
    narrow = torch.einsum("wc,bcs->bws", module.bottleneck.weight[:, :, 0], x)
    windows = nn.functional.pad(narrow, [1, 1]).unfold(2, 3, 1)  # (batch, width, steps, 3)
    long = torch.einsum("owk,bwsk->bos", module.branches[0].weight, windows)
    short = torch.einsum("owk,bws->bos", module.branches[1].weight, narrow)
    largest = nn.functional.pad(x, [1, 1], value=-torch.inf).unfold(2, 3, 1).amax(3)
    pooled = torch.einsum("wc,bcs->bws", module.pooled[1].weight[:, :, 0], largest)
    expected = torch.cat([long, short, pooled], 1) / (1 + module.norm.eps) ** 0.5
    torch.testing.assert_close(module(x), expected.relu())
    assert isinstance(InceptionModule(1, 2, [3]).bottleneck, nn.Identity), "one channel needs no bottleneck"


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_attention_of_every_kind(cell: str, bidirectional: bool) -> None:
    network = Attention(SERIES, cell, 4, 1, bidirectional, widths=[8, 4])
    x = torch.randn(7, 5, 3)
    assert network(x).shape == (7, 1)
    assert network.attention(x).shape == (7, 5)
    assert [layer.out_features for layer in network.head if isinstance(layer, nn.Linear)] == [8, 4, 1]


def test_dropout_acts_in_training_only() -> None:
    network = Recurrent(SERIES, "rnn", 32, dropout=0.5)
    x = torch.randn(3, 5, 3)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_an_mlp_has_the_given_widths_and_dropouts() -> None:
    network = MLP(SERIES, [8, 4], [0.3, 0.1])
    assert network(torch.randn(2, 5, 3)).shape == (2, 1)
    sizes = [layer.out_features for layer in network.layers if isinstance(layer, nn.Linear)]
    dropouts = [layer.p for layer in network.layers if isinstance(layer, nn.Dropout)]
    assert (sizes, dropouts) == ([8, 4, 1], [0.3, 0.1])


def test_a_tabular_resnet_is_the_formula_of_its_source() -> None:
    network, x = TabularResNet(SERIES, 2, 4, 6, hidden_dropout=0.0, residual_dropout=0.0), torch.randn(7, 5, 3)
    first, *blocks, _, _, last = network.layers

    def normal(values: torch.Tensor) -> torch.Tensor:
        return (values - values.mean(0)) / (values.var(0, unbiased=False) + 1e-5).sqrt()

    hidden = x.flatten(1) @ first.weight.T
    for block in blocks:
        _, inner, _, _, outer, _ = block.layers
        units = (normal(hidden) @ inner.weight.T + inner.bias).relu()
        hidden = hidden + units @ outer.weight.T
    expected = normal(hidden).relu() @ last.weight.T + last.bias
    torch.testing.assert_close(network(x), expected)
    assert sum(weight.numel() for weight in network.parameters()) == 60 + 2 * (8 + 30 + 24) + 8 + 5
    dropouts = TabularResNet(SERIES, 1, 4, 6, 0.3, 0.1).layers[1].layers[3::2]
    assert [layer.p for layer in dropouts] == [0.3, 0.1]


def test_a_tabular_resnet_learns_from_a_batch_of_one_row() -> None:
    network, x = TabularResNet(SERIES, 1, 4, 6, hidden_dropout=0.0, residual_dropout=0.0), torch.randn(1, 5, 3)
    before = network.state_dict()["layers.2.running_mean"].clone()
    output = network(x)
    output.sum().backward()
    assert network.layers[0].weight.grad.abs().sum() > 0
    assert torch.equal(network.state_dict()["layers.2.running_mean"], before), "one row has no mean of a batch"
    torch.testing.assert_close(output, network.eval()(x))


MASKED = Spec(shape=(6, 8), outputs=1, columns=(), target="y", classes=("no", "yes"), variables=2)


def masked(samples: int) -> torch.Tensor:
    """Two variables' values, masks and hours since the last (as a fraction of six steps), and two channels without gaps."""
    values, always = torch.randn(samples, 6, 2), torch.randn(samples, 1, 2).expand(-1, 6, -1)
    masks = (torch.rand(samples, 6, 2) < 0.4).float()
    hours = torch.zeros(samples, 6, 2)
    for step in range(6):
        before = hours[:, step - 1] + 1 if step else torch.full((samples, 2), 1.0)
        hours[:, step] = torch.where(masks[:, step] > 0, 0.0, before)
    return torch.cat([values, masks, hours / 6, always], -1)


def test_gru_d_is_the_formula_of_its_source() -> None:
    network, x = GRUD(MASKED, hidden_size=3).eval(), masked(4)
    weight = {name: value[0] for name, value in network.named_parameters()}
    state = torch.zeros(4, 3)
    for step in range(6):
        values, masks, hours, always = x[:, step].split(2, dim=1)
        hours = hours * 6
        fade = torch.exp(-torch.relu(weight["fading"][0, 0] * hours + weight["fading_bias"][0, 0]))
        faded = masks * values + (1 - masks) * fade * values
        state = torch.exp(-torch.relu(hours @ weight["forgetting"])) * state
        read = torch.cat([faded, masks, always], 1) @ weight["read"] + weight["read_bias"]
        reset, update = (read[:, :6] + state @ weight["gates"]).sigmoid().chunk(2, 1)
        new = torch.tanh(read[:, 6:] + (reset * state) @ weight["candidate"])
        state = update * state + (1 - update) * new
    torch.testing.assert_close(network(x), state @ weight["output"] + weight["output_bias"])


def test_members_differ_and_each_sees_the_whole_batch() -> None:
    network, x = GRUD(MASKED, hidden_size=3, members=5).eval(), masked(4)
    logits = network(x)
    assert logits.shape == (4, 5)
    assert (logits.std(1) > 0).all()
    torch.testing.assert_close(network(x[1:2]), logits[1:2])
    classes = GRUD(MASKED._replace(outputs=3), hidden_size=3, members=5)
    assert classes(x).shape == (4, 3)


def test_each_member_has_its_own_loss_and_probabilities_are_averaged() -> None:
    config = compose("train", ["data=waveforms", "task=binary", "model=linear"])
    spec = MASKED._replace(counts=(5, 5))
    task = instantiate(config.task)(network=GRUD(spec, 3, members=2), spec=spec, seed=0)
    logits, target = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.tensor([1, 0])
    expected = nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    torch.testing.assert_close(task.loss_of(logits, target), expected)
    torch.testing.assert_close(task.probabilities(logits)[:, 1], logits.double().sigmoid().mean(1))


def test_predicting_a_change_needs_the_last_value() -> None:
    with pytest.raises(UserError, match=r"model\.change=true"):
        Recurrent(SERIES, change=True)


def test_abilities_are_found_by_their_methods() -> None:
    autoencoder, attention = Autoencoder(SERIES), Attention(SERIES)
    assert isinstance(autoencoder, Encodes)
    assert not isinstance(autoencoder, Attends | Grouped | Forecasts)
    assert isinstance(attention, Attends)
    assert not isinstance(attention, Encodes)
    assert isinstance(Recurrent(SERIES), Forecasts)
    assert isinstance(Estimator(ARIMA([0, 1, 1], [0, 0, 0]), SERIES), Forecasts)
    assert not Estimator(LinearRegression(), SERIES).recursive
