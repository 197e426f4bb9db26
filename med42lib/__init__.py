"""Med42 Suite: fine-tune a medical language model, and know whether the numbers can be trusted."""

__version__ = "0.1.0"
