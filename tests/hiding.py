"""Small encoders and encoder-decoders, and a slow reading of the challenge's procedure for their back ends.

The reading follows the description of the procedure, one text and one hidden token at a time, and shares nothing with
the package.
"""

from functools import cache
from typing import Any

import torch
from scored import PAGE
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

MASKS = 3
SIGNS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROUND = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@cache
def wordpiece(*, template: bool = True) -> PreTrainedTokenizerFast:
    """As BERT's: WordPiece in lower case, [CLS] and [SEP] around every text."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.train_from_iterator([PAGE], trainers.WordPieceTrainer(vocab_size=90, special_tokens=SIGNS))
    if template:
        signs = [(sign, SIGNS.index(sign)) for sign in ("[CLS]", "[SEP]")]
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=signs
        )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=backend, **dict(zip(names, SIGNS)))


@cache
def byte_bpe(template: str = "<s> $A </s>", *, bos: bool = True) -> PreTrainedTokenizerFast:
    """As RoBERTa's: byte-level BPE with a space before the first word; the mask takes the space before it."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=ROUND, initial_alphabet=alphabet)
    backend.train_from_iterator([PAGE], trainer)
    signs = [(sign, ROUND.index(sign)) for sign in ("<s>", "</s>")]
    pair = f"{template} </s>:1 $B:1 </s>:1"
    backend.post_processor = processors.TemplateProcessing(single=template, pair=pair, special_tokens=signs)
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>", "eos_token": "</s>"}
    names |= {"bos_token": "<s>", "cls_token": "<s>"} if bos else {}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def bert(tokenizer: PreTrainedTokenizerFast | None = None, *, positions: int = 96) -> BertForMaskedLM:
    """Two layers, 32 wide."""
    torch.manual_seed(0)
    vocab = len(tokenizer or wordpiece())
    config = BertConfig(vocab_size=vocab, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
    config.update({"intermediate_size": 64, "max_position_embeddings": positions, "initializer_range": 0.3})
    return BertForMaskedLM(config).eval()


def roberta(tokenizer: PreTrainedTokenizerFast | None = None, *, positions: int = 96) -> RobertaForMaskedLM:
    """Two layers, 32 wide."""
    torch.manual_seed(0)
    vocab = len(tokenizer or byte_bpe())
    config = RobertaConfig(vocab_size=vocab, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
    config.update({"intermediate_size": 64, "max_position_embeddings": positions, "initializer_range": 0.3})
    return RobertaForMaskedLM(config).eval()


def t5(tokenizer: PreTrainedTokenizerFast | None = None) -> T5ForConditionalGeneration:
    """Two layers on each side, 32 wide."""
    torch.manual_seed(0)
    config = T5Config(vocab_size=len(tokenizer or byte_bpe()), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    config.update({"decoder_start_token_id": 0, "initializer_factor": 2.0})
    return T5ForConditionalGeneration(config).eval()


# --- the procedure, slowly -------------------------------------------------------------------------------------------


@torch.no_grad()
def _log_probs(model: Any, ids: list[int], **given: Any) -> torch.Tensor:
    return model(input_ids=torch.tensor([ids]), **given).logits[0].double().log_softmax(-1)


def scored_places(tok: Any, text: str, completion: str) -> tuple[list[int], list[int], list[Any]]:
    """ids, the places of the tokens that end behind the completion's start, and the word of each token."""
    encoded = tok(text, return_offsets_mapping=True)
    start = len(text) - len(completion)
    places = [i for i, (_, end) in enumerate(encoded["offset_mapping"]) if end > start]
    return encoded["input_ids"], places, encoded.word_ids()


def masked_score(model: Any, tok: Any, backend: str, text: str, completion: str, *, l2r: bool = False) -> list[float]:
    """The log-probability of every scored token; l2r: with the later pieces of its word hidden, too."""
    ids, places, words = scored_places(tok, text, completion)
    has_first = tok.cls_token_id is not None or tok.bos_token_id is not None
    found = []
    for i in places:
        if backend == "mntp" and i == 0 and not has_first:
            continue
        copy = list(ids)
        copy[i] = tok.mask_token_id
        for j in range(i + 1, len(ids)) if l2r else ():
            if words[j] is not None and words[j] == words[i]:
                copy[j] = tok.mask_token_id
        found.append(float(_log_probs(model, copy)[i - (backend == "mntp"), ids[i]]))
    return found


def enc_dec_score(model: Any, tok: Any, backend: str, text: str, completion: str, prefix: str | None) -> list[float]:
    """The log-probability of every scored token under an encoder-decoder with a mask and a BOS token."""
    if backend == "enc_dec_mask":
        ids, places, _ = scored_places(tok, text, completion)
        decoder = torch.tensor([[tok.bos_token_id, tok.mask_token_id]])
        copies = [[tok.mask_token_id if j == i else other for j, other in enumerate(ids)] for i in places]
        return [
            float(_log_probs(model, copy, decoder_input_ids=decoder)[-1, ids[i]]) for copy, i in zip(copies, places)
        ]
    before = tok(prefix, add_special_tokens=False)["input_ids"] if prefix else []
    own = tok(completion, add_special_tokens=False)["input_ids"]
    encoder = [i for i in (tok.cls_token_id,) if i is not None] + before + [tok.mask_token_id, tok.eos_token_id]
    decoder = torch.tensor([[tok.bos_token_id, tok.mask_token_id, *own[:-1]]])
    logp = _log_probs(model, encoder, decoder_input_ids=decoder)
    return [float(logp[1 + k, token]) for k, token in enumerate(own)]


def slow(model: Any, tok: Any, backend: str, text: str, completion: str, prefix: str | None = None) -> float:
    """The official score of a completion."""
    if backend.startswith("enc_dec"):
        return sum(enc_dec_score(model, tok, backend, text, completion, prefix))
    return sum(masked_score(model, tok, backend, text, completion))


def surprisal(model: Any, tok: Any, backend: str, context: str, word: str) -> float:
    """The official surprisal of a word after its context, piece by piece."""
    pieces, total = tok(word, add_special_tokens=False)["input_ids"], 0.0
    targets = [pieces[0]]
    for k, piece in enumerate(pieces):
        if k:
            targets = tok(tok.decode([piece]), add_special_tokens=False)["input_ids"]
        total -= float(_next(model, tok, backend, context)[targets[0]])
        context += tok.decode([piece])
    return total


def _next(model: Any, tok: Any, backend: str, context: str) -> torch.Tensor:
    if backend.startswith("enc_dec"):
        ids = [tok.cls_token_id, *tok(context, add_special_tokens=False)["input_ids"]]
        bos = torch.tensor([[tok.bos_token_id]])
        return _log_probs(model, [*ids, tok.mask_token_id, tok.eos_token_id], decoder_input_ids=bos)[0]
    ids = tok(context + tok.mask_token * MASKS)["input_ids"]
    place = -MASKS if ids[-1] == tok.mask_token_id else -MASKS - 1
    return _log_probs(model, ids)[place - (backend == "mntp")]
