"""The feature extractors: pure torch modules that know tensors only."""
