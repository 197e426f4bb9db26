"""Fine-tuning, full or LoRA, with DeepSpeed under torchrun."""
