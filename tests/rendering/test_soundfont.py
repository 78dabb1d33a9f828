from __future__ import annotations

import io
import struct
from pathlib import Path

import midirenderer
import numpy as np
import pytest
import soundfile

from songwright.errors import InputError, SongwrightError
from songwright.rendering.soundfont import SOUNDFONT_VARIABLE, Preset, find_soundfont, read_soundfont
from songwright.rendering.soundfont_conversion import convert_soundfont


def render_note(
    font: bytes, *, program: int = 0, pitch: int = 69, velocity: int = 100, channel: int = 0, start: int = 4800
) -> np.ndarray:
    """Return a dry note of one second from its `start` in samples, shape (num_samples, 2)."""
    body = bytes([0, 0xC0 | channel, program, 0, 0xB0 | channel, 91, 0, 0, 0x90 | channel, pitch, velocity])
    body += bytes([0x87, 0x40, 0x80 | channel, pitch, 0, 0, 0xFF, 0x2F, 0])
    midi = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk" + struct.pack(">I", len(body)) + body
    audio, rate = soundfile.read(io.BytesIO(midirenderer.render_wave_from(font, midi)))
    assert rate == 48_000
    return audio[start:40_000]


def level_db(audio: np.ndarray) -> float:
    return 10 * np.log10(np.mean(audio**2))


def brightness(audio: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(audio.sum(axis=1))) ** 2
    return float((power * np.fft.rfftfreq(len(audio), 1 / 48_000)).sum() / power.sum())


def only(preset: Preset, *notes: tuple[int, int]) -> dict[Preset, np.ndarray]:
    return {preset: np.array(notes)}


def test_what_a_note_needs_of_an_sf3_sounds_the_same_as_the_whole_font_converted(tiny_sf3: Path) -> None:
    font = read_soundfont(tiny_sf3)
    whole = convert_soundfont(font)
    for program in range(5):
        part = convert_soundfont(font, only(Preset(0, program), (60, 90)))
        assert len(part) < len(whole)
        note = render_note(part, program=program, pitch=60, velocity=90)
        assert np.abs(note).max() > 0.01
        assert np.array_equal(note, render_note(whole, program=program, pitch=60, velocity=90))


def test_an_sf3_sounds_like_the_sf2_it_was_compressed_from(tiny_sf3: Path, tiny_sf2: Path) -> None:
    compressed, plain = (render_note(convert_soundfont(read_soundfont(path))) for path in (tiny_sf3, tiny_sf2))
    assert level_db(compressed - plain) < level_db(plain) - 30


def test_a_font_without_modulators_sounds_the_same_converted_or_not(tiny_sf2: Path) -> None:
    converted = convert_soundfont(read_soundfont(tiny_sf2), only(Preset(0, 0), (72, 55)))
    assert np.array_equal(
        render_note(converted, pitch=72, velocity=55), render_note(tiny_sf2.read_bytes(), pitch=72, velocity=55)
    )


def test_only_the_samples_that_the_notes_play_are_kept(tiny_sf2: Path) -> None:
    font = read_soundfont(tiny_sf2)
    low, both = (convert_soundfont(font, only(Preset(0, 4), *notes)) for notes in ([(60, 90)], [(60, 90), (80, 90)]))
    assert len(both) - len(low) == pytest.approx(2 * 20_000, abs=300)


def test_the_velocity_law_follows_the_font(tiny_sf3: Path) -> None:
    font = convert_soundfont(read_soundfont(tiny_sf3))
    loud_less_soft = [
        level_db(render_note(font, program=program, velocity=120))
        - level_db(render_note(font, program=program, velocity=40))
        for program in (0, 1)
    ]
    assert loud_less_soft[0] == pytest.approx(40 * np.log10(120 / 40), abs=0.1)
    assert loud_less_soft[1] == pytest.approx(0, abs=0.5)  # baked over bands of four velocities


def test_velocity_opens_the_filter_where_the_font_says_so(tiny_sf3: Path) -> None:
    font = convert_soundfont(read_soundfont(tiny_sf3))
    soft, medium, loud = (brightness(render_note(font, program=2, velocity=velocity)) for velocity in (20, 70, 120))
    assert soft * 2 < medium
    assert medium * 2 < loud


def test_a_modulator_cannot_drive_the_filter_to_explode(tiny_sf3: Path) -> None:
    font = convert_soundfont(read_soundfont(tiny_sf3))
    for velocity in range(40, 128, 12):  # the font asks for a negative resonance from velocity 48 on
        assert np.abs(render_note(font, program=3, velocity=velocity)).max() < 0.5


