"""Tokenizers: GPT-2's, or trained here on the training split; loaded, saved and told apart.

What is prepared is saved so that `AutoTokenizer.from_pretrained(folder)` reads it without a network and without code
from elsewhere. Every tokenizer has an end-of-text token.
"""

import io
import json
import os
import re
import struct
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.data.folder import is_prepared
from tutelage.data.hub import hub_error
from tutelage.data.integrity import AGAIN, check_files, read_manifest
from tutelage.data.portable import CONFIG, portable
from tutelage.errors import UserError
from tutelage.files import exists
from tutelage.files import fingerprint as digest
from tutelage.printable import shown
from tutelage.quantised.cached import dequantised, is_gguf

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

END = "<|endoftext|>"
UNKNOWN = "[UNK]"
ALIASES = {"gpt2": "openai-community/gpt2"}
BYTES = 256
# Every character that str.split() splits at; a SentencePiece tokenizer reads them all as a space, so that its words are
# the words that the challenge counts ("*CHI:\tWho" are two).
WHITESPACE = "".join(c for c in map(chr, range(0x3001)) if c.isspace())
SPELLING = "<>/unksx0123456789ABCDEF"


def load_tokenizer(name: str | Path) -> "PreTrainedTokenizerFast":
    """From a prepared corpus, a folder (tokenizer.json, or vocab.json and merges.txt), a GGUF file or the Hub."""
    path = Path(name)
    if is_gguf(name):
        tokenizer = _from_folder(dequantised(name))
    elif str(name) not in ALIASES and exists(path):
        if is_prepared(path):
            return _from_corpus(path)
        tokenizer = _from_folder(path)
    elif path.is_absolute() or str(name).count("/") > 1 or str(name).startswith("."):
        raise UserError(f"There is no folder {name}", "A folder with a tokenizer, or a name on the Hub")
    else:
        tokenizer = _from_hub(ALIASES.get(str(name), str(name)))
    return with_end(tokenizer)


def fingerprint(tokenizer: "PreTrainedTokenizerFast") -> str:
    """16 hex digits of everything that decides which ids a text gets. The way of saving it is no part of that."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    model = {key: state["model"].get(key) for key in ("type", "vocab", "merges")}
    splitter = {k: v for k, v in (state["pre_tokenizer"] or {}).items() if k != "trim_offsets"}
    added = sorted((token["id"], token["content"]) for token in state["added_tokens"])
    return digest([model, state["normalizer"], splitter, added, tokenizer.eos_token_id])


def save_tokenizer(tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    """Write it so that AutoTokenizer reads it anywhere, and in every release alike."""
    try:
        tokenizer.save_pretrained(folder)
    except Exception as error:
        # The library in Rust says why as text only: "No space left on device (os error 28)".
        if number := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(folder)) from error
        raise
    (Path(folder) / CONFIG).write_text(portable(folder), encoding="utf-8")


def train_bpe(texts: Iterable[str], vocabulary: int) -> "PreTrainedTokenizerFast":
    """Byte-level BPE as GPT-2's, with at most `vocabulary` tokens, of which 256 are bytes and one ends a text.

    Unlike GPT-2's it puts a space before the first word: a word gets the same ids at the head of a text as within one.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    _require_vocabulary(vocabulary, BYTES + 1)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, bos_token=END, clean_up_tokenization_spaces=False,
        add_prefix_space=True,
    )  # fmt: skip


