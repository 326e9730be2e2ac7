"""Reference speech from Debian packages, as PCM16 mono in numpy arrays."""
import pathlib
import subprocess
import wave

import numpy

PROMPTS = pathlib.Path("/usr/share/asterisk/sounds/en_US_f_Allison")
STUDIO = pathlib.Path("/usr/share/sounds/alsa")
# Five passages of about eight seconds: asterisk-core-sounds-en-wav, 8 kHz, one speaker.
PASSAGES = [
    ["vm-intro", "followme/status"],
    ["auth-incorrect", "pbx-invalidpark"],
    ["priv-introsaved", "ss-noservice"],
    ["queue-youarenext", "dir-usingkeypad"],
    ["vm-invalid-password", "vm-mismatch"],
]
# One more, of another speaker: alsa-utils, 48 kHz.
CHANNELS = ["Front_Center", "Front_Left", "Front_Right", "Rear_Center", "Rear_Left", "Side_Right"]
GAP_MS = 400
LONGEST_MS = 12_000


def missing():
    """What has to be installed first, as Debian packages."""
    packages = [(PROMPTS, "asterisk-core-sounds-en-wav"), (STUDIO, "alsa-utils")]
    return [package for folder, package in packages if not folder.is_dir()]


def read(path, rate):
    """A sound file as PCM16 mono at this rate."""
    command = ["sox", "-D", "-G", str(path), "-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", str(rate), "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return numpy.frombuffer(raw, dtype="<i2").astype(numpy.int16)


def silence(rate, ms):
    return numpy.zeros(rate * ms // 1000, dtype=numpy.int16)


def trimmed(pcm, rate):
    """Without the silence around it."""
    loud = numpy.nonzero(numpy.abs(pcm) > 200)[0]
    edge = rate // 20
    return pcm[max(0, loud[0] - edge) : loud[-1] + edge] if len(loud) else pcm


def passage(files, rate):
    parts = []
    for file in files:
        parts += [trimmed(read(file, rate), rate), silence(rate, GAP_MS)]
    return numpy.concatenate(parts)[: rate * LONGEST_MS // 1000]


def passages(rate):
    """The passages at this rate; above 8 kHz only the studio speaker, the prompts hold no more."""
    studio = passage([STUDIO / f"{name}.wav" for name in CHANNELS], rate)
    if rate > 8_000:
        return [studio]
    return [passage([PROMPTS / f"{name}.wav" for name in names], rate) for names in PASSAGES] + [studio]


def stream(parts, rate):
    """All passages one after the other as one call, and where each lies in it: (first, length)."""
    line, places = [silence(rate, 1_000)], []
    at = len(line[0])
    for part in parts:
        places.append((at, len(part)))
        line += [part, silence(rate, 600)]
        at += len(part) + len(line[-1])
    return numpy.concatenate(line), places


def write(path, pcm, rate):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm.astype("<i2").tobytes())
