"""The data plane: carries every LLM call in the customer's network. Start reading at `pipeline/pipeline.py`."""
