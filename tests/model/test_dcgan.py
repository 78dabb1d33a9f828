from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from songwright.model.config import DcganConfig  # noqa: E402
from songwright.model.dcgan import NUM_ROWS, NUM_STEPS, Dcgan, decided, norm  # noqa: E402

SILENCE = torch.zeros(1, 2, NUM_STEPS, NUM_ROWS)
SMALL = DcganConfig(latent_dim=6, channels=8)


@pytest.fixture(scope="module")
def dcgan() -> Dcgan:
    torch.manual_seed(0)
    return Dcgan(SMALL)


def inputs(batch: int, *, seed: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    rolls, previous = (
        decided(
            torch.rand(batch, NUM_STEPS, NUM_ROWS + 1, generator=generator),
            torch.rand(batch, NUM_STEPS, generator=generator),
            SILENCE.expand(batch, -1, -1, -1),
        )
        for _ in range(2)
    )
    return rolls, previous, torch.rand(batch, 12, generator=generator), torch.randn(batch, 6, generator=generator)


def test_made_bars_are_one_voice_that_starts_only_where_it_sounds(dcgan):
    made = dcgan.write_bars(*inputs(20)[1:]).detach()
    starts, sounds = made.unbind(1)
    assert set(made.unique().tolist()) == {0.0, 1.0}
    assert sounds.sum(-1).max() == 1
    assert (starts <= sounds).all()


def row_probabilities(*likeliest: int) -> torch.Tensor:
    """Probabilities of steps whose likeliest rows are these; -1 for silence."""
    sounds = torch.zeros(1, len(likeliest), NUM_ROWS + 1)
    for step, row in enumerate(likeliest):
        sounds[0, step, 20], sounds[0, step, row] = 0.4, 0.6
    return sounds


def test_a_step_is_the_likeliest_of_all_pitches_and_silence():
    roll = decided(row_probabilities(5, -1, 7), torch.tensor([[0.6, 0.9, 0.8]]), SILENCE)
    assert roll.nonzero().tolist() == [[0, 0, 0, 5], [0, 0, 2, 7], [0, 1, 0, 5], [0, 1, 2, 7]]


def test_a_note_starts_above_the_threshold_and_where_another_pitch_sounded_before():
    sounds, starts = row_probabilities(3, 3, 5, 5, -1, 5), torch.tensor([[0.1, 0.6, 0.1, 0.4, 0.9, 0.1]])

    def found(previous: torch.Tensor, **options: float) -> list[int]:
        return decided(sounds, starts, previous, **options)[0, 0].nonzero()[:, 0].tolist()

    same = SILENCE.clone()
    same[0, 1, -1, 3] = 1.0
    assert found(SILENCE) == [0, 1, 2, 5]
    assert found(same) == [1, 2, 5]
    assert found(same, threshold=0.7) == [2, 5]
    assert found(same, threshold=0.3) == [1, 2, 3, 5]


def test_a_decision_has_the_gradient_of_its_probability():
    sounds = torch.full((1, 1, NUM_ROWS + 1), 0.01, requires_grad=True)
    starts = torch.full((1, 1), 0.2, requires_grad=True)
    decided(sounds, starts, SILENCE)[0, 1, 0].sum().backward()
    assert sounds.grad is not None
    assert (sounds.grad[0, 0, :-1] == 1).all()
    assert sounds.grad[0, 0, -1] == 0


def test_a_bar_does_not_depend_on_the_others_of_its_batch(dcgan):
    batch = inputs(5)
    together = dcgan(*batch)
    alone = dcgan(*(tensor[2:3] for tensor in batch))
    for name in ("real", "made", "contested", "rolls"):
        torch.testing.assert_close(getattr(together, name)[2:3], getattr(alone, name), msg=name)


def test_the_generator_hears_the_bar_before_the_chord_and_the_numbers(dcgan):
    _, previous, chroma, latents = inputs(4)
    wanted = dcgan.generator(previous, chroma, latents)[0]
    for changed in ((previous.flip(0), chroma, latents), (previous, 1 - chroma, latents), (previous, chroma, -latents)):
        assert not torch.allclose(dcgan.generator(*changed)[0], wanted, atol=1e-4)
    torch.testing.assert_close(wanted.sum(-1), torch.ones(4, NUM_STEPS))


def test_the_discriminator_hears_the_bar_before_and_the_chord(dcgan):
    rolls, previous, chroma, _ = inputs(4)
    wanted, _ = dcgan.discriminator(rolls, previous, chroma)
    for changed in (
        (rolls.flip(0), previous, chroma),
        (rolls, previous.flip(0), chroma),
        (rolls, previous, 1 - chroma),
    ):
        assert not torch.allclose(dcgan.discriminator(*changed)[0], wanted, atol=1e-4)


def test_its_size_goes_with_the_square_of_its_channels():
    small, large = (Dcgan(DcganConfig(channels=channels)).num_parameters for channels in (64, 256))
    assert 8 < large / small < 16
    assert Dcgan(DcganConfig()).num_parameters == 352_487


def test_channels_are_normalised_in_groups_of_sixteen_where_they_divide():
    assert [norm(channels).num_groups for channels in (8, 16, 40, 64)] == [1, 1, 1, 4]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"latent_dim": 0}, "latent_dim must be at least 1"),
        ({"channels": 3}, "channels must be at least 4"),
        ({"roll_weight": -1.0}, "must not be negative"),
        ({"feature_weight": float("nan")}, "must not be negative"),
    ],
)
def test_impossible_sizes_are_refused(values, expected):
    with pytest.raises(ValueError, match=expected):
        DcganConfig(**values)
