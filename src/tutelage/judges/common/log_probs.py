"""Log-likelihoods of texts behind their prompts under a causal LM: in this process, or from a server that echoes."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tutelage.judges.common.base import Rollout
from tutelage.judges.common.chat import unmoderated
from tutelage.judges.common.http import Servers

Measured = float | str  # nats of a text behind its prompt; or why there are none
LARGEST = 2**27  # logits in a forward pass
CERTAIN = 1e-3  # a log-probability above 0 by no more than this is rounding


class LocalLogProbs:
    """A model in this process. Texts of like length are read together, padded on the right."""

    def __init__(self, name: str, *, device: str, dtype: str, batch: int) -> None:
        self.name, self.device, self.dtype, self.batch = name, device, dtype, batch

    @cached_property
    def tokenizer(self) -> Any:
        """The model's own."""
        from tutelage.models.student import load_tokenizer_of

        return load_tokenizer_of(self.name)

    @cached_property
    def model(self) -> Any:
        """In evaluation mode, on its device."""
        import torch

        from tutelage.models.devices import choose
        from tutelage.models.student import load_model

        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.dtype]
        model: Any = load_model(self.name, dtype=dtype)
        return model.to(choose(self.device)).eval()

    def measured(self, rollouts: Sequence[Rollout]) -> list[Measured]:
        """Nats of each text, its tokens after those of the prompt summed. The end-of-text token is not counted."""
        from tutelage.models.shapes import positions

        found: list[Measured] = [""] * len(rollouts)
        ids = [self._ids(rollout) for rollout in rollouts]
        longest = positions(self.model.config) or math.inf
        fitting = []
        for place, (before, text) in enumerate(ids):
            if not text:
                found[place] = "the text has no tokens"
            elif len(before) + len(text) > longest:
                found[place] = f"{len(before) + len(text):,} tokens, and the model reads {longest:,}"
            else:
                fitting.append(place)
        fitting.sort(key=lambda place: len(ids[place][0]) + len(ids[place][1]))
        while fitting:
            width = len(ids[fitting[-1]][0]) + len(ids[fitting[-1]][1])
            size = max(min(self.batch, LARGEST // (width * self.model.config.vocab_size)), 1)
            places, fitting = fitting[-size:], fitting[:-size]
            for place, nats in zip(places, self._sums([ids[place] for place in places]), strict=True):
                found[place] = nats if math.isfinite(nats) else "the model's log-probs are not finite"
        return found

    def _ids(self, rollout: Rollout) -> tuple[list[int], list[int]]:
        """Of the prompt, or of a beginning of text where it has none; and of the text."""
        from tutelage.data.seam import beginning, ids_behind

        tokenizer = self.tokenizer
        starts = [token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None][:1]
        return beginning(rollout.prompt, tokenizer) or starts, ids_behind(rollout.prompt, rollout.text, tokenizer)

    def _sums(self, rows: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        import torch

        from tutelage.models.precision import double

        whole = [before + text for before, text in rows]
        width = max(map(len, whole))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in whole])
        real = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in whole])
        begins = torch.tensor([max(len(before), 1) for before, _ in rows])  # a first token has no probability
        device = self.model.device
        with torch.inference_mode():
            logits = self.model(input_ids=ids.to(device), attention_mask=real.to(device), use_cache=False).logits
            logs = logits[:, :-1].float().log_softmax(-1).gather(-1, ids[:, 1:, None].to(device))[..., 0]
        scored = (torch.arange(1, width) >= begins[:, None]) & (real[:, 1:] == 1)
        return (double(logs).cpu() * scored).sum(-1).tolist()


class ServedLogProbs:
    """A server whose /completions repeats the prompt with its log-probs (`echo`), as vLLM does."""

    def __init__(self, servers: Servers, model: str) -> None:
        self.servers, self.model = servers, model

    def nats(self, rollout: Rollout, *, url: str = "") -> Measured:
        """Nats of a text, or http.Refused. url: of a server that is being probed."""
        whole = rollout.prompt + rollout.text
        body = {"model": self.model, "prompt": whole, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
        return self.servers.ask(
            "/completions", body, lambda reply: _behind(reply, len(rollout.prompt), whole), url=url, trying=bool(url)
        )


def _behind(reply: Any, begin: int, whole: str) -> Measured:
    """The log-probs of the tokens that end behind a place, summed; an error where they are not those of the text."""
    choice = unmoderated(reply)["choices"][0]
    listed = choice["logprobs"]
    logs, offsets = listed["token_logprobs"], listed["text_offset"]
    if not str(choice["text"]).startswith(whole) or len(logs) != len(offsets) or offsets != sorted(offsets):
        raise ValueError("the prompt is not repeated")
    ends = [*offsets[1:], len(str(choice["text"]))]
    scored = [log for log, start, end in zip(logs, offsets, ends) if start < len(whole) and end > begin]
    if not scored:
        raise ValueError("no token of the text")
    if scored[0] is None and offsets[0] >= begin:
        return "the prompt is empty, and the server gives the text's first token no probability"
    values = [float(log) for log in scored]
    if not all(math.isfinite(value) and value <= CERTAIN for value in values):
        raise ValueError("no log-probability")
    return sum(values)
