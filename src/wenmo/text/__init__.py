"""Raw text to ids: normalisation, segmentation, vocabularies and word vectors."""
