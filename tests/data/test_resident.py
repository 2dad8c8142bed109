"""A stream held on a device gives the batches that the disk gives."""

import numpy as np
import pytest
import torch

from tutelage.data.batch import IGNORED, TokenBatch, queued, token_batch
from tutelage.data.resident import Resident
from tutelage.data.stream import Order, TokenStream

WINDOW = 16


@pytest.mark.parametrize("reads", [WINDOW, WINDOW + 1])
def test_a_batch_of_the_device_is_the_batch_of_the_disk(corpus, reads):
    stream = TokenStream.open(corpus, "train")
    resident = Resident(stream, torch.device("cpu"))
    order = Order(tokens=stream.tokens, length=WINDOW, batch=8, seed=3, offsets="window", reads=reads)
    last = np.array([stream.tokens - reads], dtype=np.int64)
    for starts in (order.at(0), order.at(order.windows // 8), last):
        ids, words = stream.at(starts, reads, counted=WINDOW)
        disk, device = (
            token_batch(ids, starts, words, window=WINDOW),
            resident.batch(starts, window=WINDOW, reads=reads),
        )
        for name in ("ids", "targets", "positions", "words", "learnt"):
            assert torch.equal(getattr(disk, name), getattr(device, name)), name
        assert disk.counts == device.counts


def test_counts_of_shares_and_micro_batches_are_those_of_their_targets():
    targets = torch.randint(0, 9, (7, 5))
    targets[::2, 3:] = IGNORED
    whole = TokenBatch(ids=targets.clone(), targets=targets, positions=torch.arange(7), words=torch.ones(7))
    for part in [*whole.split(3), whole.share(1, 2)]:
        assert part.counts == {"tokens": int((part.targets != IGNORED).sum()), "sequences": len(part)}
        assert part.totals == whole.counts


class Host:
    """A tensor of the host that remembers what was asked of it."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pin_memory(self) -> "Host":
        self.asked.append("pinned")
        return self

    def to(self, device: torch.device, *, non_blocking: bool) -> "Host":
        self.asked.append(f"queued for {device}" if non_blocking else "waited for")
        return self


def test_what_goes_to_a_gpu_goes_through_pinned_memory():
    for device, expected in (("cuda:1", ["pinned", "queued for cuda:1"]), ("cpu", ["queued for cpu"])):
        host = Host()
        queued(host, torch.device(device))
        assert host.asked == expected
