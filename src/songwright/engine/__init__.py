"""The networks at run time, on ONNX Runtime. Token ids and logits only; no PyTorch."""
