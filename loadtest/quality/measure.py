"""How a call sounds over a bad network, by PESQ (ITU-T P.862, P.862.2), and whether that is good enough.

Run by loadtest/quality/run. Speech and networks come from speech.py and network.py; the two legs are
crates/media-core/examples/two_legs.rs. Writes loadtest/QUALITY.md; exit code 1 when a bar is missed.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
from pesq import pesq

import g711
import network
import speech

FRAME_MS = 20
SEEDS = 4
# Around a passage: what the buffers add, cut wide; the passages lie in silence.
BEFORE_MS, AFTER_MS = 100, 300


class Line:
    """All passages at one rate as one call."""

    def __init__(self, rate, repeats=1):
        self.rate = rate
        parts = speech.passages(rate) * repeats
        pcm, self.places = speech.stream(parts, rate)
        frame = rate * FRAME_MS // 1000
        self.frame = frame
        self.pcm = numpy.concatenate([pcm, numpy.zeros(-len(pcm) % frame + 50 * frame, dtype=numpy.int16)])
        self.packets = len(self.pcm) // frame

    def scores(self, heard, skip=0):
        """PESQ of each passage."""
        before, after = (self.rate * ms // 1000 for ms in (BEFORE_MS, AFTER_MS))
        mode = "nb" if self.rate == 8_000 else "wb"
        cuts = [slice(at - before, at + length + after) for at, length in self.places[skip:]]
        return numpy.array([pesq(self.rate, self.pcm[cut], heard[cut], mode) for cut in cuts])


class Legs:
    """The program that holds both legs."""

    def __init__(self, program, folder):
        self.program, self.folder = program, pathlib.Path(folder)

    def carry(self, codec, line, law, *options):
        """What is heard at the end, and the figures of our leg."""
        said, rule, heard = (self.folder / name for name in ("said.wav", "law", "heard.pcm"))
        speech.write(said, line.pcm, line.rate)
        rule.write_text("\n".join(map(str, law)))
        command = [self.program, codec, said, rule, heard, *options]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return numpy.fromfile(heard, dtype="<i2"), json.loads(done.stdout)


def zero_filled(line, law):
    """The same losses with silence in their place and no receiver of ours, coded twice like the rest."""
    pcm = g711.through(line.pcm).copy()
    for n, delay in enumerate(law):
        if delay == network.LOST:
            pcm[n * line.frame : (n + 1) * line.frame] = 0
    return g711.through(pcm)


class Row:
    """One line of the table."""

    def __init__(self, name, score, against, bar, buffer_ms):
        self.name, self.score, self.against, self.bar, self.buffer_ms = name, score, against, bar, buffer_ms

    def text(self):
        bar, held = self.bar
        verdict = "" if not bar else "holds" if held else "**missed**"
        beside = difference = ""
        if self.against:
            what, value = self.against
            beside, difference = f"{what} {value:.2f}", f"{self.score - value:+.2f}"
        return f"| {self.name} | {self.score:.2f} | {beside} | {difference} | {bar} | {verdict} | {self.buffer_ms:.0f} ms |"


def telephone(legs):
    """G.711 against silence in place of what is lost, and against no jitter."""
    line, rows = Line(8_000), []
    plain = line.scores(g711.through(g711.through(line.pcm))).mean()
    heard, figures = legs.carry("PCMU", line, network.clean(line.packets, 0))
    clean = line.scores(heard).mean()
    rows.append(Row("G.711, clean", clean, ("plain double G.711", plain), ("within 0.10", abs(clean - plain) <= 0.1), figures["buffer_ms"]))
    losses = [("3 % lost at random", network.random_loss(3), 0.25), ("10 % lost at random", network.random_loss(10), 0.40), ("10 % lost in bursts of 3", network.burst_loss(10, 3), 0.40)]
    for name, law, least in losses:
        ours, zero, buffer_ms = [], [], []
        for seed in range(SEEDS):
            rule = law(line.packets, seed)
            heard, figures = legs.carry("PCMU", line, rule)
            ours.append(line.scores(heard).mean())
            zero.append(line.scores(zero_filled(line, rule)).mean())
            buffer_ms.append(figures["buffer_ms"])
        ours, zero, buffer_ms = numpy.mean(ours), numpy.mean(zero), numpy.mean(buffer_ms)
        held = ours - zero >= least and buffer_ms <= 60
        rows.append(Row(f"G.711, {name}", ours, ("zero-fill", zero), (f"≥ +{least:.2f}, buffer ≤ 60 ms", held), buffer_ms))
    runs = [legs.carry("PCMU", line, network.uniform_jitter(60)(line.packets, seed)) for seed in range(SEEDS)]
    jittery = numpy.mean([line.scores(heard).mean() for heard, _ in runs])
    buffer_ms = numpy.mean([figures["buffer_ms"] for _, figures in runs])
    rows.append(Row("G.711, jitter 0–60 ms, uniform", jittery, ("no jitter", clean), ("within 0.15", clean - jittery <= 0.15), buffer_ms))
    return rows


def wideband(legs):
    """Opus, whose redundancy our reports switch on, and the other wideband codecs clean."""
    line = Line(16_000, repeats=4)
    rows = []
    for codec in ("G722", "opus", "L16"):
        heard, figures = legs.carry(codec, line, network.clean(line.packets, 0))
        score = line.scores(heard, skip=1).mean()
        rows.append(Row(f"{codec}, clean (PESQ-WB)", score, None, ("", True), figures["buffer_ms"]))
    # Until the first reports of loss have come nothing is redundant: the first passage is left out.
    laws = [("3 % lost at random", network.random_loss(3), None), ("10 % lost at random", network.random_loss(10), 3.2)]
    for name, law, least in laws:
        with_fec, without, buffer_ms = [], [], []
        for seed in range(SEEDS):
            rule = law(line.packets, seed)
            heard, figures = legs.carry("opus", line, rule)
            with_fec.append(line.scores(heard, skip=1).mean())
            buffer_ms.append(figures["buffer_ms"])
            heard, _ = legs.carry("opus", line, rule, "nobody-reports")
            without.append(line.scores(heard, skip=1).mean())
        score, bare = numpy.mean(with_fec), numpy.mean(without)
        bar = (f"≥ {least:.1f}", score >= least) if least else ("", True)
        rows.append(Row(f"Opus, {name} (PESQ-WB)", score, ("without FEC", bare), bar, numpy.mean(buffer_ms)))
    return rows


def document(rows, method, machine, commit):
    head = "| | PESQ | beside it | difference | bar | | mean buffer |\n|---|---|---|---|---|---|---|"
    table = "\n".join(row.text() for row in rows)
    return f"# How a call sounds over a bad network\n\nWritten by `loadtest/quality/run` at {commit}, on {machine}.\n\n{head}\n{table}\n\n{method}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--legs", required=True)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    options = parser.parse_args()
    if speech.missing():
        print(f"quality: install {', '.join(speech.missing())} first", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        legs = Legs(options.legs, folder)
        rows = telephone(legs) + wideband(legs)
    for row in rows:
        print(row.text())
    method = (pathlib.Path(__file__).parent / "METHOD.md").read_text()
    options.out.write_text(document(rows, method, options.machine, options.commit))
    return 0 if all(row.bar[1] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
