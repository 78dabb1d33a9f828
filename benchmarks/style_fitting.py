"""Fit the weights of `analysis/style` on the training pieces of a prepared corpus.

    songwright prepare … --out CORPUS          POP909, OpenEWLD, Lieder, music21, Freedoom, Simutrans, Tanner Helland
    python benchmarks/style_fitting.py CORPUS

Each style has the same total weight; of folk, dances and songs of China have three tenths each, of game rock a half.
Of each collection at most 2,500 pieces are taken (that is a third of Essen, and all of the others). Every piece is
also taken as one to eight excerpts of 8 to 24 bars, so that length says nothing, where a band may lack a track or
two, and the model of melodies hears every piece without its accompaniment. Pieces of OpenEWLD that are no jazz
standards are told by their authors: traditional ones count as folk (lead sheets like the standards, so that chord
symbols are no sign of jazz); hymns, marches, classical pieces and songs of before the jazz age (`NOT_JAZZ`) are left
out.

A style lacks harmony or accompaniment where its collections have none. For these models its pieces borrow them from
pieces of all styles (drawn with equal weight for each style): nothing is then learned from their presence. Where a
style has a few pieces with their own, these weigh as much as those that borrow. Smoothness and temperature are chosen
on the validation pieces.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from songwright.analysis.roles import melody_line
from songwright.analysis.style import KINDS, STYLE_OF_KIND, STYLES, knot_positions
from songwright.analysis.style_catalog import GROUPS, STYLE_FEATURES
from songwright.analysis.style_features import style_features
from songwright.preparation.shards import SPLITS, open_shard, read_manifest
from songwright.score.grid_score import TRACK_NOTE_DTYPE, BarTempo, GridScore, GridTrack, Meter
from songwright.tokens.score import decode

DATA = Path(os.environ.get("SONGWRIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))
WEIGHTS = Path(__file__).parents[1] / "src" / "songwright" / "weights" / "analysis" / "style.npz"
STYLE_OF = {
    "pop909": "pop", "openewld": "jazz standard", "lieder": "art song", "freedoom": "game", "simutrans": "game",
    "tannerhelland": "game",
}  # fmt: skip
NO_CHORALES = ("music21/bach/bwv846",)  # the prelude
MAX_PIECES, MIN_EXAMPLES = 2500, 1200
NUM_KNOTS = 7
SMOOTHNESS = (0.005, 0.01, 0.02, 0.04)
SHARE_OF_KIND = np.array([1, 1, 1, 1, 0.4, 0.5, 0.3, 0.3, 0.5])
DANCES = ("oneills1850", "ryansMammoth", "airdsAirs")
OF_CHINA = ("/essenFolksong/han", "/essenFolksong/natmin", "/essenFolksong/shanxi")
GROUP_OF = np.array([feature.group for feature in STYLE_FEATURES])
COLUMNS = {group: np.flatnonzero(np.isin(GROUP_OF, GROUPS[: row + 1])) for row, group in enumerate(GROUPS)}
# Authors or titles of OpenEWLD that are hymns, carols, marches, opera and concert pieces, tangos, anthems, and songs
# of the nineteenth century; decided from the collection's index before anything was measured.
NOT_JAZZ = (
    "Stephen_Foster", "James_A._Bland", "Dan_Emmett", "Ludwig_van_Beethoven", "Maurice_Ravel",
    "Nikolai_Rimsky-Korsakov", "Pietro_Mascagni", "Franz_Liszt", "Claude_Debussy", "Charles_Gounod",
    "Johannes_Brahms", "Johann_Strauss_(Vater)", "Georges_Bizet", "Giacomo_Puccini", "John_Philip_Sousa",
    "Felix_Mendelssohn", "Lowell_Mason", "Edmund_Sears", "Christina_Rossetti", "Augustus_Toplady",
    "Arthur_Sullivan", "Frederick_Oakeley", "James_Chadwick", "James_Montgomery", "James_Waddel_Alexander",
    "John_Baptiste_Calkin", "John_Henry_Hopkins", "John_Hughes", "John_Mason_Neale", "Joseph_Brackett",
    "Lewis_Redner", "William_Chatterton_Dix", "William_W._Walford", "Robert_Lowry", "Charles_C._Converse",
    "Charles_D._Tillman", "Charles_Austin_Miles", "Eliza_Flower", "Edward_Cuthbert_Nunn", "Benjamin_Russell_Hanby",
    "Jesse_Brown_Pounds", "Katharine_Lee_Bates", "Hubert_Parry", "Julia_Ward_Howe", "Michael_Maybrick",
    "Annie_MacLeod", "Alicia_Scott", "Rouget_de_Lisle", "Pierre_De_Geyter", "Francis_McPeake",
    "Marjory_Kennedy-Fraser", "Thomas_Oliphant", "Banjo_Paterson", "Henry_Rowley_Bishop",
    "Frederic_Weatherly/Danny_Boy", "George_F._Root", "Joseph_Eastburn_Winner", "Septimus_Winner",
    "Brewster_M._Higley", "James_Pierpont", "Eben_E._Rexford", "James_Austin_Butterfield", "Thomas_P._Westendorf",
    "Antoine_Renard", "Narciso_Serradell", "Sebastián_Yradier", "Liliuokalani", "Luigi_Denza", "Eduardo_Di_Capua",
    "Salvatore_Cardillo", "Daniel_Alomías_Robles", "Mildred_Hill", "Alberto_Pestalozza", "Alfred_Hedenstierna",
    "Eric_Stewart", "Frederick_Ricketts", "Gaston_Lyle", "Carlos_Gardel", "Gerardo_Matos",
    "She_Wore_a_Yellow_Ribbon",
)  # fmt: skip


@dataclass(frozen=True)
class LabelledPiece:
    """A piece of the corpus: its id, collection, split, style (of STYLES) and notes."""

    piece_id: str
    collection: str
    split: str
    style: str
    score: GridScore

    @property
    def kind(self) -> int:
        """Which of KINDS it is."""
        if self.collection in DANCES:
            return KINDS.index("folk dance")
        if self.collection == "freedoom":
            return KINDS.index("rock of games")
        return KINDS.index("folk song of China" if any(name in self.piece_id for name in OF_CHINA) else self.style)


def openewld_styles(data: Path = DATA) -> dict[str, str]:
    """Return the style of each piece of OpenEWLD after its authors: jazz standard, folk, or empty."""
    styles: dict[str, str] = {}
    for entry in json.loads((data / "openewld_midi" / "index.json").read_text(encoding="utf-8")):
        folder = entry["src"].split("/", 1)[1].rsplit("/", 1)[0]
        is_other = any(name in folder for name in NOT_JAZZ)
        style = "folk" if folder.startswith("[Traditional]") else "" if is_other or "[Trad" in folder else STYLES[1]
        styles["openewld/" + entry["file"].removesuffix(".mid")] = style
    return styles


def labelled_pieces(corpus: Path) -> Iterator[LabelledPiece]:
    """Yield the main version of every piece whose style is known, up to MAX_PIECES of each collection and split."""
    manifest = read_manifest(corpus)
    with (corpus / "files.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["batch"], row["row"]): row for row in csv.DictReader(file) if row["status"] == "ok"}
    of_openewld = openewld_styles()
    names = {source["name"] for source in manifest["sources"]}
    for split in SPLITS:
        shard = open_shard(corpus, "score", split, sources=sorted({*STYLE_OF, "music21"} & names))
        taken: dict[str, int] = {}
        for number in np.random.default_rng(0).permutation(len(shard)).tolist():
            place = shard.index[number]
            row = rows[manifest["batches"][int(place["batch"])], str(place["row"])]
            if int(place["copy"]) or row["is_version"]:
                continue
            source, piece_id = row["source"], row["piece_id"]
            collection = piece_id.split("/")[1] if source == "music21" else source
            style = of_openewld[piece_id] if source == "openewld" else STYLE_OF.get(source, row["style"])
            taken[collection] = taken.get(collection, 0) + 1
            if style in STYLES and piece_id not in NO_CHORALES and taken[collection] <= MAX_PIECES:
                yield LabelledPiece(piece_id, collection, split, style, decode(shard.read(number)[0]))


def excerpt(score: GridScore, first: int, num_bars: int) -> GridScore:
    """Return the notes that start in some bars of a piece."""
    num_bars = min(num_bars, score.num_bars - first)
    start, end = score.bar_starts[[first, first + num_bars]].tolist()
    meter = [one for one in score.meters if one.bar <= first][-1]
    meters = [one._replace(bar=one.bar - first) for one in score.meters if first < one.bar < first + num_bars]
    tracks = []
    for track in score.tracks:
        onset = track.notes["onset_step"]
        notes = track.notes[(onset >= start) & (onset < end)].copy()
        notes["onset_step"] -= start
        notes["duration_step"] = np.minimum(notes["duration_step"], end - start - notes["onset_step"])
        tracks.append(replace(track, notes=notes))
    meters = (Meter(0, meter.numerator, meter.denominator), *meters)
    return GridScore(tuple(tracks), num_bars, meters, (BarTempo(0, 120.0),))


def random_excerpt(score: GridScore, rng: np.random.Generator) -> GridScore:
    """Return 8 to 24 bars of a piece."""
    num_bars = int(rng.integers(8, 25))
    return excerpt(score, int(rng.integers(0, max(1, score.num_bars - num_bars + 1))), num_bars)


def thinned(score: GridScore, rng: np.random.Generator) -> GridScore:
    """Return a piece of more than three tracks with each but the melody left out at a chance of one in five."""
    if len(score.tracks) <= 3:
        return score
    kept = [track for track in score.tracks if track.role == "melody" or rng.random() > 0.2]
    return replace(score, tracks=tuple(kept))


# --- fitting ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """Features of pieces, shape (num_pieces, num_features), and the kind of each; some are given more weight."""

    values: NDArray[np.float64]
    kind: NDArray[np.int64]
    emphasis: NDArray[np.float64]

    @property
    def style(self) -> NDArray[np.int64]:
        """The number of the style of each piece."""
        return STYLE_OF_KIND[self.kind]

    @property
    def weight(self) -> NDArray[np.float64]:
        """Of each piece: equal sums for each style, mean 1."""
        of_kind = np.bincount(self.kind, self.emphasis, len(KINDS))
        share = SHARE_OF_KIND * (of_kind > 0)
        share = share / np.maximum(np.bincount(STYLE_OF_KIND, share, len(STYLES))[STYLE_OF_KIND], 1e-9)
        weight = share[self.kind] * self.emphasis / of_kind[self.kind]
        return weight * len(weight) / weight.sum()

    def __getitem__(self, rows: NDArray[np.generic]) -> Table:
        return Table(self.values[rows], self.kind[rows], self.emphasis[rows])

    def __add__(self, other: Table) -> Table:
        return Table(*(np.concatenate([getattr(one, name) for one in (self, other)]) for name in FIELDS))

    def has(self, group: str) -> NDArray[np.bool_]:
        """Return which pieces have a group of features."""
        return np.isfinite(self.values[:, group == GROUP_OF]).any(axis=1)


FIELDS = ("values", "kind", "emphasis")


@dataclass(frozen=True)
class Model:
    """Curves of shape (num_features, num_knots, num_kinds) and bias; zero for features that it does not look at."""

    knots: NDArray[np.float64]
    curves: NDArray[np.float64]
    bias: NDArray[np.float64]

    def scores(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of pieces, shape (num_pieces, num_kinds)."""
        basis = hat_functions(values, self.knots)
        return basis.reshape(len(values), -1) @ self.curves.reshape(-1, len(KINDS)) + self.bias


