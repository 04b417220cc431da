"""The tokenizers of other systems' model folders, as objects of the `tokenizers` library.

A ``tokenizer.json`` says all. Older folders have the parts alone: ``vocab.txt`` is a WordPiece vocabulary (Devlin et
al. 2019), ``vocab.json`` with ``merges.txt`` a BPE over bytes (Radford et al. 2019) or, where tokens end in ``</w>``,
over characters (Radford et al. 2018, who call the two files otherwise). What else such a folder leaves to the reader's
code is here as `transformers` has it. Which kind of BPE it is, and whether there are ``<s>`` and ``</s>`` around a
text, is seen in the vocabulary and not in the name of a model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from wenmo.errors import InputError
from wenmo.files import read_json_object

TOKENIZER, CONFIG, SPECIAL_MAP, ADDED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
WORD_PIECES, PAIRS, MERGES = "vocab.txt", "vocab.json", "merges.txt"
OPENAI_NAMES = {"encoder_bpe_40000.json": PAIRS, "vocab_40000.bpe": MERGES}
"""What OpenAI's folder of GPT calls them."""
FILES = (TOKENIZER, CONFIG, SPECIAL_MAP, ADDED, WORD_PIECES, PAIRS, MERGES, *OPENAI_NAMES)
"""All that is read here."""

_OLD_NAMES = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
"""Of BERT, where a folder does not say."""
_WORD_END = "</w>"


def read_described(folder: Path) -> dict[str, Any]:
    """What a folder says of its tokenizer, such as ``do_lower_case`` and ``cls_token``; tokens as plain strings.

    Raises:
        InputError: a file is not a JSON object.
    """
    described: dict[str, Any] = {}
    for name in (SPECIAL_MAP, CONFIG):
        path = folder / name
        if not path.is_file():
            continue
        described |= read_json_object(path)
    return {name: _plain_token(value) if name.endswith("_token") else value for name, value in described.items()}


def read_backend(folder: Path, described: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """The tokenizer of a folder, whatever its files.

    Raises:
        InputError: there is none, or a file is damaged.
    """
    openai_pairs = next(iter(OPENAI_NAMES))
    makers = ((TOKENIZER, _whole), (WORD_PIECES, _word_pieces), (PAIRS, _byte_pairs), (openai_pairs, _byte_pairs))
    for name, make in makers:
        if (folder / name).is_file():
            try:
                backend = make(folder, described)
            except (InputError, MemoryError):
                raise
            except Exception as error:  # the library raises nothing more special
                raise InputError(f"{folder / name}: not a tokenizer ({error}); copy the folder again") from error
            backend.no_truncation()  # what is cut is the reader's matter
            backend.no_padding()
            return backend
    raise InputError(
        f"{folder}: there is no tokenizer; wanted {TOKENIZER}, {WORD_PIECES}, or {PAIRS} with {MERGES}; copy the whole "
        "folder"
    )


def _whole(folder: Path, described: Mapping[str, Any]) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str((folder / TOKENIZER).read_text(encoding="utf-8"))


def _word_pieces(folder: Path, described: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """WordPiece as in BERT."""
    lines = (folder / WORD_PIECES).read_text(encoding="utf-8").split("\n")
    pieces = {piece: i for i, piece in enumerate(lines[:-1] if lines[-1] == "" else lines)}
    tokens = {role: described.get(role) or name for role, name in _OLD_NAMES.items()}
    missing = [tokens[role] for role in ("unk_token", "cls_token", "sep_token") if tokens[role] not in pieces]
    if missing:
        raise InputError(f"{folder / WORD_PIECES}: lacks {', '.join(missing)}; it is cut short or no WordPiece file")
    backend = tokenizers.Tokenizer(models.WordPiece(pieces, unk_token=tokens["unk_token"]))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(described.get("tokenize_chinese_chars", True)),
        strip_accents=described.get("strip_accents"),
        lowercase=bool(described.get("do_lower_case", True)),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    first, last = tokens["cls_token"], tokens["sep_token"]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{first}:0 $A:0 {last}:0",
        pair=f"{first}:0 $A:0 {last}:0 $B:1 {last}:1",
        special_tokens=[(first, pieces[first]), (last, pieces[last])],
    )
    _add_special(backend, folder, [*tokens.values(), described.get("mask_token") or "[MASK]"])
    return backend


def _byte_pairs(folder: Path, described: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """BPE as in GPT-2 and RoBERTa, or as in GPT."""
    pairs_file, merges_file = (PAIRS, MERGES) if (folder / PAIRS).is_file() else OPENAI_NAMES
    if not (folder / merges_file).is_file():
        raise InputError(f"{folder}: {pairs_file} without {merges_file}; copy the whole folder")
    vocabulary, merges = models.BPE.read_file(str(folder / pairs_file), str(folder / merges_file))
    if any(token.endswith(_WORD_END) for token in vocabulary):
        return _character_pairs(folder, vocabulary, merges, described)
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges, fuse_unk=False))
    prefix = bool(described.get("add_prefix_space", False))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.decoder = decoders.ByteLevel()
    first, last = described.get("cls_token") or "<s>", described.get("sep_token") or "</s>"
    if first in vocabulary and last in vocabulary:
        ends = ((last, vocabulary[last]), (first, vocabulary[first]))
        backend.post_processor = processors.RobertaProcessing(*ends, True, prefix)
    named = [token for role, token in described.items() if role.endswith("_token") and isinstance(token, str)]
    usual = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"]
    _add_special(backend, folder, [token for token in (*named, *usual) if token in vocabulary])
    return backend


def _character_pairs(
    folder: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]], described: Mapping[str, Any]
) -> tokenizers.Tokenizer:
    unknown = described.get("unk_token") or "<unk>"
    backend = tokenizers.Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix=_WORD_END, fuse_unk=False, unk_token=unknown)
    )
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.BPEDecoder(suffix=_WORD_END)
    _add_special(backend, folder, [unknown])
    return backend


def _add_special(backend: tokenizers.Tokenizer, folder: Path, tokens: list[str]) -> None:
    """Mark special tokens, and add those of ``added_tokens.json`` where it says."""
    backend.add_special_tokens([token for token in dict.fromkeys(tokens) if backend.token_to_id(token) is not None])
    path = folder / ADDED
    if not path.is_file():
        return
    for token, wanted in sorted(read_json_object(path).items(), key=lambda item: int(item[1])):
        backend.add_tokens([token])
        if backend.token_to_id(token) != wanted:
            raise InputError(f"{path}: {token!r} has the id {wanted}, which is not the next one; copy the folder again")


def _plain_token(value: Any) -> Any:
    """A token that may be written as an object with its content."""
    return value.get("content") if isinstance(value, dict) else value
