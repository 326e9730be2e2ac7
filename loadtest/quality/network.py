"""What a network does to a call, packet by packet and from a seed: a delay in microseconds, or LOST."""
import random

LOST = -1
WAY_US = 30_000
# The packets that begin and end a call always come, so that both sides of a comparison are equally long.
SPARED = 25


def clean(count, _seed):
    return [WAY_US] * count


def random_loss(percent):
    """Exactly so many of a hundred, anywhere."""

    def law(count, seed):
        dice = random.Random(seed)
        places = range(SPARED, count - SPARED)
        gone = set(dice.sample(places, round(len(places) * percent / 100)))
        return [LOST if n in gone else WAY_US for n in range(count)]

    return law


def burst_loss(percent, length):
    """Exactly so many of a hundred, `length` in a row each time, at least one between two bursts."""

    def law(count, seed):
        dice = random.Random(seed)
        places = count - 2 * SPARED
        bursts = round(places * percent / 100 / length)
        # The gaps that are left are dealt out at random.
        free = places - bursts * (length + 1)
        cuts = sorted(dice.randrange(free + 1) for _ in range(bursts))
        gone = set()
        for n, cut in enumerate(cuts):
            first = SPARED + cut + n * (length + 1)
            gone.update(range(first, first + length))
        return [LOST if n in gone else WAY_US for n in range(count)]

    return law


def uniform_jitter(most_ms):
    """Each packet 0 to `most_ms` later than the fastest, evenly."""

    def law(count, seed):
        dice = random.Random(seed)
        return [WAY_US + dice.randrange(most_ms * 1_000 + 1) for _ in range(count)]

    return law
