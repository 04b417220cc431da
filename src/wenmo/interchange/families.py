"""The architectures of Hugging Face that are ours as well: one literal table a family, for both directions.

The names on the left are ours, those on the right are theirs, as of transformers 5. Where ours is one matrix and theirs
are three, the right side has three names.
"""

from dataclasses import replace

from wenmo.interchange.family import Family, Head, Names

IGNORED = frozenset(
    """
    architectures model_type transformers_version torch_dtype dtype _name_or_path initializer_range use_cache
    pad_token_id bos_token_id eos_token_id sep_token_id cls_token_id mask_token_id tie_word_embeddings id2label
    label2id problem_type num_labels gradient_checkpointing output_past n_ctx n_special predict_special_tokens vocab
    directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type
    summary_type summary_use_proj summary_activation summary_last_dropout summary_first_dropout
    summary_proj_to_labels task_specific_params finetuning_task classifier_dropout seq_classif_dropout qa_dropout
    sinusoidal_pos_embds position_embedding_type embd_pdrop reorder_and_upcast_attn output_attentions
    output_hidden_states return_dict is_encoder_decoder chunk_size_feed_forward is_decoder add_cross_attention
    use_task_id
    """.split()  # noqa: SIM905
)
"""Their fields that change no feature, or of which another part of this room takes care."""