def train_wordpiece(texts: Iterable[str], vocabulary: int) -> "PreTrainedTokenizerFast":
    """WordPiece as BERT's cased one: words and punctuation are split first, whitespace is not kept, and a character
    that no text of the corpus has is [UNK].
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    _require_vocabulary(vocabulary, BYTES)
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))  # pyright: ignore[reportCallIssue]
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=[END, UNKNOWN], show_progress=False, min_frequency=1
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, unk_token=UNKNOWN, clean_up_tokenization_spaces=False
    )


def train_unigram(texts: Iterable[str], vocabulary: int, *, newlines: bool = False) -> "PreTrainedTokenizerFast":
    """A SentencePiece Unigram tokenizer with at most `vocabulary` tokens; see `unigram_model`."""
    return from_sentencepiece(unigram_model(texts, vocabulary, newlines=newlines))


def unigram_model(texts: Iterable[str], vocabulary: int, *, newlines: bool = False) -> bytes:
    """What the sentencepiece library learns from the words of the texts: the content of a .model file.

    Whitespace of any kind and length is one space (newlines=True: newlines are kept, as bytes); nothing else is
    normalised, and a character that has no piece is spelled in bytes, so no text is lost.
    """
    import sentencepiece

    _require_vocabulary(vocabulary, BYTES + 2)
    words = Counter(word for text in texts for word in text.split())
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        counts, rule = Path(folder) / "words.tsv", Path(folder) / "rule.tsv"
        # Words with their counts are all that the trainer makes of a text, and far smaller.
        counts.write_text(
            "".join(f"{word}\t{n}\n" for word, n in sorted(words.items()) if "▁" not in word), encoding="utf-8"
        )
        rule.write_text("".join(f"{ord(c):X}\t20\n" for c in _spaces(newlines)), encoding="utf-8")
        try:
            sentencepiece.SentencePieceTrainer.train(
                input=str(counts), input_format="tsv", model_writer=model, model_type="unigram", vocab_size=vocabulary,
                normalization_rule_tsv=str(rule), byte_fallback=True, hard_vocab_limit=False, num_threads=1,
                unk_id=0, eos_id=1, bos_id=-1, pad_id=-1, required_chars=SPELLING, minloglevel=2,
            )  # fmt: skip
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"A vocabulary of {vocabulary} cannot be learned from {len(words):,} different words ({error})",
                "More text, or another size",
            ) from error
    return _round_scores(model.getvalue())


def from_sentencepiece(model: bytes) -> "PreTrainedTokenizerFast":
    """A tokenizer that segments as the sentencepiece library does with a model of `unigram_model`.

    One exception, which comes with being loadable by AutoTokenizer: `</s>` in a text is the end-of-text token.
    """
    import sentencepiece
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocabulary = []
    for i in range(pieces.get_piece_size()):
        special = pieces.is_unknown(i) or pieces.is_control(i) or pieces.is_byte(i)
        # The library never matches "<unk>" or "<0x0A>" in a text; here a hopeless score keeps them out, as all their
        # characters are pieces (SPELLING).
        vocabulary.append((pieces.id_to_piece(i), -1e4 if special else pieces.get_score(i)))
    spaces = _spaces(newlines=pieces.encode("a\nb") != pieces.encode("a b"))
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=pieces.unk_id(), byte_fallback=True))
    # An escape for each character: what a regular expression means by \s differs between libraries.
    kinds = "".join(f"\\x{{{ord(c):x}}}" for c in " " + spaces)
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(f"[{kinds}]+"), " "),
            normalizers.Replace(Regex(r"\A | \z"), ""),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always"), decoders.Fuse()]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=pieces.id_to_piece(pieces.eos_id()), clean_up_tokenization_spaces=False
    )


def _spaces(newlines: bool) -> str:
    """What is read as a space, the space itself left out; the last is how SentencePiece writes one."""
    return WHITESPACE.replace(" ", "").replace("\n", "" if newlines else "\n") + "▁"


def _round_scores(model: bytes) -> bytes:
    """A .model file with each piece's score rounded to a multiple of 1/1024.

    Sums of such scores are exact in single and in double precision, so two segmentations that are equally good
    ("--" "-" or "-" "--") are equal for the library and for `tokenizers`, which then choose the same one.
    """
    data, place = bytearray(model), 0
    while place < len(data):
        tag, place = _varint(data, place)
        assert tag & 7 == 2, f"field {tag >> 3} of a sentencepiece model is not a message"
        length, place = _varint(data, place)
        end = place + length
        if tag >> 3 == 1:  # a piece: its text (field 1), then its score (field 2, a float), then perhaps its type
            length, place = _varint(data, place + 1)
            place += length
            assert data[place] == 2 << 3 | 5, "a piece without a score"
            (score,) = struct.unpack_from("<f", data, place + 1)
            struct.pack_into("<f", data, place + 1, round(score * 1024) / 1024)
        place = end
    return bytes(data)


def _varint(data: bytearray, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[place] & 127) << shift
        shift, place = shift + 7, place + 1
        if data[place - 1] < 128:
            return value, place


def _require_vocabulary(vocabulary: int, least: int) -> None:
    if vocabulary < least:
        raise UserError(f"A vocabulary of {vocabulary} tokens was requested", f"At least {least}: bytes come first")


def _from_corpus(folder: Path) -> "PreTrainedTokenizerFast":
    """The tokenizer of a prepared corpus, as it was written."""
    manifest = read_manifest(folder)
    check_files(folder, manifest, "tokenizer/")
    tokenizer = with_end(_from_folder(folder / "tokenizer"))
    if "files" not in manifest and fingerprint(tokenizer) != manifest["tokenizer"]["fingerprint"]:
        raise UserError(
            f"The tokenizer in {shown(folder)} was altered or damaged after it was written",
            "The files as `tutelage prepare` wrote them",
            f"Restore them from a copy. {AGAIN}",
        )
    return tokenizer


def _from_folder(path: Path) -> Any:
    from transformers import AutoTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast

    has = {name for name in ("tokenizer_config.json", "tokenizer.json", "vocab.json") if (path / name).exists()}
    try:
        if "tokenizer_config.json" in has:
            return AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
        if "tokenizer.json" in has:
            return PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"))
        if "vocab.json" in has and (path / "merges.txt").exists():
            return GPT2Tokenizer.from_pretrained(path)
    except Exception as error:  # the libraries raise all kinds for a damaged file, also Exception itself
        raise UserError(f"The tokenizer in {path} cannot be loaded ({error})", "A tokenizer that AutoTokenizer reads") \
            from error  # fmt: skip
    raise UserError(
        f"The folder {path} holds no tokenizer",
        "tokenizer.json, or vocab.json and merges.txt, or a folder that `tutelage prepare` wrote",
    )


def _from_hub(name: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:
        raise hub_error(name, "tokenizer", error) from error


def with_end(tokenizer: Any) -> "PreTrainedTokenizerFast":
    """The tokenizer with a token that ends a text: one that it has already and does not say, or a new one."""
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            f"{tokenizer.name_or_path} has no fast tokenizer, only {type(tokenizer).__name__}",
            "A tokenizer of the `tokenizers` library",
        )
    if tokenizer.eos_token_id is None:
        known = tokenizer.get_vocab()
        token = next((t for t in (END, "</s>", "[SEP]", "<eos>") if t in known), END)
        tokenizer.add_special_tokens({"eos_token": token})
    return tokenizer