def hat_functions(values: NDArray[np.float64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return linear interpolation as weights of the knots, shape (num_pieces, num_features, num_knots); 0 for NaN."""
    position = knot_positions(np.nan_to_num(values), knots)
    hats = np.maximum(1 - np.abs(position[:, :, None] - np.arange(knots.shape[1])), 0)
    return np.where(np.isfinite(values)[:, :, None], hats, 0)


def find_knots(table: Table) -> NDArray[np.float64]:
    """Return quantiles of each feature over all styles, strictly increasing."""
    knots = np.empty((table.values.shape[1], NUM_KNOTS))
    for column, values in enumerate(table.values.T):
        defined = np.isfinite(values)
        order = np.argsort(values[defined])
        share = np.cumsum(table.weight[defined][order])
        at = np.searchsorted(share, share[-1] * np.linspace(0.02, 0.98, NUM_KNOTS))
        found = np.unique(values[defined][order][np.minimum(at, len(order) - 1)])
        gap = max(float(np.ptp(found)), 1e-2)
        knots[column] = np.append(found, found[-1] + gap * np.arange(1, NUM_KNOTS - len(found) + 1))
    return knots.astype(np.float32).astype(np.float64)


def with_borrowed(table: Table, group: str, rng: np.random.Generator) -> Table:
    """Return the pieces, where those without the groups up to `group` borrow what they lack."""
    own, lacking = table[table.has(group)], table[~table.has(group)]
    donors = own.values[rng.choice(len(own.kind), len(lacking.kind), p=own.weight / own.weight.sum())]
    values = lacking.values.copy()
    for part in GROUPS[: GROUPS.index(group) + 1]:
        cells = np.ix_(~lacking.has(part), part == GROUP_OF)
        values[cells] = donors[cells]
    # What few pieces have of their own weighs as much, within their kind, as what the others borrow.
    few, many = (np.bincount(part.kind, minlength=len(KINDS)) for part in (own, lacking))
    emphasis = np.maximum(many / np.maximum(few, 1), 1)
    return Table(own.values, own.kind, emphasis[own.kind]) + Table(values, lacking.kind, lacking.emphasis)


def fit(table: Table, columns: NDArray[np.int64], knots: NDArray[np.float64], smoothness: float) -> Model:
    """Return the model that looks at some features: least cross entropy and squared steps from knot to knot."""
    basis = hat_functions(table.values[:, columns], knots[columns])
    weight = table.weight / len(table.kind)
    defined = np.isfinite(table.values[:, columns])
    mean = np.einsum("n,nfk->fk", weight, basis) / (weight @ defined)[:, None]
    # Centred, so that a feature that is not defined says nothing.
    design = np.where(defined[:, :, None], basis - mean, 0).reshape(len(basis), -1)
    target = np.eye(len(KINDS))[table.kind]
    shape = (len(columns), NUM_KNOTS, len(KINDS))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        curves, bias = flat[: -len(KINDS)].reshape(shape), flat[-len(KINDS) :]
        scores = design @ curves.reshape(-1, len(KINDS)) + bias
        scores -= scores.max(axis=1, keepdims=True)
        log_share = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        steps = np.diff(curves, axis=1)
        error = weight[:, None] * (np.exp(log_share) - target)
        gradient = (design.T @ error).reshape(shape) + 2e-4 * smoothness * curves
        gradient[:, 1:] += 2 * smoothness * 1e-1 * steps
        gradient[:, :-1] -= 2 * smoothness * 1e-1 * steps
        value = -(weight * (log_share * target).sum(axis=1)).sum() + 1e-1 * smoothness * (steps**2).sum()
        value += 1e-4 * smoothness * (curves**2).sum()
        return float(value), np.concatenate([gradient.ravel(), error.sum(axis=0)])

    start = np.zeros(np.prod(shape) + len(KINDS))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    curves = found[: -len(KINDS)].reshape(shape)
    curves = curves - np.einsum("fk,fks->fs", mean, curves)[:, None]
    full = np.zeros((len(STYLE_FEATURES), NUM_KNOTS, len(KINDS)))
    full[columns] = curves - curves.mean(axis=2, keepdims=True)
    return Model(knots, full, found[-len(KINDS) :] - found[-len(KINDS) :].mean())


def style_log_probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return natural logarithms of the probabilities of STYLES for scores of KINDS."""
    share = np.exp(scores - scores.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return np.log(np.maximum(share @ np.eye(len(STYLES))[STYLE_OF_KIND], 1e-30))


def cross_entropy(scores: NDArray[np.float64], table: Table) -> float:
    """Return nats a piece, each style of equal weight."""
    right = style_log_probabilities(scores)[np.arange(len(scores)), table.style]
    return float(np.average(-right, weights=1 / np.bincount(table.style)[table.style]))


Examples = dict[str, Table]
"""Pieces as they are (`whole`) and their melodies by themselves (`alone`)."""


def fit_all(
    train: Examples, validation: Examples, *, smoothnesses: Sequence[float] = SMOOTHNESS, report: bool = True
) -> dict[str, Model]:
    """Return the model for each of GROUPS as the last that is heard, divided by its temperature."""
    knots = find_knots(train["whole"])
    models: dict[str, Model] = {}
    for group in GROUPS:
        if group == "melody":
            table, held_out = train["alone"], validation["alone"]
        else:
            table = with_borrowed(train["whole"], group, np.random.default_rng(0))
            held_out = validation["whole"][validation["whole"].has(group)]
        fitted = [fit(table, COLUMNS[group], knots, smoothness) for smoothness in smoothnesses]
        scores = [model.scores(held_out.values) for model in fitted]

        def softened(temperature: float, found: NDArray[np.float64], held_out: Table = held_out) -> float:
            return cross_entropy(found / temperature, held_out)

        found = [minimize_scalar(softened, bounds=(0.3, 3), args=(one,)) for one in scores]
        best = int(np.argmin([one.fun for one in found]))
        model, temperature = fitted[best], float(found[best].x)
        if report:
            values = ", ".join(f"{s:g}: {one.fun:.3f}" for s, one in zip(smoothnesses, found, strict=True))
            print(f"{group}: nats on validation by smoothness {values}; temperature {temperature:.2f}", flush=True)
        models[group] = Model(knots, model.curves / temperature, model.bias / temperature)
    return models


def typical_ranges(table: Table) -> NDArray[np.float64]:
    """Return the 5th, 50th and 95th percentile by style, shape (num_styles, num_features, 3); NaN where undefined."""
    ranges = np.full((len(STYLES), table.values.shape[1], 3), np.nan)
    for style in range(len(STYLES)):
        for column, values in enumerate(table.values[table.style == style].T):
            if np.isfinite(values).sum() >= 20:
                ranges[style, column] = np.nanpercentile(values, [5, 50, 95])
    return ranges


def melody_alone(score: GridScore) -> GridScore:
    """Return a piece with nothing but its melody."""
    line = melody_line(score)
    notes = np.zeros(len(line), dtype=TRACK_NOTE_DTYPE)
    for field in ("onset_step", "duration_step", "pitch"):
        notes[field] = line[field]
    notes["velocity"] = 80
    return replace(score, tracks=(GridTrack("", notes, "melody"),))


def table_of(scores: Sequence[GridScore], kinds: Sequence[int]) -> Table:
    """Return the features of the pieces that have enough notes."""
    found = [(values, kind) for score, kind in zip(scores, kinds, strict=True)
             if (values := style_features(score)) is not None]  # fmt: skip
    values, kept = np.array([values for values, _ in found]), np.array([kind for _, kind in found], dtype=np.int64)
    return Table(values.reshape(-1, len(STYLE_FEATURES)), kept, np.ones(len(kept)))


def examples_of(pieces: Sequence[LabelledPiece], excerpts: Sequence[int] = ()) -> Examples:
    """Return the examples that pieces make, with some excerpts of the pieces of each style."""
    rng = np.random.default_rng(0)
    scores, kinds = [piece.score for piece in pieces], [piece.kind for piece in pieces]
    for piece in pieces if excerpts else ():
        for _ in range(excerpts[STYLES.index(piece.style)]):
            scores.append(thinned(random_excerpt(piece.score, rng), rng))
            kinds.append(piece.kind)
    return {"whole": table_of(scores, kinds), "alone": table_of([melody_alone(score) for score in scores], kinds)}


def excerpts_of(pieces: Sequence[LabelledPiece]) -> list[int]:
    """Return how many excerpts of each style's pieces make about MIN_EXAMPLES of them, one to eight."""
    count = np.bincount([STYLES.index(piece.style) for piece in pieces], minlength=len(STYLES))
    return np.clip(np.rint(MIN_EXAMPLES / np.maximum(count, 1)), 1, 8).astype(int).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a prepared corpus of all the collections")
    pieces = list(labelled_pieces(parser.parse_args().corpus))
    train = [piece for piece in pieces if piece.split == "train"]
    validation = [piece for piece in pieces if piece.split == "validation"]
    for name, part in (("train", train), ("validation", validation)):
        print(name, {style: sum(piece.style == style for piece in part) for style in STYLES}, flush=True)
    models = fit_all(examples_of(train, excerpts_of(train)), examples_of(validation))
    typical = typical_ranges(table_of([piece.score for piece in train], [piece.kind for piece in train]))
    arrays = {"knots": models["melody"].knots, "typical": typical}
    for group, model in models.items():
        arrays |= {f"{group}_curves": model.curves, f"{group}_bias": model.bias}
    np.savez_compressed(WEIGHTS, **{name: array.astype(np.float32) for name, array in arrays.items()})
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
