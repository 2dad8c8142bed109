"""The score by likelihood: a z-score among real texts, equal to torch by hand, the same whoever is beside it."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from judge_server import Server, judge_server
from scored import gpt2, saved

from tutelage.data.seam import beginning, ids_behind
from tutelage.errors import UserError
from tutelage.judges import open_judge
from tutelage.judges.checking.real import real_texts
from tutelage.judges.common.base import Rollout, Unavailable
from tutelage.judges.likelihood import Likelihood

REFERENCE = "nursery:words=3000,seed=1"
TEXTS = [
    Rollout(prompt=prompt, text=f" the cat saw {'a dog and ' * n}a bird.", ended=True)
    for n, prompt in enumerate(["It was late,", "", "A girl ran and", "The boy"])
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory.mktemp("lm") / "model", gpt2(positions=256))


def judge(model: str, **settings: Any) -> Likelihood:
    few: dict[str, Any] = {"reference": REFERENCE, "texts": 12, "words": 15, "device": "cpu"}
    return Likelihood(model=model, **(few | settings))


def nats(judge: Likelihood, rollout: Rollout) -> float:
    """The log-likelihood of a text behind its prompt, token by token."""
    tokenizer, model = judge._local.tokenizer, judge._local.model
    before = beginning(rollout.prompt, tokenizer) or [tokenizer.eos_token_id]
    ids = [*before, *ids_behind(rollout.prompt, rollout.text, tokenizer)]
    with torch.no_grad():
        logs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logs[place - 1, ids[place]]) for place in range(len(before), len(ids)))


@pytest.mark.parametrize("unit", ["byte", "word"])
def test_the_score_is_that_of_the_z_score_among_the_reference_texts(model: str, unit: str) -> None:
    asked = judge(model, unit=unit)
    verdicts = asked.grade(TEXTS)

    def per_unit(rollout: Rollout) -> float:
        text = rollout.text.strip()
        return nats(asked, rollout) / (len(text.encode()) if unit == "byte" else len(text.split()))

    reference = [per_unit(text) for text in real_texts(REFERENCE, 12, words=15, seed=1)]
    mean, deviation = statistics.fmean(reference), statistics.stdev(reference)
    assert asked.identity()["mean"] == pytest.approx(mean, rel=1e-4) and asked.identity()["texts"] == 12
    for text, verdict in zip(TEXTS, verdicts):
        z = (per_unit(text) - mean) / deviation
        assert verdict.status == "scored" and verdict.score == pytest.approx(1 / (1 + z * z), rel=1e-3)
        assert verdict.said.endswith(f"z-score {z:+.2f}") and f"nats per {unit}" in verdict.said


def test_a_text_has_the_same_score_whoever_is_beside_it(model: str) -> None:
    asked = judge(model, batch=3)
    together, alone = asked.grade(TEXTS), [asked.grade([text])[0] for text in TEXTS]
    assert [v.score for v in together] == pytest.approx([v.score for v in alone], abs=1e-5)


def test_real_texts_score_above_letters_in_reverse_under_a_model_of_a_few_steps(
    corpus: Path, teacher_run: Path
) -> None:
    asked = Likelihood(model=str(teacher_run), reference=str(corpus), texts=40, words=15, device="cpu")
    real = real_texts(str(corpus), 20, words=15, seed=2)
    reverse = [Rollout(prompt=r.prompt, text=f" {r.text[::-1].strip()}", ended=True) for r in real]
    scores = [statistics.fmean(v.score for v in asked.grade(some) if v.score is not None) for some in (real, reverse)]
    assert scores[0] > scores[1] + 0.1


def test_what_has_no_likelihood_has_no_score(model: str, tmp_path: Path) -> None:
    texts = [
        Rollout(prompt="", text=" and the cat ran" * 100, ended=True),
        Rollout(prompt="It was late,", text="", ended=True),
        Rollout(prompt="\ud800", text=" the \udcff cat saw a dog.", ended=True),
    ]
    long, empty, half = judge(model).grade(texts)
    assert (long.status, empty.status, half.status) == ("unscorable", "unscorable", "scored")
    assert "the model reads 256" in long.reason and "no tokens" in empty.reason
    few: dict[str, Any] = {"reference": REFERENCE, "texts": 12, "words": 15, "device": "cpu"}
    stored = open_judge("likelihood", store=tmp_path / "s", model=model, **few)
    short = stored.grade([Rollout(prompt="It was late,", text=" no", ended=True), texts[1]])
    assert [(v.status, v.score, v.reason) for v in short] == [
        ("invalid", 0.0, "fewer than 5 words"),
        ("invalid", 0.0, "empty"),
    ]
    assert "_local" not in vars(stored.annotator)  # nobody was asked
    stored.store.connection.close()


def test_a_model_whose_log_probs_are_not_finite_gives_no_score(tmp_path: Path) -> None:
    broken = gpt2(positions=256)
    with torch.no_grad():
        broken.transformer.wte.weight[5:] = 1e30  # finite, and its square is not
    with pytest.raises(UserError, match=r"have no likelihood .*not finite"):
        judge(saved(tmp_path / "broken", broken)).grade(TEXTS)


def test_a_resumed_judge_keeps_the_figures_of_its_reference(model: str) -> None:
    first, again = judge(model), judge(model)
    known = first.identity()
    again.restore({**known, "mean": known["mean"] + 1})
    assert again.identity()["mean"] == known["mean"] + 1
    assert again.fingerprint == first.fingerprint != judge(model, words=16).fingerprint


def test_too_few_reference_texts_are_one_message(model: str, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("The cat ran.")
    with pytest.raises(UserError, match="has 0 texts of"):
        judge(model, reference=str(tmp_path / "short.txt")).grade(TEXTS)


def echoed(body: dict[str, Any], per_character: float = -0.5) -> tuple[int, bytes]:
    """The reply of a server of a character-level model, which writes one more token than it was given."""
    text = body["prompt"] + "x"
    logs = [None, *(per_character for _ in text[1:])]
    listed = {"tokens": list(text), "token_logprobs": logs, "text_offset": list(range(len(text)))}
    return 200, json.dumps({"choices": [{"text": text, "logprobs": listed, "finish_reason": "length"}]}).encode()


def served(server: Server, **settings: Any) -> Likelihood:
    few: dict[str, Any] = {"reference": REFERENCE, "texts": 12, "words": 15, "retries": 0, "timeout": 5}
    return Likelihood(model="lm", url=server.url, **(few | settings))


def close(judge: Likelihood) -> None:
    assert judge._servers
    if judge._servers._transport:
        judge._servers._transport.client.close()


def test_a_server_that_echoes_log_probs_is_summed_over_the_text_alone() -> None:
    with judge_server("text") as server:
        server.trouble = lambda number, body: echoed(body, -1 / (7 + len(body["prompt"]) % 5))
        asked = served(server)
        verdicts = asked.grade([TEXTS[0], TEXTS[2]])
        for text, verdict in zip((TEXTS[0], TEXTS[2]), verdicts):
            whole = text.prompt + text.text
            per_byte = -len(text.text) / (7 + len(whole) % 5) / len(text.text.strip())
            assert verdict.said.startswith(f"{per_byte:.4f} nats per byte")
        assert all(body["echo"] and body["max_tokens"] == 1 for body in server.asked)
        [no_prompt] = asked.grade([TEXTS[1]])
        assert no_prompt.status == "unscorable" and "the prompt is empty" in no_prompt.reason
        close(asked)


@pytest.mark.parametrize(
    "reply",
    [
        (400, b"echo is not supported"),
        (501, b""),
        (200, b'{"choices": [{"text": "x", "logprobs": null, "finish_reason": "length"}]}'),
        (200, b'{"choices": [{"text": "only what is new", "logprobs": {"token_logprobs": [-1], "text_offset": [0]}}]}'),
    ],
)
def test_a_server_without_log_probs_of_a_prompt_is_one_message(reply: tuple[int, bytes]) -> None:
    with judge_server("text") as server:
        server.trouble = lambda number, body: reply
        asked = served(server)
        with pytest.raises(UserError, match="gives no log-probs of a prompt"):
            asked.grade([TEXTS[0]])
        close(asked)


def test_what_is_no_log_probability_is_never_a_score() -> None:
    with judge_server("text") as server:

        def usual(number: int, body: dict[str, Any]) -> tuple[int, bytes]:
            return echoed(body, -1 / (7 + len(body["prompt"]) % 5))

        server.trouble = usual
        asked = served(server)
        asked.identity()

        for wrong in (math.inf, 1e6, "x", None):

            def spoiled(number: int, body: dict[str, Any], wrong: Any = wrong) -> tuple[int, bytes]:
                reply = json.loads(usual(number, body)[1])
                reply["choices"][0]["logprobs"]["token_logprobs"][-3] = wrong
                return 200, json.dumps(reply).encode()

            server.trouble = spoiled
            with pytest.raises(Unavailable, match="cannot be read"):
                asked.grade([TEXTS[0]])
        server.trouble = lambda number, body: (
            (400, b"flagged") if "A girl ran" in body["prompt"] else usual(number, body)
        )
        assert [v.status for v in asked.grade([TEXTS[0], TEXTS[2]])] == ["scored", "unscorable"]
        close(asked)
