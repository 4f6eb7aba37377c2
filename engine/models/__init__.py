"""What a model's own files say: shapes, weights, tokenizer."""