_BERT_FIELDS = {
    "vocab_size": ("vocab_size", 30_522),
    "hidden_size": ("hidden_size", 768),
    "num_hidden_layers": ("num_hidden_layers", 12),
    "num_attention_heads": ("num_attention_heads", 12),
    "intermediate_size": ("intermediate_size", 3072),
    "hidden_act": ("hidden_act", "gelu"),
    "hidden_dropout_prob": ("hidden_dropout_prob", 0.1),
    "attention_probs_dropout_prob": ("attention_probs_dropout_prob", 0.1),
    "max_position_embeddings": ("max_position_embeddings", 512),
    "type_vocab_size": ("type_vocab_size", 2),
    "layer_norm_eps": ("layer_norm_eps", 1e-12),
}
_POST_NORM = {"norm_first": False, "position_embedding_type": "learned"}
_BERT_REQUIRED = {"is_decoder": False, "add_cross_attention": False, "position_embedding_type": "absolute"}
_BERT_TABLES = {
    "embeddings.words.words": "embeddings.word_embeddings",
    "embeddings.positions": "embeddings.position_embeddings",
    "embeddings.segments": "embeddings.token_type_embeddings",
}
_BERT_LAYER: Names = {
    "attention.query_key_value": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.intermediate": "intermediate.dense",
    "feed_forward.output": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
_BERT_MASKED_LM = {
    "masked_lm.dense": "cls.predictions.transform.dense",
    "masked_lm.norm": "cls.predictions.transform.LayerNorm",
}
_BERT_COPIES = {
    "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


def _bert_heads(name: str) -> dict[str, Head]:
    return {
        "next_sentence": Head(
            architecture=f"{name}ForNextSentencePrediction", modules={"next_sentence": "cls.seq_relationship"}
        ),
        "masked_lm": Head(
            architecture=f"{name}ForMaskedLM",
            modules=_BERT_MASKED_LM,
            tensors={"masked_lm.bias": "cls.predictions.bias"},
        ),
        "classifier": Head(architecture=f"{name}ForSequenceClassification", modules={"classifier": "classifier"}),
        "tagger": Head(architecture=f"{name}ForTokenClassification", modules={"tagger": "classifier"}),
        "chooser": Head(architecture=f"{name}ForMultipleChoice", modules={"chooser": "classifier"}),
    }


_BERT = Family(
    name="bert",
    model_type="bert",
    architecture="BertModel",
    prefix="bert.",
    fields=_BERT_FIELDS,
    fixed=_POST_NORM | {"pooler_act": "tanh", "position_offset": 0, "embedding_size": 0},
    required=_BERT_REQUIRED,
    tables=_BERT_TABLES,
    modules={"embeddings.norm": "embeddings.LayerNorm"},
    layers=("encoder.layers.", "encoder.layer."),
    layer=_BERT_LAYER,
    pooler="pooler.dense",
    heads=_bert_heads("Bert"),
    copies=_BERT_COPIES,
)

_ERNIE = Family(
    name="ernie",
    model_type="ernie",
    architecture="ErnieModel",
    prefix="ernie.",
    fields=_BERT_FIELDS | {"task_type_vocab_size": ("task_type_vocab_size", 3)},
    fixed=_POST_NORM | {"pooler_act": "tanh"},
    required=_BERT_REQUIRED,
    tables=_BERT_TABLES | {"embeddings.tasks": "embeddings.task_type_embeddings"},
    modules={"embeddings.norm": "embeddings.LayerNorm"},
    layers=("encoder.layers.", "encoder.layer."),
    layer=_BERT_LAYER,
    pooler="pooler.dense",
    heads=_bert_heads("Ernie"),
    copies=_BERT_COPIES,
)

_ROBERTA = Family(
    name="roberta",
    model_type="bert",
    architecture="RobertaModel",
    prefix="roberta.",
    fields=_BERT_FIELDS | {"vocab_size": ("vocab_size", 50_265)},
    fixed=_POST_NORM | {"pooler_act": "tanh", "embedding_size": 0},
    required=_BERT_REQUIRED,
    positions_behind_padding=True,
    tables=_BERT_TABLES,
    modules={"embeddings.norm": "embeddings.LayerNorm"},
    layers=("encoder.layers.", "encoder.layer."),
    layer=_BERT_LAYER,
    pooler="pooler.dense",
    heads={
        "masked_lm": Head(
            architecture="RobertaForMaskedLM",
            modules={"masked_lm.dense": "lm_head.dense", "masked_lm.norm": "lm_head.layer_norm"},
            tensors={"masked_lm.bias": "lm_head.bias"},
        ),
        "classifier": Head(
            architecture="RobertaForSequenceClassification",
            modules={"classifier": "classifier.out_proj"},
            takes_pooler="classifier.dense",
        ),
        "tagger": Head(architecture="RobertaForTokenClassification", modules={"tagger": "classifier"}),
        "chooser": Head(architecture="RobertaForMultipleChoice", modules={"chooser": "classifier"}),
    },
    copies={"lm_head.decoder.weight": "embeddings.word_embeddings.weight", "lm_head.decoder.bias": "lm_head.bias"},
    masked_lm_act="gelu",
)

_DISTILBERT = Family(
    name="distilbert",
    model_type="bert",
    architecture="DistilBertModel",
    prefix="distilbert.",
    fields={
        "vocab_size": ("vocab_size", 30_522),
        "dim": ("hidden_size", 768),
        "n_layers": ("num_hidden_layers", 6),
        "n_heads": ("num_attention_heads", 12),
        "hidden_dim": ("intermediate_size", 3072),
        "activation": ("hidden_act", "gelu"),
        "dropout": ("hidden_dropout_prob", 0.1),
        "attention_dropout": ("attention_probs_dropout_prob", 0.1),
        "max_position_embeddings": ("max_position_embeddings", 512),
    },
    fixed=_POST_NORM
    | {
        "pooler_act": "relu",
        "type_vocab_size": 0,
        "layer_norm_eps": 1e-12,
        "position_offset": 0,
        "embedding_size": 0,
    },
    tables={
        "embeddings.words.words": "embeddings.word_embeddings",
        "embeddings.positions": "embeddings.position_embeddings",
    },
    modules={"embeddings.norm": "embeddings.LayerNorm"},
    layers=("encoder.layers.", "transformer.layer."),
    layer={
        "attention.query_key_value": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        "attention.output": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "feed_forward.intermediate": "ffn.lin1",
        "feed_forward.output": "ffn.lin2",
        "feed_forward_norm": "output_layer_norm",
    },
    heads={
        "masked_lm": Head(
            architecture="DistilBertForMaskedLM",
            modules={"masked_lm.dense": "vocab_transform", "masked_lm.norm": "vocab_layer_norm"},
            tensors={"masked_lm.bias": "vocab_projector.bias"},
        ),
        "classifier": Head(
            architecture="DistilBertForSequenceClassification",
            modules={"classifier": "classifier"},
            takes_pooler="pre_classifier",
        ),
        "tagger": Head(architecture="DistilBertForTokenClassification", modules={"tagger": "classifier"}),
        "chooser": Head(
            architecture="DistilBertForMultipleChoice",
            modules={"chooser": "classifier"},
            takes_pooler="pre_classifier",
        ),
    },
    copies={"vocab_projector.weight": "embeddings.word_embeddings.weight"},
)

_ELECTRA = Family(
    name="electra",
    model_type="bert",
    architecture="ElectraModel",
    prefix="electra.",
    fields=_BERT_FIELDS
    | {
        "embedding_size": ("embedding_size", 128),
        "hidden_size": ("hidden_size", 256),
        "num_attention_heads": ("num_attention_heads", 4),
        "intermediate_size": ("intermediate_size", 1024),
    },
    fixed=_POST_NORM | {"pooler_act": "gelu", "position_offset": 0},
    required=_BERT_REQUIRED,
    tables=_BERT_TABLES,
    modules={"embeddings.norm": "embeddings.LayerNorm", "embeddings.projection": "embeddings_project"},
    layers=("encoder.layers.", "encoder.layer."),
    layer=_BERT_LAYER,
    heads={
        "replaced_token": Head(
            architecture="ElectraForPreTraining",
            modules={
                "replaced_token.dense": "discriminator_predictions.dense",
                "replaced_token.output": "discriminator_predictions.dense_prediction",
            },
        ),
        "masked_lm": Head(
            architecture="ElectraForMaskedLM",
            modules={
                "masked_lm.dense": "generator_predictions.dense",
                "masked_lm.norm": "generator_predictions.LayerNorm",
            },
            tensors={"masked_lm.bias": "generator_lm_head.bias"},
        ),
        "classifier": Head(
            architecture="ElectraForSequenceClassification",
            modules={"classifier": "classifier.out_proj"},
            takes_pooler="classifier.dense",
        ),
        "tagger": Head(architecture="ElectraForTokenClassification", modules={"tagger": "classifier"}),
        "chooser": Head(
            architecture="ElectraForMultipleChoice",
            modules={"chooser": "classifier"},
            takes_pooler="sequence_summary.summary",
            required={"summary_type": "first", "summary_use_proj": True, "summary_activation": "gelu"},
        ),
    },
    copies={"generator_lm_head.weight": "embeddings.word_embeddings.weight"},
    masked_lm_act="gelu",
)

_GPT_LAYER: Names = {
    "attention.query_key_value": "attn.c_attn",
    "attention.output": "attn.c_proj",
    "attention_norm": "ln_1",
    "feed_forward.intermediate": "mlp.c_fc",
    "feed_forward.output": "mlp.c_proj",
    "feed_forward_norm": "ln_2",
}
_GPT_FIELDS = {
    "n_embd": ("hidden_size", 768),
    "n_layer": ("num_hidden_layers", 12),
    "n_head": ("num_attention_heads", 12),
    "resid_pdrop": ("hidden_dropout_prob", 0.1),
    "attn_pdrop": ("attention_probs_dropout_prob", 0.1),
    "layer_norm_epsilon": ("layer_norm_eps", 1e-5),
}
_CAUSAL_LM = {"causal_lm.weight": "lm_head.weight"}
_SCORE = {"classifier.weight": "score.weight"}


def _double_head(architecture: str) -> Head:
    """The score of an answer, read off its last token, beside the language model."""
    return Head(
        architecture=architecture,
        modules={"chooser": "multiple_choice_head.summary"},
        required={
            "summary_type": "cls_index",
            "summary_use_proj": True,
            "summary_activation": None,
            "summary_proj_to_labels": True,
        },
    )


_GPT = Family(
    name="openai-gpt",
    model_type="gpt",
    architecture="OpenAIGPTLMHeadModel",
    prefix="transformer.",
    fields=_GPT_FIELDS
    | {
        "vocab_size": ("vocab_size", 40_478),
        "n_positions": ("max_position_embeddings", 512),
        "afn": ("hidden_act", "gelu"),
    },
    fixed=_POST_NORM,
    activations={"gelu": "gelu_new", "relu": "relu"},
    tables={"embeddings.words.words": "tokens_embed", "embeddings.positions": "positions_embed"},
    modules={},
    layers=("decoder.layers.", "h."),
    layer=_GPT_LAYER,
    transposed=True,
    heads={
        "causal_lm": Head(architecture="OpenAIGPTLMHeadModel", tensors=_CAUSAL_LM),
        "classifier": Head(architecture="OpenAIGPTForSequenceClassification", tensors=_SCORE),
        "chooser": _double_head("OpenAIGPTDoubleHeadsModel"),
    },
    copies={"lm_head.weight": "tokens_embed.weight"},
    buffers=("position_ids", ".attn.bias"),
)

_GPT2 = Family(
    name="gpt2",
    model_type="gpt",
    architecture="GPT2LMHeadModel",
    prefix="transformer.",
    fields=_GPT_FIELDS
    | {
        "vocab_size": ("vocab_size", 50_257),
        "n_positions": ("max_position_embeddings", 1024),
        "n_inner": ("intermediate_size", None),
        "activation_function": ("hidden_act", "gelu_new"),
    },
    fixed={"norm_first": True, "position_embedding_type": "learned"},
    required={
        "add_cross_attention": False,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
    },
    tables={"embeddings.words.words": "wte", "embeddings.positions": "wpe"},
    modules={"decoder.final_norm": "ln_f"},
    layers=("decoder.layers.", "h."),
    layer=_GPT_LAYER,
    transposed=True,
    heads={
        "causal_lm": Head(architecture="GPT2LMHeadModel", tensors=_CAUSAL_LM),
        "classifier": Head(architecture="GPT2ForSequenceClassification", tensors=_SCORE),
        "chooser": _double_head("GPT2DoubleHeadsModel"),
        "tagger": Head(architecture="GPT2ForTokenClassification", modules={"tagger": "classifier"}),
    },
    copies={"lm_head.weight": "wte.weight"},
    buffers=(".attn.bias", ".attn.masked_bias"),
)


def _roberta_called(name: str, classes: str) -> Family:
    """RoBERTa under another name, with its settings where nothing is written."""
    heads = {
        head: replace(each, architecture=each.architecture.replace("Roberta", classes))
        for head, each in _ROBERTA.heads.items()
    }
    architecture = f"{classes}Model"
    return replace(
        _ROBERTA, name=name, alias_of=_ROBERTA.name, architecture=architecture, fields=_BERT_FIELDS, heads=heads
    )


_XLM_ROBERTA = _roberta_called("xlm-roberta", "XLMRoberta")
_CAMEMBERT = _roberta_called("camembert", "Camembert")

FAMILIES = {
    each.name: each for each in (_BERT, _ROBERTA, _XLM_ROBERTA, _CAMEMBERT, _DISTILBERT, _ELECTRA, _ERNIE, _GPT, _GPT2)
}
