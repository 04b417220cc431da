"""Using a trained model: raw texts to answers and to vectors."""
