"""Models in GGUF files, as llama.cpp keeps them: dequantised once into a cached folder that transformers reads."""