def test_a_preset_that_the_font_lacks_is_replaced_as_in_general_midi(tiny_sf3: Path) -> None:
    font = read_soundfont(tiny_sf3)
    note = render_note(convert_soundfont(font, only(Preset(0, 0), (69, 90))), velocity=90)
    for missing in (Preset(0, 77), Preset(9, 0)):
        assert font.preset_index(missing) == font.presets[Preset(0, 0)]
    stand_in = convert_soundfont(font, only(Preset(0, 77), (69, 90)))
    assert np.array_equal(render_note(stand_in, program=77, velocity=90), note)
    assert font.preset_index(Preset(128, 25)) == font.presets[Preset(128, 0)]


def test_notes_that_no_zone_sounds_are_silent(tiny_sf3: Path) -> None:
    font = convert_soundfont(read_soundfont(tiny_sf3), {Preset(0, 0): np.zeros((0, 2), dtype=int)})
    assert not render_note(font).any()


def test_a_named_font_that_is_missing_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "none.sf2"
    with pytest.raises(InputError, match=r"none\.sf2 does not exist"):
        find_soundfont(missing)
    monkeypatch.setenv(SOUNDFONT_VARIABLE, str(missing))
    with pytest.raises(InputError, match=SOUNDFONT_VARIABLE):
        find_soundfont()


def test_the_font_named_wins_over_the_environment_and_that_over_the_cache(
    tiny_sf3: Path, tiny_sf2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SOUNDFONT_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("songwright.rendering.soundfont.__file__", str(tmp_path / "package" / "soundfont.py"))
    cached = tmp_path / "songwright" / "fonts" / "digest" / "cached.sf3"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(tiny_sf3.read_bytes())
    assert find_soundfont() == cached
    packaged = tmp_path / "package" / "fonts" / "packaged.sf3"
    packaged.parent.mkdir(parents=True)
    packaged.write_bytes(tiny_sf3.read_bytes())
    assert find_soundfont() == packaged
    monkeypatch.setenv(SOUNDFONT_VARIABLE, str(tiny_sf2))
    assert find_soundfont() == tiny_sf2
    assert find_soundfont(tiny_sf3) == tiny_sf3


@pytest.mark.parametrize("kept", [0, 3, 40, 2000, 0.5, 0.99])
def test_a_font_cut_short_is_one_clear_error(kept: float, tiny_sf3: Path, tmp_path: Path) -> None:
    data = tiny_sf3.read_bytes()
    damaged = tmp_path / "damaged.sf3"
    damaged.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(SongwrightError, match=r"damaged\.sf3") as caught:
        read_soundfont(damaged)
    assert "\n" not in str(caught.value)


def test_damage_inside_a_font_is_an_error_or_harmless_but_never_a_crash(tiny_sf3: Path, tmp_path: Path) -> None:
    data = bytearray(tiny_sf3.read_bytes())
    tables, random = data.index(b"pdta"), np.random.default_rng(0)
    damaged, num_errors = tmp_path / "damaged.sf3", 0
    for _ in range(60):
        copy = bytearray(data)
        for position in random.integers(tables, len(data), 4):
            copy[position] = random.integers(256)
        damaged.write_bytes(copy)
        try:
            render_note(convert_soundfont(read_soundfont(damaged), only(Preset(0, 0), (69, 90))), velocity=90)
        except SongwrightError:
            num_errors += 1
    assert num_errors > 0


def test_a_damaged_sample_is_one_clear_error(tiny_sf3: Path, tmp_path: Path) -> None:
    data = bytearray(tiny_sf3.read_bytes())
    start = data.index(b"OggS")
    data[start : start + 200] = bytes(200)
    damaged = tmp_path / "damaged.sf3"
    damaged.write_bytes(data)
    with pytest.raises(InputError, match="sample 0 cannot be decoded"):
        convert_soundfont(read_soundfont(damaged), only(Preset(0, 0), (69, 90)))


def test_a_filter_that_leaps_open_past_hearing_does_not_click(tiny_sf3: Path) -> None:
    font = convert_soundfont(read_soundfont(tiny_sf3))
    clicks_db = []
    for program in (0, 5):  # an open filter; one that leaps open and closes
        note = render_note(font, program=program, velocity=127, start=0)[:4800].sum(axis=1)
        power = np.abs(np.fft.rfft(note * np.hanning(len(note)))) ** 2
        highs = np.fft.rfftfreq(len(note), 1 / 48_000) > 15_000
        clicks_db.append(10 * np.log10(power[highs].sum() / power.sum()))
    assert clicks_db[1] < clicks_db[0] + 10
