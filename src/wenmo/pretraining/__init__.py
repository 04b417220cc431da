"""What is learnt from raw text: examples whose labels are the text's own, and the heads that are trained on them."""
